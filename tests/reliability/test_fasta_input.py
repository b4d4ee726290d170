"""What real files do to a FASTA reader: each is read as its owner meant it or refused with its place and a remedy."""

import gzip
import io
import random
import re

import pytest
from Bio import bgzf

from dnadiff.data.fasta import FastaReader, Header, read_fasta
from dnadiff.data.genome import build_store
from dnadiff.errors import InputError

PLAIN = b">chr1 first\nACGT\nACGT\n>chr2\nGGCC\n"
BOTH = [("chr1", "ACGTACGT"), ("chr2", "GGCC")]
EMPTY_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def as_bgzf(text):
    buffer = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=buffer)
    writer.write(text)
    writer.flush()
    writer._handle.write(EMPTY_END)
    return buffer.getvalue()


def bad_crc(data):
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


def flipped(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0x10]) + data[len(data) // 2 + 1 :]


LONG = b">long\n" + b"ACGTTGCA" * 5000 + b"\n"
MIXED = b">mixed\n" + bytes(random.Random(1).choices(b"ACGT", k=20_000)) + b"\n"

READ = {
    "plain": (PLAIN, BOTH, {}),
    "no final newline": (PLAIN[:-1], BOTH, {}),
    "many final newlines": (PLAIN + b"\n\n\n", BOTH, {}),
    "blank lines anywhere": (b"\n\n>chr1 first\n\nACGT\n\n\nACGT\n\n>chr2\n\nGGCC", BOTH, {}),
    "CRLF": (PLAIN.replace(b"\n", b"\r\n"), BOTH, {"crlf_line_ends": 5}),
    "old Macintosh CR": (PLAIN.replace(b"\n", b"\r"), BOTH, {"cr_line_ends": 5}),
    "mixed line ends": (b">chr1\r\nACGT\rACGT\n>chr2\r\nGGCC\r", BOTH, {"crlf_line_ends": 2, "cr_line_ends": 2}),
    "byte-order mark": (b"\xef\xbb\xbf" + PLAIN, BOTH, {"byte_order_mark": 1}),
    "byte-order mark and CRLF": (
        b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n"),
        BOTH,
        {"byte_order_mark": 1, "crlf_line_ends": 5},
    ),
    "ragged lines": (b">chr1\nA\nCGTAC\nG\nT\n>chr2\nGG\nC\nC\n", BOTH, {}),
    "a single line": (b">chr1\nACGTACGT\n>chr2\nGGCC", BOTH, {}),
    "one base a line": (b">chr1\n" + b"\n".join(bytes([c]) for c in b"ACGTACGT") + b"\n>chr2\nGGCC", BOTH, {}),
    "trailing blanks and tabs": (b">chr1\nACGT \nACGT\t\n>chr2\nGGCC  \n", BOTH, {"blanks": 4}),
    "groups of letters": (b">chr1\nAC GT ACGT\n>chr2\nGGCC", BOTH, {"blanks": 2}),
    "comment lines of the original format": (
        b";by hand\n>chr1\n; inside > too\nACGT\nACGT\n;\n>chr2\nGGCC",
        BOTH,
        {"comment_lines": 3},
    ),
    "lower case": (PLAIN.replace(b"ACGT", b"acgt"), BOTH, {}),
    "RNA": (b">chr1\nACGUacgu\n>chr2\nGGCC", BOTH, {"uracil_to_t": 2}),
    "IUPAC codes": (
        b">c\nRYSWKMBDHVNACGTACGTACGTACGTacgtry",
        [("c", "N" * 11 + "ACGT" * 5 + "NN")],
        {"ambiguous_to_n": 12},
    ),
    "N of both cases": (b">c\nNNnnACGT", [("c", "NNNNACGT")], {}),
    "only N": (b">c\nNNNN\n", [("c", "NNNN")], {}),
    "an empty record": (
        b">empty\n>chr1\nACGTACGT\n>none here\n\n>chr2\nGGCC\n>last\n",
        BOTH,
        {"empty_records": 3},
    ),
    "tab after the name": (b">chr1\tfirst\nACGTACGT\n>chr2\nGGCC", BOTH, {}),
    "UTF-8 description": (">chr1 Möhre\nACGTACGT\n>chr2\nGGCC".encode(), BOTH, {}),
    "names with colons and bars": (
        b">gi|1|ref|NC_1.2| x\nAC\n>HLA:01:02\nGT",
        [("gi|1|ref|NC_1.2|", "AC"), ("HLA:01:02", "GT")],
        {},
    ),
    "'>' within a header": (b">chr1 a>b\nACGTACGT\n>chr2 >\nGGCC", BOTH, {}),
    "gzip": (gzip.compress(PLAIN), BOTH, {}),
    "gzip of several members": (b"".join(gzip.compress(PLAIN[a:b]) for a, b in ((0, 7), (7, 20), (20, 99))), BOTH, {}),
    "gzip with an empty member": (gzip.compress(b"") + gzip.compress(PLAIN), BOTH, {}),
    "gzip padded with zeros": (gzip.compress(PLAIN) + b"\0" * 512, BOTH, {}),
    "BGZF": (as_bgzf(PLAIN), BOTH, {}),
    "gzip of CRLF": (gzip.compress(PLAIN.replace(b"\n", b"\r\n")), BOTH, {"crlf_line_ends": 5}),
    "a long line": (LONG, [("long", "ACGTTGCA" * 5000)], {}),
    "duplicate names, for reading": (b">a\nAC\n>a\nGT\n", [("a", "AC"), ("a", "GT")], {}),
}  # fmt: skip

REFUSED = {
    "empty file": (b"", "found no sequence"),
    "only blank lines": (b"\n\n \n", "found no sequence"),
    "only comments": (b";a\n;b\n", "found no sequence"),
    "only empty records": (b">a\n>b\n\n", "every record is empty"),
    "no header": (b"ACGT\nACGT\n", ":1:1: found 'A' before the first header"),
    "no header after comments": (b";x\n\nACGT\n", ":3:1: found 'A' before the first header"),
    "FASTQ": (b"@read1\nACGT\n+\nIIII\n", "looks like FASTQ"),
    "FASTQ further down": (b">a\nACGT\n+\nIIII\n", ":3:1: found '+' in record 'a', as in FASTQ"),
    "SAM": (b"@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:4\n", "looks like SAM"),
    "GenBank": (b"LOCUS       NC_001416  48502 bp\nORIGIN\n  1 acgt\n", "looks like GenBank"),
    "EMBL": (b"ID   X56734; SV 1; linear;\n", "looks like EMBL"),
    "HTML": (b"\n<!DOCTYPE html><html><body>404</body></html>", "looks like HTML"),
    "XML": (b"<?xml version='1.0'?><TSeq/>", "looks like HTML or XML"),
    "GFF": (b"##gff-version 3\nchr1\t.\tgene\n", "looks like GFF"),
    "VCF": (b"##fileformat=VCFv4.2\n", "looks like VCF"),
    "BED": (b"chr1\t0\t100\tx\n", "looks like BED"),
    "JSON": (b'{"a": 1}', "looks like JSON"),
    "2bit": (b"\x43\x27\x41\x1a\0\0\0\0", "looks like UCSC .2bit"),
    "BAM": (gzip.compress(b"BAM\x01\0\0\0\0"), "looks like BAM"),
    "UTF-16 with a mark": (PLAIN.decode().encode("utf-16"), "looks like UTF-16"),
    "UTF-16 without a mark": (PLAIN.decode().encode("utf-16-be"), "UTF-16"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0", "picture"),
    "zip": (b"PK\x03\x04rest", "looks like a zip archive"),
    "bzip2": (b"BZh91AY&SY", "looks like bzip2"),
    "xz": (b"\xfd7zXZ\0rest", "looks like xz"),
    "zstd": (b"\x28\xb5\x2f\xfdrest", "looks like zstd"),
    "gzip within gzip": (gzip.compress(gzip.compress(PLAIN)), "looks like gzip within gzip"),
    "truncated gzip": (gzip.compress(LONG)[:-20], "stop in the middle"),
    "gzip cut in its trailer": (gzip.compress(PLAIN)[:-4], "stop in the middle"),
    "gzip header alone": (gzip.compress(PLAIN)[:10], "stop in the middle"),
    "second gzip member cut": (gzip.compress(PLAIN) + gzip.compress(LONG)[:-9], "stop in the middle"),
    "gzip with a wrong CRC": (bad_crc(gzip.compress(PLAIN)), "damaged (incorrect data check)"),
    "gzip with a flipped bit": (
        flipped(gzip.compress(MIXED)),
        "",
    ),  # what the flip turns into may be noticed before the CRC
    "text behind gzip": (gzip.compress(PLAIN) + b">more\nACGT\n", "damaged (incorrect header check)"),
    "BGZF without its end": (as_bgzf(PLAIN)[:-28], "BGZF end marker is missing"),
    "BGZF cut within a block": (as_bgzf(PLAIN)[:-35], "stop in the middle"),
    "protein": (b">P1\nMKVLAAGE\n", ":2:4: found 'L', a protein letter in record 'P1'"),
    "protein of nucleotide letters": (b">p\n" + b"MKWVTSRHDY" * 4, ":1: found 90 % ambiguity codes in record 'p'"),
    "protein of such letters first": (b">p\n" + b"MKWVTSRHDY" * 4 + b"\n>q\nACGT\n", ":1: found 90 %"),
    "X": (b">a\nACGTXXACGT", ":2:5: found 'X'"),
    "digits": (b">a\n1 ACGT\n", ":2:1: found the digit '1'"),
    "digit at the end": (b">a\nACGT\nACGT4\n", ":3:5: found the digit '4'"),
    "NUL": (b">a\nACG\0T\n", ":2:4: found byte 0x00"),
    "control character": (b">a\nACGT\x1a", ":2:5: found byte 0x1A"),
    "not ASCII": (">a\nACGÄT\n".encode(), ":2:4: found byte 0xC3, which is not ASCII"),
    "non-breaking space": (b">a\nACG\xa0T\n", ":2:4: found byte 0xA0"),
    "gap": (b">a\nAC-GT\n", ":2:3: found gap '-' in record 'a'; --drop-gaps"),
    "dots": (b">a\nACGT\n\nA..C\n", ":4:2: found gap '.'"),
    "stop codon": (b">a\nACGT*\n", ":2:5: found gap '*'"),
    "gap after CRLF lines": (b">a\r\nACGT\r\nAC-GT\r\n", ":3:3: found gap '-'"),
    "gap after CR lines": (b">a\rACGT\rAC-GT\r", ":3:3: found gap '-'"),
    "header in the middle of a line": (b">a\nACGT>b\nACGT\n", ":2:5: found '>' within a line"),
    "indented header": (b">a\nACGT\n >b\nACGT\n", ":3:2: found '>' within a line"),
    "comment behind letters": (b">a\nACGT ;note\n", ":2:6: found ';'"),
    "header without a name": (b">a\nAC\n>\nGT\n", ":3: found a header without a name"),
    "blank before the name": (b"> chr1\nACGT\n", ":1: found a header without a name"),
    "name that is not ASCII": (">chr\u00e9 1\nACGT\n".encode(), ":1: found header 'chr\\xe9 1'"),
    "NUL in a header": (b">a\0b\nACGT\n", ":1: found header"),
    "endless header": (b">" + b"a" * (1 << 17), ":1: found a header of more than 65536 bytes"),
    "quality of a mate": (b">a\nACGT@\n", ":2:5: found '@'"),
}


def read(path, **options):
    reader = FastaReader(path, **options)
    records = []
    for event in reader:
        if isinstance(event, Header):
            records.append([event.name, b""])
        else:
            records[-1][1] += event.letters
            assert event.counts.sum() == len(event.bases) == len(event.letters)
    return [tuple(record) for record in records], {key: count for key, count in reader.notes.items() if count}


@pytest.mark.parametrize("case", READ)
def test_is_read_as_meant(case, tmp_path):
    data, records, notes = READ[case]
    path = tmp_path / "in.fa"
    path.write_bytes(data)
    assert [(record.name, record.sequence) for record in read_fasta(path)] == records
    assert read(path)[1] == notes


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_in_one_line_that_names_the_place(case, tmp_path):
    data, message = REFUSED[case]
    path = tmp_path / "in.fa"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        build_store(path, tmp_path / "store")
    text = str(error.value)
    assert text.startswith(str(path)) and message in text and "\n" not in text and len(text) < 300 + len(str(path))
    assert text.isprintable()
    assert "would work" in text
    assert [p.name for p in tmp_path.iterdir()] == ["in.fa"]


def test_the_table_is_as_large_as_promised():
    assert len(READ) + len(REFUSED) >= 40


@pytest.mark.parametrize("case", [name for name, (data, _, _) in READ.items() if len(data) < 300])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_chunk_boundaries_change_nothing(case, size, tmp_path, monkeypatch):
    data, records, notes = READ[case]
    path = tmp_path / "in.fa"
    if data.startswith(b"\x1f\x8b") and size == 1:
        pytest.skip("the two bytes that tell gzip come in one read")
    path.write_bytes(data)
    monkeypatch.setattr("dnadiff.data.stream._RAW", size)
    monkeypatch.setattr("dnadiff.data.stream.CHUNK", size)
    monkeypatch.setattr("dnadiff.data.fasta._HEAD", 4)
    assert [(record.name, record.sequence) for record in read_fasta(path)] == records
    assert read(path)[1] == notes


@pytest.mark.parametrize("case", [name for name, (data, message) in REFUSED.items() if re.match(r":\d+:\d+", message)])
def test_places_do_not_depend_on_chunks(case, tmp_path, monkeypatch):
    data, message = REFUSED[case]
    path = tmp_path / "in.fa"
    path.write_bytes(data)
    monkeypatch.setattr("dnadiff.data.stream._RAW", 3)
    monkeypatch.setattr("dnadiff.data.fasta._HEAD", 4)
    with pytest.raises(InputError, match=re.escape(message)):
        list(read_fasta(path))


def test_the_suffix_is_not_trusted(tmp_path):
    (tmp_path / "plain.fa.gz").write_bytes(PLAIN)
    (tmp_path / "packed.txt").write_bytes(gzip.compress(PLAIN))
    assert read(tmp_path / "plain.fa.gz") == read(tmp_path / "packed.txt")


def test_gaps_are_dropped_on_demand(tmp_path):
    path = tmp_path / "in.fa"
    path.write_bytes(b">a\n--AC..GT\nAC*\n>b\n---\n>c\nGG\n")
    assert [(r.name, r.sequence) for r in read_fasta(path, drop_gaps=True)] == [("a", "ACGTAC"), ("c", "GG")]
    assert read(path, drop_gaps=True)[1] == {"gaps_dropped": 8, "empty_records": 1}


def test_missing_bgzf_end_is_accepted_on_demand_but_a_cut_block_never(tmp_path):
    whole = as_bgzf(PLAIN)
    path = tmp_path / "in.fa.gz"
    path.write_bytes(whole[:-28])
    assert read(path, allow_truncated=True) == ([("chr1", b"ACGTACGT"), ("chr2", b"GGCC")], {"missing_bgzf_end": 1})
    path.write_bytes(whole[:-35])
    with pytest.raises(InputError, match="stop in the middle"):
        read(path, allow_truncated=True)


def test_duplicate_names_name_both_lines(tmp_path):
    path = tmp_path / "in.fa"
    path.write_bytes(b">a\nAC\n>b\nGT\n>a again\nGG\n>a\nCC\n")
    with pytest.raises(InputError, match=r"in\.fa:5: found a second record 'a' \(the first is on line 1\)"):
        build_store(path, tmp_path / "store")
    store = build_store(path, tmp_path / "store", rename_duplicates=True)
    assert store.names == ["a", "b", "a_2", "a_3"]
    assert store.index["normalised"] == {"renamed_contigs": 2}


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.fa: no such file"):
        list(read_fasta(tmp_path / "none.fa"))
    with pytest.raises(InputError, match="is a folder"):
        list(read_fasta(tmp_path))


def test_a_bomb_stays_small(tmp_path):
    """Fifty million bases in 50 kB of gzip: read in chunks, not at once."""
    import tracemalloc

    path = tmp_path / "bomb.fa.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b">a\n")
        for _ in range(50):
            file.write(b"N" * 1_000_000)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    total = sum(len(event.bases) for event in FastaReader(path) if not isinstance(event, Header))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 50_000_000
    assert peak < 20_000_000
