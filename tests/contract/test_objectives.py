"""What holds for the objective of every method: what counts, whose randomness it is, and that gradients are finite."""

import pytest
import torch

from dnadiff.checkpoints.folder import build_objective
from dnadiff.diffusion import Batch
from dnadiff.random import Draws
from tests.contract.test_objective import B, L, batch_of
from tests.oracle import BASES, MASK
from tests.tiny import SPEC, tiny_denoiser

UNIFORM = {**SPEC["process"], "name": "uniform", "tokens": list(BASES)}
TOKENS = {"mask_id": MASK, "allowed": list(BASES)}
METHODS = {  # parameterization, process, objective
    "importance": ({"name": "subs"}, None, {"name": "masked_nelbo", "estimator": "time", "importance_sampling": True}),
    "no carry-over": ({"name": "subs", "carry_over": False}, None, {"name": "masked_nelbo", "reconstruction": True}),
    "no zero mask": ({"name": "subs", "zero_mask": False}, None, {"name": "masked_nelbo"}),
    "steps": ({"name": "subs"}, None, {"name": "discrete_nelbo", "T": 7}),
    "d3pm": ({"name": "d3pm"}, None, {"name": "discrete_nelbo", "T": 7, "reconstruction": True}),
    "sedd": ({"name": "sedd"}, None, {"name": "score_entropy"}),
    "udlm": ({"name": "d3pm", "subs_masking": True}, UNIFORM, {"name": "uniform_nelbo"}),
    "udlm whole": ({"name": "d3pm", "subs_masking": True}, UNIFORM, {"name": "uniform_nelbo", "reconstruction": True}),
    "ar": ({"name": "next_token"}, None, {"name": "next_token_nll"}),
    "mlm": ({"name": "subs", "carry_over": False}, None, {"name": "masked_lm", "replacements": list(BASES)}),
}


@pytest.fixture(params=METHODS)
def method(request):
    parameterization, process, objective = METHODS[request.param]
    denoiser = tiny_denoiser(
        parameterization={**parameterization, **TOKENS}, process=process or SPEC["process"],
        time_conditioning=request.param in ("d3pm", "sedd", "udlm", "udlm whole"),
    )  # fmt: skip
    return denoiser, build_objective(objective, denoiser.process)


def test_what_counts(method):
    denoiser, objective = method
    batch = batch_of()
    noised = objective.noise(batch, Draws(0, range(B)))
    loss = objective.loss(denoiser, batch, noised)
    maskable = batch.valid & ~batch.given
    assert torch.equal(noised.xt[~maskable], batch.x0[~maskable]), "a pad or a given token was corrupted"
    assert (noised.weight[~maskable] == 0).all() and (loss.nll[~maskable] == 0).all()
    assert not loss.valid[~maskable].any() and loss.valid.sum() >= maskable.sum() - B
    assert loss.nll.shape == (B, L) and loss.nll.isfinite().all() and loss.total > 0
    assert noised.t.shape == (B,) and noised.t.min() >= 0 and noised.t.max() <= 1


def test_rows_do_not_depend_on_their_batch(method):
    denoiser, objective = method
    batch = batch_of()
    whole = objective(denoiser, batch, Draws(0, range(100, 100 + B)))
    for i in range(B):
        row = slice(i, i + 1)
        alone = Batch(batch.x0[row], batch.valid[row], batch.given[row])
        nll = objective(denoiser, alone, Draws(0, [100 + i])).nll
        torch.testing.assert_close(nll, whole.nll[row], atol=1e-4, rtol=1e-4)


def test_inputs_are_not_written_to(method):
    denoiser, objective = method
    batch = batch_of()
    before = [value.clone() for value in (batch.x0, batch.valid, batch.given)]
    objective(denoiser, batch, Draws(0, range(B)))
    assert all(map(torch.equal, before, (batch.x0, batch.valid, batch.given)))


def test_gradients_are_finite_beside_pads_and_nothing_without_tokens(method):
    denoiser, objective = method
    objective(denoiser, batch_of(), Draws(0, range(B))).mean.backward()
    assert all(p.grad.isfinite().all() for p in denoiser.parameters())
    assert any((p.grad != 0).any() for p in denoiser.parameters())
    denoiser.zero_grad()
    empty = Batch(torch.full((2, L), 4), torch.zeros(2, L, dtype=torch.bool))
    loss = objective(denoiser, empty, Draws(0, [0, 1]))
    loss.mean.backward()
    assert loss.mean == 0 and loss.count == 0
    assert all((p.grad == 0).all() for p in denoiser.parameters())


def test_the_gradient_is_the_slope(method):
    """Autograd of every logit against a difference quotient in float64."""
    denoiser, objective = method
    x0 = torch.tensor([[2, 7, 9, 4], [2, 10, 8, 7], [7, 8, 9, 10], [9, 9, 8, 10]])
    batch = Batch(x0, x0 != 4, x0 == 2)
    noised = objective.noise(batch, Draws(3, range(4)))
    logits = torch.randn(4, 4, SPEC["backbone"]["vocab_size"], generator=torch.Generator().manual_seed(0)).double()

    def loss(logits):
        return objective.loss(lambda xt, t, **_: denoiser.parameterization(logits, xt), batch, noised).mean

    assert torch.autograd.gradcheck(loss, logits.requires_grad_(), atol=1e-6)
    assert (torch.autograd.grad(loss(logits), logits)[0] != 0).any()
