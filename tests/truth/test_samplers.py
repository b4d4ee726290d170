"""Samplers against laws added up from the table: chi-square, infilling, several tokens a step, allowed sets."""

import itertools

import pytest
import torch

from dnadiff.diffusion import SCHEDULES, AbsorbingProcess, Ancestral, FirstHitting
from dnadiff.random import Draws
from tests.oracle import LENGTH, MASK, SCHEDULE_NAMES, SEQUENCES, VOCAB, P, chi_square_p, ideal, law_of_reveals, mixture

N = 4000
ORDERS = list(itertools.permutations(range(LENGTH)))


def sampled(sampler, start=(MASK,) * LENGTH, seed=0, **kwargs):
    return sampler(torch.tensor([start] * N), Draws(seed, range(N)), **kwargs)


def test_the_oracle_agrees_with_itself():
    """One position at a time, in any order, the law of reveals is the table."""
    for order in ORDERS:
        law = law_of_reveals([(i,) for i in order])
        assert all(law[x] == pytest.approx(P[x], rel=1e-12) for x in SEQUENCES)


def test_first_hitting_draws_p():
    assert chi_square_p(sampled(FirstHitting(ideal(), rows_per_call=N)), P) > 1e-3


@pytest.mark.parametrize("given", [(0,), (2,), (1, 2)])
def test_first_hitting_infills_from_the_exact_conditional(given):
    """Wherever the given bases lie, also to the right."""
    truth = (8, 10, 7)
    start = [truth[i] if i in given else MASK for i in range(LENGTH)]
    fits = {x: p for x, p in P.items() if all(x[i] == truth[i] for i in given)}
    law = {x: p / sum(fits.values()) for x, p in fits.items()}
    assert chi_square_p(sampled(FirstHitting(ideal(), rows_per_call=N), start), law) > 1e-3


@pytest.mark.parametrize("k", [2, 3])
def test_several_tokens_a_step_follow_their_own_law(k):
    laws = [(1 / len(ORDERS), law_of_reveals([o[i : i + k] for i in range(0, LENGTH, k)])) for o in ORDERS]
    x = sampled(FirstHitting(ideal(), k, rows_per_call=N))
    assert chi_square_p(x, mixture(laws)) > 1e-3
    assert chi_square_p(x, P) < 1e-6  # it is an approximation, and the test can tell


def test_allowed_tokens_are_renormalised_at_each_reveal():
    sets = [{7, 9}, {7, 8, 9, 10}, {10}]
    allowed = torch.zeros(LENGTH, VOCAB, dtype=torch.bool)
    for i, tokens in enumerate(sets):
        allowed[i, list(tokens)] = True
    laws = [(1 / len(ORDERS), law_of_reveals([(i,) for i in o], allowed=sets)) for o in ORDERS]
    x = sampled(FirstHitting(ideal(), rows_per_call=N), allowed=allowed)
    assert chi_square_p(x, mixture(laws)) > 1e-3


def reveal_chances(schedule, steps):
    """The probability that the posterior reveals a position in each step."""
    process = AbsorbingProcess(schedule, MASK)
    grid = [torch.tensor([1 - j / steps], dtype=torch.float64) for j in range(steps + 1)]
    p_x0 = torch.nn.functional.one_hot(torch.tensor([[7]]), VOCAB).double()
    survive, chances = 1.0, []
    for t, s in itertools.pairwise(grid[:-1]):
        stay = process.posterior(p_x0, torch.tensor([[MASK]]), t, s)[0, 0, MASK].item()
        chances.append(survive * (1 - stay))
        survive *= stay
    return [*chances, survive]  # the last step reveals the rest


def ancestral_law(schedule, steps):
    """Every assignment of positions to steps with its probability."""
    chances, laws = reveal_chances(schedule, steps), []
    for steps_of in itertools.product(range(steps), repeat=LENGTH):
        groups = [[i for i in range(LENGTH) if steps_of[i] == j] for j in range(steps)]
        weight = chances[steps_of[0]] * chances[steps_of[1]] * chances[steps_of[2]]
        laws.append((weight, law_of_reveals([g for g in groups if g])))
    return mixture(laws)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_ancestral_follows_the_posterior_step_by_step(name):
    schedule = SCHEDULES[name]()
    law = ancestral_law(schedule, 3)
    assert chi_square_p(sampled(Ancestral(ideal(schedule), 3, rows_per_call=N)), law) > 1e-3


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_ancestral_reveals_at_the_posteriors_pace(name, steps):
    """The share of positions planned for each step is the posterior's chance of leaving the mask there."""
    schedule, n = SCHEDULES[name](), 100_000
    chances = reveal_chances(schedule, steps)
    u = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[None]
    plan = Ancestral(ideal(schedule), steps).plan(torch.ones(1, n, dtype=torch.bool), u)
    shares = torch.bincount(plan.step[0], minlength=steps) / n
    assert shares.tolist() == pytest.approx(chances, abs=2e-5)
    torch.testing.assert_close(plan.time[0], 1 - plan.step[0] / steps)


def test_ancestral_with_many_steps_draws_p():
    assert chi_square_p(sampled(Ancestral(ideal(), 1000, rows_per_call=N)), P) > 1e-3


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_first_hitting_tells_the_network_the_time_of_the_hit(name):
    """m(t) / m(1) is the largest uniform still masked, and positions go in that order."""
    schedule = SCHEDULES[name]()
    u = torch.tensor([[0.2, 0.9, 0.5, 0.7]], dtype=torch.float64)
    masked = torch.tensor([[True, False, True, True]])
    plan = FirstHitting(ideal(schedule)).plan(masked, u)
    assert plan.step[masked].tolist() == [2, 1, 0]
    full = schedule.move_chance(torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(schedule.move_chance(plan.time)[masked] / full, u[masked], rtol=1e-9, atol=0)
    pair = FirstHitting(ideal(schedule), 2).plan(masked, u)
    assert pair.step[masked].tolist() == [1, 0, 0]
    assert pair.time[0, 2] == pair.time[0, 3] == plan.time[0, 3]
