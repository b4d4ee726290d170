"""Small classification tasks from pre-training and from scratch; autoregression, MLM and MDLM at equal tokens.

    python benchmarks/downstream.py --data DIR --work DIR [--only TASK ...] [-o benchmarks/results/downstream.json]

DIR holds ``classification/`` (GUE folders, tables) and ``genomes/`` (human chromosome 20, 0 to 10 Mb). Networks of 0.14
million parameters are pre-trained on human or *E. coli* sequence and fine-tuned on the parts as the data name them (a
tenth of the training part is drawn where they name no validation part); the best weights by validation, the test part
scored once. Every run is a line of ``runs.jsonl`` in the work folder and not repeated. The floors are those of
``dnadiff.evaluation.baselines``, the published column DNABERT-2's, whose parts are the same and whose training is not.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnadiff.config import compose
from dnadiff.data.labelled import read_labelled
from dnadiff.evaluation.baselines import majority, words
from dnadiff.evaluation.metrics import measured
from dnadiff.evaluation.published import published
from dnadiff.recipes.protocols import run_protocol, summary
from dnadiff.recipes.train import train

ECOLI = Path(__file__).parent.parent / "data" / "ecoli_k12_mg1655.fa.gz"
HUMAN = "genomes/hs37_chr20_0-10Mb.softmasked.fa.gz"
PRETRAINED = {  # steps of 32 windows of 256 bases
    "human_mdlm": (HUMAN, ["algo=mdlm", "train.steps=2400"]),
    "ecoli_mdlm": (ECOLI, ["algo=mdlm", "data=ecoli", "train.steps=1600"]),
    **{f"human0_{a}": (HUMAN, [f"algo={a}", "model.stem=0", "train.steps=1200"]) for a in ("ar", "mlm", "mdlm")},
}
COMMON = [
    "model=nano", "optim=short", "optim.schedule=cosine", "optim.lr_min=5e-5", "data.windows=random",
    "train.minutes=null", "train.val_every=400", "train.checkpoint_every=400", "seed=1",
]  # fmt: skip
ALIGNED = ["head.pooling=positions", "head.dropout=0.2"]  # at a start or splice site
ANYWHERE = ["data.reverse_complement=0.5", "data.both_strands=true", "head.dropout=0.2"]


@dataclass(frozen=True)
class Task:
    """Where its data lie, what its network was pre-trained on, how it is fine-tuned, and on how many seeds."""

    data: str
    start: str
    settings: list[str]
    seeds: int = 5
    scratch: int = 3
    metric: str = "mcc"


TASKS = {
    "prom_core_tata": Task("gue/prom/prom_core_tata", "human_mdlm", [*ALIGNED, "train.epochs=4"]),
    "prom_300_tata": Task("gue/prom/prom_300_tata", "human_mdlm", [*ALIGNED, "train.epochs=4"]),
    "mouse_0": Task("gue/mouse/0", "human_mdlm", [*ANYWHERE, "train.epochs=6"]),
    "mouse_2": Task("gue/mouse/2", "human_mdlm", [*ANYWHERE, "train.epochs=6"]),
    "splice": Task("uci_splice_statlog", "human_mdlm", [*ALIGNED, "train.epochs=10"], metric="accuracy"),
    "sigma70": Task("cnnprom_ecoli_sigma70", "ecoli_mdlm", [*ALIGNED, "train.epochs=8"]),
    "prom_core_notata": Task("gue/prom/prom_core_notata", "human_mdlm", [*ALIGNED, "train.epochs=3"], 2, 0),
    "tf_0": Task("gue/tf/0", "human_mdlm", [*ANYWHERE, "train.epochs=3"], 2, 0),
}
METHODS = {"AR": "human0_ar", "MLM": "human0_mlm", "MDLM": "human0_mdlm"}
COMPARED = ("prom_core_tata", "splice", "mouse_2")
COMPARED_SEEDS = 3


def pretrained(name: str, data: Path, work: Path) -> str:
    """The run folder of a pre-trained network, trained if it is not there."""
    folder = work / name
    if not (folder / "model").exists():
        genome, settings = PRETRAINED[name]
        train(compose([*COMMON, *settings]), str(data / genome), str(folder), quiet=True)
    return str(folder)


def runs(name: str, label: str, start: str, extra: list[str], seeds: int, data: Path, work: Path) -> dict[str, Any]:
    """Every test figure of a task from one start, its mean, smallest and largest."""
    task = TASKS[name]
    settings = ["baselines=false", "bootstrap=0", *task.settings, *extra]
    where, out = str(data / "classification" / task.data), work / "ft" / f"{name}-{label}"
    lines = run_protocol("fixed", start, where, out, settings, seeds=range(1, seeds + 1))
    each = [row[task.metric] for line in lines for row in line["rows"] if row["part"] == "test"]
    return {**summary(lines)["fine-tuned"][task.metric], "each": each}


def floors(name: str, data: Path) -> dict[str, Any]:
    """Sizes of a task and what is predicted without a network."""
    task = TASKS[name]
    found = read_labelled(data / "classification" / task.data, seed=1)
    test = found.parts["test"]
    figures = {
        "majority": majority(found, len(test)),
        "words": words(found, test, task.metric),
    }
    return {
        "train": len(found.train),
        "test": len(test),
        "test_also_in_train": found.shared,
        **{row: measured(found.meaning.kind, said, test.targets)[task.metric] for row, said in figures.items()},
    }


def row_of(name: str, data: Path, work: Path) -> dict[str, Any]:
    """What is known of a task, once its runs have ended."""
    task, gue = TASKS[name], {each.model: each.figures for each in published("gue")}
    row = {"task": name, "metric": task.metric, "settings": task.settings, **floors(name, data)}
    row["pretrained"] = runs(name, "pt", pretrained(task.start, data, work), [], task.seeds, data, work)
    if task.scratch:
        row["scratch"] = runs(name, "sc", "scratch", ["model.stem=9"], task.scratch, data, work)
        pairs = zip(row["pretrained"]["each"], row["scratch"]["each"], strict=False)
        gains = [ours - theirs for ours, theirs in pairs]
        row["gain"] = {
            "mean": float(np.mean(gains)),
            "standard_error": float(np.std(gains, ddof=1) / len(gains) ** 0.5),
        }
    there = gue["DNABERT-2"].get(task.data.removeprefix("gue/"))
    return row | ({"published": there[0]} if there else {})


def compared(data: Path, work: Path) -> list[dict[str, Any]]:
    """The three ways of pre-training on the tasks of ``COMPARED``."""
    return [
        {"task": name, "pretraining": method}
        | runs(name, f"claim-{start}", pretrained(start, data, work), [], COMPARED_SEEDS, data, work)
        for name in COMPARED
        for method, start in METHODS.items()
    ]


def line_of(row: dict[str, Any]) -> str:
    """A row of the table."""
    sides = [
        f"{side} {row[side]['mean']:.3f} ({row[side]['low']:.3f} to {row[side]['high']:.3f}, {row[side]['runs']})"
        for side in ("pretrained", "scratch")
        if side in row
    ]
    paper = f"   DNABERT-2 {row['published']:.3f}" if "published" in row else ""
    return f"{row['task']:18}{row['metric']:9} words {row['words']:.3f}   {'   '.join(sides)}{paper}"


def main() -> None:
    """Runs what is missing, prints the tables and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=[*TASKS, "compared"], default=[*TASKS, "compared"])
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "downstream.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    told = json.loads(args.out.read_text()) if args.out.exists() else {"tasks": {}, "compared": []}
    for name in args.only:
        if name == "compared":
            told["compared"] = compared(args.data, args.work)
        else:
            told["tasks"][name] = row_of(name, args.data, args.work)
            print(line_of(told["tasks"][name]))
        args.out.write_text(json.dumps(told, indent=1) + "\n")
    for row in told["compared"]:
        spread = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{row['task']:18}{row['pretraining']:6}{row['mean']:.3f}  {spread}  ({row['runs']} seeds)")


if __name__ == "__main__":
    main()
