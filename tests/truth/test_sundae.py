"""SUNDAE as AR2Diff has it: both cross-entropies by hand, what is falsified, and what the sampler keeps."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dnadiff.diffusion import Batch, Denoiser, LogLinear, Revise, Revising, Sundae, UniformProcess
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, MASK, VOCAB
from tests.tiny import tiny_denoiser

PROCESS = UniformProcess(LogLinear(1e-3), MASK, BASES)
REVISE = {
    "parameterization": {"name": "revise", "mask_id": MASK, "allowed": list(BASES)},
    "process": {"name": "uniform", "tokens": list(BASES), "schedule": {"name": "loglinear", "eps": 1e-3}},
}


def rows(n, length=12, seed=0):
    x = torch.tensor(BASES)[torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))]
    given = torch.zeros_like(x, dtype=torch.bool)
    given[:, 0] = True
    return Batch(x, torch.ones_like(given), given)


def test_the_loss_is_two_cross_entropies_the_second_of_the_greedy_repair():
    model, batch, objective = tiny_denoiser(**REVISE), rows(3), Sundae(PROCESS)
    draws = Draws(1, np.arange(3))
    noised = objective.noise(batch, draws)
    with torch.no_grad():
        found = objective(model, batch, draws)
        zero, wanted = torch.zeros(3), torch.zeros(3, 12)
        first = model.backbone(noised.xt, zero)[..., list(BASES)].log_softmax(-1)
        repaired = torch.tensor(BASES)[first.argmax(-1)]
        repaired[:, 0] = batch.x0[:, 0]
        second = model.backbone(repaired, zero)[..., list(BASES)].log_softmax(-1)
        for b in range(3):
            for i in range(1, 12):
                true = BASES.index(int(batch.x0[b, i]))
                wanted[b, i] = -first[b, i, true] - second[b, i, true]
    torch.testing.assert_close(found.nll, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.equal(repaired, noised.xt) and torch.equal(found.valid, ~batch.given)


def test_an_even_share_of_the_targets_is_replaced_by_even_tokens():
    batch = rows(4000, 40)
    noised = Sundae(PROCESS).noise(batch, Draws(2, np.arange(4000)))
    changed = (noised.xt != batch.x0) & ~batch.given
    share = changed[:, 1:].double().mean(1) * 4 / 3  # a quarter of the replacements are the token itself
    torch.testing.assert_close(share, noised.t, atol=0.45, rtol=0)
    assert abs(float(share.mean()) - 0.5) < 0.01 and abs(float(noised.t.var()) - 1 / 12) < 0.003
    assert torch.equal(noised.xt[:, 0], batch.x0[:, 0]) and bool(torch.isin(noised.xt, torch.tensor(BASES)).all())


class Fixed(nn.Module):
    """A network that says the same of every row: log-probabilities by position, (L, V)."""

    def __init__(self, logits):
        super().__init__()
        self.vocab_size, self.n_classes, self.logits = VOCAB, 0, logits

    def forward(self, tokens, sigma, **options):
        return self.logits.expand(len(tokens), *self.logits.shape)


def fixed(length):
    logits = torch.full((length, VOCAB), -9.0)
    logits[:, list(BASES)] = torch.randn(length, 4, generator=torch.Generator().manual_seed(1))
    return Denoiser(Fixed(logits), Revise(MASK, BASES), PROCESS).eval(), logits


def test_one_step_of_one_candidate_draws_from_the_network_and_keeps_what_is_given():
    denoiser, logits = fixed(3)
    x = torch.full((6000, 3), MASK)
    x[:, 0] = BASES[2]
    out = Revising(denoiser, 1, 1, rows_per_call=6000)(x, Draws(3, np.arange(6000)))
    assert bool((out[:, 0] == BASES[2]).all())
    p = logits[1, list(BASES)].softmax(-1)
    for base, wanted in zip(BASES, p.tolist(), strict=True):
        share = float((out[:, 1] == base).double().mean())
        assert abs(share - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / 6000)


def test_the_candidate_is_kept_whose_last_input_the_last_output_likes_best():
    denoiser, logits = fixed(4)
    n, many = 50, 5
    x = torch.full((n, 4), MASK)
    x[:, 0] = BASES[0]  # given: the same of all candidates, so it decides nothing
    sampler, inputs, outputs = Revising(denoiser, 2, many, rows_per_call=n), [], []
    draw = sampler.draw
    sampler.draw = lambda *arguments: outputs.append(draw(*arguments)) or outputs[-1]
    denoiser.backbone.register_forward_pre_hook(lambda module, args: inputs.append(args[0].clone()))
    kept = sampler(x, Draws(4, np.arange(n)))
    p = logits[:, list(BASES)].softmax(-1)
    for row in range(n):
        mine = range(row * many, (row + 1) * many)
        costs = [-sum(math.log(p[i, BASES.index(int(inputs[-1][c, i]))]) for i in range(1, 4)) for c in mine]
        assert torch.equal(kept[row, 1:], outputs[-1][row * many + int(np.argmin(costs)), 1:])


def test_the_kept_candidate_is_one_that_was_drawn_and_rows_do_not_depend_on_their_batch():
    model = tiny_denoiser(**REVISE)
    x = torch.full((5, 16), MASK)
    sampler = Revising(model, 3, 4)
    whole = sampler(x, Draws(7, np.arange(5)))
    assert torch.equal(sampler(x[3:], Draws(7, np.arange(3, 5))), whole[3:])
    outputs = []
    draw = sampler.draw
    sampler.draw = lambda *arguments: outputs.append(draw(*arguments)) or outputs[-1]
    sampler(x[:1], Draws(7, np.arange(1)))
    assert any(torch.equal(whole[0], row) for row in outputs[-1])


def test_what_may_not_come_never_comes():
    model, x = tiny_denoiser(**REVISE), torch.full((4, 8), MASK)
    allowed = torch.zeros(1, 8, VOCAB, dtype=torch.bool)
    allowed[..., [BASES[0], BASES[3]]] = True
    out = Revising(model, 2, 3)(x, Draws(1, np.arange(4)), allowed=allowed)
    assert bool(torch.isin(out, torch.tensor([BASES[0], BASES[3]])).all())
    allowed = ~torch.zeros_like(allowed).index_fill(-1, torch.tensor(BASES[:1]), True)  # ids that are no bases too
    read = []
    model.backbone.register_forward_pre_hook(lambda module, args: read.append(args[0].clone()))
    Revising(model, 2, 3)(x, Draws(1, np.arange(4)), allowed=allowed)
    assert bool(torch.isin(torch.cat(read), torch.tensor(BASES[1:])).all())
    with pytest.raises(InputError, match="candidates=0"):
        Revising(model, 2, 0)
