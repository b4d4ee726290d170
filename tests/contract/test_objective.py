"""Objective: TokenLoss of a batch; what is masked, what counts, what an empty batch costs."""

import pytest
import torch

from dnadiff.diffusion import Batch, MaskedLM, MaskedNELBO, TokenLoss
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, MASK, VOCAB
from tests.tiny import SPEC, tiny_denoiser

ESTIMATORS = ["count", "time"]
B, L = 6, 16
DIT = {**SPEC["backbone"], "n_blocks": 2}
BACKBONES = {
    "dit": {"backbone": DIT},
    "stem": {"backbone": {**DIT, "adaln": False, "stem": 3}},
    "conditioned": {"backbone": DIT, "time_conditioning": True},
    "caduceus": {"backbone": {"name": "caduceus", "vocab_size": VOCAB, "hidden_size": 8, "n_blocks": 1}},
    "gpt2": {"backbone": {
        "name": "gpt2", "vocab_size": VOCAB, "hidden_size": 8, "n_blocks": 2, "n_heads": 2, "positions": L
    }},
    "both strands": {"backbone": {**DIT, "rc": [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11]}},
}  # fmt: skip


def batch_of(rows=B):
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randint(7, 11, (rows, L), generator=generator)
    valid, given = torch.ones(rows, L, dtype=torch.bool), torch.zeros(rows, L, dtype=torch.bool)
    x0[0, 10:], valid[0, 10:] = 4, False
    x0[1], valid[1] = 4, False  # a row of pads
    x0[2, 0], given[2, 0] = 2, True
    given[3] = True  # a row of given tokens
    return Batch(x0, valid, given)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("conditioned", [False, True])
def test_what_counts(estimator, conditioned):
    denoiser, batch = tiny_denoiser(time_conditioning=conditioned), batch_of()
    objective = MaskedNELBO(denoiser.process, estimator)
    noised = objective.noise(batch, Draws(0, range(B)))
    loss = objective.loss(denoiser, batch, noised)
    maskable = batch.valid & ~batch.given
    masked = noised.xt == MASK
    assert torch.equal(loss.valid, maskable)
    assert not masked[~maskable].any(), "a pad or a given token was masked"
    assert torch.equal(noised.xt[~masked], batch.x0[~masked])
    assert (loss.nll[~masked] == 0).all() and (loss.nll[masked] > 0).all()
    assert loss.count == maskable.sum()
    assert loss.total == loss.nll.sum() and loss.mean == loss.total / maskable.sum()
    assert noised.t.min() >= 0 and noised.t.max() <= 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_calling_is_noise_then_loss(estimator):
    denoiser, batch, draws = tiny_denoiser(), batch_of(), Draws(0, range(B))
    objective = MaskedNELBO(denoiser.process, estimator)
    called = objective(denoiser, batch, draws)
    assert torch.equal(called.nll, objective.loss(denoiser, batch, objective.noise(batch, draws)).nll)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_rows_do_not_depend_on_their_batch(estimator):
    batch = batch_of()
    objective = MaskedNELBO(tiny_denoiser().process, estimator)
    whole = objective.noise(batch, Draws(0, range(100, 100 + B)))
    for i in range(B):
        row = slice(i, i + 1)
        alone = objective.noise(Batch(batch.x0[row], batch.valid[row], batch.given[row]), Draws(0, [100 + i]))
        for ours, theirs in ((alone.xt, whole.xt), (alone.t, whole.t), (alone.weight, whole.weight)):
            assert torch.equal(ours, theirs[row])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_inputs_are_not_written_to(estimator):
    denoiser, batch = tiny_denoiser(), batch_of()
    before = [value.clone() for value in (batch.x0, batch.valid, batch.given)]
    MaskedNELBO(denoiser.process, estimator)(denoiser, batch, Draws(0, range(B)))
    assert all(map(torch.equal, before, (batch.x0, batch.valid, batch.given)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_empty_batch_costs_nothing_and_has_gradients_of_zero(estimator):
    denoiser = tiny_denoiser()
    batch = Batch(torch.full((2, L), 4), torch.zeros(2, L, dtype=torch.bool))
    loss = MaskedNELBO(denoiser.process, estimator)(denoiser, batch, Draws(0, [0, 1]))
    loss.mean.backward()
    assert loss.mean == 0 and loss.count == 0 and loss.total == 0
    assert all((p.grad == 0).all() for p in denoiser.parameters())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_are_finite_beside_empty_rows(estimator):
    denoiser = tiny_denoiser()
    MaskedNELBO(denoiser.process, estimator)(denoiser, batch_of(), Draws(0, range(B))).mean.backward()
    assert all(p.grad.isfinite().all() for p in denoiser.parameters())
    assert any((p.grad != 0).any() for p in denoiser.parameters())


def objectives_of(process):
    return {
        "count": (MaskedNELBO(process), MaskedNELBO(process, only_masked=True)),
        "time": (MaskedNELBO(process, "time"), MaskedNELBO(process, "time", only_masked=True)),
        "masked lm": (MaskedLM(process, BASES), MaskedLM(process, BASES, only_masked=True)),
    }


@pytest.mark.parametrize("name", ["count", "time", "masked lm"])
@pytest.mark.parametrize("backbone", ["dit", "stem", "conditioned", "caduceus", "gpt2", "both strands"])
def test_asking_about_masked_tokens_alone_gives_the_same_nats_and_gradients(name, backbone):
    denoiser, batch = tiny_denoiser(**BACKBONES[backbone]), batch_of()
    batch = Batch(batch.x0, batch.valid, batch.given, visible=batch.valid | batch.given)
    every, alone = objectives_of(denoiser.process)[name]
    found = []
    for objective in (every, alone):
        loss = objective(denoiser, batch, Draws(3, range(B)))
        gradients = torch.autograd.grad(loss.mean, list(denoiser.parameters()))
        found.append((loss.nll, loss.valid, *gradients))
    assert (found[0][0] > 0).any() and (found[0][0][~batch.maskable] == 0).all()
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_visible_reaches_the_denoiser():
    denoiser, batch = tiny_denoiser(), batch_of()
    objective, draws = MaskedNELBO(denoiser.process), Draws(0, range(B))
    hidden = Batch(batch.x0, batch.valid, batch.given, visible=batch.valid)
    assert not torch.equal(objective(denoiser, hidden, draws).nll[0], objective(denoiser, batch, draws).nll[0])


def test_loss_compiles_without_a_graph_break():
    denoiser, batch = tiny_denoiser(), batch_of()
    objective = MaskedNELBO(denoiser.process)
    noised = objective.noise(batch, Draws(0, range(B)))
    compiled = torch.compile(lambda: objective.loss(denoiser, batch, noised).nll, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(), objective.loss(denoiser, batch, noised).nll)


def test_token_loss_ignores_what_does_not_count():
    loss = TokenLoss(torch.tensor([[1.0, torch.nan, 3.0]]), torch.tensor([[True, False, True]]))
    assert (loss.total, loss.count, loss.mean) == (4, 2, 2)


def test_unknown_estimator():
    with pytest.raises(InputError, match="count, time"):
        MaskedNELBO(tiny_denoiser().process, "exact")
