"""Classifier guidance on real sequences: is a model without classes led to promoters by one that tells them apart?

    python -m benchmarks.classifier_guidance --work DIR [-n 100]

On data/tata_promoters (core promoters with a TATA box, label 1, and background, label 0; 70 bp) a masked diffusion
model is trained without labels, and a classifier is fine-tuned from it on masked sequences. Samples are led to label 1
at several strengths, asking the classifier exactly and by its gradient. A judge of another kind, which has seen neither
(logistic regression on one-hot bases and 1- to 4-mer counts of the training part), says how many it takes for
promoters; its accuracy on the real test part is the row to read the others by. Two more rows are led
by a Python function: the most letters of TATAAA that stand at one of the bases 15 to 29, an arbitrary place (real
promoters have no more of them there); ``box`` is its mean, which is what must rise in them.
Intervals are Wilson's, 95 %. Processor seconds of everything are recorded.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.guidance import features, generated, wilson
from dnadiff.checkpoints.folder import load
from dnadiff.config import compose, compose_finetune
from dnadiff.data.labelled import read_labelled
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import FirstHitting, ScoreGuided
from dnadiff.random import Draws
from dnadiff.recipes.finetune import finetune
from dnadiff.recipes.sample import sample
from dnadiff.recipes.train import train
from dnadiff.recipes.walk import Walk

DATA = Path(__file__).parents[1] / "data" / "tata_promoters"
TRAIN = [
    "model=nano", "model.length=70", "data.windows=tiling", "data.reverse_complement=0", "optim=short",
    "optim.batch_size=64", "optim.schedule=cosine", "optim.lr_min=5e-4", "train.steps=300", "train.val_every=300",
    "seed=1",
]  # fmt: skip
FINETUNE = [
    "data.masked=true",
    "head.pooling=positions",
    "train.epochs=4",
    "optim.batch_size=64",
    "baselines=false",
    "seed=1",
]
STRENGTHS = (1.0, 2.0, 4.0)
BOX, PLACES, TOGETHER = "TATAAA", range(15, 30), 50


def letters_of_a_box(tokens: Tensor) -> Tensor:
    """Letters of the box that stand at the best of the places, (B,), 0 to 6."""
    box = torch.as_tensor(NucleotideTokenizer().encode(BOX))
    return (tokens.unfold(1, len(BOX), 1)[:, list(PLACES)] == box).sum(-1).amax(-1).double()


def scored(run: Path, gamma: float, n: int) -> np.ndarray:
    """Codes (n, 70) led by ``letters_of_a_box``."""
    steps, ids = FirstHitting(load(run), rows_per_call=TOGETHER), NucleotideTokenizer.base_ids
    allowed = torch.zeros(NucleotideTokenizer.vocab_size, dtype=torch.bool)
    allowed[list(ids)] = True
    x = torch.full((n, 70), NucleotideTokenizer.mask_id)
    tokens = ScoreGuided(steps, letters_of_a_box, gamma, candidates=16)(x, Draws(7, range(n)), allowed=allowed)
    return (tokens - ids[0]).numpy().astype(np.uint8)


def main() -> None:
    """Trains, generates, judges, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-n", "--number", type=int, default=100)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path(__file__).parent / "results" / "classifier_guidance.json"
    )
    args = parser.parse_args()
    args.work.mkdir(exist_ok=True, parents=True)
    run, classifier = args.work / "run", args.work / "classifier"
    train(compose(TRAIN), str(DATA / "train.csv.gz"), str(run), quiet=True)
    finetune(compose_finetune([f"start={run}", f"data.path={DATA}", *FINETUNE]), str(classifier), quiet=True)
    report = json.loads((classifier / "report.json").read_text())["rows"]
    of_test = {row["name"]: row["mcc"] for row in report if row["part"] == "test"}
    print("classifier, test MCC:", of_test, f"after {time.process_time():.0f} s", flush=True)
    judged, rows = _judge(), []

    def add(name: str, codes: np.ndarray) -> None:
        hits = judged(codes)
        rows.append({**_row(name, hits), "box": float(_boxes(codes).mean())})

    real = read_labelled(str(DATA)).test
    codes, targets = np.stack(real.codes), real.targets
    accuracy = _row("the judge is right, test", judged(codes) == targets)
    for label in (1, 0):
        add(f"real, label {label}", codes[targets == label])
    for steps, gamma in [(None, 0.0), *(("exact", g) for g in STRENGTHS), ("first-order", 2.0), ("first-order", 4.0)]:
        fasta = args.work / f"{steps}-{gamma:g}.fa"
        led = {"label": "1", "classifier": str(classifier), "classifier_steps": steps, "guidance": gamma}
        walk = Walk(rows_per_call=TOGETHER, **(led if steps else {}))
        sample(run, fasta, n=args.number, walk=walk, seed=7, quiet=True)
        add("not led" if steps is None else f"{steps}, gamma {gamma:g}", generated(fasta))
    for gamma in (1.0, 3.0):
        add(f"score of a TATA box, gamma {gamma:g}", scored(run, gamma, args.number))
    told = {"train": TRAIN, "finetune": FINETUNE, "classifier_test_mcc": of_test, "judge": accuracy, "rows": rows}
    told["processor_seconds"] = round(time.process_time())
    args.out.write_text(json.dumps(told, indent=1) + "\n")


def _judge() -> Callable[[np.ndarray], np.ndarray]:
    """Labels (n,) of codes (n, L), as the judge has them."""
    data = read_labelled(str(DATA)).train
    codes = features(np.stack(data.codes))
    scale = StandardScaler().fit(codes)
    judge = LogisticRegression(C=1e-3, max_iter=300).fit(scale.transform(codes), data.targets)
    return lambda other: judge.predict(scale.transform(features(other)))


def _boxes(codes: np.ndarray) -> np.ndarray:
    """Letters of the box at the best of the places, of codes (n, L)."""
    return letters_of_a_box(torch.as_tensor(NucleotideTokenizer.from_codes[codes])).numpy()


def _row(name: str, hits: np.ndarray) -> dict:
    low, high = wilson(int(hits.sum()), len(hits))
    print(f"{name:34}{hits.mean():.3f} [{low:.3f}, {high:.3f}] of {len(hits):,}", flush=True)
    return {"name": name, "share": float(hits.mean()), "interval": [low, high], "n": len(hits)}


if __name__ == "__main__":
    main()
