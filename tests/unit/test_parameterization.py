"""SUBS: zero masking probability, carry-over unmasking, an allowed set, and nothing that spoils a gradient."""

import pytest
import torch

from dnadiff.diffusion import Subs
from dnadiff.diffusion.parameterization import FLOOR
from dnadiff.errors import InputError
from tests.oracle import BASES, MASK, VOCAB

XT = torch.tensor([[MASK, 7, MASK, 2], [4, MASK, 11, MASK]])
MASKED = XT == MASK


def logits_of(dtype=torch.float32):
    return torch.randn(2, 4, VOCAB, generator=torch.Generator().manual_seed(0)).mul(5).to(dtype)


def test_literal():
    """Equal logits: a quarter for each base; a shown token is certain."""
    p = Subs(MASK, BASES)(torch.zeros(1, 2, VOCAB), torch.tensor([[MASK, 9]])).exp()
    assert p[0, 0].tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0])
    assert p[0, 1].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_carry_over_and_zero_masking_probability(dtype):
    log_p = Subs(MASK, BASES)(logits_of(dtype), XT)
    assert log_p.dtype == dtype and log_p.isfinite().all()
    p = log_p.exp()
    copied = torch.nn.functional.one_hot(XT, VOCAB).to(dtype)
    assert torch.equal(p[~MASKED], copied[~MASKED]), "carry-over: an unmasked token is certain"
    assert (log_p.gather(-1, XT[..., None])[..., 0][~MASKED] == 0).all()
    assert (p[..., MASK] == 0).all(), "the mask itself has no probability"


def test_agrees_with_softmax_of_the_allowed_columns():
    logits = logits_of(torch.float64)
    log_p = Subs(MASK, BASES)(logits, XT)
    want = torch.log_softmax(logits[..., list(BASES)], -1)
    torch.testing.assert_close(log_p[..., list(BASES)][MASKED], want[MASKED])
    outside = [i for i in range(VOCAB) if i not in BASES]
    assert (log_p[MASKED][:, outside] == FLOOR).all()


def test_all_but_the_mask():
    everything = tuple(i for i in range(VOCAB) if i != MASK)
    p = Subs(MASK, everything)(logits_of(torch.float64), XT).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    assert (p[MASKED][:, list(everything)] > 0).all()


def test_gradients_are_finite_and_reach_only_masked_positions_and_allowed_tokens():
    logits = logits_of().requires_grad_()
    log_p = Subs(MASK, BASES)(logits, XT)
    (log_p * log_p.exp()).sum().backward()  # an entropy: -inf would make it NaN
    assert logits.grad.isfinite().all()
    assert (logits.grad[~MASKED] == 0).all()
    outside = [i for i in range(VOCAB) if i not in BASES]
    assert (logits.grad[..., outside] == 0).all()
    assert (logits.grad[MASKED][:, list(BASES)] != 0).any()


def test_inputs_are_not_written_to():
    logits, xt = logits_of(), XT.clone()
    before = logits.clone()
    Subs(MASK, BASES)(logits, xt)
    assert torch.equal(logits, before) and torch.equal(xt, XT)


def test_allowed_is_a_set_and_is_no_weight():
    subs = Subs(MASK, (10, 7, 7, 9, 8))
    assert subs.allowed == BASES and not subs.state_dict()
    assert subs.allowed_mask(VOCAB).nonzero()[:, 0].tolist() == list(BASES)


@pytest.mark.parametrize("allowed", [(), (7, MASK)])
def test_impossible_sets(allowed):
    with pytest.raises(InputError, match="allowed"):
        Subs(MASK, allowed)
