"""Small training runs for the tests: a genome that is easy to learn, a model that is quick to train."""

import csv
import hashlib
from pathlib import Path

import numpy as np

from dnadiff.config import compose
from dnadiff.recipes.train import train

SETTINGS = {
    "model.hidden_size": 32, "model.n_blocks": 1, "model.n_heads": 2, "model.cond_dim": 8, "model.length": 32,
    "optim.batch_size": 8, "optim.warmup_steps": 2, "optim.lr": 0.01, "optim.ema": 0.5, "train.steps": 6,
    "train.minutes": "null", "train.val_every": 4, "train.val_windows": 8, "train.checkpoint_every": 3,
    "train.log_every": 2, "data.split": "blocks", "seed": 1,
}  # fmt: skip


def write_genome(path: Path, n: int = 4000, seed: int = 0) -> str:
    """One contig in which A, C, G and T nearly always follow one another in this order."""
    rng = np.random.default_rng(seed)
    steps = rng.choice(4, n, p=[0.02, 0.94, 0.02, 0.02])
    path.write_text(">chr\n" + "".join("ACGT"[code] for code in np.cumsum(steps) % 4) + "\n")
    return str(path)


def settings(**changes: object):
    """The configuration of a small run; a change is named with two underscores for the dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return compose([f"{key}={value}" for key, value in (SETTINGS | named).items()])


def run(genome: str, out: Path, **changes: object) -> Path:
    """A finished small run."""
    return train(settings(**changes), genome, str(out), quiet=True, argv=["dna-diff", "train"])


def log_of(folder: Path) -> list[dict[str, str]]:
    """The lines of a run's log, without the seconds."""
    with (folder / "log.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def weights_hash(folder: Path) -> str:
    """SHA-256 of the published weights."""
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
