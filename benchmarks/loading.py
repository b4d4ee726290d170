"""Windows a second from a genome store, and from FASTA through pyfaidx, window by window.

    python -m benchmarks.loading [--megabases 50] [--rounds 7] [--quick] [-o benchmarks/results/loading.json]

Random windows of 1,024 bases, half of them on the other strand, in batches of 64 token ids, from a synthetic genome:

- store: what training reads, a batch of ids with its masks and weights, places drawn and all
- usual: a BGZF genome; each window fetched, complemented and numbered base by base in Python. Upper case, padded
- best: a plain file, letters fetched ``as_raw``, numbered and complemented by a numpy table into the batch
- arrays alone: the same arrays filled from ids that are ready, the least that any loader does

The places are worked out beforehand for the sides with pyfaidx. First all sides read the same windows, which must be
equal. Seconds are the processor's, on one thread, with the files in the page cache; the sides take turns.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyfaidx
from Bio import bgzf

from benchmarks.prepare_memory import write_genome
from benchmarks.sides import RESULTS, summary, timed, write_results
from dnadiff.data.genome import Store, build_store
from dnadiff.data.intervals import Interval
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset

TOKENIZER = NucleotideTokenizer()
PAIRS = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
IDS = dict(zip("ACGT", TOKENIZER.base_ids, strict=True)) | {"N": TOKENIZER.pad_id}
BATCHES = {"store": 200, "usual": 4, "best": 40, "arrays alone": 200}
BLOCK = 65_280  # bytes of text in a block of BGZF
CHECKED = 10  # batches that all sides read before the timing

Place = tuple[str, int, int, str]


def _table(complement: bool) -> np.ndarray:
    table = np.zeros(256, dtype=np.int64)
    for letter, pair in PAIRS.items():
        table[[ord(letter), ord(letter.lower())]] = IDS[pair if complement else letter]
    return table


FORWARD, REVERSE = _table(False), _table(True)


def usual(genome: pyfaidx.Fasta, places: Sequence[Place], length: int) -> np.ndarray:
    """A batch of ids, (B, length) int64, base by base."""
    rows = []
    for chrom, start, end, strand in places:
        sequence = str(genome[chrom][start:end]).upper()
        if strand == "-":
            sequence = "".join(PAIRS[base] for base in reversed(sequence))
        ids = [IDS[base] for base in sequence]
        rows.append(np.array(ids + [TOKENIZER.pad_id] * (length - len(ids)), dtype=np.int64))
    return np.stack(rows)


def best(genome: pyfaidx.Fasta, places: Sequence[Place], length: int) -> np.ndarray:
    """A batch of ids, (B, length) int64, a table look-up a window; the genome hands out plain text (``as_raw``)."""
    batch = np.full((len(places), length), TOKENIZER.pad_id, dtype=np.int64)
    for row, (chrom, start, end, strand) in zip(batch, places, strict=True):
        letters = np.frombuffer(genome[chrom][start:end].encode(), dtype=np.uint8)
        row[: len(letters)] = REVERSE[letters[::-1]] if strand == "-" else FORWARD[letters]
    return batch


def compress(fasta: Path, blocked: Path) -> None:
    """Writes the BGZF file of a FASTA file, in blocks of the size that bgzip cuts.

    Biopython alone fills blocks to 65,536 bytes, and pyfaidx 0.9.2 then fails on a window that begins with a block.
    """
    with open(fasta, "rb") as text, bgzf.BgzfWriter(str(blocked)) as out:
        while chunk := text.read(BLOCK):
            out.write(chunk)
            out.flush()


def places_of(dataset: WindowDataset, numbers: Sequence[int]) -> list[Place]:
    """Contig, start, end and strand of some windows."""
    return list(zip(*(column.tolist() for column in dataset.locations(numbers)), strict=True))


class Sides:
    """The compared ways of reading one genome.

    Args:
        fasta: The genome as plain text.
        folder: Where the store and the BGZF file are made.
        length: Bases of a window.
        mode: ``random`` or ``tiling`` windows.
    """

    def __init__(self, fasta: Path, folder: Path, length: int, mode: str = "random") -> None:
        store: Store = build_store(fasta, folder / "store")
        compress(fasta, folder / "genome.fa.gz")
        intervals = [Interval(name, 0, size) for name, size in store.sizes.items()]
        self.dataset = WindowDataset(
            store, intervals, TOKENIZER, length, seed=1, mode=mode, reverse_complement=0.5, min_valid=0.0
        )
        self.length = length
        self._blocked, self._plain = pyfaidx.Fasta(str(folder / "genome.fa.gz")), pyfaidx.Fasta(str(fasta), as_raw=True)

    def read(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """The ids of some windows as each side reads them, (B, length) int64."""
        places = places_of(self.dataset, numbers)
        return {
            "store": self.dataset.__getitems__(numbers)["tokens"],
            "usual": usual(self._blocked, places, self.length),
            "best": best(self._plain, places, self.length),
        }

    def runs(self, batch: int, batches: dict[str, int]) -> dict[str, Callable[[], None]]:
        """A call for each side that reads so many batches, other ones each time."""
        begins = {name: itertools.count(0, batch) for name in batches}
        pool = 100 * batch
        places = [places_of(self.dataset, range(first, first + batch)) for first in range(0, pool, batch)]
        ready = self.dataset.__getitems__(range(batch))["tokens"].astype(np.uint8)

        def one(name: str, first: int) -> object:
            if name == "store":
                return self.dataset.__getitems__(range(first, first + batch))
            if name == "usual":
                return usual(self._blocked, places[first % pool // batch], self.length)
            if name == "best":
                return best(self._plain, places[first % pool // batch], self.length)
            return ready.astype(np.int64), ready != 4, np.zeros(ready.shape, bool), np.ones(ready.shape, np.float32)

        def run(name: str) -> None:
            for first in itertools.islice(begins[name], batches[name]):
                one(name, first)

        return {name: lambda name=name: run(name) for name in batches}


def check(sides: Sides, numbers: Sequence[int]) -> None:
    """Ends the program unless all sides read the same ids."""
    read = sides.read(numbers)
    for name, ids in read.items():
        if not np.array_equal(ids, read["store"]):
            raise SystemExit(f"'{name}' reads other ids than the store does")


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=int, default=50, help="size of the genome")
    parser.add_argument("--length", type=int, default=1024, help="bases of a window")
    parser.add_argument("--batch", type=int, default=64, help="windows of a batch")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each side")
    parser.add_argument("--quick", action="store_true", help="a genome of 1 Mb, one round, a tenth of the batches")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS / "loading.json", help="JSON file to write")
    args = parser.parse_args(argv)
    megabases, rounds = (1, 1) if args.quick else (args.megabases, args.rounds)
    batches = {name: max(1, n // 10) for name, n in BATCHES.items()} if args.quick else BATCHES
    with tempfile.TemporaryDirectory() as name:
        write_genome(Path(name) / "genome.fa", megabases)
        sides = Sides(Path(name) / "genome.fa", Path(name), args.length)
        check(sides, range(CHECKED * args.batch))
        seconds = timed(sides.runs(args.batch, batches), rounds, clock=time.process_time)
    per_batch = {side: summary([s / batches[side] for s in values]) for side, values in seconds.items()}
    rows = {
        side: took
        | {
            "windows_per_s": args.batch / took["median_s"],
            "times_usual": per_batch["usual"]["median_s"] / took["median_s"],
            "times_best": per_batch["best"]["median_s"] / took["median_s"],
        }
        for side, took in per_batch.items()
    }
    print(f"{'':14}{'ms a batch':>12}{'least':>9}{'windows/s':>12}{'x usual':>9}{'x best':>8}")
    for side, row in rows.items():
        print(f"{side:14}{1e3 * row['median_s']:12.3f}{1e3 * row['min_s']:9.3f}{row['windows_per_s']:12,.0f}"
              f"{row['times_usual']:9.1f}{row['times_best']:8.2f}")  # fmt: skip
    setting = {"megabases": megabases, "length": args.length, "batch": args.batch, "rounds": rounds, "batches": batches}
    write_results(args.out, setting, rows)


if __name__ == "__main__":
    main()
