import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from Bio import SeqIO

from dnadiff.data.fasta import read_fasta
from dnadiff.data.fasta_writer import FastaWriter, LineWrap, fasta_record
from dnadiff.errors import InputError, ResourceError

RECORDS = [("one", "ACGT" * 40, "seed=1 step=2"), ("two", "A", ""), ("three", "G" * 60, "")]


def write(path):
    with FastaWriter(path) as out:
        for name, sequence, description in RECORDS:
            out.write(name, sequence, description)


@pytest.mark.parametrize("name", ["out.fa", "out.fa.gz"])
def test_biopython_and_we_read_back_what_was_written(name, tmp_path):
    path = tmp_path / name
    write(path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with (gzip.open if name.endswith("gz") else open)(path, "rt") as file:
        assert [(r.id, str(r.seq), r.description) for r in SeqIO.parse(file, "fasta")] == [
            (name, sequence, f"{name} {description}".rstrip()) for name, sequence, description in RECORDS
        ]
    assert [(r.name, r.sequence, r.description) for r in read_fasta(path)] == RECORDS


def test_lines_are_sixty_long(tmp_path):
    write(tmp_path / "out.fa")
    assert [len(line) for line in (tmp_path / "out.fa").read_text().splitlines()] == [18, 60, 60, 40, 4, 1, 6, 60]


@pytest.mark.parametrize("piece", [1, 7, 59, 60, 61, 200])
@pytest.mark.parametrize("length", [1, 60, 61, 120, 150])
def test_a_sequence_in_pieces_is_cut_into_the_same_lines(piece, length):
    sequence, wrap = ("ACGGT" * length)[:length], LineWrap()
    lines = [wrap.add(sequence[i : i + piece]) for i in range(0, length, piece)]
    assert b">x\n" + b"".join(lines) + wrap.end() == fasta_record("x", sequence)
    assert wrap.bases == length and all(len(line) % 61 == 0 for line in lines)


def test_a_record_without_bases_or_of_other_letters_is_none():
    with pytest.raises(ValueError, match="no bases"):
        LineWrap().end()
    with pytest.raises(ValueError, match="no bases"):
        fasta_record("x", "")
    with pytest.raises(ValueError, match="E"):
        LineWrap().add("ACGE")


def test_compressed_bytes_have_no_time_stamp(tmp_path):
    write(tmp_path / "a.fa.gz")
    write(tmp_path / "b.fa.gz")
    data = (tmp_path / "a.fa.gz").read_bytes()
    assert data == (tmp_path / "b.fa.gz").read_bytes() and data[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("name", ["out.fa", "out.fa.gz"])
def test_a_failure_leaves_nothing(name, tmp_path):
    with pytest.raises(RuntimeError), FastaWriter(tmp_path / name) as out:
        out.write("a", "ACGT")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_never_replaced(tmp_path):
    path = tmp_path / "out.fa"
    path.write_text("before")
    with pytest.raises(InputError, match="exists"):
        FastaWriter(path)
    assert path.read_text() == "before"


def test_devices_are_written_as_they_are():
    write("/dev/null")
    with pytest.raises(ResourceError, match="/dev/full: cannot be written"):
        write("/dev/full")
    assert Path("/dev/null").is_char_device() and Path("/dev/full").is_char_device()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        FastaWriter(tmp_path / "nowhere" / "out.fa")


def test_a_full_disk_is_a_resource_error(tmp_path, monkeypatch):
    with pytest.raises(ResourceError, match="No space left"), FastaWriter(tmp_path / "out.fa") as out:
        out.write("a", "ACGT")
        full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by the writer
        out._file.close()
        out._file = full
        out.write("b", "ACGT")
    full.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "sequence", "description"),
    [
        ("", "A", ""),
        ("a b", "A", ""),
        ("a\n>b", "A", ""),
        ("é", "A", ""),
        ("a", "", ""),
        ("a", "A[SEP]", ""),
        ("a", "A", "x\ny"),
    ],
)
def test_records_that_would_not_be_read_back_are_refused(name, sequence, description, tmp_path):
    with pytest.raises(ValueError), FastaWriter(tmp_path / "out.fa") as out:
        out.write(name, sequence, description)
    assert list(tmp_path.iterdir()) == []


def test_a_dash_is_standard_output_and_a_closed_pipe_ends_the_writing():
    program = (
        "import sys\n"
        "from dnadiff.data.fasta_writer import FastaWriter\n"
        "with FastaWriter('-') as out:\n"
        "    for i in range(int(sys.argv[1])):\n"
        "        out.write(f'r{i}', 'ACGT' * 100)\n"
    )
    run = [sys.executable, "-c", program]
    whole = subprocess.run([*run, "2"], capture_output=True, text=True, check=True)
    assert whole.stdout.startswith(">r0\nACGT") and whole.stderr == ""
    child = subprocess.Popen([*run, "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.read(10)
    child.stdout.close()
    errors = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(timeout=20) == 1 and "BrokenPipeError" in errors
