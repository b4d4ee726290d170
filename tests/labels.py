"""A very small predictor with random weights, and labelled sequences that are easy to tell apart."""

import csv

import numpy as np
import torch

from dnadiff.checkpoints.predictor import build_predictor
from tests import tiny

SPEC = {
    "format": 1,
    "length": 16,
    "bos": False,
    "n_token": False,
    "tokenizer": {"name": "nucleotide"},
    "backbone": tiny.SPEC["backbone"],
    "head": {"name": "sequence", "width": 16, "outputs": 2, "pooling": "mean", "dropout": 0.0},
    "readout": {"name": "class"},
    "pattern": {"name": "full"},
    "labels": {"names": ["no", "yes"], "keys": ["label"], "both_strands": False, "crop": False},
}


def tiny_predictor(seed=0, **changes):
    """The predictor of SPEC with normal weights, in evaluation mode."""
    predictor = build_predictor({**SPEC, **changes})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return predictor.eval()


def write_task(folder, n=120, length=20, seed=0):
    """train.csv, dev.csv and test.csv: sequences rich in A and T (``at``) and in G and C (``gc``)."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", n), ("dev", n // 2), ("test", n // 2)):
        with (folder / f"{part}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["sequence", "label"])
            for number in range(count):
                rich = number % 2
                p = [0.15, 0.35, 0.35, 0.15] if rich else [0.35, 0.15, 0.15, 0.35]
                rows.writerow(["".join(rng.choice(list("ACGT"), length, p=p)), ("at", "gc")[rich]])
    return folder
