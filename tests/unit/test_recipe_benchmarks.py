"""Time to a quality and the worth of choices: what their tables are made from."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.choices import CHOICES, Complementary, row_of
from benchmarks.time_to_quality import Run, result, summary
from dnadiff.config import compose
from dnadiff.diffusion import Batch, MaskedNELBO
from dnadiff.random import Draws
from tests.oracle import BASES
from tests.tiny import tiny_denoiser


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
    scores(tmp_path, runs[3], (1200, 1.97), (5400, 1.96))
    scores(tmp_path, runs[4], (1800, 1.98))
    scores(tmp_path, runs[5], (5400, 1.99))
    assert [Run.of(run.at(tmp_path)) for run in runs] == runs
    rows = [result(run, tmp_path, 1.955) for run in runs]
    assert [row["reached"] and row["reached"]["processor_seconds"] for row in rows] == [120, 180, 600, None, None, None]
    found = summary(rows)
    assert found["ours"] == {"lr": 5e-3, "batch": 32, "seeds": 3, "met": 3, "median_minutes": 3}
    assert found["upstream"] == {"lr": 1e-3, "batch": 32, "seeds": 2, "met": 0, "median_minutes": 60}
    assert found["times_less"] == 20 and found["at_least"]


def batch_of(rows, length):
    x0 = torch.tensor(BASES)[torch.randint(0, 4, (rows, length), generator=torch.Generator().manual_seed(0))]
    valid = torch.ones(rows, length, dtype=torch.bool)
    valid[1, -2:] = False
    return Batch(x0, valid)


def test_complementary_masks_hide_what_the_others_show():
    process = tiny_denoiser().process
    noised = Complementary(process).noise(batch_of(8, 16), Draws(0, range(8)))
    first, second = (noised.weight > 0).chunk(2)
    valid = batch_of(8, 16).valid[:4]
    assert torch.equal(first | second, valid) and (first & second).sum(-1).tolist() == [1] * 4
    n = valid.sum(-1)
    for masked, weight in zip((first, second), noised.weight.chunk(2), strict=True):
        assert torch.allclose(weight.max(-1).values, n / masked.sum(-1).double())


def test_complementary_masks_are_unbiased():
    """Over many draws both halves cost what masks of independent sizes cost."""
    denoiser, rows = tiny_denoiser(), 4000
    batch = batch_of(2, 4)
    many = Batch(batch.x0[:1].repeat(2 * rows, 1), batch.valid[:1].repeat(2 * rows, 1))
    with torch.no_grad():
        pairs = Complementary(denoiser.process)(denoiser, many, Draws(0, range(2 * rows))).nll.sum(-1).chunk(2)
        plain = MaskedNELBO(denoiser.process)(denoiser, many, Draws(1, range(2 * rows))).nll.sum(-1)
    for half in pairs:
        error = (half.var() / rows + plain.var() / len(plain)) ** 0.5
        assert abs(float(half.mean() - plain.mean())) < 4 * float(error)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_every_choice_is_a_preset_that_exists(choice):
    config = compose(["experiment=ecoli_cpu", *choice.words, f"model.length={choice.length}"])
    assert config.optim.batch_size == 32 and choice.batch * choice.length % 2048 == 0


def test_a_choice_that_was_not_measured_has_no_row():
    assert row_of("the preset", Path("nowhere")) is None
