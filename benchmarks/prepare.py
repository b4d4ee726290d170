"""Megabases a second of preparing a genome, beside what the machine needs for reading and hashing the same file.

    python -m benchmarks.prepare [--megabases 200] [--rounds 3] [--quick] [-o benchmarks/results/prepare.json]

Prepares a synthetic genome (40 Mb contigs, 60 letters a line, half soft-masked) from a plain file and a part of it from
a gzip and a BGZF file. Beside each, on the same bytes: reading alone, reading with the SHA-256 that a store records,
and unpacking with zlib alone, the least that any reader of the format does; and ``samtools faidx`` with ``seqkit seq``
where the machine has the two programs, which do less: neither checks letters, keeps a copy or sums what it reads.
Seconds are of the wall clock (a second thread hashes), with the file in the page cache; the processor's stand beside
them. The sides take turns.
"""

import argparse
import gzip
import hashlib
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.loading import compress
from benchmarks.prepare_memory import write_genome
from benchmarks.sides import RESULTS, summary, timed, write_results
from dnadiff.data.genome import build_store

PACKED = 4  # the packed files hold a share of the genome: packing is slow
FORMATS = {"plain": "", "gzip": ".gz", "BGZF": ".bgz"}


def write_files(folder: Path, megabases: int) -> dict[str, tuple[Path, float]]:
    """The genome in each format, with its megabases."""
    plain, part = folder / "genome.fa", folder / "part.fa"
    write_genome(plain, megabases)
    write_genome(part, max(1, megabases // PACKED))
    packed = {name: part.with_name(part.name + suffix) for name, suffix in FORMATS.items() if suffix}
    with open(part, "rb") as text, gzip.open(packed["gzip"], "wb", 6) as out:
        shutil.copyfileobj(text, out)
    compress(part, packed["BGZF"])
    return {"plain": (plain, megabases)} | {name: (path, max(1, megabases // PACKED)) for name, path in packed.items()}


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, half a MiB at a time."""
    with open(path, "rb") as file:
        while data := file.read(1 << 19):
            yield data


def read(path: Path) -> None:
    """Reads a file and does nothing with it."""
    for _ in chunks(path):
        pass


def hashed(path: Path) -> None:
    """Reads a file and takes its SHA-256."""
    digest = hashlib.sha256()
    for data in chunks(path):
        digest.update(data)


def unpacked(path: Path) -> None:
    """Reads a gzip file of any number of members and unpacks it."""
    decoder = zlib.decompressobj(31)
    for data in chunks(path):
        while data:
            decoder.decompress(data)
            data = decoder.unused_data
            if decoder.eof:
                decoder = zlib.decompressobj(31)


def prepared(path: Path) -> None:
    """Makes the store of a genome."""
    build_store(path, path.with_suffix(".store"), force=True)


def with_tools(path: Path) -> None:
    """Indexes a FASTA file with samtools and writes it anew with seqkit, to nowhere."""
    subprocess.run(["samtools", "faidx", path], check=True, capture_output=True)
    subprocess.run(["seqkit", "seq", "-j", "1", path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sides_of(files: dict[str, tuple[Path, float]]) -> dict[str, tuple[Callable[[], None], float]]:
    """What is timed, by name, each with the megabases that it goes through."""
    tools = all(shutil.which(tool) for tool in ("samtools", "seqkit"))
    sides: dict[str, tuple[Callable[[], None], float]] = {}
    for name, (path, megabases) in files.items():
        steps = {"prepare": prepared, "read alone": read, "read and SHA-256": hashed}
        steps |= {"samtools faidx + seqkit seq": with_tools} if tools and name == "plain" else {}
        steps |= {} if name == "plain" else {"unpack alone": unpacked}
        for step, run in steps.items():
            sides[f"{name}: {step}"] = (lambda run=run, path=path: run(path), megabases)
    return sides


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=int, default=200, help="size of the plain genome")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--quick", action="store_true", help="1 Mb, one round")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS / "prepare.json", help="JSON file to write")
    args = parser.parse_args(argv)
    megabases, rounds = (1, 1) if args.quick else (args.megabases, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        sides = sides_of(write_files(Path(folder), megabases))
        processor: dict[str, list[float]] = {name: [] for name in sides}

        def timed_side(name: str) -> None:
            start = time.process_time()
            sides[name][0]()
            processor[name].append(time.process_time() - start)

        seconds = timed({name: lambda name=name: timed_side(name) for name in sides}, rounds)
    rows = {}
    for name, (_, size) in sides.items():
        took = summary(seconds[name])
        whole = rows.get(f"{name.partition(':')[0]}: prepare", took)
        rows[name] = took | {
            "megabases": size,
            "megabases_per_s": size / took["median_s"],
            "prepare_takes_times": whole["median_s"] / took["median_s"],
        }
        if not name.endswith("seqkit seq"):  # those are other processes
            rows[name]["processor_s"] = summary(processor[name][1:])["median_s"]
    print(f"{'':36}{'s':>9}{'least':>9}{'Mb/s':>8}{'prepare takes':>15}")
    for name, row in rows.items():
        print(f"{name:36}{row['median_s']:9.3f}{row['min_s']:9.3f}{row['megabases_per_s']:8.0f}"
              f"{row['prepare_takes_times']:13.2f} x")  # fmt: skip
    if not any(name.endswith("seqkit seq") for name in sides):
        print("samtools and seqkit: not on this machine")
    write_results(args.out, {"megabases": megabases, "rounds": rounds}, rows)


if __name__ == "__main__":
    main()
