"""The genome store's agreements: what lies on the disk, facts only, and where ``train genome.fa`` finds it."""

import gzip
import hashlib
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO
from Bio.Seq import Seq

from dnadiff.data.genome import Store, build_store, cached_store, open_genome
from dnadiff.data.intervals import Interval
from dnadiff.errors import InputError

DATA = Path(__file__).parents[2] / "data"
FASTA = ">chrA a description\nACGTNacgtn\nRYu\n>chrB\nGGGG\n"


@pytest.fixture
def store(tmp_path):
    (tmp_path / "g.fa").write_text(FASTA)
    return build_store(tmp_path / "g.fa", tmp_path / "store")


def test_the_two_files_hold_what_is_documented(store, tmp_path):
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["bases.u8", "index.json"]
    low = [code | 128 for code in range(5)]
    assert list((tmp_path / "store" / "bases.u8").read_bytes()) == [0, 1, 2, 3, 4, *low, 4, 4, 3 | 128, 2, 2, 2, 2]
    index = json.loads((tmp_path / "store" / "index.json").read_text())
    assert index == store.index
    assert index["contigs"] == [
        {
            "name": "chrA", "description": "a description", "length": 13, "soft_masked": 6,
            "md5": hashlib.md5(b"ACGTNACGTNRYU").hexdigest(), "A": 2, "C": 2, "G": 2, "T": 3, "N": 4,
        },
        {
            "name": "chrB", "description": "", "length": 4, "soft_masked": 0,
            "md5": hashlib.md5(b"GGGG").hexdigest(), "A": 0, "C": 0, "G": 4, "T": 0, "N": 0,
        },
    ]  # fmt: skip
    source = (tmp_path / "g.fa").read_bytes()
    assert index["source"] == {
        "name": "g.fa", "sha256": hashlib.sha256(source).hexdigest(), "bytes": len(source), "compression": "none"
    }  # fmt: skip
    assert index["normalised"] == {"ambiguous_to_n": 2, "uracil_to_t": 1}


def test_it_keeps_facts_only(store):
    assert set(store.index) == {"kind", "format", "source", "normalised", "bases_crc32", "contigs", "sha256"}
    assert str(store.path) not in json.dumps(store.index), "a store can be moved"


def test_the_opened_store_has_the_agreed_attributes(store):
    assert store.names == ["chrA", "chrB"]
    assert store.lengths.tolist() == [13, 4] and store.offsets.tolist() == [0, 13]
    assert isinstance(store.bases, np.memmap) and store.bases.dtype == np.uint8 and store.bases.shape == (17,)
    assert store.sizes == {"chrA": 13, "chrB": 4}
    with pytest.raises(ValueError):
        store.bases[0] = 1


def test_codes_are_read_on_their_strand_without_soft_masking(store):
    assert store.codes(Interval("chrA", 1, 6)).tolist() == [1, 2, 3, 4, 0]
    assert store.codes(Interval("chrA", 1, 6, "-")).tolist() == [3, 4, 0, 1, 2]
    assert store.codes(Interval("chrB", 3, 4)).tolist() == [2]


@pytest.mark.parametrize("interval", [Interval("chrA", 0, 14), Interval("chrA", 3, 3), Interval("A", 0, 1)])
def test_codes_beyond_a_contig_are_refused(store, interval):
    with pytest.raises(InputError):
        store.codes(interval)


@pytest.mark.parametrize(
    ("name", "bp", "counts"),
    [
        ("ecoli_k12_mg1655.fa.gz", 4_639_675, {"N": 0}),
        ("vcholerae_N16961_iupac.fa.gz", 4_033_464, {"N": 37}),
        ("human_softmasked.fa", 140_000, {"soft_masked": 69_817}),
        ("human_mito.fa", 16_571, {}),
        ("lambda_phage.fa.gz", 48_502, {}),
    ],
)
def test_the_shipped_genomes_are_read_as_biopython_reads_them(name, bp, counts):
    store = cached_store(DATA / name)
    assert store.lengths.sum() == bp
    for key, count in counts.items():
        assert sum(contig[key] for contig in store.index["contigs"]) == count
    with (gzip.open if name.endswith("gz") else open)(DATA / name, "rt") as file:
        text = "\n".join(line for line in file.read().split("\n") if not line.startswith(";"))
    table = str.maketrans("RYSWKMBDHV", "N" * 10)
    for number, record in enumerate(SeqIO.parse(io.StringIO(text), "fasta")):
        assert store.names[number] == record.id
        sequence = str(record.seq).upper()
        assert store.index["contigs"][number]["md5"] == hashlib.md5(sequence.encode()).hexdigest()
        codes = store.codes(Interval(record.id, 0, len(sequence)))
        assert np.array(list("ACGTN"))[codes].tobytes() == np.array(list(sequence.translate(table))).tobytes()
        piece = Interval(record.id, 100, 4100, "-")
        truth = str(Seq(sequence[100:4100].translate(table)).reverse_complement())
        assert "".join("ACGTN"[code] for code in store.codes(piece)) == truth


def test_readme_of_the_data_folder_has_the_right_sums():
    text = (DATA / "README.md").read_text()
    files = [p for p in DATA.rglob("*") if p.is_file() and p.name != "README.md"]
    assert sum(p.stat().st_size for p in files) < 3_500_000
    for path in files:
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(DATA)}\n" in text
        assert path.parent != DATA or f"{path.stat().st_size:,}" in text


def test_the_cache_is_named_by_the_source(tmp_path, monkeypatch):
    (tmp_path / "g.fa").write_text(FASTA)
    digest = hashlib.sha256(FASTA.encode()).hexdigest()
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    store = open_genome(tmp_path / "g.fa")
    assert store.path == tmp_path / "cache" / digest[:16]
    built = (store.path / "index.json").stat().st_mtime_ns
    assert (cached_store(tmp_path / "g.fa").path / "index.json").stat().st_mtime_ns == built, "built once"
    assert open_genome(store.path).names == store.names
    (tmp_path / "g.fa").write_text(FASTA + "A\n")
    assert cached_store(tmp_path / "g.fa").path != store.path, "a changed file is another genome"
    monkeypatch.delenv("DNADIFF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cached_store(tmp_path / "g.fa").path.parent == tmp_path / "home" / ".cache" / "dnadiff"


def test_the_cache_keeps_sequences_as_they_are(tmp_path):
    (tmp_path / "g.fa").write_text(">a\nAC-GT\n")
    with pytest.raises(InputError, match="found gap"):
        cached_store(tmp_path / "g.fa")
    with pytest.raises(InputError, match="a stream cannot be cached"):
        cached_store("-")


def test_it_pickles_as_its_path(store):
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 1000
    assert again.names == store.names and (again.bases == store.bases).all()


def test_verification_reads_every_base(store):
    path = store.path / "bases.u8"
    data = bytearray(path.read_bytes())
    data[7] ^= 2
    os.chmod(path, 0o644)
    path.write_bytes(data)
    Store.open(store.path)
    with pytest.raises(InputError, match="damaged"):
        Store.open(store.path, verify=True)
