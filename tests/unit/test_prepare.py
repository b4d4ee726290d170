import subprocess
import sys

import pytest

from dnadiff.data.genome import Store
from dnadiff.errors import InputError
from dnadiff.recipes.prepare import prepare

FASTA = ">chr1 first\r\nACGTacgtNNGC\r\n>chr2\r\nRYGGuu\r\n"


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "g.fa"
    path.write_bytes(FASTA.encode())
    return path


def test_the_data_card_goes_to_standard_error(fasta, tmp_path, capsys):
    prepare(fasta, tmp_path / "store")
    out, card = capsys.readouterr()
    assert out == ""
    for line in (
        "contigs      2: chr1 12, chr2 6",
        "bases        18 bp",
        "GC           57.14 %",
        "N            22.222 % (4)",
        "soft-masked  33.33 %",
        "normalised   IUPAC codes read as N: 2",
        "normalised   CRLF line ends: 4",
        "normalised   U read as T: 2",
    ):
        assert line in card.splitlines(), card
    assert f"source       g.fa, {len(FASTA)} bytes, SHA-256 " in card and "store        " in card
    assert "no default split: " in card


def test_a_genome_that_can_be_split_shows_the_overlap(tmp_path, capsys):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGT" * 25_000)
    prepare(tmp_path / "g.fa", tmp_path / "store")
    assert "overlap of train and held-out: 0 bp" in capsys.readouterr().err


def test_quiet_prints_nothing(fasta, tmp_path, capsys):
    prepare(fasta, tmp_path / "store", quiet=True)
    assert capsys.readouterr() == ("", "")


def test_without_a_folder_the_cache_is_used(fasta, tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    store = prepare(fasta, quiet=True)
    assert store.path.parent == tmp_path / "cache"
    assert prepare(fasta, quiet=True, force=True).path == store.path
    with pytest.raises(InputError, match="-o STORE would work"):
        prepare(fasta, drop_gaps=True)


def test_existing_folders_are_replaced_on_demand_only(fasta, tmp_path):
    prepare(fasta, tmp_path / "store", quiet=True)
    with pytest.raises(InputError, match="--force"):
        prepare(fasta, tmp_path / "store")
    (tmp_path / "g.fa").write_text(">x\nACGT\n")
    prepare(fasta, tmp_path / "store", quiet=True, force=True)
    assert Store.open(tmp_path / "store", verify=True).names == ["x"]


def test_the_folder_one_is_in_is_not_replaced(fasta, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (".", "..", "../here/.."):
        with pytest.raises(InputError, match=r"\.: (cannot be replaced|exists)"):
            prepare(fasta, out, quiet=True, force=True)
    assert (tmp_path / "here").is_dir() and not any((tmp_path / "here").iterdir())


def test_replacing_leaves_nothing_hidden_beside_the_store(fasta, tmp_path):
    for name in ("real", "brackets[1]"):
        prepare(fasta, tmp_path / name, quiet=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / ".brackets[1].tmp-1").mkdir()  # of a killed process
    for name in ("link", "brackets[1]"):
        prepare(fasta, tmp_path / name, quiet=True, force=True)
    assert not list(tmp_path.glob(".*"))


def test_standard_input_is_read_and_torch_is_not_imported(tmp_path):
    program = (
        "import sys\n"
        "from dnadiff.recipes.prepare import prepare\n"
        "import dnadiff.data.windows\n"
        "store = prepare('-', sys.argv[1])\n"
        "print(store.names, store.index['source']['name'], 'torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, tmp_path / "store"]
    done = subprocess.run(command, input=FASTA.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\n")[0] == "['chr1', 'chr2'] stdin False"
