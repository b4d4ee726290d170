"""Several fine-tunings under a protocol: what each is, that nothing is run twice, and what is made of them."""

import json

import numpy as np
import pytest

from dnadiff.errors import InputError
from dnadiff.recipes import protocols
from dnadiff.recipes.protocols import run_protocol, summary
from tests.labels import write_task

SMALL = [
    "model.hidden_size=8", "model.n_blocks=1", "model.n_heads=1", "model.stem=0", "optim.batch_size=8",
    "train.epochs=0.5", "bootstrap=0", "baselines=false",
]  # fmt: skip


@pytest.fixture
def begun(monkeypatch):
    """The settings of every fine-tuning that is begun."""
    seen, before = [], protocols.finetune

    def finetune(config, out, **options):
        seen.append((config.seed, config.data.redraw, config.data.fold))
        return before(config, out, **options)

    monkeypatch.setattr(protocols, "finetune", finetune)
    return seen


def test_seeds_make_a_mean_and_nothing_is_run_twice(tmp_path, begun):
    data = str(write_task(tmp_path / "task", 24))
    first = run_protocol("redrawn", "scratch", data, tmp_path / "out", SMALL, seeds=[1])
    lines = run_protocol("redrawn", "scratch", data, tmp_path / "out", SMALL, seeds=[1, 2])
    assert begun == [(1, True, None), (2, True, None)] and lines[0] == first[0]
    written = [json.loads(line) for line in (tmp_path / "out" / "runs.jsonl").read_text().splitlines()]
    assert written == lines and [line["name"] for line in lines] == ["redrawn-1", "redrawn-2"]
    accuracy = [next(row for row in line["rows"] if row["part"] == "test")["accuracy"] for line in lines]
    found = summary(lines)["fine-tuned"]["accuracy"]
    assert found == {"mean": np.mean(accuracy), "low": min(accuracy), "high": max(accuracy), "runs": 2}


def test_leaving_one_out_is_a_fold_an_example(tmp_path, begun):
    rows = ["ACGTAC,1", "GGGCCA,0", "ATATAT,1", "GGGCCA,0"]
    (tmp_path / "x.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n")
    settings = [*SMALL, "data.valid_fraction=0"]
    lines = run_protocol("leave_one_out", "scratch", str(tmp_path / "x.csv"), tmp_path / "out", settings, seeds=[1])
    assert [fold for _, _, fold in begun] == ["1/3", "2/3", "3/3"]
    assert sorted(line["rows"][0]["n"] for line in lines) == [1, 1, 2]
    figures = summary(lines)["fine-tuned"]
    assert "auroc" not in figures and figures["accuracy"]["runs"] == 3


def test_a_protocol_that_there_is_not(tmp_path):
    with pytest.raises(InputError, match="protocol redrawm: did you mean redrawn"):
        run_protocol("redrawm", "scratch", "x.csv", tmp_path / "out")
