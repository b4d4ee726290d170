"""Masked language modelling: how many tokens are chosen, what becomes of them, and what is paid."""

import pytest
import torch

from dnadiff.diffusion import AbsorbingProcess, Batch, LogLinear, MaskedLM, Subs
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.opinions import opinionated
from tests.oracle import BASES, MASK

PROCESS = AbsorbingProcess(LogLinear(), MASK)
ROWS, LENGTH = 400, 500


@pytest.fixture(scope="module")
def noised():
    x0 = torch.full((ROWS, LENGTH), 9)
    return MaskedLM(PROCESS, BASES).noise(Batch(x0, torch.ones_like(x0, dtype=torch.bool)), Draws(2, range(ROWS)))


def test_fifteen_in_a_hundred_are_chosen(noised):
    assert (noised.weight > 0).double().mean().item() == pytest.approx(0.15, abs=0.003)
    assert set(noised.weight.unique().tolist()) == {0.0, 1 / 0.15}


def test_of_the_chosen_80_are_masked_10_random_and_10_stay(noised):
    chosen = noised.xt[noised.weight > 0]
    share = {token: (chosen == token).double().mean().item() for token in (MASK, *BASES)}
    assert share[MASK] == pytest.approx(0.8, abs=0.008)
    assert all(share[token] == pytest.approx(0.025, abs=0.004) for token in BASES if token != 9)
    assert share[9] == pytest.approx(0.125, abs=0.007)  # kept, or replaced by itself
    assert sum(share.values()) == pytest.approx(1)
    assert (noised.xt[noised.weight == 0] == 9).all()


def test_pads_and_given_tokens_are_left_alone():
    x0 = torch.full((ROWS, 8), 9)
    x0[:, 0], x0[:, 6:] = 2, 4
    valid, given = torch.ones_like(x0, dtype=torch.bool), torch.zeros_like(x0, dtype=torch.bool)
    valid[:, 6:], given[:, 0] = False, True
    noised = MaskedLM(PROCESS, BASES, rate=1.0).noise(Batch(x0, valid, given), Draws(0, range(ROWS)))
    assert (noised.xt[:, 0] == 2).all() and (noised.xt[:, 6:] == 4).all()
    assert (noised.weight[:, 0] == 0).all() and (noised.weight[:, 6:] == 0).all() and (noised.weight[:, 1:6] == 1).all()


def test_the_loss_is_the_cross_entropy_of_the_chosen():
    """Of masked, replaced and kept tokens alike, from the network's own prediction of each."""
    denoiser = opinionated(Subs(MASK, BASES, carry_over=False))
    x0 = torch.randint(7, 11, (200, 6), generator=torch.Generator().manual_seed(0))
    batch = Batch(x0, torch.ones_like(x0, dtype=torch.bool))
    objective = MaskedLM(PROCESS, BASES, rate=0.5)
    noised = objective.noise(batch, Draws(4, range(200)))
    loss = objective.loss(denoiser, batch, noised)
    own = -denoiser(noised.xt, noised.t).gather(-1, x0[..., None])[..., 0]
    torch.testing.assert_close(loss.nll, torch.where(noised.weight > 0, 2 * own, 0.0))
    assert torch.equal(loss.valid, batch.valid) and loss.nll[noised.weight > 0].max() < 50  # nothing was carried over


@pytest.mark.parametrize(("rate", "ids"), [(0.0, BASES), (1.1, BASES), (0.15, ())])
def test_impossible_settings(rate, ids):
    with pytest.raises(InputError, match="needs a share"):
        MaskedLM(PROCESS, ids, rate)
