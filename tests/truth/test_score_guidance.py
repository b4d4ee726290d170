"""Guidance by a score, against tables whose tilted laws are added up by hand."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

from dnadiff.diffusion import (
    AbsorbingProcess,
    Ancestral,
    Autoregressive,
    FirstHitting,
    IdealDenoiser,
    LogLinear,
    ScoreGuided,
    Sliding,
)
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import (
    BASES,
    LENGTH,
    MASK,
    SEQUENCES,
    VOCAB,
    P,
    chi_square_p,
    conditional,
    ideal,
    law_of_reveals,
    mixture,
)
from tests.tiny import tiny_denoiser, tiny_next_token

N = 2000
MANY = 150  # candidates: what their number still changes, 1 / MANY, is below what N draws can see
ORDERS = list(itertools.permutations(range(LENGTH)))
SHARES = np.random.default_rng(3).dirichlet([2.0] * 4, LENGTH)
INDEPENDENT = {x: math.prod(SHARES[i, BASES.index(b)] for i, b in enumerate(x)) for x in SEQUENCES}
WORTH = dict(zip(SEQUENCES, np.random.default_rng(5).normal(size=len(SEQUENCES)).tolist(), strict=True))
WORTHS = torch.tensor(list(WORTH.values()))
PLACES = torch.tensor([16, 4, 1])  # in the order of SEQUENCES


def score(tokens):
    """Any number for any sequence: nothing that adds up over positions."""
    return WORTHS[((tokens - BASES[0]) * PLACES).sum(-1)]


def independent():
    p = torch.tensor([INDEPENDENT[x] for x in SEQUENCES], dtype=torch.float64)
    return IdealDenoiser(torch.tensor(SEQUENCES), p, AbsorbingProcess(LogLinear(), MASK), VOCAB)


def tilted(law, gamma):
    weights = {x: p * math.exp(gamma * WORTH[x]) for x, p in law.items()}
    return {x: w / sum(weights.values()) for x, w in weights.items()}


def sampled(denoiser, gamma, candidates, n=N, seed=0, given=(MASK,) * LENGTH, steps=FirstHitting):
    sampler = ScoreGuided(steps(denoiser, rows_per_call=n), score, gamma, candidates=candidates)
    return sampler(torch.tensor([given]).repeat(n, 1), Draws(seed, range(n)))


@pytest.mark.parametrize("gamma", [2.0])
def test_where_positions_are_independent_many_candidates_draw_the_tilted_law(gamma):
    assert chi_square_p(sampled(independent(), gamma, MANY), tilted(INDEPENDENT, gamma)) > 1e-3


def test_given_bases_are_kept_and_the_rest_is_tilted_given_them():
    x = sampled(independent(), 1.0, MANY, given=(MASK, 9, MASK))
    want = tilted({x: p for x, p in INDEPENDENT.items() if x[1] == 9}, 1.0)
    assert chi_square_p(x, want) > 1e-3


def test_elsewhere_a_step_weighs_completions_whose_positions_know_nothing_of_each_other():
    """The limit of a step, added up over all completions: q(x_i) E_q[exp(gamma score) | x_i]."""

    def looking_ahead(x, i, shown):
        weights = {}
        opens = [j for j in range(LENGTH) if j not in shown]
        for y in SEQUENCES:
            if all(y[j] == x[j] for j in shown):
                q = math.prod(conditional(y, j, shown) for j in opens)
                weights[y[i]] = weights.get(y[i], 0.0) + q * math.exp(WORTH[y])
        return weights[x[i]] / sum(weights.values())

    laws = [law_of_reveals([(i,) for i in order], conditional=looking_ahead) for order in ORDERS]
    want = mixture([(1 / len(ORDERS), law) for law in laws])
    assert chi_square_p(sampled(ideal(), 1.0, MANY), want) > 1e-3


@functools.cache
def of_two(shown, seen, gamma=3.0):
    """Law of the completion that is chosen of two, over the rows of SEQUENCES, added up over all pairs."""
    opens = [j for j in range(LENGTH) if j not in shown]
    fits = [all(y[j] == token for j, token in zip(shown, seen, strict=True)) for y in SEQUENCES]
    q = np.array([
        math.prod(conditional(y, j, shown) for j in opens) if fit else 0.0
        for y, fit in zip(SEQUENCES, fits, strict=True)
    ])  # fmt: skip
    w = np.exp(gamma * np.array([WORTH[y] for y in SEQUENCES]))
    return 2 * q * ((w[:, None] / (w[:, None] + w)) @ q)


def test_two_candidates_at_a_step_have_the_law_of_all_pairs():
    """Every step draws its own two: what one has chosen does not come back in the next."""

    def chosen(x, i, shown):
        law = of_two(tuple(shown), tuple(x[j] for j in shown))
        return sum(p for y, p in zip(SEQUENCES, law, strict=True) if y[i] == x[i])

    want = mixture([(1 / len(ORDERS), law_of_reveals([(i,) for i in o], conditional=chosen)) for o in ORDERS])
    assert sum(want.values()) == pytest.approx(1)
    assert chi_square_p(sampled(ideal(), 3.0, 2, n=3000), want) > 1e-3


def test_one_candidate_or_no_strength_is_the_model():
    assert chi_square_p(sampled(ideal(), 3.0, 1), P) > 1e-3
    assert chi_square_p(sampled(ideal(), 0.0, 5, seed=1), P) > 1e-3


def test_a_higher_strength_and_more_candidates_raise_the_score():
    strengths = [score(sampled(ideal(), gamma, 16, n=400)).mean() for gamma in (0.0, 1.0, 3.0, 10.0)]
    numbers = [score(sampled(ideal(), 3.0, k, n=400)).mean() for k in (1, 3, 10)]
    assert strengths == sorted(strengths) and strengths[3] - strengths[0] > 1
    assert numbers == sorted(numbers) and numbers[2] - numbers[0] > 0.5


def test_ancestral_steps_reveal_together_what_one_completion_holds():
    """One step for all: the tilted product of the first conditionals, whatever the table says of pairs."""
    first = {x: math.prod(conditional(x, i, []) for i in range(LENGTH)) for x in SEQUENCES}
    x = sampled(ideal(), 1.0, MANY, steps=lambda denoiser, **shared: Ancestral(denoiser, 1, **shared))
    assert chi_square_p(x, tilted(first, 1.0)) > 1e-3


def gc(tokens):
    return ((tokens == BASES[1]) | (tokens == BASES[2])).sum(-1).float()


def test_samples_are_the_same_to_the_bit_at_batch_1_7_and_64():
    sampler = ScoreGuided(FirstHitting(tiny_denoiser(), 2), gc, 1.0, candidates=4)
    x, ids = torch.full((64, 6), MASK), list(range(64))
    x[::3, 1] = BASES[3]
    x[5, 2:5] = BASES[0]
    whole = sampler(x, Draws(5, ids))
    for size, step in ((1, 9), (7, 19)):
        for i in range(0, 64, step):
            part = slice(i, i + size)
            assert torch.equal(sampler(x[part], Draws(5, ids[part])), whole[part])
    together = ScoreGuided(FirstHitting(tiny_denoiser(), 2, rows_per_call=64), gc, 1.0, candidates=4)
    assert torch.equal(together(x, Draws(5, ids)), whole), "rows with fewer masks walk beside others"


def test_allowed_tokens_and_windows_are_honoured():
    sampler = ScoreGuided(FirstHitting(tiny_denoiser()), gc, 5.0, candidates=8)
    allowed = torch.zeros(VOCAB, dtype=torch.bool)
    allowed[[BASES[0], BASES[2]]] = True
    x = sampler(torch.full((4, 12), MASK), Draws(0, range(4)), allowed=allowed)
    assert set(x.flatten().tolist()) <= {BASES[0], BASES[2]}
    longer = Sliding(sampler, 12, 8)(torch.full((4, 20), MASK), Draws(0, range(4)), allowed=allowed)
    assert torch.equal(longer[:, :12], x) and longer.shape == (4, 20)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (torch.zeros(4, 1), r"found shape \(4, 1\) for 4 sequences"),
        (torch.full((4,), torch.nan), "found a number that is not finite for 4 sequences"),
    ],
)
def test_scores_that_are_none_are_refused(found, told):
    sampler = ScoreGuided(FirstHitting(ideal()), lambda tokens: found, 1.0, candidates=4)
    with pytest.raises(InputError, match=told):
        sampler(torch.full((1, LENGTH), MASK), Draws(0, [0]))


@pytest.mark.parametrize(("gamma", "candidates"), [(-1.0, 4), (math.nan, 4), (math.inf, 4), (1.0, 0)])
def test_impossible_settings(gamma, candidates):
    with pytest.raises(InputError, match=r"gamma=|candidates="):
        ScoreGuided(FirstHitting(ideal()), score, gamma, candidates=candidates)


def test_only_samplers_that_plan_are_taken():
    with pytest.raises(InputError, match="found Autoregressive; FirstHitting or Ancestral would work"):
        ScoreGuided(Autoregressive(tiny_next_token()), score, 1.0)
