"""The time estimator is -log p(x) less the mass outside [m(eps), m(1)], for every schedule; draws agree with both."""

import math

import numpy as np
import pytest
import torch
from scipy.special import betainc

from dnadiff.diffusion import SCHEDULES, Batch, MaskedNELBO
from dnadiff.random import Draws
from tests.oracle import LENGTH, SCHEDULE_NAMES, SEQUENCES, SUBSETS, P, Recorded, cross_entropy, ideal

ALMOST_ONE = 1 - 2**-53


def missing(schedule, x0, eps):
    """What the integral over the move chance loses outside [m(eps), m(1)], in closed form.

    int (1/m) m^k (1-m)^(n-k) dm over [a, b] is B(k, n-k+1) times a difference of regularised incomplete beta functions.
    """
    low, high = schedule.move_chance(torch.tensor([eps, 1.0], dtype=torch.float64)).tolist()
    lost = 0.0
    for k in range(1, LENGTH + 1):
        outside = 1 - betainc(k, LENGTH - k + 1, high) + betainc(k, LENGTH - k + 1, low)
        subsets = [s for s in SUBSETS if len(s) == k]
        lost += outside * sum(cross_entropy(x0, s) for s in subsets) / len(subsets) / k
    return lost


@pytest.mark.parametrize("eps", [1e-3, 0.2])
@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_time_objective_is_minus_log_p_less_the_missing_mass(name, eps):
    """Every mask at every node of a quadrature, through the objective's own code."""
    schedule = SCHEDULES[name]()
    denoiser = ideal(schedule)
    nodes, weights = np.polynomial.legendre.leggauss(240 if name == "square_root" else 80)  # 1 / sqrt(t) lies near
    u = torch.tensor((nodes + 1) / 2)
    masks = torch.tensor([[i in s for i in range(LENGTH)] for s in SUBSETS])
    move_chance = schedule.move_chance(eps + (1 - eps) * u)[:, None]
    size = masks.sum(-1)
    chance = move_chance**size * (1 - move_chance) ** (LENGTH - size)  # (nodes, subsets)
    draws = Recorded(u.repeat_interleave(len(masks)), torch.where(masks, 0.0, ALMOST_ONE).repeat(len(u), 1))
    for x0 in SEQUENCES[::13]:
        rows = len(u) * len(masks)
        batch = Batch(torch.tensor([x0] * rows), torch.ones(rows, LENGTH, dtype=torch.bool))
        loss = MaskedNELBO(denoiser.process, "time", eps)(denoiser, batch, draws)
        total = (loss.nll.sum(-1).reshape(len(u), -1) * chance).sum(-1) @ torch.tensor(weights / 2)
        assert total.item() == pytest.approx(-math.log(P[x0]) - missing(schedule, x0, eps), rel=1e-8)


@pytest.mark.parametrize("name", ["loglinear", "cosine", "geometric"])
def test_importance_sampling_has_the_same_mean(name):
    """Move chances even by their logarithm: one weight, the same integral, over every mask at every node."""
    schedule, eps = SCHEDULES[name](), 1e-3
    denoiser = ideal(schedule)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    u = torch.tensor((nodes + 1) / 2)
    masks = torch.tensor([[i in s for i in range(LENGTH)] for s in SUBSETS])
    low, high = schedule.move_chance(torch.tensor([eps, 1.0], dtype=torch.float64)).tolist()
    move_chance = torch.exp(math.log(low) + u * math.log(high / low))[:, None]
    size = masks.sum(-1)
    chance = move_chance**size * (1 - move_chance) ** (LENGTH - size)
    draws = Recorded(u.repeat_interleave(len(masks)), torch.where(masks, 0.0, ALMOST_ONE).repeat(len(u), 1))
    for x0 in SEQUENCES[::13]:
        rows = len(u) * len(masks)
        batch = Batch(torch.tensor([x0] * rows), torch.ones(rows, LENGTH, dtype=torch.bool))
        objective = MaskedNELBO(denoiser.process, "time", eps, importance_sampling=True)
        noised = objective.noise(batch, draws)
        told = schedule.move_chance(noised.t).reshape(len(u), -1)
        torch.testing.assert_close(told, move_chance.expand_as(told), rtol=1e-9, atol=0)
        total = (objective.loss(denoiser, batch, noised).nll.sum(-1).reshape(len(u), -1) * chance).sum(-1)
        want = -math.log(P[x0]) - missing(schedule, x0, eps)
        assert (total @ torch.tensor(weights / 2)).item() == pytest.approx(want, rel=1e-8)


def test_missing_mass_is_what_is_missing():
    """It is nothing when the whole range is covered, and everything when nothing is."""

    class Range:
        def __init__(self, *ends):
            self.ends = torch.tensor(ends, dtype=torch.float64)

        def move_chance(self, t):
            return self.ends

    for x0 in SEQUENCES[::13]:
        assert missing(Range(0, 1), x0, 0.0) == pytest.approx(0, abs=1e-12)
        assert missing(Range(0.5, 0.5), x0, 0.0) == pytest.approx(-math.log(P[x0]), rel=1e-12)


@pytest.mark.parametrize("estimator", ["count", "time"])
@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_monte_carlo_agrees(name, estimator):
    """The mean of real draws lies within 5 standard errors."""
    schedule, x0, rows = SCHEDULES[name](), SEQUENCES[17], 4000
    denoiser = ideal(schedule)
    batch = Batch(torch.tensor([x0] * rows), torch.ones(rows, LENGTH, dtype=torch.bool))
    loss = MaskedNELBO(denoiser.process, estimator)(denoiser, batch, Draws(11, range(rows))).nll.sum(-1)
    want = -math.log(P[x0]) - (missing(schedule, x0, 1e-3) if estimator == "time" else 0)
    assert abs(loss.mean().item() - want) < 5 * loss.std().item() / rows**0.5
