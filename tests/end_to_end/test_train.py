"""From a genome to sequences: train, sample, evaluate, in seconds."""

import json

import pytest

from dnadiff.cli import main
from tests.runs import SETTINGS, log_of, run, weights_hash, write_genome

LONGER = {"train__steps": 150, "train__val_every": 150, "train__checkpoint_every": 150, "optim__batch_size": 16}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


def test_a_model_learns_writes_and_is_scored(genome, tmp_path, capsys):
    changes = {key.replace("__", "."): value for key, value in LONGER.items()}
    words = [f"{key}={value}" for key, value in (SETTINGS | changes).items()]
    folder = tmp_path / "run"
    assert main(["train", genome, *words, "-o", str(folder)]) == 0
    last = log_of(folder)[-1]
    unigram = 2.0  # the genome has as many A as C, G and T
    assert float(last["train_bits_per_base"]) < 0.9 * unigram
    assert float(last["valid_bits_per_base"]) + 3 * float(last["valid_standard_error"]) < unigram
    assert "beats Markov order 0" in capsys.readouterr().err
    assert main(["sample", str(folder), "-n", "4", "--seed", "1", "-o", str(tmp_path / "s.fa"), "-q"]) == 0
    records = (tmp_path / "s.fa").read_text().split(">")[1:]
    bases = ["".join(record.splitlines()[1:]) for record in records]
    assert len(bases) == 4 and all(len(b) == 32 and set(b) <= set("ACGT") for b in bases)
    assert sum(b.count(pair) for b in bases for pair in ("AC", "CG", "GT", "TA")) > 0.5 * 31 * 4  # chance: a quarter
    assert main(["evaluate", str(folder), "-o", str(tmp_path / "r.json"), "--seed", "1", "-q"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["bits_per_base"] < unigram


def test_workers_change_no_number(genome, tmp_path):
    none, two = (run(genome, tmp_path / f"w{n}", data__workers=n, model__dropout=0.1) for n in (0, 2))
    assert log_of(none) == log_of(two)
    assert weights_hash(none) == weights_hash(two)
