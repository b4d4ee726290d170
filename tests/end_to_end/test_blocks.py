"""Block diffusion from the command line: one model, any block size and any length."""

import json

import pytest
from Bio import SeqIO

from dnadiff.checkpoints.folder import read_spec
from dnadiff.cli import main
from dnadiff.config import compose
from dnadiff.errors import InputError
from dnadiff.recipes.evaluate import evaluate
from tests.runs import run, write_genome


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    return run(write_genome(folder / "g.fa"), folder / "run", algo="bd3lm", block_size=4, train__steps=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(write_genome(folder / "g.fa"), folder / "run", train__steps=1)


def test_the_folder_says_how_large_the_blocks_are(trained):
    spec = read_spec(trained / "model")
    assert spec["block_size"] == 4 and spec["bos"] and spec["algo"] == "bd3lm"
    assert spec["objective"] == {"name": "block_nelbo", "block_size": 4, "estimator": "count"}


def sampled(folder, out, *options):
    """The records of one call of ``sample``."""
    assert main(["sample", str(folder), "--seed", "5", "-q", "-o", str(out), *options]) == 0
    with open(out) as file:
        return {record.id: str(record.seq) for record in SeqIO.parse(file, "fasta")}


def test_the_same_sequences_at_every_batch_size(trained, tmp_path):
    words = ["-n", "2", "--length", "90", "--tokens-per-step", "4"]
    together = sampled(trained, tmp_path / "a.fa", *words)
    assert [len(sequence) for sequence in together.values()] == [90, 90]
    assert set("".join(together.values())) <= set("ACGT")
    assert sampled(trained, tmp_path / "b.fa", *words, "--batch-size", "1") == together
    assert sampled(trained, tmp_path / "c.fa", *words, "--block-size", "2") != together
    assert json.loads((tmp_path / "c.fa.provenance.json").read_text())["block_size"] == 2


def test_any_length(trained, whole, tmp_path, capsys):
    """Longer than a model of whole sequences would go."""
    words = ["-n", "1", "--length", "2100"]
    found = sampled(trained, tmp_path / "a.fa", *words, "--block-size", "32", "--tokens-per-step", "32")
    assert [len(sequence) for sequence in found.values()] == [2100]
    assert main(["sample", str(whole), "-o", str(tmp_path / "b.fa"), *words]) == 2
    assert "--length 2100" in capsys.readouterr().err


def test_a_model_can_be_scored_in_other_blocks(trained):
    figures = {
        size: evaluate(str(trained), split="valid", seed=1, block_size=size, quiet=True) for size in (None, 4, 1)
    }
    assert figures[None]["rows"][0] == figures[4]["rows"][0]
    assert figures[1]["rows"][0]["name"] == "model (exact)"
    assert figures[1]["rows"][0]["bits_per_base"] != figures[4]["rows"][0]["bits_per_base"]


def test_block_sizes_that_do_not_fit(trained, whole, capsys):
    with pytest.raises(InputError, match="--block-size 4: the model reads whole sequences"):
        evaluate(str(whole), block_size=4, quiet=True)
    with pytest.raises(InputError, match="--block-size 4096: the model reads"):
        evaluate(str(trained), block_size=4096, quiet=True)
    for folder, *words in (
        (whole, "--block-size", "4"), (trained, "--block-size", "4096"), (trained, "--sampler", "remdm"),
        (trained, "--stride", "8"),
    ):  # fmt: skip
        assert main(["sample", str(folder), "-q", *words]) == 2
        assert " ".join(words) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["block_size=4"], "belongs to algo=bd3lm"),
        (["algo=bd3lm", "block_size=null"], "block_size=16 would work"),
        (["algo=bd3lm", "model.length=8"], "block_size=16"),
        (["algo=bd3lm", "model.stem=9"], "a stem sees bases to the right"),
        (["algo=bd3lm", "data.bos=false"], r"begins with \[BOS\]"),
    ],
)
def test_settings_that_do_not_fit(overrides, message):
    with pytest.raises(InputError, match=message):
        compose(overrides)


def test_the_preset_takes_a_model_with_a_stem():
    config = compose(["algo=bd3lm", "model=nano"])
    assert config.model.stem == 0 and config.block_size == 16 and config.estimator == "count"
