"""The search for the noise levels to train on, against variances computed from the samples themselves."""

import json

import numpy as np
import pytest
import torch

from dnadiff.diffusion import Batch, BlockNELBO, Clip
from dnadiff.diffusion.noise_search import (
    Moments,
    moments,
    published_candidates,
    published_choice,
    ranges,
    scores,
    steadiest,
)
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import MASK
from tests.tiny import tiny_denoiser


def validation_pass(size, rows=60, length=18):
    denoiser = tiny_denoiser()
    objective = BlockNELBO(denoiser.process, size)
    x0 = torch.randint(7, 11, (rows, length), generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(x0, dtype=torch.bool)
    valid[::5, 1] = False  # the first block of these rows is not whole
    batch = Batch(x0, valid)
    noised = objective.noise(batch, Draws(0, range(rows)))
    with torch.no_grad():
        return objective.loss(denoiser, batch, noised), noised


@pytest.mark.parametrize("size", [1, 4, 5])
def test_scores_are_variance_over_squared_mean_of_the_samples_in_the_range(size):
    loss, noised = validation_pass(size)
    values = {k: [] for k in range(1, size + 1)}
    for row in range(60):
        for start in range(0, 18 - size + 1, size):
            block = slice(start, start + size)
            if loss.valid[row, block].all():
                k = int((noised.xt[row, block] == MASK).sum())
                values[k].append(float(loss.nll[row, block].sum()) / size)
    candidates = ranges(size)
    want = []
    for low, high in candidates.tolist():
        sample = np.concatenate([values[k] for k in range(low, high + 1)])
        want.append(sample.var(ddof=1) / sample.mean() ** 2)
    found = moments(loss, noised, size)
    torch.testing.assert_close(scores(found, candidates), torch.tensor(want), rtol=1e-6, atol=1e-9)
    best = candidates[int(np.argmin(want))].tolist()
    assert steadiest(found) == Clip(*best)


def test_moments_add_up_over_batches():
    loss, noised = validation_pass(4)
    whole = moments(loss, noised, 4)
    parts = [
        moments(type(loss)(loss.nll[i], loss.valid[i]), type(noised)(noised.xt[i], noised.t[i], noised.weight[i]), 4)
        for i in (slice(0, 23), slice(23, 60))
    ]
    for ours, theirs in zip(vars(parts[0] + parts[1]).values(), vars(whole).values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert whole.number.sum() == 60 * 4 - 12


def test_ranges_cover_half_or_more():
    assert ranges(1).tolist() == [[1, 1]]
    assert ranges(4).tolist() == [[1, 4], [1, 3], [2, 4], [1, 2], [2, 3], [3, 4]]
    assert ranges(3).tolist() == [[1, 3], [1, 2], [2, 3]]


def test_scale_does_not_matter_and_the_steady_range_wins():
    number = torch.full((4,), 100.0, dtype=torch.float64)
    mean = torch.tensor([1.0, 2.0, 2.0, 1.0], dtype=torch.float64)
    spread = torch.tensor([0.9, 0.1, 0.1, 0.9], dtype=torch.float64)
    found = Moments(number, number * mean, number * (mean.square() + spread.square()))
    assert steadiest(found) == Clip(2, 3)
    scaled = Moments(number, 7 * found.total, 49 * found.square)
    torch.testing.assert_close(scores(scaled, ranges(4)), scores(found, ranges(4)))


def test_a_clip_is_plain_json():
    clip = Clip(2, 3)
    assert Clip(*json.loads(json.dumps(clip))) == clip


def test_nothing_to_search_in():
    zeros = torch.zeros(4, dtype=torch.float64)
    with pytest.raises(InputError, match="more validation windows"):
        steadiest(Moments(zeros, zeros, zeros))


def test_published_candidates():
    assert published_candidates(1) == [Clip(1e-3, 1.0), Clip(1.0, 1.0)]
    assert published_candidates(4, widths=()) == [Clip(1e-3, 1.0)]
    found = published_candidates(4)
    assert len(found) == 36
    assert found[1:4] == [Clip(1e-3, 0.5), Clip(0.05, 0.55), Clip(0.1, 0.6)]


def test_published_choice_is_the_least_sum_of_variances():
    generator = np.random.default_rng(0)
    nelbos = generator.normal(size=(3, 4, 2, 8)) * np.array([2.0, 1.0, 1.5])[:, None, None, None]
    variances = [sum(np.var(batch, ddof=1) for batch in candidate) for candidate in nelbos]
    assert np.argmin(variances) == 1
    sums = torch.tensor(nelbos).flatten(2).var(-1).sum(-1)
    assert published_choice(published_candidates(4)[:3], sums) == Clip(0.001, 0.5)
    with pytest.raises(InputError, match="more validation windows"):
        published_choice(published_candidates(4)[:3], sums * torch.nan)
