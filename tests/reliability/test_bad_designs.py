"""Templates, constraints, parts of shared work and foreign checkpoints that cannot be used."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reliability.mistakes import Mistake, all_of, check, write
from tests.reliability.test_strangers import Payload, torch_file

DESIGN = ("design", "run", "t.fa")
TEMPLATE = ">t1\nACGTNNNNACGTNNRR\n"
CONVERT = ("convert", "x", "-o", "new")
PART = ("evaluate", "run", "--windows", "4", "--batch-size", "2", "--seed", "1")
MERGE = ("evaluate", "run", "--merge", "one.npz", "two.npz")

TEMPLATES = {
    "not there": None,
    "empty": "",
    "BED": "chr1\t0\t100\n",
    "protein": ">p\nMKLLV\n",
    "a gap": ">t\nAC-GTNN\n",
    "nothing to design": ">t\nACGTACGT\n",
    "a name twice": ">t\nACNN\n>t\nACNN\n",
    "longer than the model can": ">t\n" + "N" * 3000 + "\n",
    "no name": ">\nNNNN\n",
    "an escape in a name": ">t\x1b[2J\nNNNN\n",
}

CONSTRAINTS = {
    "a share of text": ["--gc", "half"],
    "a share beyond one": ["--gc", "0.4-1.6"],
    "a share upside down": ["--gc", "0.6-0.4"],
    "a window of nothing": ["--gc", "0.4-0.6:0"],
    "a motif of no bases": ["--avoid", "XYZ"],
    "an empty motif": ["--avoid", ""],
    "an enzyme misspelt": ["--avoid-sites", "EcoR1"],
    "an enzyme of nobody": ["--avoid-sites", "Nonsense"],
    "runs of none": ["--max-homopolymer", "0"],
    "what the template contradicts": ["--avoid", "ACGT"],
    "a motif of every base": ["--avoid", "N"],
    "no designs": ["-n", "0"],
    "a flag misspelt": ["--avoid-site", "EcoRI"],
    "a sampler that cannot": ["--sampler", "analytic"],
}

MASKS = {
    "not there": None,
    "empty": "",
    "of another template": "t2\t0\t4\n",
    "beyond the template": "t1\t0\t99\n",
    "upside down": "t1\t9\t2\n",
}

PLACES = {
    "exists": ["-o", "synthetic.fa"],
    "in a folder that is not there": ["-o", "no/where.fa"],
    "a folder": ["-o", "run"],
    "another compression": ["-o", "x.fa.xz"],
    "whose report exists": ["-o", "x.fa"],
}


def spoiled(content):
    return (lambda: None) if content is None else write("t.fa", content)


def masked(content):
    return all_of(write("t.fa", TEMPLATE), (lambda: None) if content is None else write("m.bed", content))


DESIGNS = (
    {f"template {k}": Mistake(DESIGN, spoiled(v)) for k, v in TEMPLATES.items()}
    | {f"{k}": Mistake([*DESIGN, *v], write("t.fa", TEMPLATE)) for k, v in CONSTRAINTS.items()}
    | {f"mask {k}": Mistake([*DESIGN, "--mask", "m.bed"], masked(v)) for k, v in MASKS.items()}
    | {
        f"output {k}": Mistake([*DESIGN, *v], all_of(write("t.fa", TEMPLATE), write("x.fa.design.tsv", "precious")))
        for k, v in PLACES.items()
    }
    | {
        "template and mask from standard input": Mistake(["design", "run", "-", "--mask", "-"]),
        "run not there": Mistake(["design", "rum", "t.fa"], write("t.fa", TEMPLATE)),
        "output full": Mistake([*DESIGN, "-q", "-o", "/dev/full"], write("t.fa", TEMPLATE), code=4),
    }
)


def scored(*shards: str):
    """A spoiler: parts of a shared evaluation."""

    def spoil():
        from dnadiff.cli import main

        for shard, name in zip(shards, ("one.npz", "two.npz"), strict=False):
            assert main([*PART, "--shard", shard, "-o", name, "-q"]) == 0

    return spoil


SHARES = {
    "sample: a shard that is none": Mistake(["sample", "run", "--seed", "1", "--shard", "5/2"]),
    "sample: a shard of text": Mistake(["sample", "run", "--seed", "1", "--shard", "first"]),
    "sample: a shard without a seed": Mistake(["sample", "run", "--shard", "1/2"]),
    "sample: more shards than sequences": Mistake(["sample", "run", "-n", "2", "--seed", "1", "--shard", "1/5"]),
    "sample: going on with standard output": Mistake(["sample", "run", "--resume"]),
    "sample: going on with what somebody else wrote": Mistake(
        ["sample", "run", "-n", "2", "--seed", "1", "-o", "x.fa", "--resume"], write("x.fa.partial", ">thesis\nACGT\n")
    ),
    "sample: going on with other settings": Mistake(
        ["sample", "run", "-n", "2", "--seed", "1", "-o", "synthetic.fa", "--resume"]
    ),
    "evaluate: a shard without a seed": Mistake([*PART[:6], "--shard", "1/2", "-o", "one.npz"]),
    "evaluate: a shard without a file": Mistake([*PART, "--shard", "1/2"]),
    "evaluate: a shard as a table": Mistake([*PART, "--shard", "1/2", "-o", "one.tsv"]),
    "evaluate: a shard in a folder that is not there": Mistake([*PART, "--shard", "1/2", "-o", "no/one.npz"]),
    "evaluate: a shard over something else": Mistake(
        [*PART, "--shard", "1/2", "-o", "one.npz"], write("one.npz", "precious")
    ),
    "evaluate: more shards than batches": Mistake([*PART, "--shard", "1/9", "-o", "one.npz"]),
    "evaluate: parts that are not there": Mistake(MERGE),
    "evaluate: a part that is missing": Mistake(MERGE[:-1], scored("1/2")),
    "evaluate: a part twice": Mistake(MERGE, scored("1/2", "1/2")),
    "evaluate: parts of different cuts": Mistake(MERGE, scored("1/2", "1/1")),
    "evaluate: a part that is damaged": Mistake(MERGE, all_of(scored("1/2"), write("two.npz", b"PK\x03\x04"))),
    "evaluate: a part that is a pickle": Mistake(
        MERGE, all_of(scored("1/2"), write("two.npz", pickle.dumps(Payload())))
    ),
    "evaluate: a part that holds objects": Mistake(
        MERGE, all_of(scored("1/2"), lambda: np.savez("two.npz", head=np.array([Payload()], dtype=object)))
    ),
    "evaluate: a part that unpacks to 100 MB": Mistake(
        MERGE, all_of(scored("1/2"), lambda: np.savez_compressed("two.npz", head=np.zeros(12_500_000)))
    ),
    "evaluate: a part of another model": Mistake(MERGE[:-1], all_of(scored("1/1"), lambda: repoint("one.npz"))),
}


def repoint(name: str):
    """The part says that it is of another model."""
    with np.load(name) as file:
        arrays = dict(file)
    head = str(arrays.pop("head"))
    start = head.index('"model": "') + 10
    np.savez(name, head=np.array(head[:start] + "0" * 64 + head[start + 64 :]), **arrays)


def zipped(**members: bytes):
    def spoil():
        with zipfile.ZipFile("x", "w") as file:
            for name, content in members.items():
                file.writestr(name.replace("__", "/"), content)

    return spoil


def lightning(hyper: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {}, "hyper_parameters": hyper, "ema": None}, buffer)
    return buffer.getvalue()


def folder(**files: bytes):
    return lambda: [
        Path("x").mkdir(),
        *(Path("x", name.replace("__", ".")).write_bytes(v) for name, v in files.items()),
    ]


FOREIGN = {
    "no output": Mistake(["convert", "x"]),
    "not there": Mistake(["convert", "./nothing.ckpt", "-o", "new"]),
    "empty": Mistake(CONVERT, write("x", "")),
    "a FASTA file": Mistake(["convert", "genome.fa", "-o", "new"]),
    "a run": Mistake(["convert", "run", "-o", "new"]),
    "a pickle that runs code": Mistake(CONVERT, write("x", pickle.dumps(Payload()))),
    "a torch file that runs code": Mistake(CONVERT, write("x", torch_file(legacy=False))),
    "an old torch file that runs code": Mistake(CONVERT, write("x", torch_file(legacy=True))),
    "hyperparameters that run code": Mistake(CONVERT, write("x", lightning({"config": Payload()}))),
    "an archive of something else": Mistake(CONVERT, zipped(hello=b"world")),
    "an archive that climbs": Mistake(CONVERT, zipped(**{"..__..__canary": b"x", "archive__data.pkl": b"\x80\x02N."})),
    "a folder without weights": Mistake(CONVERT, folder(config__json=b"{}")),
    "a folder of a deep config": Mistake(CONVERT, folder(config__json=b'{"a":' * 100_000)),
    "a folder whose config is a list": Mistake(CONVERT, folder(config__json=b"[1]")),
    "a folder of a huge config": Mistake(CONVERT, folder(config__json=b'{"a": "' + b"x" * (80 << 20) + b'"}')),
    "a folder with a pickle": Mistake(
        CONVERT, folder(config__json=b'{"model_type": "mdlm"}', pytorch_model__bin=pickle.dumps(Payload()))
    ),
    "an output that exists": Mistake(["convert", "x", "-o", "run"], write("x", torch_file(legacy=False))),
    "an output on standard output": Mistake(["convert", "x", "-o", "-"], write("x", torch_file(legacy=False))),
    "weights that there are not": Mistake([*CONVERT, "--weights", "best"]),
}

OTHERS = {
    "cite: a run that is not there": Mistake(["cite", "rum"]),
    "cite: a store": Mistake(["cite", "store"]),
    "cite: settings of a list": Mistake(["cite", "run"], write("run/config.json", "[1]")),
    "cite: settings nested deep": Mistake(["cite", "run"], write("run/config.json", '{"a":' * 100_000)),
    "cite: a provenance that is damaged": Mistake(["cite", "run"], write("run/provenance.json", "{")),
    "completion: no shell": Mistake(["completion"]),
    "completion: a shell misspelt": Mistake(["completion", "bsah"]),
    "config: a foreign command with code": Mistake(
        ["config", "translate", "python main.py model.length=${eval:__import__('os').system('touch canary')}"]
    ),
    "train: blocks larger than the window": Mistake(
        ["train", "genome.fa", "algo=bd3lm", "block_size=4096", "model.length=32"]
    ),
    "train: a method misspelt": Mistake(["train", "genome.fa", "algo=bd3ml"]),
}

MISTAKES = (
    {f"design: {case}": mistake for case, mistake in DESIGNS.items()}
    | {f"shares: {case}": mistake for case, mistake in SHARES.items()}
    | {f"convert: {case}": mistake for case, mistake in FOREIGN.items()}
    | {f"others: {case}": mistake for case, mistake in OTHERS.items()}
)


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])
