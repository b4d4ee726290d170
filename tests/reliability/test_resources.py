"""Inputs that are made to be too much are read, or refused, in memory that does not grow with them.

Each command runs in a process that may take 32 MB of memory beyond what it has when its modules are loaded (mapped
files do not count); an input that were held as a whole would end it. The slow cases are the full sizes of
``benchmarks/resources.py``.
"""

import os
import random
import resource
import subprocess
import sys
from itertools import chain, repeat
from pathlib import Path

import pytest

from benchmarks.resources import MB, line, records, rows, write
from dnadiff.cli import main

ROOM = 32 * MB
LIMITED = """
import resource, sys
from dnadiff.cli import main
from dnadiff.recipes import prepare
from dnadiff.data import intervals
from dnadiff.errors import InputError
has = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
limit = int(has.split()[1]) * 1024 + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
if sys.argv[2] == "prepare":
    sys.exit(main(sys.argv[2:]))
try:
    print(len(intervals.read_bed(sys.argv[2], {"chr1": 2000})))
except InputError as error:
    sys.exit(f"dna-diff: error: {error}")
"""
ENVIRONMENT = {
    **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])
}  # fmt: skip
FULL = pytest.mark.slow
SIZED = [pytest.param(0.08, id="small"), pytest.param(1.0, id="full", marks=FULL)]


def limited(*words, room=ROOM) -> tuple[int, str]:
    """Exit code and standard error of a command with little room."""
    command = [sys.executable, "-c", LIMITED, str(int(room)), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=600)
    assert done.stderr.count("\n") <= 1 and "Memory" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_the_limit_would_be_hit(tmp_path):
    command = [
        sys.executable,
        "-c",
        LIMITED.replace("if sys", "held = b'x' * 50_000_000\nif sys", 1),
        str(ROOM),
        "x.bed",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1 and "MemoryError" in done.stderr


@pytest.mark.parametrize("scale", SIZED)
def test_a_chromosome_on_a_single_line(scale, tmp_path):
    write(str(tmp_path / "x.fa"), line(b">a\n", b"ACGTTGCAGT", int(1000 * MB * scale)))
    assert limited("prepare", tmp_path / "x.fa", "-o", tmp_path / "store", "-q") == (0, "")
    assert (tmp_path / "store" / "bases.u8").stat().st_size == int(1000 * scale) * MB


@pytest.mark.parametrize("count", [pytest.param(10_000, id="small"), pytest.param(MB, id="full", marks=FULL)])
def test_records_without_end(count, tmp_path):
    """What is kept of a record, its name and counts, is about a kilobyte; the rest passes by."""
    write(str(tmp_path / "x.fa"), records(count))
    room = ROOM + 1300 * count
    assert limited("prepare", tmp_path / "x.fa", "-o", tmp_path / "store", "-q", room=room) == (0, "")


@pytest.mark.parametrize("scale", SIZED)
@pytest.mark.parametrize(
    ("name", "head", "letters", "told"),
    [
        ("bomb of bases", b">a\n", b"N", "unpacks to more than 200 times its size"),
        ("bomb of blank lines", b">a\n", b"\n", "unpacks to more than 200 times its size"),
        ("bomb of a header", b">", b"a", "found a header of more than 65536 bytes"),
        ("bomb of a comment", b";", b"a", "found a header of more than 65536 bytes"),
    ],
)
def test_a_bomb_of_gzip(name, head, letters, told, scale, tmp_path):
    write(str(tmp_path / "x.fa.gz"), line(head, letters, int(1000 * MB * scale)))
    assert (tmp_path / "x.fa.gz").stat().st_size < 2 * MB * scale
    code, err = limited("prepare", tmp_path / "x.fa.gz", "-o", tmp_path / "store", "-q")
    assert code == 2 and told in err and err.startswith("dna-diff: error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa.gz"]


def test_a_header_of_ten_megabytes(tmp_path):
    write(str(tmp_path / "x.fa"), line(b">", b"name ", 10 * MB))
    code, err = limited("prepare", tmp_path / "x.fa", "-o", tmp_path / "store")
    assert code == 2 and "found a header of more than 65536 bytes" in err
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa"]


def test_a_genome_that_shrinks_well_is_no_bomb(tmp_path):
    """A satellite of 171 bases over and over, with a difference here and there, packs 100 to 1."""
    rng = random.Random(1)
    unit = "".join(rng.choices("ACGT", k=171))
    piece = "".join(unit[:i] + rng.choice("ACGT") + unit[i + 1 :] for i in rng.choices(range(171), k=6000)).encode()
    write(str(tmp_path / "x.fa.gz"), chain([b">satellite\n"], repeat(b"N" * 200_000 + piece, 70)))
    packed = (tmp_path / "x.fa.gz").stat().st_size
    assert limited("prepare", tmp_path / "x.fa.gz", "-o", tmp_path / "store", "-q") == (0, "")
    assert 40 * packed < (tmp_path / "store" / "bases.u8").stat().st_size < 200 * packed


@pytest.mark.parametrize("scale", SIZED)
def test_a_bed_file_that_is_a_bomb(scale, tmp_path):
    write(str(tmp_path / "x.bed.gz"), line(b"", b"chr1\t", int(1000 * MB * scale)))
    code, err = limited(tmp_path / "x.bed.gz")
    assert code == 1 and "x.bed.gz:1: found a line of more than 1 MiB" in err


@pytest.mark.parametrize("count", [pytest.param(20_000, id="small"), pytest.param(MB, id="full", marks=FULL)])
def test_intervals_without_end(count, tmp_path):
    write(str(tmp_path / "x.bed"), rows(count))
    assert limited(tmp_path / "x.bed", room=ROOM + 350 * count) == (0, "")


@pytest.fixture
def full_disk(tmp_path):
    """A file system without any room left, in the folder ``full``."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        (folder / "ballast").write_bytes(b"x" * (2 << 20))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


DISK = {
    "prepare": ["prepare", "genome.fa", "-o", "{}/store"],
    "train": ["train", "genome.fa", "-o", "{}/run", "model.length=32", "data.split=blocks", "train.steps=2"],
    "sample": ["sample", "run", "-n", "2", "-o", "{}/x.fa"],
    "evaluate": ["evaluate", "run", "--windows", "2", "-o", "{}/x.json"],
    "compare": ["compare", "genome.fa", "synthetic.fa", "--picture", "{}/x.png"],
}


@pytest.mark.parametrize("verb", DISK)
def test_a_disk_that_is_really_full(verb, full_disk, world, capsys):
    before = sorted(path.name for path in full_disk.iterdir())
    assert main([word.format(full_disk) for word in DISK[verb]] + ["-q"]) == 4
    err = capsys.readouterr().err
    assert err.startswith(f"dna-diff: error: {full_disk}/") and err.count("\n") == 1 and "Traceback" not in err, err
    assert sorted(path.name for path in full_disk.iterdir()) == before


STREAMS = {
    "sample": ["sample", "run", "-n", "2", "-q"],
    "evaluate": ["evaluate", "run", "--windows", "2", "-q"],
    "compare": ["compare", "genome.fa", "synthetic.fa", "-q"],
    "config": ["config", "ls"],
    "doctor": ["doctor"],
    "the help": ["--help"],
}


@pytest.mark.parametrize("verb", STREAMS)
def test_standard_output_on_a_full_disk(verb, world, capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        try:
            assert main(STREAMS[verb]) == 4
        finally:
            monkeypatch.undo()
            os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # what is still in the buffer
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "no space" in err.lower(), err


@pytest.mark.parametrize("verb", ["config", "the help"])
def test_a_process_whose_output_is_full_says_so_once(verb, world):
    """Python would complain a second time, and with another code, when it flushes on its way out."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "dnadiff", *STREAMS[verb]]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr


def test_files_may_not_grow(world, capsys):
    """Where no file system can be mounted, a limit on the size of files is the next best full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert main(["prepare", "genome.fa", "-o", "new", "-q"]) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capsys.readouterr().err
    assert err.startswith("dna-diff: error: new: cannot be written (File too large)") and err.count("\n") == 1
    assert not any("new" in path.name for path in world.iterdir())
