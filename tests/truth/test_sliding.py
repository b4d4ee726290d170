"""A sliding window: its law on the table, what it is when one window holds all, and what the network sees."""

import itertools

import pytest
import torch

from dnadiff.diffusion import Autoregressive, FirstHitting, Revising, Sliding
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, BOS, LENGTH, MASK, SEQUENCES, P, chi_square_p, ideal
from tests.tiny import tiny_denoiser, tiny_next_token
from tests.truth.test_sundae import REVISE

N, LONG = 4000, LENGTH + 2


def long_law(stride):
    """p(x_1 x_2 x_3) times, stride by stride, p(last of a window | its beginning)."""
    law, kept = dict(P), LENGTH - stride
    while len(next(iter(law))) < LONG:
        grown = {}
        for x, p in law.items():
            seen = x[len(x) - kept :]
            fits = {y: P[y] for y in SEQUENCES if y[:kept] == seen}
            for y, q in fits.items():
                z = x + y[kept:]
                grown[z] = grown.get(z, 0.0) + p * q / sum(fits.values())
        law = grown
    return law


@pytest.mark.parametrize("stride", [1, 2])
def test_the_law_of_two_windows_and_of_three(stride):
    sampler = Sliding(FirstHitting(ideal(), rows_per_call=N), LENGTH, stride)
    x = sampler(torch.full((N, LONG), MASK), Draws(0, range(N)))
    assert chi_square_p(x, long_law(stride)) > 1e-3


def test_one_window_is_the_sampler_itself():
    denoiser, x = tiny_denoiser(), torch.full((3, 16), MASK)
    whole = FirstHitting(denoiser)(x, Draws(0, range(3)))
    assert torch.equal(Sliding(FirstHitting(denoiser), 16, 4)(x, Draws(0, range(3))), whole)
    assert torch.equal(Sliding(FirstHitting(denoiser), 99, 4)(x, Draws(0, range(3))), whole)


def windows_seen(sampler, denoiser, x):
    seen = []
    handle = denoiser.backbone.vocab_embed.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    out = sampler(x, Draws(0, range(len(x))))
    handle.remove()
    return out, seen


def test_each_window_holds_the_end_of_the_one_before_and_given_bases_stay():
    denoiser = tiny_denoiser()
    x = torch.full((1, 20), MASK)
    x[0, 13], x[0, 2] = 8, 9
    out, seen = windows_seen(Sliding(FirstHitting(denoiser), 8, 5), denoiser, x)
    assert torch.equal(out[x != MASK], x[x != MASK]) and torch.isin(out, torch.tensor(BASES)).all()
    assert len(seen) == 7 + 5 + 4 + 2 and all(s.shape == (1, 8) for s in seen)
    last_calls = {0: 7, 5: 12, 10: 16, 12: 18}  # the last window is aligned to the end and makes two new tokens
    for start, stop in last_calls.items():
        known = seen[stop - 1][0] != MASK
        assert torch.equal(seen[stop - 1][0][known], out[0, start : start + 8][known]) and known.sum() == 7


def test_every_window_begins_with_the_lead():
    denoiser = tiny_denoiser()
    x = torch.full((1, 20), MASK)
    x[0, 0] = BOS
    out, seen = windows_seen(Sliding(FirstHitting(denoiser), 9, 4, lead=1), denoiser, x)
    assert all(s[0, 0] == BOS and s.shape[1] == 9 for s in seen) and (out[0, 1:] != BOS).all()


def test_uniforms_belong_to_positions_not_to_windows():
    """Windows of the same content are continued differently."""
    denoiser, x = tiny_denoiser(), torch.full((8, 24), 7)
    x[:, [7, 15, 23]] = MASK
    drawn = Sliding(FirstHitting(denoiser), 8, 8)(x, Draws(0, range(8)))[:, [7, 15, 23]]
    assert (drawn != drawn[:, :1]).any()


def test_uniforms_of_candidates_belong_to_positions_too():
    sampler, seen = Revising(tiny_denoiser(**REVISE), 1, 4), []
    draw = sampler.draw
    sampler.draw = lambda log_p, u, allowed: seen.append(u) or draw(log_p, u, allowed)
    Sliding(sampler, 8, 1)(torch.full((1, 11), MASK), Draws(0, [0]))
    for before, after in itertools.pairwise(seen):
        assert torch.equal(after[:, :-1], before[:, 1:])
    assert torch.cat([seen[0], *(u[:, -1:] for u in seen[1:])], dim=1).unique().numel() == 4 * 11


def test_next_token_models_slide_too():
    x = torch.full((2, 20), MASK)
    x[:, 0] = BOS
    out = Sliding(Autoregressive(tiny_next_token()), 8, 4, lead=1)(x, Draws(0, [0, 1]))
    assert torch.isin(out[:, 1:], torch.tensor(BASES)).all()


@pytest.mark.parametrize("stride", [0, 9])
def test_impossible_strides(stride):
    with pytest.raises(InputError, match=f"stride={stride}: a window of 8 takes 1 to 8"):
        Sliding(FirstHitting(tiny_denoiser()), 9, stride, lead=1)
