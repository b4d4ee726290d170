"""Embeddings, probes and paired shuffles that cannot be made."""

import json
from pathlib import Path

import pytest

from tests.labels import write_task
from tests.reliability.mistakes import Mistake, all_of, check, write

EMBED = ("embed", "run", "synthetic.fa", "-o")


def task():
    write_task(Path("task"), 16)


def without_test():
    """A run that held nothing out to test on."""
    split = json.loads(Path("run/split.json").read_text())
    Path("run/split.json").write_text(json.dumps(split | {"test": []}))


MISTAKES = {
    "embed: no output": Mistake(EMBED[:3]),
    "embed: an output of another kind": Mistake([*EMBED, "x.tsv"]),
    "embed: to a stream": Mistake([*EMBED, "-"]),
    "embed: an output that exists": Mistake([*EMBED, "x.npz"], write("x.npz", "x")),
    "embed: no model": Mistake(["embed", "rum", "synthetic.fa", "-o", "x.npz"]),
    "embed: a layer that there is not": Mistake([*EMBED, "x.npz", "--layer", "2"]),
    "embed: a layer of no number": Mistake([*EMBED, "x.npz", "--layer", "-1"]),
    "embed: a pooling misspelt": Mistake([*EMBED, "x.npz", "--pooling", "men"]),
    "embed: nothing but N": Mistake(["embed", "run", "x.fa", "-o", "y.npz"], write("x.fa", ">a\nAC\n>b\nNNN\n")),
    "embed: a sequence far too long": Mistake(["embed", "run", "genome.fa", "-o", "y.npz"]),
    "bench probe: data without labels": Mistake(["bench", "probe", "run", "synthetic.fa"]),
    "bench probe: a layer that there is not": Mistake(["bench", "probe", "run", "task", "--layer", "7"], task),
    "bench probe: a label misspelt": Mistake(["bench", "probe", "run", "task", "--label", "lable"], task),
    "bench probe: an output of another kind": Mistake(["bench", "probe", "run", "task", "-o", "x.npz"], task),
    "bench zeroshot: no model": Mistake(["bench", "zeroshot", "rum"]),
    "bench zeroshot: a model without a split": Mistake(["bench", "zeroshot", "run/model"]),
    "bench zeroshot: nothing held out": Mistake(["bench", "zeroshot", "run"], without_test),
    "bench zeroshot: sequences with no other shuffle": Mistake(
        ["bench", "zeroshot", "run", "x.fa"], write("x.fa", ">a\nAAAA\n>b\nAC\n")
    ),
    "bench zeroshot: nothing known": Mistake(["bench", "zeroshot", "run", "x.fa"], write("x.fa", ">a\nACNNNN\n")),
    "bench zeroshot: no pairs": Mistake(["bench", "zeroshot", "run", "-n", "0"]),
    "bench zeroshot: an output that exists": Mistake(
        ["bench", "zeroshot", "run", "-o", "x.json"], all_of(write("x.json", "x"))
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])
