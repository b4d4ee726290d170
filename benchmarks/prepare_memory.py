"""Peak anonymous memory and speed of preparing a genome and of reading windows from it, for a small and a large genome.

Writes synthetic FASTA (40 Mb contigs, 60 letters a line, half soft-masked, a run of N at the start of each contig) to a
temporary folder, runs each step in a process of its own and samples its RssAnon from /proc. Anonymous memory is what a
process asks for itself; pages of files, such as the mapped bases, can be taken back by the system and do not count.

    python benchmarks/prepare_memory.py [--megabases 50 1000] [--out benchmarks/results/prepare_memory.json]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

CONTIG = 40_000_000
N_RUN = 10_000
WIDTH = 60
BATCHES, BATCH, LENGTH = 200, 64, 1024

PREPARE = """
import json, sys, time
from dnadiff.recipes.prepare import prepare
start = time.monotonic()
prepare(sys.argv[1], sys.argv[2], quiet=True)
print(json.dumps({"seconds": time.monotonic() - start}))
"""

READ = """
import json, sys, time
from dnadiff.data.genome import Store
from dnadiff.data.splits import make_split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
start = time.monotonic()
batches, batch, length = map(int, sys.argv[2:])
store = Store.open(sys.argv[1])
split = make_split(store.sizes, gap=length)
options = {"seed": 1, "mode": "random", "reverse_complement": 0.5}
dataset = WindowDataset(store, split.train, NucleotideTokenizer(), length, **options)
opened = time.monotonic()
for i in range(batches):
    dataset.__getitems__(range(i * batch, (i + 1) * batch))
print(json.dumps({"open_seconds": opened - start, "windows_per_second": batches * batch / (time.monotonic() - opened)}))
"""


def write_genome(path: Path, megabases: int) -> None:
    """Writes random contigs of at most 40 Mb that add up to ``megabases``."""
    rng = np.random.default_rng(1)
    letters = np.frombuffer(b"ACGTacgt", dtype=np.uint8)
    left, number = megabases * 1_000_000, 0
    with open(path, "wb") as file:
        while left:
            number += 1
            size = min(CONTIG, left)
            left -= size
            file.write(f">contig{number}\n".encode())
            for start in range(0, size, 60 * 20_000):
                bases = letters[rng.integers(0, 8, min(60 * 20_000, size - start), dtype=np.uint8)]
                if start == 0:
                    bases[:N_RUN] = ord("N")
                file.write(fold(bases))


def fold(bases: np.ndarray) -> bytes:
    """The letters in lines of 60, the last one perhaps shorter."""
    whole = len(bases) // WIDTH * WIDTH
    lines = np.full((whole // WIDTH, WIDTH + 1), ord("\n"), dtype=np.uint8)
    lines[:, :WIDTH] = bases[:whole].reshape(-1, WIDTH)
    rest = bases[whole:].tobytes()
    return lines.tobytes() + rest + (b"\n" if rest else b"")


def measured(program: str, *arguments: object) -> dict[str, float]:
    """What a program printed as JSON, with its peak RssAnon in MB."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("RssAnon"):
                    peak = max(peak, int(line.split()[1]) / 1024)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = child.communicate()
    done.set()
    watcher.join()
    if child.returncode:
        raise SystemExit(f"the measured program failed with code {child.returncode}")
    return json.loads(out) | {"peak_rss_anon_mb": round(peak, 1)}


def main() -> None:
    """Runs the measurement, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=int, nargs="+", default=[50, 1000])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "prepare_memory.json")
    args = parser.parse_args()
    results = []
    print("genome      prepare: MB anonymous   s   Mb/s    open + 200 batches: MB anonymous   open s   windows/s")
    for megabases in args.megabases:
        with tempfile.TemporaryDirectory() as folder:
            fasta, store = Path(folder) / "genome.fa", Path(folder) / "store"
            write_genome(fasta, megabases)
            prepared = measured(PREPARE, fasta, store)
            prepared["megabases_per_second"] = megabases / prepared["seconds"]
            fasta.unlink()
            read = measured(READ, store, BATCHES, BATCH, LENGTH)
        results.append({"megabases": megabases, "prepare": prepared, "read": read})
        print(
            f"{megabases:5} Mb    {prepared['peak_rss_anon_mb']:17.1f} {prepared['seconds']:7.1f} "
            f"{prepared['megabases_per_second']:6.0f} {read['peak_rss_anon_mb']:32.1f} {read['open_seconds']:8.2f} "
            f"{read['windows_per_second']:11,.0f}"
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    setting = {"batches": BATCHES, "batch": BATCH, "length": LENGTH}
    args.out.write_text(json.dumps({"setting": setting, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
