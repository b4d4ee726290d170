"""Time to a quality and the worth of choices: what their tables are made from."""

import json
from pathlib import Path

import pytest

from benchmarks.choices import CHOICES, row_of
from benchmarks.time_to_quality import Run, result, summary
from dnadiff.config import compose


def scores(work, run, *lines):
    """What a run left behind: pairs of processor seconds and bits."""
    text = "".join(
        json.dumps({"step": i, "processor_seconds": s, "seconds": s, "bits_per_base": b}) + "\n"
        for i, (s, b) in enumerate(lines)
    )
    run.at(work).write_text(text)


def test_the_time_to_a_quality_is_that_of_the_first_score_that_is_good_enough(tmp_path):
    runs = [Run("ours", 5e-3, 32, seed) for seed in (1, 2, 3)] + [Run("upstream", 1e-3, 32, seed) for seed in (1, 2)]
    runs += [Run("upstream", 3e-4, 8, 1)]
    for run, seconds in zip(runs[:3], (120, 180, 600), strict=True):
        scores(tmp_path, run, (seconds / 2, 1.96), (seconds, 1.955), (2 * seconds, 1.94))
    scores(tmp_path, runs[3], (300, 1.99), (1200, 1.97), (5400, 1.96))
    scores(tmp_path, runs[4], (1800, 1.98))
    scores(tmp_path, runs[5], (400, 1.995))
    assert [Run.of(run.at(tmp_path)) for run in runs] == runs
    rows = [result(run, tmp_path, 1.955) for run in runs]
    assert [row["reached"] and row["reached"]["processor_seconds"] for row in rows] == [120, 180, 600, None, None, None]
    found = summary(runs, tmp_path, 1.955)
    assert found["ours"] == {"lr": 5e-3, "batch": 32, "seeds": 3, "met": 3, "median_minutes": 3}
    assert found["upstream"] == {"lr": 1e-3, "batch": 32, "seeds": 2, "met": 0, "median_minutes": 60}
    assert found["times_less"] == 20 and found["at_least"]


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_every_choice_is_a_preset_that_exists(choice):
    config = compose(["experiment=ecoli_cpu", "algo=mdlm", *choice.words, f"model.length={choice.length}"])
    assert config.optim.batch_size == 32 and choice.batch * choice.length % 2048 == 0


def test_a_choice_that_was_not_measured_has_no_row():
    assert row_of("even counts", Path("nowhere")) is None
