"""Shards of generation and scoring under kill -9: are they, put together, what one undisturbed process gives?

A shard is started, killed at a random moment, started again with the same command, and so on until it has been killed a
few times; then it is left alone. The FASTA of all shards one after the other (plain, compressed and as written by the
processes of ``torchrun``) and the merged report are compared byte by byte with those of one process.

    python -m benchmarks.shards [--out benchmarks/results/shards.json]

Processes are forked, so that imports are paid for once.
"""

import argparse
import gzip
import hashlib
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.chaos import child, ended, finished, kill
from dnadiff.cli import main as dna_diff
from tests.runs import run as train_run
from tests.runs import write_genome

SEQUENCES = ["-n", "80", "--length", "24", "--batch-size", "2", "--seed", "7", "-q"]
WINDOWS = ["--split", "train", "--samples", "4", "--batch-size", "16", "--seed", "7", "-q"]
KILLS = 3


def sha(data: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def disturbed(act: Callable[[], int], length: float, rng: random.Random, folder: Path) -> int:
    """How often a command was killed, at random moments of about its length, before it was left alone to finish."""
    killed = 0
    for _ in range(KILLS):
        pid = child(act, folder / "stderr")
        if ended(pid, rng.uniform(0.1, 0.9) * length) is not None:
            break
        kill(pid)
        killed += 1
    code = finished(act, folder)
    if code:
        raise RuntimeError((folder / "stderr").read_text())
    return killed


def command(*words: str, **environment: str) -> Callable[[], int]:
    """Runs dna-diff in a forked process."""

    def act() -> int:
        os.environ.update(environment)
        torch.set_num_threads(1)
        return dna_diff(list(words))

    return act


def sampled(folder: Path, run: str, seed: int = 0) -> dict:
    """FASTA of 1, 2 and 4 shards and of 2 ranks, each killed and resumed."""
    rng, whole = random.Random(seed), folder / "whole.fa"
    start = time.monotonic()
    finished(command("sample", run, *SEQUENCES, "-o", str(whole)), folder)
    length, wanted, outcomes = time.monotonic() - start, sha(whole.read_bytes()), []
    for suffix in ("fa", "fa.gz"):
        for of in (1, 2, 4):
            parts, killed = [folder / f"part_{i}of{of}.{suffix}" for i in range(1, of + 1)], 0
            for number, part in enumerate(parts, 1):
                words = ["sample", run, *SEQUENCES, "--shard", f"{number}/{of}", "--resume", "-o", str(part)]
                killed += disturbed(command(*words), length / of, rng, folder)
            data = b"".join(part.read_bytes() for part in parts)
            same = sha(gzip.decompress(data) if suffix == "fa.gz" else data) == wanted
            outcomes.append({"shards": of, "file": suffix, "kills": killed, "same_bytes": same})
    out, killed = folder / "ranks.fa", 0
    for rank in (0, 1):
        act = command("sample", run, *SEQUENCES, "--resume", "-o", str(out), RANK=str(rank), WORLD_SIZE="2")
        killed += disturbed(act, length / 2, rng, folder)
    outcomes.append({"ranks": 2, "file": "fa", "kills": killed, "same_bytes": sha(out.read_bytes()) == wanted})
    return {"sequences": 80, "outcomes": outcomes}


def evaluated(folder: Path, run: str, seed: int = 0) -> dict:
    """Reports of 1, 2 and 4 shards, each killed and started again."""
    rng, whole = random.Random(seed), folder / "whole.json"
    start = time.monotonic()
    finished(command("evaluate", run, *WINDOWS, "-o", str(whole)), folder)
    length, outcomes = time.monotonic() - start, []
    for of in (1, 2, 4):
        parts, killed = [str(folder / f"part_{i}of{of}.npz") for i in range(1, of + 1)], 0
        for number, part in enumerate(parts, 1):
            act = command("evaluate", run, *WINDOWS, "--shard", f"{number}/{of}", "-o", part)
            killed += disturbed(act, length / of, rng, folder)
        report = folder / f"report-{of}.json"
        finished(command("evaluate", run, "--merge", *parts, "-o", str(report), "-q"), folder)
        outcomes.append({"shards": of, "kills": killed, "same_bytes": report.read_bytes() == whole.read_bytes()})
    rows = json.loads(whole.read_text())["rows"]
    return {"windows": rows[0]["windows"], "outcomes": outcomes}


def main() -> None:
    """Runs both and writes the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/shards.json"))
    args = parser.parse_args()
    results: dict = {"torch": torch.__version__, "machine": platform.machine(), "processors": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DNADIFF_CACHE"] = str(folder / "cache")
        run = str(train_run(write_genome(folder / "g.fa", 40_000), folder / "run", train__steps=30))
        for part in (sampled, evaluated):
            results[part.__name__] = part(folder, run)
            print(json.dumps({part.__name__: results[part.__name__]}), flush=True)
        results["leftovers"] = sorted(path.name for path in folder.glob("*partial*"))
    args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
