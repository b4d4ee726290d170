"""Flags, settings and output places that cannot be honoured, of every verb."""

from pathlib import Path

import pytest

from tests.reliability.mistakes import MESSAGES, SMALL, Mistake, check, write

TRAIN = ("train", "genome.fa", "-o", "new", *SMALL)
BIG = ("train", "genome.fa", "-o", "new", "model.length=32", "data.split=contig")
SAMPLE = ("sample", "run", "-n", "2")
EVALUATE = ("evaluate", "run", "--windows", "2")
COMPARE = ("compare", "genome.fa", "synthetic.fa")
LONG = "a" * 250

WORDS = {
    "no such verb": ["smaple", "run"],
    "a verb's flag without the verb": ["--seed", "3"],
    "prepare: no file": ["prepare"],
    "prepare: two files": ["prepare", "genome.fa", "synthetic.fa"],
    "prepare: a flag misspelt": ["prepare", "genome.fa", "--drop-gap"],
    "prepare: a flag without its value": ["prepare", "genome.fa", "-o"],
    "prepare: an option that the cache has no place for": ["prepare", "genome.fa", "--drop-gaps"],
    "train: two genomes": ["train", "genome.fa", "synthetic.fa"],
    "train: a flag that there is not": ["train", "genome.fa", "-c", "my.yaml"],
    "train: a seed of text": ["train", "genome.fa", "--seed", "x"],
    "train: two seeds": ["train", "genome.fa", "--seed", "1", "seed=2"],
    "train: no threads": ["train", "genome.fa", "-j", "0"],
    "train: a key twice": ["train", "genome.fa", "optim.lr=1e-3", "optim.lr=1e-4"],
    "train: a preset twice": ["train", "genome.fa", "model=tiny", "model=small"],
    "train: a file as preset": ["train", "genome.fa", "model=my.yaml"],
    "train: a path as preset": ["train", "genome.fa", "model=../config"],
    "train: a preset misspelt": ["train", "genome.fa", "model=smal"],
    "train: a group misspelt": ["train", "genome.fa", "modl=small"],
    "train: no key": ["train", "genome.fa", "=3"],
    "train: windows of two bases": ["train", "genome.fa", "model.length=2"],
    "train: attention that needs a GPU": [*TRAIN, "attention=flash"],
    "resume: two settings of one": ["train", "--resume", "run", "-o", "new"],
    "sample: no run": ["sample"],
    "sample: no sequences": [*SAMPLE[:2], "-n", "0"],
    "sample: sequences by halves": [*SAMPLE[:2], "-n", "1.5"],
    "sample: a number in words": [*SAMPLE[:2], "-n", "ten"],
    "sample: no length": [*SAMPLE, "--length", "0"],
    "sample: a length beyond all training": [*SAMPLE, "--length", "99999"],
    "sample: temperature zero": [*SAMPLE, "--temperature", "0"],
    "sample: temperature NaN": [*SAMPLE, "--temperature", "nan"],
    "sample: temperature infinite": [*SAMPLE, "--temperature", "inf"],
    "sample: a nucleus beyond one": [*SAMPLE, "--nucleus", "1.01"],
    "sample: a nucleus below zero": [*SAMPLE, "--nucleus", "-0.1"],
    "sample: a sampler misspelt": [*SAMPLE, "--sampler", "ancestrl"],
    "sample: steps of another sampler": [*SAMPLE, "--steps", "9"],
    "sample: half precision of another kind": [*SAMPLE, "--dtype", "fp16"],
    "sample: a batch of none": [*SAMPLE, "--batch-size", "0"],
    "evaluate: no run": ["evaluate"],
    "evaluate: a split misspelt": [*EVALUATE, "--split", "tset"],
    "evaluate: no windows": ["evaluate", "run", "--windows", "0"],
    "evaluate: no draws": [*EVALUATE, "--samples", "0"],
    "compare: k of zero": [*COMPARE, "-k", "0"],
    "compare: k too long": [*COMPARE, "-k", "9"],
    "compare: k without a value": [*COMPARE, "-k"],
    "compare: a run and no picture": [*COMPARE, "--run", "run"],
    "config: no action": ["config"],
    "config: an action misspelt": ["config", "shwo"],
    "config: a group misspelt": ["config", "ls", "nois"],
    "config: a word that sets nothing": ["config", "show", "tiny"],
    "config: an empty word": ["config", "show", ""],
    "doctor: two files": ["doctor", "genome.fa", "synthetic.fa"],
}

SETTINGS = {
    "text for a number": "optim.lr=fast",
    "a number out of all bounds": "optim.lr=1e400",
    "NaN": "optim.lr=nan",
    "NaN in a list": "optim.betas=[nan,0.9]",
    "NaN as decay": "optim.ema=nan",
    "infinity": "train.minutes=inf",
    "a number below zero": "optim.lr=-1e-3",
    "a whole number below zero": "data.workers=-1",
    "a fraction for a whole number": "train.steps=1.5",
    "an exponent for a whole number": "train.steps=1e4",
    "a number in another base": "train.steps=0x10",
    "a switch for a number": "train.steps=true",
    "a number for a name": "optim.name=3",
    "a list for a number": "optim.lr=[1,2]",
    "several numbers": "optim.lr=1,2",
    "a sweep": "optim.lr=range(1,5)",
    "half a list": "data.valid=[chr1",
    "nothing for a number": "optim.lr=",
    "nothing for a name": "data.split=",
    "null where there must be a value": "optim.lr=null",
    "a share above one": "data.test_fraction=1.5",
    "a section for a value": "model=",
    "a value for a section": "train=3",
    "a part of a value": "optim.lr.x=1",
    "Hydra's plus": "+optim.lr=1",
    "Hydra's package": "model@optim=tiny",
    "a line end in a key": "optim\nlr=1",
    "a line end in a value": "optim.lr=1\n2",
    "an escape in a value": "optim.lr=\x1b[31m",
    "a key of five thousand letters": "x" * 5000 + "=1",
}

OUTPUTS = {
    "prepare: exists": ["prepare", "genome.fa", "-o", "store"],
    "prepare: is the input": ["prepare", "genome.fa", "-o", "genome.fa", "--force"],
    "prepare: is a run": ["prepare", "genome.fa", "-o", "run", "--force"],
    "prepare: here": ["prepare", "genome.fa", "-o", "."],
    "prepare: everything": ["prepare", "genome.fa", "-o", "/", "--force"],
    "prepare: nothing": ["prepare", "genome.fa", "-o", ""],
    "prepare: standard output": ["prepare", "genome.fa", "-o", "-"],
    "prepare: within a file": ["prepare", "genome.fa", "-o", "synthetic.fa/x"],
    "prepare: a name too long": ["prepare", "genome.fa", "-o", LONG],
    "train: exists": ["train", "genome.fa", "-o", "run"],
    "train: is the input": ["train", "genome.fa", "-o", "genome.fa"],
    "train: standard output": ["train", "genome.fa", "-o", "-"],
    "train: nothing": ["train", "genome.fa", "-o", ""],
    "train: a device": ["train", "genome.fa", "-o", "/dev/full"],
    "train: within a file": [*TRAIN[:2], "-o", "synthetic.fa/x", *SMALL],
    "sample: exists": [*SAMPLE, "-o", "synthetic.fa"],
    "sample: a folder": [*SAMPLE, "-o", "run"],
    "sample: here": [*SAMPLE, "-o", "."],
    "sample: nothing": [*SAMPLE, "-o", ""],
    "sample: in a folder that is not there": [*SAMPLE, "-o", "no/where.fa"],
    "sample: within a file": [*SAMPLE, "-o", "genome.fa/x.fa"],
    "sample: a name too long": [*SAMPLE, "-o", LONG],
    "sample: a name with NUL": [*SAMPLE, "-o", "a\0b"],
    "sample: a name with an escape": [*SAMPLE, "-o", "no\x1b[2J/x.fa"],
    "sample: another compression": [*SAMPLE, "-o", "x.fa.bz2"],
    "evaluate: another format": [*EVALUATE, "-o", "x.xlsx"],
    "evaluate: exists": [*EVALUATE, "-o", "run/config.json"],
    "evaluate: in a folder that is not there": [*EVALUATE, "-o", "no/where.json"],
    "evaluate: nothing": [*EVALUATE, "-o", ""],
    "compare: another format": [*COMPARE, "-o", "x"],
    "compare: in a folder that is not there": [*COMPARE, "-o", "no/where.tsv"],
    "compare: another picture": [*COMPARE, "--picture", "x.pdf"],
    "compare: a picture in a folder that is not there": [*COMPARE, "--picture", "no/where.png"],
    "compare: a picture that exists": [*COMPARE, "--picture", "x.png"],
    "compare: is the input": [*COMPARE, "-o", "synthetic.fa"],
}

FULL = {
    "sample": [*SAMPLE, "-q", "-o", "/dev/full"],
    "evaluate": [*EVALUATE, "-q", "-o", "/dev/full"],
    "compare": [*COMPARE, "-q", "-o", "/dev/full"],
    "compare: a picture": [*COMPARE, "-q", "--picture", "/dev/full"],
}

MISTAKES = (
    {f"words: {case}": Mistake(words) for case, words in WORDS.items()}
    | {f"setting: {case}": Mistake(["config", "show", word]) for case, word in SETTINGS.items()}
    | {f"output: {case}": Mistake(words, write("x.png", "precious")) for case, words in OUTPUTS.items()}
    | {f"full: {case}": Mistake(words, code=4) for case, words in FULL.items()}
    | {
        "output: a dangling link": Mistake(
            [*SAMPLE, "-o", "link.fa"], lambda: Path("link.fa").symlink_to("elsewhere.fa")
        ),
        "output: a folder with the name of a report": Mistake(
            [*EVALUATE, "-o", "x.json"], lambda: Path("x.json").mkdir()
        ),
        "output: a report that exists": Mistake([*COMPARE, "-o", "x.tsv"], write("x.tsv", "precious")),
        "memory: a batch that no machine holds": Mistake([*BIG, "optim.batch_size=1000000000"], code=4),
        "memory: a model that no machine holds": Mistake([*BIG, "model.hidden_size=1048576"], code=4),
        "memory: blocks without end": Mistake([*BIG, "model.n_blocks=1000000000"], code=4),
    }
)


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])


def test_the_table_is_whole():
    from tests.reliability import (
        test_bad_benchmarks,
        test_bad_designs,
        test_bad_finetunes,
        test_bad_genomes,
        test_bad_probes,
        test_bad_runs,
        test_strangers,
    )

    modules = (
        test_bad_benchmarks,
        test_bad_designs,
        test_bad_finetunes,
        test_bad_genomes,
        test_bad_probes,
        test_bad_runs,
        test_strangers,
    )
    cases = [case for table in (MISTAKES, *(module.MISTAKES for module in modules)) for case in table]
    assert len(cases) == len(set(cases)) and set(cases) == set(MESSAGES)
    assert len(cases) >= 300
