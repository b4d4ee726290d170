"""Score entropy against its own definition, the masked bound it equals at the ideal ratios, and its least value."""

import math

import pytest
import torch

from dnadiff.diffusion import (
    AbsorbingProcess,
    Batch,
    Cosine,
    Denoiser,
    IdealDenoiser,
    LogLinear,
    MaskedNELBO,
    Noised,
    ScoreEntropy,
    Sedd,
)
from dnadiff.random import Draws
from tests.opinions import masked_ways, opinionated
from tests.oracle import BASES, MASK, SEQUENCES, VOCAB, P, ideal

X0 = SEQUENCES[17]


def ideal_ratios(schedule):
    """The table's conditionals as SEDD's logits: q = p, the constant log K undone."""
    masked = ideal(schedule)
    backbone = masked.backbone

    class Shifted(torch.nn.Module):
        def forward(self, *args, **kwargs):
            return backbone(*args, **kwargs) + math.log(len(BASES))

    return Denoiser(Shifted(), Sedd(MASK, BASES), masked.process)


@pytest.mark.parametrize("schedule", [LogLinear(), Cosine()], ids=["loglinear", "cosine"])
@pytest.mark.parametrize("time", [0.01, 0.4, 0.9])
def test_it_is_the_definition(schedule, time):
    """sigma' [ sum s - r log s_x0 + r (log r - 1) ] with the ratios of ``log_score``, for ratios that are wrong."""
    denoiser, process = opinionated(Sedd(MASK, BASES)), AbsorbingProcess(schedule, MASK)
    xt = masked_ways(X0)
    batch = Batch(torch.tensor([X0] * len(xt)), torch.ones_like(xt, dtype=torch.bool))
    t = torch.full((len(xt),), time, dtype=torch.float64)
    masked = xt == MASK
    weight = torch.where(masked, schedule.weight(t)[:, None], 0.0)
    loss = ScoreEntropy(process).loss(denoiser, batch, Noised(xt, t, weight)).nll
    sigma = schedule.sigma(t)
    log_s = Sedd.log_score(denoiser(xt, t), sigma)
    r = (1 / torch.expm1(sigma))[:, None]
    rate = (-schedule.dalpha(t) / schedule.alpha(t))[:, None]
    s_x0 = log_s.gather(-1, batch.x0[..., None])[..., 0]
    want = rate * (log_s[..., BASES].exp().sum(-1) - r * s_x0 + r * (r.log() - 1))
    torch.testing.assert_close(loss, torch.where(masked, want, 0.0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("estimator", ["count", "time"])
def test_ideal_ratios_pay_what_the_masked_bound_pays(estimator):
    """Row by row on the same draws, so it has the same mean: -log p, by times less the missing mass."""
    schedule, rows = LogLinear(), 300
    table = torch.tensor(SEQUENCES)[torch.arange(rows) % len(SEQUENCES)]
    batch, draws = Batch(table, torch.ones_like(table, dtype=torch.bool)), Draws(1, range(rows))
    process = AbsorbingProcess(schedule, MASK)
    entropy = ScoreEntropy(process, estimator)(ideal_ratios(schedule), batch, draws)
    bound = MaskedNELBO(process, estimator)(ideal(schedule), batch, draws)
    torch.testing.assert_close(entropy.nll, bound.nll, rtol=1e-9, atol=1e-9)
    assert torch.equal(entropy.valid, bound.valid)


@pytest.mark.parametrize("hidden", [(0,), (0, 2), (0, 1, 2)])
def test_the_least_value_is_at_the_conditionals(hidden):
    """The gradient of the loss averaged over p vanishes there, and scaling q either way costs more."""
    sequences = torch.tensor(SEQUENCES)
    xt = sequences.clone()
    xt[:, list(hidden)] = MASK
    p = torch.tensor(list(P.values()), dtype=torch.float64)
    denoiser = IdealDenoiser(sequences, p, AbsorbingProcess(LogLinear(), MASK), VOCAB)
    t = torch.full((len(xt),), 0.5, dtype=torch.float64)
    best = denoiser(xt, t)
    noised = Noised(xt, t, (xt == MASK).double())
    batch = Batch(sequences, torch.ones_like(xt, dtype=torch.bool))

    def cost(log_q):
        loss = ScoreEntropy(denoiser.process).loss(lambda *_, **__: log_q, batch, noised)
        return (loss.nll.sum(-1) * p).sum()

    # one set of ratios for each corrupted sequence, as a network has it
    _, which = xt.unique(dim=0, return_inverse=True)
    shift = torch.zeros(int(which.max()) + 1, *best.shape[1:], dtype=torch.float64, requires_grad=True)
    cost(best + shift[which]).backward()
    assert shift.grad.abs().max() < 1e-12
    assert all(cost(best + math.log(scale)) > cost(best) + 1e-3 for scale in (0.8, 1.25))
