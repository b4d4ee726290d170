"""Labelled data, settings and models that cannot be fine-tuned or asked."""

import json
import shutil
from pathlib import Path

import pytest

from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.predictor import save_predictor
from tests.labels import SPEC, tiny_predictor, write_task
from tests.reliability.mistakes import Mistake, all_of, check, write

TASK = ("finetune", "scratch", "task", "-o", "new")
PREDICT = ("predict", "tuned", "synthetic.fa")
OK = "sequence,label\nACGT,1\nACGG,0\nACGA,1\nACTA,0\n"


def model(change=lambda spec: None):
    """A fine-tuned model for rows of 32 bases, its spec edited."""

    def write_it():
        spec = json.loads(json.dumps({**SPEC, "length": 32}))
        save_predictor(Path("tuned"), tiny_predictor(), spec, {})
        change(spec)
        Path("tuned/config.json").write_text(json.dumps(spec))
        Path("tuned/MANIFEST.sha256").write_text(manifest.manifest_of(Path("tuned")))

    return write_it


def task():
    write_task(Path("task"), 16)


def started(**changes):
    """A fine-tuning that has only written its configuration and provenance."""

    def write_it():
        task()
        Path("begun").mkdir()
        values = {"head": {"pooling": "mean"}, "data": {"path": "task"}, "seed": 1} | changes
        Path("begun/config.json").write_text(json.dumps(values))
        Path("begun/provenance.json").write_text(json.dumps({"inputs": {"task/train.csv": "0" * 64}}))

    return write_it


WORDS = {
    "no model": ["finetune"],
    "no data": ["finetune", "scratch"],
    "a word too many": ["finetune", "scratch", "task", "more"],
    "two seeds": [*TASK, "--seed", "1", "seed=2"],
    "a model that is not there": ["finetune", "rum", "task", "-o", "new"],
    "data that are not there": ["finetune", "scratch", "tusk", "-o", "new"],
    "a genome for a table": ["finetune", "scratch", "genome.fa", "-o", "new"],
    "a size for a model that has one": ["finetune", "run", "task", "model=tiny"],
    "a width for a model that has one": ["finetune", "run", "task", "model.hidden_size=8"],
    "windows as long as training's": [*TASK, "model.length=64"],
    "a key of training on genomes": [*TASK, "algo.name=ar"],
    "a key misspelt": [*TASK, "head.poling=mean"],
    "a group that it has not": [*TASK, "noise=linear"],
    "a pooling misspelt": [*TASK, "head.pooling=maen"],
    "a kind misspelt": [*TASK, "data.kind=clas"],
    "a metric of other targets": [*TASK, "train.metric=pearson"],
    "a metric misspelt": [*TASK, "train.metric=acuracy"],
    "no epochs": [*TASK, "train.epochs=0"],
    "a label twice": [*TASK, "data.label=a,a"],
    "no label": [*TASK, "data.label=[]"],
    "everything held out": [*TASK, "data.valid_fraction=0.5", "data.test_fraction=0.5"],
    "rows that are too short": [*TASK, "data.length=8"],
    "output that exists": ["finetune", "scratch", "task", "-o", "run"],
    "output that is the data": ["finetune", "scratch", "task", "-o", "task"],
    "resumed with another model": ["finetune", "--resume", "run", "scratch"],
    "resumed from a run of training": ["finetune", "--resume", "run"],
    "resumed from nothing": ["finetune", "--resume", "nothing"],
}

DATA = {
    "an empty sequence": OK + ",1\n",
    "NaN among numbers": "sequence,label\nACGT,0.5\nACGG,NaN\n",
    "one class only": "sequence,label\nACGT,1\nACGG,1\n",
    "a column misspelt": "sequence,lable\nACGT,1\n",
}

MISTAKES = (
    {f"finetune: {case}": Mistake(words, task) for case, words in WORDS.items()}
    | {f"finetune: {case}": Mistake(["finetune", "scratch", "x.csv"], write("x.csv", x)) for case, x in DATA.items()}
    | {
        "finetune: a class that training lacks": Mistake(
            TASK, all_of(task, lambda: Path("task/test.csv").write_text(OK.replace(",1", ",gcc")))
        ),
        "finetune: two files of one part": Mistake(
            TASK, all_of(task, lambda: shutil.copy("task/dev.csv", "task/valid.csv"))
        ),
        "finetune: nothing to wait for": Mistake(
            ["finetune", "scratch", "x.csv", "data.valid_fraction=0", "data.test_fraction=0", "train.patience=1"],
            write("x.csv", OK),
        ),
        "finetune: a metric that is not defined": Mistake(
            [*TASK, "train.metric=auroc"],
            all_of(task, lambda: Path("task/dev.csv").write_text("sequence,label\nACGT,gc\nAGGT,gc\n")),
        ),
        "finetune: from a fine-tuned model": Mistake(["finetune", "tuned", "task"], all_of(task, model())),
        "finetune: resumed on other data": Mistake(["finetune", "--resume", "begun"], started()),
        "finetune: resumed with another rate": Mistake(["finetune", "--resume", "begun", "optim.lr=1"], started()),
        "finetune: resumed with a damaged configuration": Mistake(
            ["finetune", "--resume", "begun"], started(head={"pooling": "max"})
        ),
        "train: resumed from a fine-tuning": Mistake(["train", "--resume", "begun"], started()),
        "train: onto a fine-tuning": Mistake(["train", "genome.fa", "-o", "begun"], started()),
        "evaluate: a fine-tuning": Mistake(["evaluate", "begun"], started()),
        "sample: what finetune made": Mistake(["sample", "tuned"], model()),
        "predict: no model": Mistake(["predict", "tunde", "synthetic.fa"]),
        "predict: a run": Mistake(["predict", "run", "synthetic.fa"]),
        "predict: no sequences": Mistake(["predict", "tuned", "x.fa"], model()),
        "predict: output that exists": Mistake([*PREDICT, "-o", "genome.fa"], model()),
        "predict: a sequence too long": Mistake(["predict", "tuned", "genome.fa"], model()),
        "predict: nothing but N": Mistake(
            ["predict", "tuned", "x.fa"], all_of(model(), write("x.fa", ">a\nAC\n>b\nNNN\n"))
        ),
        "predict: an empty record": Mistake(
            ["predict", "tuned", "x.fa"], all_of(model(), write("x.fa", ">a\n>b\nAC\n"))
        ),
        "predict: a disk that is full": Mistake([*PREDICT, "-o", "/dev/full"], model(), code=4),
        "predict: another number of outputs": Mistake(PREDICT, model(lambda spec: spec["head"].update(outputs=3))),
        "predict: a pooling that there is not": Mistake(
            PREDICT, model(lambda spec: spec["head"].update(pooling="max"))
        ),
    }
)

MASKED = model(lambda spec: spec["labels"].update(masked=True))
CLASSIFIER = ("sample", "run", "--classifier", "tuned")

MISTAKES |= {
    f"sample: {case}": Mistake([*CLASSIFIER, *words], made)
    for case, words, made in (
        ("a classifier without a class", [], MASKED),
        ("a classifier's class misspelt", ["--label", "yess"], MASKED),
        ("a classifier of whole sequences", ["--label", "yes"], model()),
        ("a classifier and a stride", ["--label", "yes", "--length", "64", "--stride", "8"], MASKED),
        ("a classifier that reads less", ["--label", "yes", "--length", "33"], MASKED),
        ("a classifier asked in a third way", ["--label", "yes", "--classifier-steps", "second-order"], MASKED),
        ("a classifier that is a run", ["--label", "yes", "--classifier", "run"], MASKED),
    )
} | {
    "sample: classifier steps without one": Mistake(["sample", "run", "--classifier-steps", "exact"]),
    "design: a classifier that reads less": Mistake(
        ["design", "run", "t.fa", "--classifier", "tuned", "--label", "yes"],
        all_of(MASKED, write("t.fa", ">t\n" + "N" * 40 + "\n")),
    ),
    "predict: neither masked nor not": Mistake(PREDICT, model(lambda spec: spec["labels"].update(masked="maybe"))),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])
