"""UDLM's bound is -log p with ideal predictions, every corrupted sequence added up; and the formula is the paper's."""

import math

import numpy as np
import pytest
import torch

from dnadiff.diffusion import D3PM, Batch, Cosine, LogLinear, Noised, UniformNELBO, UniformProcess
from tests.opinions import every_sequence, ideal_of_uniform, opinionated
from tests.oracle import BASES, LENGTH, MASK, SEQUENCES, VOCAB, P

TABLE = torch.tensor(SEQUENCES)
CHANCE = torch.tensor(list(P.values()), dtype=torch.float64)
EVERYTHING = every_sequence(LENGTH)
K = len(BASES)


def law(x0, alpha):
    """q(x_t | x_0) of each position, for all pairs of rows: (X, S, L)."""
    same = (EVERYTHING[:, None] == x0[None]).double()
    return alpha * same + (1 - alpha) / K


def integral(process, denoiser, x0, eps, nodes=24):
    """The expected loss of a row, without its reconstruction: every x_t at every node of a quadrature."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total, batch = 0.0, Batch(torch.tensor([x0] * len(EVERYTHING)), torch.ones_like(EVERYTHING, dtype=torch.bool))
    for point, weight in zip(points, weights, strict=True):
        time = eps + (1 - eps) * (point + 1) / 2
        t = torch.full((len(EVERYTHING),), time, dtype=torch.float64)
        alpha = process.schedule.alpha(t[:1])
        noised = Noised(EVERYTHING, t, torch.full(EVERYTHING.shape, 1 - eps, dtype=torch.float64))
        loss = UniformNELBO(process, eps).loss(denoiser, batch, noised)
        q = law(torch.tensor([x0]), alpha).prod(-1)[:, 0]
        total += weight / 2 * (q * loss.nll.sum(-1)).sum().item()
    return total


def reconstructed(process, denoiser, x0, eps):
    """The expected reconstruction of a row, through the objective."""
    t = torch.full((len(EVERYTHING),), 0.5, dtype=torch.float64)
    batch = Batch(torch.tensor([x0] * len(EVERYTHING)), torch.ones_like(EVERYTHING, dtype=torch.bool))
    noised = Noised(EVERYTHING, t, torch.zeros(EVERYTHING.shape, dtype=torch.float64), start=EVERYTHING)
    loss = UniformNELBO(process, eps, reconstruction=True).loss(denoiser, batch, noised)
    alpha = process.schedule.alpha(torch.tensor([eps], dtype=torch.float64))
    return (law(torch.tensor([x0]), alpha).prod(-1)[:, 0] * loss.nll.sum(-1)).sum().item()


def dependence(process, x0, eps):
    """E[log p(x_0 | x_eps) - sum_i log p(x_0^i | x_eps)]: what reconstructing positions one by one must cost."""
    alpha = process.schedule.alpha(torch.tensor([eps], dtype=torch.float64))
    joint = law(TABLE, alpha).prod(-1) * CHANCE  # (X, S)
    joint = joint / joint.sum(-1, keepdim=True)
    whole = joint[:, SEQUENCES.index(x0)].log()
    single = sum(joint[:, TABLE[:, i] == x0[i]].sum(-1).log() for i in range(LENGTH))
    q = law(torch.tensor([x0]), alpha).prod(-1)[:, 0]
    return (q * (whole - single)).sum().item()


@pytest.mark.parametrize("schedule", [LogLinear(0.0), Cosine(1e-9)], ids=["loglinear", "cosine"])
def test_it_is_minus_log_p_with_predictions_from_the_other_tokens(schedule):
    """Integral, reconstruction, and what its independence costs, which vanishes with eps."""
    process, eps = UniformProcess(schedule, MASK, BASES), 0.02
    denoiser = ideal_of_uniform(process)
    for x0 in SEQUENCES[5::23]:
        total = integral(process, denoiser, x0, eps) + reconstructed(process, denoiser, x0, eps)
        assert total == pytest.approx(-math.log(P[x0]) + dependence(process, x0, eps), abs=1e-5)


def test_predictions_that_use_the_token_itself_pay_more():
    """The posterior given all of x_t is not what the bound asks for."""
    process, eps = UniformProcess(LogLinear(0.0), MASK, BASES), 0.02
    right, wrong = ideal_of_uniform(process), ideal_of_uniform(process, others_only=False)
    x0 = SEQUENCES[17]
    assert integral(process, wrong, x0, eps) > integral(process, right, x0, eps) + 0.01


@pytest.mark.parametrize("time", [0.01, 0.3, 0.97])
def test_it_is_the_published_formula(time):
    """alpha' / (K alpha) [ K / xbar_z - K / xbar^p_z - sum_j (xbar_j / xbar_z) log(...) ], token by token."""
    process = UniformProcess(LogLinear(0.0), MASK, BASES)
    denoiser = opinionated(D3PM(MASK, BASES, subs_masking=True))
    x0 = torch.tensor([SEQUENCES[17]] * len(EVERYTHING))
    t = torch.full((len(x0),), time, dtype=torch.float64)
    noised = Noised(EVERYTHING, t, torch.ones(x0.shape, dtype=torch.float64))
    loss = UniformNELBO(process).loss(denoiser, Batch(x0, torch.ones_like(x0, dtype=torch.bool)), noised).nll
    log_p, alpha = denoiser(EVERYTHING, t), 1 - time
    for row in range(0, len(x0), 7):
        for i in range(LENGTH):
            bar = {j: K * alpha * (j == x0[row, i].item()) + 1 - alpha for j in BASES}
            bar_p = {j: K * alpha * math.exp(log_p[row, i, j]) + 1 - alpha for j in BASES}
            z = EVERYTHING[row, i].item()
            term1 = K / bar[z] - K / bar_p[z]
            term2 = sum(bar[j] / bar[z] * math.log(bar_p[z] / bar_p[j] * bar[j] / bar[z]) for j in BASES)
            assert loss[row, i].item() == pytest.approx(-1 / (K * alpha) * (term1 - term2), rel=1e-9)


def test_it_is_never_negative_and_nothing_where_the_prediction_is_right():
    process = UniformProcess(LogLinear(), MASK, BASES)
    wrong = opinionated(D3PM(MASK, BASES, subs_masking=True))
    x0 = torch.tensor([SEQUENCES[17]] * len(EVERYTHING))
    batch = Batch(x0, torch.ones_like(x0, dtype=torch.bool))
    t = torch.linspace(0.01, 0.99, len(x0), dtype=torch.float64)
    noised = Noised(EVERYTHING, t, torch.ones(x0.shape, dtype=torch.float64))
    assert (UniformNELBO(process).loss(wrong, batch, noised).nll > 0).all()
    certain = torch.full((*x0.shape, VOCAB), -1e6, dtype=torch.float64).scatter(-1, x0[..., None], 0.0)
    right = UniformNELBO(process).loss(lambda *_, **__: certain, batch, noised).nll
    torch.testing.assert_close(right, torch.zeros_like(right), rtol=0, atol=1e-10)
