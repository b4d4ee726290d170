"""Peak memory and time of commands on inputs that are made to be too much: bombs, endless lines, a million records.

Each command runs in a process of its own, whose peak resident memory the system reports when it ends. The first row of
each verb is a genome of a few bases: what the verb needs for itself. Inputs are written to a temporary folder.

    python benchmarks/resources.py [--scale 1.0] [--out benchmarks/results/resources.json]
"""

import argparse
import functools
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MB = 1_000_000
ROOT = Path(__file__).parents[1]


def write(path: str, chunks: Iterator[bytes]) -> None:
    """Writes chunks to a file; if its name ends in .gz, each as a gzip member, one that repeats packed once."""
    packed = functools.lru_cache(gzip.compress)
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(packed(chunk) if path.endswith(".gz") else chunk)


def line(head: bytes, letters: bytes, total: int) -> Iterator[bytes]:
    """A head, then letters over and over, on a single line of about ``total`` bytes."""
    yield head
    piece = letters * (MB // len(letters))
    for _ in range(max(1, total // MB)):
        yield piece
    yield b"\n"


def records(count: int) -> Iterator[bytes]:
    """So many records of 40 bases."""
    for start in range(0, count, 10_000):
        yield b"".join(b">contig%d\n%s\n" % (i, b"ACGTTGCAGT" * 4) for i in range(start, min(count, start + 10_000)))


def rows(count: int) -> Iterator[bytes]:
    """So many lines of BED."""
    for start in range(0, count, 10_000):
        yield b"".join(b"chr1\t%d\t%d\n" % (i % 1000, i % 1000 + 40) for i in range(start, min(count, start + 10_000)))


SMALL = b">chr1\n" + b"ACGTTGCAGT" * 200 + b"\n"
COUNT = (
    "import sys; from dnadiff.data.intervals import read_bed; from dnadiff.errors import InputError\n"
    "try: print(len(read_bed(sys.argv[1], {'chr1': 2000})))\n"
    "except InputError as error: sys.exit(f'dna-diff: error: {error}')"
)


def cases(scale: float) -> dict[str, tuple[list[str], str, Callable[[], Iterator[bytes]]]]:
    """By name: the words of the command, the name of its input, and what is written there."""

    def n(full: int) -> int:
        return int(full * scale)

    prepare = ["-m", "dnadiff", "prepare", "{}", "-o", "store", "-q"]
    compare = ["-m", "dnadiff", "compare", "{}", "made.fa", "-k", "3", "-q"]
    bed = ["-c", COUNT, "{}"]
    return {
        "prepare, a small genome": (prepare, "small.fa", lambda: iter([SMALL])),
        "prepare, one line of 1 Gb": (prepare, "x.fa", lambda: line(b">a\n", b"ACGTTGCAGT", n(1000 * MB))),
        "prepare, a million records": (prepare, "x.fa", lambda: records(n(MB))),
        "prepare, a header of 10 MB": (prepare, "x.fa", lambda: line(b">", b"name ", n(10 * MB))),
        "prepare, a bomb of one line": (prepare, "x.fa.gz", lambda: line(b">a\n", b"N", n(2000 * MB))),
        "prepare, a bomb of one header": (prepare, "x.fa.gz", lambda: line(b">", b"a", n(2000 * MB))),
        "prepare, a bomb of one comment": (prepare, "x.fa.gz", lambda: line(b";", b"a", n(2000 * MB))),
        "prepare, a bomb of blank lines": (prepare, "x.fa.gz", lambda: line(b">a\n", b"\n", n(2000 * MB))),
        "compare, a small genome": (compare, "small.fa", lambda: iter([SMALL])),
        "compare, one line of 1 Gb": (compare, "x.fa", lambda: line(b">a\n", b"ACGTTGCAGT", n(1000 * MB))),
        "compare, a bomb of one line": (compare, "x.fa.gz", lambda: line(b">a\n", b"N", n(2000 * MB))),
        "BED, a small file": (bed, "x.bed", lambda: rows(10)),
        "BED, a million intervals": (bed, "x.bed", lambda: rows(n(MB))),
        "BED, a bomb of one line": (bed, "x.bed.gz", lambda: line(b"", b"chr1\t", n(2000 * MB))),
    }


def run(words: list[str]) -> tuple[int, float, float, str]:
    """Exit code, seconds, peak resident memory in MB, and the last line on standard error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    with tempfile.TemporaryFile() as err:
        child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=err, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        told = err.read().decode().strip().splitlines()
    return child.returncode, seconds, usage.ru_maxrss * 1024 / MB, told[-1] if told else ""


def main() -> None:
    """Runs all cases, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "resources.json")
    args = parser.parse_args()
    results = []
    print(f"{'case':34}{'input MB':>10}{'exit':>6}{'s':>8}{'peak MB':>9}")
    for name, (words, file, content) in cases(args.scale).items():
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            Path("made.fa").write_bytes(b">made\n" + b"ACGGTCAAGT" * 20 + b"\n")
            write(file, content())
            size = Path(file).stat().st_size / MB
            code, seconds, peak, told = run([file if word == "{}" else word for word in words])
            os.chdir("/")
        results.append({
            "case": name, "input_mb": round(size, 3), "exit": code, "seconds": round(seconds, 2),
            "peak_rss_mb": round(peak, 1), "told": told,
        })  # fmt: skip
        print(f"{name:34}{size:10.2f}{code:6}{seconds:8.1f}{peak:9.0f}  {told[:90]}", flush=True)
    args.out.write_text(json.dumps({"scale": args.scale, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
