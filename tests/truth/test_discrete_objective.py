"""The bound in T steps against divergences of posteriors, its gap against 1 / T, and its limit in continuous time."""

import itertools
import math

import pytest
import torch

from dnadiff.diffusion import (
    D3PM,
    AbsorbingProcess,
    Batch,
    CosineSquared,
    DiscreteNELBO,
    LogLinear,
    MaskedNELBO,
    Noised,
    Square,
    Subs,
)
from dnadiff.diffusion.timesteps import draw_steps
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.opinions import masked_ways, opinionated
from tests.oracle import BASES, LENGTH, MASK, SEQUENCES, VOCAB, P, Recorded, ideal

ALMOST_ONE = 1 - 2**-53
X0 = SEQUENCES[17]
PARAMETERIZATIONS = {
    "d3pm": D3PM(MASK, BASES),
    "d3pm with subs masking": D3PM(MASK, BASES, subs_masking=True),
    "subs": Subs(MASK, BASES),
    "subs without zero masking": Subs(MASK, BASES, zero_mask=False),
    "subs without carry-over": Subs(MASK, BASES, carry_over=False),
}


def ends_in_masks(schedule):
    """The same schedule, scaled so that nothing is left at t = 1 and nothing is masked at t = 0."""

    class Whole(type(schedule)):
        def move_chance(self, t):
            full = super().move_chance(torch.ones_like(t))
            return torch.where(t > 0, super().move_chance(t) / full, 0.0)

        def alpha(self, t):
            return 1 - self.move_chance(t)

    return Whole(1e-3)


def divergence(q, p):
    """KL(q || p) of the last dimension, nats."""
    return torch.where(q > 0, q * (q.clamp(min=1e-300) / p.clamp(min=1e-300)).log(), 0.0).sum(-1)


@pytest.mark.parametrize(
    "schedule", [LogLinear(1e-3), CosineSquared(1e-3), Square(1e-3)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_step_costs_the_divergence_of_the_posteriors(name, steps, schedule):
    """Every mask and every step, for a denoiser that is wrong everywhere, against ``process.posterior`` alone."""
    denoiser, process = opinionated(PARAMETERIZATIONS[name]), AbsorbingProcess(schedule, MASK)
    reference = AbsorbingProcess(ends_in_masks(schedule), MASK)
    xt = masked_ways(X0)
    batch = Batch(torch.tensor([X0] * len(xt)), torch.ones_like(xt, dtype=torch.bool))
    x0 = torch.nn.functional.one_hot(batch.x0, VOCAB).double()
    objective = DiscreteNELBO(process, steps)
    for j in range(1, steps + 1):
        t = torch.full((len(xt),), j / steps, dtype=torch.float64)
        loss = objective.loss(denoiser, batch, Noised(xt, t, (xt == MASK).double() * steps))
        s = torch.full_like(t, (j - 1) / steps)
        true, model = (reference.posterior(p, xt, t, s) for p in (x0, denoiser(xt, t).exp()))
        torch.testing.assert_close(loss.nll, steps * divergence(true, model), rtol=1e-9, atol=1e-9)


def bound(denoiser, process, x0, steps):
    """E[loss] of a row over every step and every mask, each with its probability, through the objective's own noise."""
    hidden = masked_ways(x0) == MASK
    n = len(hidden)
    time = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    draws = Recorded(time.repeat_interleave(n), torch.where(hidden, 0.0, ALMOST_ONE).repeat(steps, 1))
    batch = Batch(torch.tensor([x0] * steps * n), torch.ones(steps * n, LENGTH, dtype=torch.bool))
    objective = DiscreteNELBO(process, steps)
    noised = objective.noise(batch, draws)
    share = process.schedule.move_chance(noised.t) / process.schedule.move_chance(torch.ones(1, dtype=torch.float64))
    count = hidden.sum(-1).repeat(steps)
    chance = share**count * (1 - share) ** (LENGTH - count) / steps
    whole = torch.where(share == 1, (count == LENGTH) / steps, chance)
    assert whole.sum().item() == pytest.approx(1)
    # at t = 1 everything is masked, whatever the uniforms are; those rows have their probability in the last one
    return (objective.loss(denoiser, batch, noised).nll.sum(-1) * whole).sum().item()


@pytest.mark.parametrize("schedule", [LogLinear(1e-3), CosineSquared(1e-3)], ids=lambda s: type(s).__name__)
def test_the_gap_is_positive_and_halves_as_steps_double(schedule):
    """With ideal conditionals, on average over p."""
    denoiser = ideal(schedule)
    entropy = -sum(p * math.log(p) for p in P.values())
    gaps = []
    for steps in (8, 16, 32, 64):
        gaps.append(sum(p * bound(denoiser, denoiser.process, x, steps) for x, p in P.items()) - entropy)
    assert all(gap > 0 for gap in gaps)
    ratios = [a / b for a, b in itertools.pairwise(gaps)]
    assert ratios[-1] == pytest.approx(2, abs=0.1) and all(1.7 < ratio < 2.2 for ratio in ratios)


def test_one_step_pays_for_independence():
    """T = 1: every position from its marginal."""
    denoiser = ideal()
    marginals = -sum(math.log(sum(p for y, p in P.items() if y[i] == X0[i])) for i in range(LENGTH))
    assert bound(denoiser, denoiser.process, X0, 1) == pytest.approx(marginals, rel=1e-12)


@pytest.mark.parametrize("name", ["d3pm", "subs", "subs without zero masking"])
@pytest.mark.parametrize("time", [0.05, 0.5, 0.95])
def test_continuous_time_is_the_limit_of_many_steps(name, time):
    """A masked token's cost, probability on the mask included."""
    denoiser, process, steps = opinionated(PARAMETERIZATIONS[name]), AbsorbingProcess(LogLinear(0.0), MASK), 10**6
    xt = masked_ways(X0)
    batch = Batch(torch.tensor([X0] * len(xt)), torch.ones_like(xt, dtype=torch.bool))
    t = torch.full((len(xt),), time, dtype=torch.float64)
    masked = (xt == MASK).double()
    fine = DiscreteNELBO(process, steps).loss(denoiser, batch, Noised(xt, t, masked * steps)).nll
    weight = masked * process.schedule.weight(t)[:, None]
    limit = MaskedNELBO(process, "time").loss(denoiser, batch, Noised(xt, t, weight)).nll
    torch.testing.assert_close(fine, limit, rtol=1e-4, atol=1e-4)
    counted = MaskedNELBO(process).loss(denoiser, batch, Noised(xt, t, weight)).nll
    assert torch.equal(counted, limit)


@pytest.mark.parametrize(
    "make", [lambda p, r: DiscreteNELBO(p, 10, reconstruction=r), lambda p, r: MaskedNELBO(p, reconstruction=r)]
)
def test_reconstruction_is_what_shown_tokens_cost(make):
    parameterization = PARAMETERIZATIONS["subs without carry-over"]
    denoiser, process = opinionated(parameterization), AbsorbingProcess(LogLinear(), MASK)
    x0 = torch.tensor([X0, SEQUENCES[40], SEQUENCES[3]])
    valid = torch.tensor([[True] * 3, [True, True, False], [True] * 3])
    given = torch.tensor([[False] * 3, [False] * 3, [True, False, False]])
    batch, draws = Batch(x0, valid, given), Draws(0, range(3))
    extra = make(process, True)(denoiser, batch, draws).nll - make(process, False)(denoiser, batch, draws).nll
    shown = -denoiser(x0, torch.zeros(3)).gather(-1, x0[..., None])[..., 0]
    torch.testing.assert_close(extra, torch.where(valid & ~given, shown, 0.0))
    carried = opinionated(PARAMETERIZATIONS["subs"])
    assert torch.equal(make(process, True)(carried, batch, draws).nll, make(process, False)(carried, batch, draws).nll)


def test_steps_are_uniform_and_stratified():
    steps = draw_steps(Draws(0, range(700)), 7)
    counts = torch.bincount(steps, minlength=8)
    assert counts[0] == 0 and counts[1:].min() >= 98 and counts[1:].max() <= 102


def test_times_lie_on_the_grid_and_rates_follow_the_schedule():
    process, rows = AbsorbingProcess(LogLinear(1e-3), MASK), 4000
    batch = Batch(torch.full((rows, 20), 7), torch.ones(rows, 20, dtype=torch.bool))
    noised = DiscreteNELBO(process, 4).noise(batch, Draws(0, range(rows)))
    for j in range(1, 5):
        here = noised.t == j / 4
        share = (noised.xt[here] == MASK).double().mean().item()
        assert share == pytest.approx(j / 4, abs=0.015) if j < 4 else share == 1
    assert torch.equal(noised.weight, (noised.xt == MASK) * 4.0)


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="T=0: the number of steps is 1 or more"):
        DiscreteNELBO(AbsorbingProcess(LogLinear(), MASK), 0)
