"""Sampling block by block against laws added up from the table: chi-square, prompts, given bases, several a step."""

import itertools
import math

import pytest
import torch

from dnadiff.diffusion import Ancestral, BlockSampler, FirstHitting
from dnadiff.random import Draws
from tests.oracle import LENGTH, MASK, SEQUENCES, P, chi_square_p, ideal, law_of_reveals, mixture

N = 4000


def sampled(size, k=1, start=(MASK,) * LENGTH, seed=0, window=None):
    steps = FirstHitting(ideal(), k, rows_per_call=N)
    return BlockSampler(steps, size, window=window)(torch.tensor([start] * N), Draws(seed, range(N)))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_block_size_draws_p(size):
    """1 is autoregressive sampling, 2 ends in a partial block, 3 and 4 are full-sequence diffusion."""
    assert chi_square_p(sampled(size), P) > 1e-3


@pytest.mark.parametrize("prompt", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_prompt_of_any_length_is_conditioned_on_exactly(size, prompt):
    truth = (8, 10, 7)
    start = truth[:prompt] + (MASK,) * (LENGTH - prompt)
    fits = {x: p for x, p in P.items() if x[:prompt] == truth[:prompt]}
    law = {x: p / sum(fits.values()) for x, p in fits.items()}
    assert chi_square_p(sampled(size, start=start), law) > 1e-3


def test_given_bases_further_right_are_seen_by_their_own_block_alone():
    """Blocks of 2: x0 x1 come from p(x0, x1), as if x2 were not given."""
    start = (MASK, MASK, 7)
    law = {}
    for x, p in P.items():
        law[(*x[:2], 7)] = law.get((*x[:2], 7), 0.0) + p
    assert chi_square_p(sampled(2, start=start), law) > 1e-3
    exact = {x: p for x, p in P.items() if x[2] == 7}
    exact = {x: p / sum(exact.values()) for x, p in exact.items()}
    assert chi_square_p(sampled(2, start=start), exact) < 1e-6  # the test can tell
    assert chi_square_p(sampled(3, start=start), exact) > 1e-3  # one block sees it


def test_several_tokens_a_step_are_independent_within_their_block_only():
    """Blocks of 2, both at once, then the third."""
    law = law_of_reveals([(0, 1), (2,)])
    x = sampled(2, k=2)
    assert chi_square_p(x, law) > 1e-3 and chi_square_p(x, P) < 1e-6


def test_ancestral_steps_are_steps_of_each_block():
    """Two steps of a block of 3: each position falls into either with chance 1/2; three blocks of 1: exact."""
    laws = []
    for steps in itertools.product(range(2), repeat=LENGTH):
        groups = [tuple(i for i in range(LENGTH) if steps[i] == j) for j in range(2)]
        laws.append((1 / 8, law_of_reveals([g for g in groups if g])))
    steps = Ancestral(ideal(), 2, rows_per_call=N)
    start = torch.full((N, LENGTH), MASK)
    assert chi_square_p(BlockSampler(steps, 3)(start, Draws(0, range(N))), mixture(laws)) > 1e-3
    assert chi_square_p(BlockSampler(steps, 1)(start, Draws(0, range(N))), P) > 1e-3


def marginal(x, places):
    return sum(p for y, p in P.items() if all(y[i] == x[i] for i in places))


def test_a_window_of_one_block_forgets_what_lies_before():
    """Blocks of 1 that see only themselves: the product of the marginals."""
    law = {x: math.prod(marginal(x, (i,)) for i in range(LENGTH)) for x in SEQUENCES}
    x = sampled(1, window=1)
    assert chi_square_p(x, law) > 1e-3 and chi_square_p(x, P) < 1e-6


def test_a_window_of_two_blocks_is_a_markov_chain():
    """p(x0) p(x1 | x0) p(x2 | x1)."""
    law = {x: marginal(x, (0, 1)) * marginal(x, (1, 2)) / marginal(x, (1,)) for x in SEQUENCES}
    x = sampled(1, window=2)
    assert chi_square_p(x, law) > 1e-3 and chi_square_p(x, P) < 1e-3
