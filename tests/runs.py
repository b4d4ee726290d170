"""Small training runs for the tests: a genome that is easy to learn, a model that is quick to train."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from dnadiff.checkpoints.folder import build_denoiser, save_model
from dnadiff.config import compose, to_json
from dnadiff.data.genome import open_genome
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.recipes.inputs import split_of
from dnadiff.recipes.train import train

SETTINGS = {
    "model.hidden_size": 32, "model.n_blocks": 1, "model.n_heads": 2, "model.cond_dim": 8, "model.length": 32,
    "optim.batch_size": 8, "optim.warmup_steps": 2, "optim.lr": 0.01, "optim.ema": 0.5, "train.steps": 6,
    "train.minutes": "null", "train.val_every": 4, "train.val_windows": 8, "train.checkpoint_every": 3,
    "train.log_every": 2, "data.split": "blocks", "seed": 1,
}  # fmt: skip

SPEC = {
    "format": 1, "length": 32, "algo": "mdlm", "bos": False, "time_conditioning": False,
    "tokenizer": {"name": "nucleotide"},
    "backbone": {
        "name": "dit", "vocab_size": 12, "hidden_size": 16, "n_blocks": 1, "n_heads": 2, "cond_dim": 8,
        "dropout": 0.0, "adaln": True, "n_classes": 0,
    },
    "parameterization": {"name": "subs", "mask_id": 3, "allowed": [7, 8, 9, 10]},
    "process": {"name": "absorbing", "schedule": {"name": "loglinear", "eps": 0.001}},
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


def fasta(path: Path, records: dict[str, str]) -> str:
    """A FASTA file of some records, by name."""
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in records.items()))
    return str(path)


def random_bases(n: int, seed: int, p: tuple = (0.35, 0.15, 0.15, 0.35)) -> str:
    """Independent bases with the chances of A, C, G and T."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n, p=p))


def untrained(folder: Path) -> Path:
    """A run folder as train leaves it, of a model that was not trained."""
    genome = fasta(folder / "genome.fa", {"one": random_bases(9000, 1), "two": random_bases(3000, 2)})
    config = compose(["model.length=32", "data.split=blocks", f"data.path={genome}", "seed=1"])
    store = open_genome(genome)
    split = split_of(config.data, store, 32)
    MarkovChain.fit((store.codes(interval) for interval in split.train), 4).save(folder / "baseline.npz")
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    (folder / "split.json").write_text(json.dumps(split.to_json()))
    rows = ["step,train_bits_per_base,valid_bits_per_base", "10,2.01,", "10,,1.99", "20,1.97,", "20,nan,1.96"]
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    save_model(folder / "model", build_denoiser(SPEC), NucleotideTokenizer(), SPEC, {})
    return folder
