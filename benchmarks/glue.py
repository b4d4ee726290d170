"""CoLA, SST-2 and MRPC from scratch and from pre-training; autoregression, MLM and MDLM at equal tokens of one text.

    python benchmarks/glue.py --data GLUE --text brown.txt.gz --work DIR [--only TASK ...] [--limit 8000]
        [--encoder bert-base-uncased [--encoder-steps 5000]] [-o FILE]

GLUE holds the folders CoLA, SST-2 and MRPC with their files as published. A small network is pre-trained three ways on
pieces of words, which are learned from the same text, and fine-tuned by the convention of GLUE but for the learning
rate: 2e-5 is for large encoders. A tenth of the training part, drawn by the seed, chooses the weights; the dev set is
the test part (of MRPC the test set, whose labels are public), scored once. ``f1`` is the mean of both classes,
``f1_positive`` that of class 1, as GLUE's table of MRPC has it. Every run is a line of ``runs.jsonl`` in the work
folder and not repeated. The floors are the most frequent class and a bag of words.

``--encoder`` adds two starts: a BERT or RoBERTa from a local folder as it is, and continued on the text with the loss
of MDLM, as Sahoo et al. 2024 (table 4) did with 5,000 steps of 512 windows of 128 at 5e-5. Both are fine-tuned by the
convention of GLUE, its rate and 128 tokens included.
"""

import argparse
import gzip
import json
import math
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dnadiff.checkpoints.folder import read_spec
from dnadiff.config import compose
from dnadiff.data.labelled import read_labelled
from dnadiff.data.text_tokenizers import ByteTokenizer
from dnadiff.evaluation.baselines import majority
from dnadiff.evaluation.metrics import measured
from dnadiff.evaluation.text_baselines import bag_of_words
from dnadiff.recipes.convert import convert
from dnadiff.recipes.protocols import run_protocol, summary
from dnadiff.recipes.taken_over import with_source
from dnadiff.recipes.train import train

NETWORK = ["model=nano", "model.stem=0", "task=text"]
PRETRAINING = [
    *NETWORK, "tokenizer=bpe", "tokenizer.vocab_size=4096", "model.length=64", "text.documents=line",
    "data.windows=random", "optim=short", "optim.schedule=cosine", "optim.lr_min=5e-5", "train.minutes=null", "seed=1",
]  # fmt: skip
STARTS = {"scratch": None, "AR": "ar", "MLM": "mlm", "MDLM": "mdlm"}
ENCODERS = ("encoder", "encoder-MDLM")
CONTINUING = [
    "algo=mdlm",
    "optim.name=adamw",
    "optim.lr=5e-5",
    "optim.schedule=constant",
    "train.minutes=null",
    "seed=1",
]
TOGETHER = 32  # windows of a micro-batch
READ = 128  # tokens of a window and of an example, for encoders
METRICS = ("mcc", "accuracy", "f1", "f1_positive")


@dataclass(frozen=True)
class Task:
    """How many tokens of an example are read, and the metric that chooses the weights and leads the table."""

    length: int
    metric: str


TASKS = {"CoLA": Task(48, "mcc"), "SST-2": Task(64, "accuracy"), "MRPC": Task(112, "accuracy")}


def start_of(side: str, args: argparse.Namespace) -> str:
    """The run folder of a pre-trained network, trained if it is not there; ``scratch`` of none."""
    if side in ENCODERS:
        return encoder_of(side, args)
    algo = STARTS[side]
    if algo is None:
        return "scratch"
    folder = args.work / f"{algo}-{args.steps}"
    if not (folder / "model").exists():
        train(compose([*PRETRAINING, f"algo={algo}", *paces(args.steps)]), str(args.text), str(folder), quiet=True)
    return str(folder)


def encoder_of(side: str, args: argparse.Namespace) -> str:
    """The model folder of the encoder, or its run folder once it was continued; made if it is not there."""
    base = args.work / "encoder"
    if not base.exists():
        convert(str(args.encoder), str(base), quiet=True)
    if side == "encoder":
        return str(base)
    folder = args.work / f"encoder-mdlm-{args.encoder_steps}-{args.encoder_batch}"
    if not (folder / "model").exists():
        own = [f"init_from={base}", f"model.length={read_length(args)}", f"optim.batch_size={args.encoder_batch}"]
        own += [f"optim.accumulate={math.ceil(args.encoder_batch / TOGETHER)}"]
        config = compose(with_source([*own, *CONTINUING, *paces(args.encoder_steps)]))
        train(config, str(args.text), str(folder), quiet=True)
    return str(folder)


def read_length(args: argparse.Namespace) -> int:
    """Tokens of a row that the encoder reads."""
    return min(READ, read_spec(args.work / "encoder")["length"])


def paces(steps: int) -> list[str]:
    """Settings of a training that is validated and kept at its end only."""
    return [f"train.{key}={steps}" for key in ("steps", "val_every", "checkpoint_every")]


def data_of(name: str, args: argparse.Namespace) -> Path:
    """The folder of a task; of SST-2 one with so many of its training examples."""
    whole = args.data / name
    if name != "SST-2" or not args.limit:
        return whole
    folder = args.work / f"{name}-{args.limit}"
    if not (folder / "train.tsv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(next(whole.glob("dev.tsv*")), folder)
        source = next(whole.glob("train.tsv*"))
        opened = gzip.open if source.suffix == ".gz" else open
        with opened(source, "rt", encoding="utf-8") as file:
            head, *lines = file.readlines()
        chosen = random.Random(0).sample(lines, min(args.limit, len(lines)))
        (folder / "train.tsv").write_text(head + "".join(chosen), encoding="utf-8")
    return folder


def settings_of(name: str, side: str, args: argparse.Namespace) -> list[str]:
    """What every fine-tuning of a task from a start is asked for."""
    task, large = TASKS[name], side in ENCODERS
    rate, length = (args.encoder_lr, read_length(args) - 2) if large else (args.lr, task.length)
    return [
        "convention=glue", f"optim.lr={rate:g}", f"train.epochs={args.epochs:g}", f"train.metric={task.metric}",
        f"data.length={length}", "data.crop=true", "baselines=false", "bootstrap=0",
    ]  # fmt: skip


def runs(name: str, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """Mean, smallest and largest test figure over the seeds, from one start."""
    start, own = start_of(side, args), []
    if side == "scratch":
        own = [*NETWORK, "tokenizer.name=model", f"tokenizer.path={start_of('AR', args)}"]
    steps, rate = (args.encoder_steps, args.encoder_lr) if side in ENCODERS else (args.steps, args.lr)
    out = args.work / f"{name}-{side}-{steps}-{rate:g}-{args.epochs:g}-{args.limit}"
    asked = settings_of(name, side, args)
    lines = run_protocol("fixed", start, str(data_of(name, args)), out, [*asked, *own], seeds=range(1, args.seeds + 1))
    figures = summary(lines)["fine-tuned"]
    seconds = sum(line["processor_seconds"] for line in lines) / len(lines)
    return {"start": side, "processor_seconds": seconds, "settings": asked} | {
        metric: figures[metric] for metric in METRICS if metric in figures
    }


def floors(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Sizes of a task and what is predicted without a network."""
    found = read_labelled(data_of(name, args), seed=1, tokenizer=ByteTokenizer())
    test = found.parts["test"]
    said = {"majority": majority(found, len(test)), "bag_of_words": bag_of_words(found, test, TASKS[name].metric)}
    sizes = {part: len(examples) for part, examples in found.parts.items()}
    rows = {row: measured("class", each, test.targets) for row, each in said.items()}
    chosen = {row: {metric: figures[metric] for metric in METRICS} for row, figures in rows.items()}
    return {"sizes": sizes, "test_also_in_train": found.shared, "floors": chosen}


def task_row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """What is known of a task, once its runs have ended."""
    return {
        "task": name, "metric": TASKS[name].metric, **floors(name, args),
        "pretraining": {"text": args.text.name, "steps": args.steps, "settings": PRETRAINING},
        "starts": [runs(name, side, args) for side in STARTS],
        **(encoder_rows(name, args) if args.encoder else {}),
    }  # fmt: skip


def encoder_rows(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """What is known of the two starts from an encoder."""
    continued = {"steps": args.encoder_steps, "batch": args.encoder_batch, "settings": CONTINUING}
    encoder = {"folder": args.encoder.name, "continued": {"text": args.text.name, **continued}}
    return {"encoder": encoder, "encoders": [runs(name, side, args) for side in ENCODERS]}


def show(row: dict[str, Any]) -> None:
    """Prints the table of a task."""
    metric = row["metric"]
    print(f"{row['task']}  {metric}")
    for name, figures in row["floors"].items():
        print(f"  {name:14}{figures[metric]:.3f}")
    for each in [*row["starts"], *row.get("encoders", [])]:
        found = each[metric]
        spread = f"{found['low']:.3f} to {found['high']:.3f}"
        print(f"  {each['start']:14}{found['mean']:.3f}  ({spread}, {found['runs']} seeds)")


def main(argv: list[str] | None = None) -> None:
    """Runs what is missing, prints the tables and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="what is pre-trained on")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--steps", type=int, default=1000, help="of pre-training")
    parser.add_argument("--limit", type=int, default=8000, help="training examples of SST-2; 0: all")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--encoder", type=Path, help="a folder of BERT or RoBERTa, with its tokenizer")
    parser.add_argument("--encoder-steps", type=int, default=5000, help="of MDLM")
    parser.add_argument("--encoder-batch", type=int, default=512, help="32 windows or less, or a multiple of it")
    parser.add_argument("--encoder-lr", type=float, default=2e-5)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "glue.json")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    told = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name in args.only:
        told[name] = task_row(name, args)
        show(told[name])
        args.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
