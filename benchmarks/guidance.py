"""Guidance on two real classes: are guided sequences taken for the class asked for more often than unguided ones?

    python benchmarks/guidance.py --train train.csv.gz --test test.csv.gz --work DIR [--steps 800]

Trains a class-conditional model on a table of promoters (label 1) and background (label 0), such as GUE's
prom_core_notata (42,452 sequences of 70 bp), and generates of each class at several strengths. A classifier of another
kind (logistic regression on one-hot bases and 1- to 4-mer counts), trained on the same real sequences, judges them;
its accuracy on the real test split is the row to read the others by. Intervals are Wilson's, 95 %.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dnadiff.config import compose
from dnadiff.data.fasta import read_fasta
from dnadiff.data.genome import Store, build_store
from dnadiff.data.intervals import Interval
from dnadiff.data.labels import classes_of
from dnadiff.recipes.sample import sample
from dnadiff.recipes.train import train
from dnadiff.recipes.walk import Walk

STRENGTHS = (None, 1.0, 2.0, 3.0)  # None asks for no class
SETTINGS = [
    "model=nano", "model.hidden_size=96", "model.n_heads=2", "model.adaln=true", "model.length=70", "data.label=label",
    "data.reverse_complement=0", "optim=short", "optim.batch_size=64", "optim.schedule=cosine", "optim.lr_min=5e-5",
    "seed=1",
]  # fmt: skip


def features(codes: np.ndarray) -> np.ndarray:
    """One-hot bases and 1- to 4-mer counts of sequences of one length, (n, L) codes."""
    parts = [np.eye(5, dtype=np.float32)[codes].reshape(len(codes), -1)]
    for k in range(1, 5):
        words = sum(codes[:, i : codes.shape[1] - k + 1 + i].astype(np.int64) * 5 ** (k - 1 - i) for i in range(k))
        parts.append(np.stack([np.bincount(row, minlength=5**k) for row in words]).astype(np.float32))
    return np.concatenate(parts, axis=1)


def real(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, L) and classes (n,) of a labelled store whose records are equally long."""
    whole = [store.codes(Interval(name, 0, size)) for name, size in store.sizes.items()]
    return np.stack(whole), classes_of(store, "label")[1]


def generated(path: Path) -> np.ndarray:
    """Codes (n, L) of a FASTA file."""
    lookup = np.full(256, 4, dtype=np.uint8)
    lookup[list(b"ACGT")] = range(4)
    return np.stack([lookup[np.frombuffer(r.sequence.encode(), dtype=np.uint8)] for r in read_fasta(path)])


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def main() -> None:
    """Trains, generates, judges, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("-n", "--number", type=int, default=500)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "guidance.json")
    args = parser.parse_args()
    args.work.mkdir(exist_ok=True, parents=True)
    stores = {name: _store(vars(args)[name], args.work / name) for name in ("train", "test")}
    run = args.work / "run"
    if not (run / "model").exists():
        length = [f"train.steps={args.steps}", f"train.val_every={args.steps}", "data.windows=tiling"]
        train(compose([*SETTINGS, *length]), str(args.work / "train"), str(run), quiet=True)
    (codes, classes), (held_codes, held_classes) = real(stores["train"]), real(stores["test"])
    scale = StandardScaler().fit(features(codes))
    judge = LogisticRegression(C=1e-3, max_iter=300).fit(scale.transform(features(codes)), classes)
    rows = [_row("real test sequences", judge.predict(scale.transform(features(held_codes))) == held_classes)]
    for label in ("0", "1"):
        for gamma in STRENGTHS:
            fasta = args.work / f"class{label}-{gamma}.fa"
            walk = Walk(rows_per_call=100)
            walk = walk if gamma is None else replace(walk, label=label, guidance=gamma)
            if not fasta.exists():
                sample(run, fasta, n=args.number, walk=walk, seed=7, quiet=True)
            hits = judge.predict(scale.transform(features(generated(fasta)))) == int(label)
            rows.append(_row(f"asked for {label}, " + ("no class" if gamma is None else f"gamma {gamma:g}"), hits))
    args.out.write_text(json.dumps({"steps": args.steps, "settings": SETTINGS, "rows": rows}, indent=1) + "\n")


def _store(table: str, folder: Path) -> Store:
    return Store.open(folder) if folder.exists() else build_store(table, folder)


def _row(name: str, hits: np.ndarray) -> dict:
    low, high = wilson(int(hits.sum()), len(hits))
    print(f"{name:28}{hits.mean():.3f} [{low:.3f}, {high:.3f}] of {len(hits):,}", flush=True)
    return {"name": name, "share": float(hits.mean()), "interval": [low, high], "n": len(hits)}


if __name__ == "__main__":
    main()
