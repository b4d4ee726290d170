"""Run and model folders that are damaged, half copied, of another genome or of another version, given to every verb."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dnadiff.checkpoints import manifest
from tests.reliability.mistakes import Mistake, all_of, check, planted, publish, write

SAMPLE = ("sample", "run", "-n", "2")
EVALUATE = ("evaluate", "run", "--windows", "2")
PICTURE = ("compare", "genome.fa", "synthetic.fa", "--run", "run", "--picture", "x.png")
RESUME = ("train", "--resume", "run", "train.steps=8")
MODEL = ("model.safetensors", "config.json", "tokenizer.json", "provenance.json", manifest.NAME)
GARBAGE = b"\x80\x04garbage\xff"


def gone(name):
    """A spoiler: the file is missing, as after a copy that was interrupted."""
    return lambda: Path(name).unlink()


def folder(name):
    """A spoiler: there is a folder in the file's place."""
    return lambda: (Path(name).unlink(), Path(name).mkdir())


def edited(name, path, value):
    """A spoiler: one value of a JSON file, by its dotted path, is another; a manifest fits again."""

    def spoil():
        values = json.loads(Path(name).read_text())
        *heads, tail = path.split(".")
        inner = values
        for head in heads:
            inner = inner[head]
        inner[tail] = value
        Path(name).write_text(json.dumps(values))
        if name.startswith("run/model/"):
            publish()

    return spoil


def spec(path, value):
    return Mistake(SAMPLE, edited("run/model/config.json", path, value))


def unlisted(name):
    """A spoiler: the manifest does not list a file."""

    def spoil():
        path = Path("run/model") / manifest.NAME
        path.write_text("".join(line for line in path.read_text().splitlines(True) if name not in line))

    return spoil


def counts(**changes):
    """A spoiler: a baseline.npz with other arrays."""
    arrays = {"counts": np.arange(20), "order": 1, "concentration": 20.0} | changes
    return lambda: np.savez("run/baseline.npz", **arrays)


def each_checkpoint(change):
    """A spoiler: something is done to every checkpoint."""
    return lambda: [change(path) for path in Path("run/checkpoints").iterdir()]


def state(change):
    """A spoiler: the state of every checkpoint is changed, and the manifests fit again."""

    def spoil(path):
        found = torch.load(path / "state.pt", weights_only=True)
        change(found)
        torch.save(found, path / "state.pt")
        (path / manifest.NAME).write_text(manifest.manifest_of(path))

    return each_checkpoint(spoil)


FILES = {
    f"sample: {name} {what}": Mistake(SAMPLE, spoil(f"run/model/{name}"))
    for name in MODEL
    for what, spoil in {
        "missing": gone,
        "empty": lambda path: write(path, ""),
        "damaged": lambda path: write(path, GARBAGE),
        "a folder": folder,
    }.items()
} | {
    f"{verb}: {name} {what}": Mistake(words, spoil(f"run/{name}"))
    for verb, words, names in (
        ("evaluate", EVALUATE, ("config.json", "split.json")),
        ("picture", PICTURE, ("config.json", "split.json", "log.csv", "baseline.npz")),
        ("resume", RESUME, ("config.json",)),
    )
    for name in names
    for what, spoil in {"missing": gone, "empty": lambda path: write(path, ""), "a folder": folder}.items()
} | {
    f"{verb}: {name} damaged": Mistake(words, write(f"run/{name}", GARBAGE))
    for verb, words, names in (
        ("evaluate", EVALUATE, ("config.json", "split.json", "baseline.npz")),
        ("picture", PICTURE, ("log.csv", "baseline.npz")),
        ("resume", RESUME, ("config.json", "split.json", "baseline.npz", "provenance.json")),
    )
    for name in names
}  # fmt: skip

FOLDERS = {
    "sample: nothing there": Mistake(["sample", "rum"]),
    "sample: a FASTA file": Mistake(["sample", "genome.fa"]),
    "sample: a store": Mistake(["sample", "store"]),
    "sample: an empty folder": Mistake(["sample", "empty"], lambda: Path("empty").mkdir()),
    "sample: the checkpoints": Mistake(["sample", "run/checkpoints"]),
    "sample: one checkpoint": Mistake(["sample", "run/checkpoints/step-6"]),
    "sample: a run without a model": Mistake(["sample", "run"], lambda: Path("run/model").rename("away")),
    "evaluate: no run there": Mistake(["evaluate", "rum"]),
    "evaluate: a FASTA file": Mistake(["evaluate", "genome.fa"]),
    "evaluate: a store": Mistake(["evaluate", "store"]),
    "evaluate: a model": Mistake(["evaluate", "run/model"]),
    "evaluate: a split of a model": Mistake(["evaluate", "run/model", "--split", "valid"]),
    "evaluate: regions and a model": Mistake(["evaluate", "run/model", "regions.bed"]),
    "evaluate: a split of another genome": Mistake(["evaluate", "run", "synthetic.fa", "--split", "valid"]),
    "evaluate: a split of a genome and a model": Mistake(["evaluate", "run/model", "synthetic.fa", "--split", "valid"]),
    "evaluate: a model of an objective that bounds nothing": Mistake(
        ["evaluate", "run/model", "synthetic.fa"],
        edited("run/model/config.json", "objective", {"name": "masked_lm", "replacements": [7]}),
    ),
    "evaluate: a run without a model": Mistake(EVALUATE, lambda: Path("run/model").rename("away")),
    "picture: nothing there": Mistake([*PICTURE[:4], "rum", *PICTURE[5:]]),
    "picture: a FASTA file": Mistake([*PICTURE[:4], "genome.fa", *PICTURE[5:]]),
    "resume: nothing there": Mistake(["train", "--resume", "rum"]),
    "resume: a FASTA file": Mistake(["train", "--resume", "genome.fa"]),
    "resume: a store": Mistake(["train", "--resume", "store"]),
    "resume: a model": Mistake(["train", "--resume", "run/model"]),
}

SPECS = {
    "sample: weights that the manifest leaves out": Mistake(SAMPLE, unlisted("safetensors")),
    "sample: a provenance that the manifest leaves out": Mistake(SAMPLE, unlisted("provenance")),
    "sample: another version": spec("format", 99),
    "sample: a fine-tuned model": spec("head", {"name": "mean"}),
    "sample: an unknown backbone": spec("backbone.name", "dti"),
    "sample: an argument that there is not": spec("backbone.depth", 3),
    "sample: more blocks than weights": spec("backbone.n_blocks", 2),
    "sample: another width": spec("backbone.hidden_size", 64),
    "sample: a width of text": spec("backbone.hidden_size", "32"),
    "sample: a width below zero": spec("backbone.hidden_size", -32),
    "sample: heads that do not divide": spec("backbone.n_heads", 5),
    "sample: no heads": spec("backbone.n_heads", 0),
    "sample: a vocabulary of null": spec("backbone.vocab_size", None),
    "sample: a mask of text": spec("parameterization.mask_id", "3"),
    "sample: a mask below zero": spec("parameterization.mask_id", -1),
    "sample: a mask beyond the vocabulary": spec("parameterization.mask_id", 12),
    "sample: nothing allowed": spec("parameterization.allowed", []),
    "sample: text allowed": spec("parameterization.allowed", "ACGT"),
    "sample: an eps of text": spec("process.schedule.eps", "small"),
    "sample: an eps beyond one": spec("process.schedule.eps", 2),
    "sample: no process": spec("process", None),
    "sample: a length of null": spec("length", None),
    "sample: a length of zero": spec("length", 0),
    "sample: a switch of text": spec("bos", "yes"),
    "sample: classes by number": spec("classes", [1, 2]),
    "sample: more classes than the network has": spec("classes", ["a", "b"]),
    "sample: a label that is no word": spec("label", 3),
    "sample: the weights of another model": Mistake(
        SAMPLE, lambda: (Path("run/model/model.safetensors").write_bytes(other_weights()), publish())
    ),
    "sample: another numbering of the letters": Mistake(SAMPLE, edited("run/model/tokenizer.json", "tokens", ["A"])),
    "sample: an unknown tokenizer": Mistake(SAMPLE, edited("run/model/tokenizer.json", "name", "bpe")),
    "sample: a provenance of a list": Mistake(SAMPLE, planted("provenance.json", "[1]")),
}


def other_weights():
    from safetensors.torch import save

    return save({"w": torch.zeros(3)})


SETTINGS = {
    "evaluate: a key that there is not": Mistake(EVALUATE, edited("run/config.json", "model.lenght", 3)),
    "evaluate: a length of text": Mistake(EVALUATE, edited("run/config.json", "model.length", "x")),
    "evaluate: a value for a section": Mistake(EVALUATE, edited("run/config.json", "model", 3)),
    "evaluate: a section for a value": Mistake(EVALUATE, edited("run/config.json", "seed", {"a": 1})),
    "evaluate: a list of settings": Mistake(EVALUATE, write("run/config.json", "[1]")),
    "evaluate: no genome": Mistake(EVALUATE, edited("run/config.json", "data.path", None)),
    "evaluate: the settings of another run": Mistake(EVALUATE, edited("run/config.json", "model.length", 64)),
    "evaluate: a list for a split": Mistake(EVALUATE, write("run/split.json", "[1]")),
    "evaluate: nothing held out": Mistake(EVALUATE, edited("run/split.json", "test", [])),
    "evaluate: a split of null": Mistake(EVALUATE, edited("run/split.json", "test", None)),
    "evaluate: a split of text": Mistake(EVALUATE, edited("run/split.json", "test", "chr1")),
    "evaluate: a split by a number": Mistake(EVALUATE, edited("run/split.json", "how", 3)),
    "evaluate: an interval of one field": Mistake(EVALUATE, edited("run/split.json", "test", [["chr1"]])),
    "evaluate: positions of text": Mistake(EVALUATE, edited("run/split.json", "test", [["chr1", "0", "9", "+"]])),
    "evaluate: fractions of positions": Mistake(EVALUATE, edited("run/split.json", "test", [["chr1", 0.5, 9.5, "+"]])),
    "evaluate: a strand that is none": Mistake(EVALUATE, edited("run/split.json", "test", [["chr1", 0, 99, "x"]])),
    "evaluate: beyond the contig": Mistake(EVALUATE, edited("run/split.json", "test", [["chr1", 0, 10**9, "+"]])),
    "evaluate: a contig of another genome": Mistake(EVALUATE, edited("run/split.json", "valid", [["1", 0, 99, "+"]])),
    "evaluate: counts that do not fit their order": Mistake(EVALUATE, counts(order=3)),
    "evaluate: counts of an order beyond all": Mistake(EVALUATE, counts(order=40)),
    "evaluate: counts below zero": Mistake(EVALUATE, counts(counts=-np.arange(20))),
    "evaluate: counts of fractions": Mistake(EVALUATE, counts(counts=np.arange(20) / 2)),
    "evaluate: counts with NaN": Mistake(EVALUATE, counts(concentration=np.nan)),
    "evaluate: no counts": Mistake(EVALUATE, lambda: np.savez("run/baseline.npz", order=1)),
    "picture: a log with other columns": Mistake(PICTURE, write("run/log.csv", "a,b\n1,2\n")),
    "picture: a log of text": Mistake(
        PICTURE, write("run/log.csv", "step,train_bits_per_base,valid_bits_per_base\n1,two,\n")
    ),
    "picture: the genome is another one": Mistake(PICTURE, lambda: swap_genome()),
}


def swap_genome():
    """The run's genome is not the one it was trained on, the one to compare with is."""
    Path("genome.fa").rename("first.fa")
    Path("genome.fa").write_text(f">chr1\n{'ACGT' * 999}\n")


def other_optimizer(found):
    found["optimizer"]["parts"][0]["param_groups"] = []


RESUMED = {
    "resume: a setting that must not change": Mistake(["train", "--resume", "run", "optim.lr=1"]),
    "resume: steps of text": Mistake(["train", "--resume", "run", "train.steps=more"]),
    "resume: minutes without end": Mistake(["train", "--resume", "run", "train.minutes=Infinity"]),
    "resume: no end at all": Mistake(["train", "--resume", "run", "train.steps=null"]),
    "resume: an end that is past": Mistake(["train", "--resume", "run", "train.steps=3"]),
    "resume: the genome is gone": Mistake(RESUME, gone("genome.fa")),
    "resume: the genome is another one": Mistake(RESUME, swap_genome),
    "resume: the split was edited": Mistake(RESUME, edited("run/split.json", "how", "contig")),
    "resume: a provenance of a list": Mistake(RESUME, write("run/provenance.json", "[1]")),
    "resume: a provenance without inputs": Mistake(RESUME, write("run/provenance.json", '{"inputs": [1]}')),
    "resume: settings of a list": Mistake(RESUME, write("run/config.json", "[1]")),
    "resume: checkpoints cut": Mistake(RESUME, each_checkpoint(lambda path: (path / "state.pt").write_bytes(b"PK"))),
    "resume: checkpoints without state": Mistake(RESUME, each_checkpoint(lambda path: (path / "state.pt").unlink())),
    "resume: checkpoints without manifest": Mistake(
        RESUME, each_checkpoint(lambda path: (path / manifest.NAME).unlink())
    ),
    "resume: checkpoints of another version": Mistake(RESUME, state(lambda found: found.update(format=9))),
    "resume: checkpoints of another step": Mistake(RESUME, state(lambda found: found.update(step=5))),
    "resume: checkpoints without optimiser": Mistake(RESUME, state(lambda found: found.pop("optimizer"))),
    "resume: checkpoints with weights of text": Mistake(RESUME, state(lambda found: found.update(denoiser="x"))),
}

MISTAKES = FILES | {
    f"{case}": mistake for table in (FOLDERS, SPECS, SETTINGS, RESUMED) for case, mistake in table.items()
}


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (state(lambda found: found["denoiser"].popitem()), "of another model"),
        (state(lambda found: found["ema"].pop("shadow")), "of another model"),
        (state(other_optimizer), "of another model"),
        (state(lambda found: found.update(running={"nats": "x"})), "of another model"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_when_it_is_taken_over(spoil, told, world, capsys):
    from dnadiff.cli import main

    all_of(spoil)()
    assert main([*RESUME, "-q"]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1, err
