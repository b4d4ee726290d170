"""ReMDM: bounds of sigma, the law of its steps added up state by state, given bases, what it is without eta."""

import itertools
import math

import pytest
import torch

from dnadiff.diffusion import SCHEDULES, Linear, LogLinear, Loop, ReMDM
from dnadiff.diffusion.remasking import by_confidence
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, LENGTH, MASK, SCHEDULE_NAMES, P, chi_square_p, conditional, ideal
from tests.tiny import tiny_denoiser
from tests.truth.test_samplers import ancestral_law

N = 4000
STRATEGIES = {"cap": 0.3, "rescale": 0.6, "conf": 1.0, "loop": 0.08}
START = (MASK,) * LENGTH


def sampled(sampler, start=START, n=N):
    return sampler(torch.tensor([start] * n), Draws(0, range(n)))


def alphas(remask, steps, schedule):
    """alpha at the grid, from its definition: the schedule's, or 0 -> 0.9 -> 0.9 -> 1 with corners at 0.55 and 0.05."""
    grid = [1 - j / steps for j in range(steps)]
    if remask != "loop":
        return [schedule.alpha(torch.tensor(t, dtype=torch.float64)).item() for t in grid] + [1.0]
    return [2 * (1 - t) if t > 0.55 else 0.9 if t > 0.05 else 1 - 2 * t for t in grid] + [1.0]


def outcomes(x, psi, given, a, b, sigma, remembers):
    """What each position may be after a step, with its probability and, if remembered, that it was drawn with."""
    shown = [j for j in range(LENGTH) if x[j] != MASK]
    for i in range(LENGTH):
        s = sigma(i)
        if i in given:
            yield [(x[i], 1.0, None)]
        elif x[i] != MASK:
            yield [(x[i], 1 - s, psi[i]), (MASK, s, None)]
        else:
            chances = {c: conditional((*x[:i], c, *x[i + 1 :]), i, shown) for c in BASES}
            reveal = (b - (1 - s) * a) / (1 - a)
            drawn = [(c, reveal * p, p if remembers else None) for c, p in chances.items()]
            yield [(MASK, 1 - reveal, None), *drawn]


def law(remask, eta, steps, start=START, schedule=None):
    """The law of the last state, by adding up every path; a state remembers what each token was drawn with."""
    grid = alphas(remask, steps, schedule or LogLinear())
    given = [i for i in range(LENGTH) if start[i] != MASK]
    states = {(tuple(start), (None,) * LENGTH): 1.0}
    for j in range(steps):
        a, b = grid[j], grid[j + 1]
        highest = 1.0 if a == 0 else min(1.0, (1 - b) / a)
        inside = remask != "loop" or 0.05 < 1 - j / steps <= 0.55
        base = (min(eta, highest) if remask in ("cap", "loop") else eta * highest) if inside else 0.0
        grown = {}
        for (x, psi), p in states.items():
            total = sum(math.exp(-q) for q in psi if q is not None)

            def sigma(i, psi=psi, total=total, base=base):
                if remask != "conf":
                    return base
                return 0.0 if psi[i] is None else base * math.exp(-psi[i]) / total

            choices = [
                [pick for pick in each if pick[1] > 0]
                for each in outcomes(x, psi, given, a, b, sigma, remask == "conf")
            ]
            for (x0, p0, psi0), (x1, p1, psi1), (x2, p2, psi2) in itertools.product(*choices):
                state = ((x0, x1, x2), (psi0, psi1, psi2))
                grown[state] = grown.get(state, 0.0) + p * p0 * p1 * p2
        states = grown
    out = {}
    for (x, _), p in states.items():
        out[x] = out.get(x, 0.0) + p
    return out


def distance(one, other):
    """Total variation."""
    return sum(abs(one.get(x, 0.0) - other.get(x, 0.0)) for x in {*one, *other}) / 2


@pytest.mark.parametrize("remask", ["cap", "rescale", "loop"])
def test_steps_follow_the_posterior(remask):
    want = law(remask, STRATEGIES[remask], 6)
    assert sum(want.values()) == pytest.approx(1)
    sampler = ReMDM(ideal(), 6, remask=remask, eta=STRATEGIES[remask], rows_per_call=N)
    x = sampled(sampler)
    assert chi_square_p(x, want) > 1e-3
    assert distance(want, law(remask, 0.0, 6)) > 0.01, "remasking makes a difference that the test can see"


def test_another_schedule():
    """This one masks a little at t = 0 and leaves a little at t = 1; the last step reveals what is left."""
    schedule = Linear(0.2, 3.0)
    sampler = ReMDM(ideal(schedule), 4, remask="rescale", eta=0.6, rows_per_call=N)
    assert chi_square_p(sampled(sampler), law("rescale", 0.6, 4, schedule=schedule)) > 1e-3


@pytest.mark.parametrize("remask", ["cap", "conf"])
def test_given_bases_are_never_taken_back(remask):
    start = (MASK, 10, MASK)
    sampler = ReMDM(ideal(), 4, remask=remask, eta=1.0, rows_per_call=N)
    x = sampled(sampler, start)
    assert (x[:, 1] == 10).all()
    want = law(remask, 1.0, 4, start)
    assert chi_square_p(x, want) > 1e-3
    assert distance(want, law("cap", 0.0, 4, start)) > 0.01


def test_conf_takes_back_the_unlikely_first():
    """exp(-0.2) : exp(-0.9) = 2.01 : 1; nothing for what is masked or given."""
    psi = torch.tensor([[0.2, 0.9, 0.5], [0.1, 0.1, 0.1]], dtype=torch.float64)
    share = by_confidence(psi, torch.tensor([[True, True, False], [False, False, False]]))
    assert share[0].tolist() == pytest.approx([0.668188, 0.331812, 0], abs=1e-6)
    assert share[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("remask", ["cap", "rescale", "loop"])
def test_as_many_are_revealed_as_are_taken_back_beyond_the_schedule(remask, monkeypatch):
    """A position is masked at each grid point with probability 1 - alpha, so (1 - a) r of the rows reveal it."""
    steps, rows, eta = 6, 2000, STRATEGIES[remask]
    sampler, counts = ReMDM(tiny_denoiser(), steps, remask=remask, eta=eta, rows_per_call=rows), []
    draw = sampler.draw
    monkeypatch.setattr(sampler, "draw", lambda log_p, u, allowed: counts.append(len(log_p)) or draw(log_p, u, allowed))
    sampler(torch.full((rows, 1), MASK), Draws(0, range(rows)))
    grid, want = alphas(remask, steps, LogLinear()), []
    for j, (a, b) in enumerate(itertools.pairwise(grid)):
        inside = remask != "loop" or 0.05 < 1 - j / steps <= 0.55
        highest = 1.0 if a == 0 else min(1.0, (1 - b) / a)
        sigma = (eta * highest if remask == "rescale" else min(eta, highest)) if inside else 0.0
        masked = 1.0 if j == 0 else 1 - a
        want.append(rows * masked * (b - (1 - sigma) * a) / (1 - a))
    assert len(counts) == steps
    for count, mean in zip(counts, want, strict=True):
        assert abs(count - mean) < 5 * math.sqrt(mean)


@pytest.mark.parametrize("remask", ["cap", "rescale", "conf"])
def test_without_eta_it_is_ancestral(remask):
    want = ancestral_law(LogLinear(), 3)
    assert distance(law("cap", 0.0, 3), want) < 1e-12
    assert chi_square_p(sampled(ReMDM(ideal(), 3, remask=remask, eta=0.0, rows_per_call=N)), want) > 1e-3


def test_comes_near_p_as_steps_grow_and_eta_falls():
    gaps = [distance(law("cap", 2 / steps, steps), P) for steps in (4, 10)]
    assert gaps[1] < 0.5 * gaps[0]
    few = sampled(ReMDM(ideal(), 4, eta=0.5, rows_per_call=N))
    assert (
        chi_square_p(few, P) < 1e-3 < chi_square_p(sampled(ReMDM(ideal(), 40, eta=1 / 40, rows_per_call=N), n=1000), P)
    )


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("remask", STRATEGIES)
@pytest.mark.parametrize("name", [*SCHEDULE_NAMES, "no eps"])
def test_sigma_keeps_within_its_bounds(name, remask, steps):
    """0 <= sigma <= min(1, (1 - alpha_s) / alpha_t), and the chance to reveal is a probability; at the end it is 1."""
    schedule = LogLinear(0.0) if name == "no eps" else SCHEDULES[name]()
    for eta in (0.0, 0.02, 1.0):
        time, alpha, sigma = ReMDM(ideal(schedule), steps, remask=remask, eta=eta).path()
        a, b = alpha[:-1], alpha[1:]
        assert time.shape == sigma.shape == (steps,) and (0 <= time).all() and (time <= 1).all()
        assert (sigma >= 0).all() and (sigma <= 1).all() and (sigma * a <= 1 - b + 1e-15).all()
        reveal = (b - (1 - sigma) * a) / (1 - a)
        assert (reveal >= -1e-15).all() and (reveal <= 1 + 1e-12).all() and reveal[-1] == 1
        if remask in ("cap", "loop"):
            assert (sigma <= eta).all()


def test_loop_stays_at_its_plateau_and_tells_the_network_when_that_is():
    time, alpha, sigma = ReMDM(ideal(LogLinear(0.0)), 20, remask="loop", eta=0.02).path()
    assert alpha.tolist() == pytest.approx([j / 10 for j in range(10)] + [0.9] * 10 + [1.0])
    assert sigma.tolist() == pytest.approx([0.0] * 9 + [0.02] * 10 + [0.0], abs=1e-12)
    assert time.tolist() == pytest.approx([1 - a for a in alpha.tolist()[:-1]])


def test_remasked_positions_are_drawn_anew_and_counted():
    """At rate 1 everything revealed is masked again until the end; progress tells the net number."""
    told = []
    out = ReMDM(tiny_denoiser(), 50, remask="rescale", eta=1.0)(
        torch.full((1, 16), MASK), Draws(0, [0]), progress=told.append
    )
    assert sum(told) == 16 and min(told) < 0 and len(told) > 20
    assert (out != MASK).all()


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"steps": 0}, "steps=0"),
        ({"remask": "capp"}, "did you mean cap"),
        ({"eta": -0.1}, "eta=-0.1"),
        ({"eta": 1.5}, "eta=1.5"),
        ({"eta": math.nan}, "eta=nan"),
    ],
)
def test_impossible_settings(wrong, found):
    with pytest.raises(InputError, match=found):
        ReMDM(tiny_denoiser(), **{"steps": 4, **wrong})


@pytest.mark.parametrize("wrong", [{"t_on": 0.01}, {"t_off": 0.0}, {"t_on": 1.0}, {"alpha_on": 1.0}])
def test_impossible_loops(wrong):
    with pytest.raises(InputError, match="needs"):
        Loop(**wrong)
