"""Denoisers with an opinion about every corrupted sequence and every time, for formulas that must hold for any."""

import torch

from tests.oracle import BASES, LENGTH, MASK, SEQUENCES, VOCAB, P

TABLE, CHANCE = torch.tensor(SEQUENCES), torch.tensor(list(P.values()), dtype=torch.float64)


def opinionated(parameterization, seed=0):
    """A denoiser whose logits are fixed random numbers, other ones for each sequence and time, float64."""

    def denoiser(xt, t, **_):
        rows = []
        for tokens, time in zip(xt.tolist(), t.tolist(), strict=True):
            generator = torch.Generator().manual_seed(hash((seed, *tokens, round(time, 9))) % 2**62)
            rows.append(torch.randn(len(tokens), VOCAB, generator=generator, dtype=torch.float64))
        return parameterization(torch.stack(rows), xt)

    return denoiser


def every_sequence(length, tokens=BASES):
    """All sequences of some tokens, (K^L, L)."""
    return torch.cartesian_prod(*[torch.tensor(tokens)] * length).reshape(-1, length)


def masked_ways(x0):
    """A row with every set of its positions masked, (2^L, L)."""
    hidden = every_sequence(len(x0), (0, 1)).bool()
    return torch.where(hidden, MASK, torch.tensor(x0))


def ideal_of_uniform(process, others_only=True):
    """p(x_0 of a position | x_t), from the table; ``others_only`` leaves the position's own token out of x_t."""

    def denoiser(xt, t, **_):
        alpha = process.schedule.alpha(t)[:, None, None]
        q = alpha * (xt[:, None] == TABLE).double() + (1 - alpha) / len(BASES)  # (rows, sequences, positions)
        out = torch.full((*xt.shape, VOCAB), -1e6, dtype=torch.float64)
        for i in range(LENGTH):
            seen = [j for j in range(LENGTH) if j != i or not others_only]
            weight = CHANCE * q[..., seen].prod(-1)
            for token in BASES:
                out[:, i, token] = (weight[:, TABLE[:, i] == token].sum(-1) / weight.sum(-1)).log()
        return out

    return denoiser


class Network(torch.nn.Module):
    """A backbone whose logits are those of a function of (tokens, time), asked with the time a denoiser tells by sigma.

    Args:
        answer: Logits (B, L, V) of tokens (B, L) and times (B,).
        schedule: Turns sigma back into time.
    """

    def __init__(self, answer, schedule):
        super().__init__()
        self.answer, self.schedule = answer, schedule

    def forward(self, tokens, sigma, **_):
        return self.answer(tokens, self.schedule.inverse(torch.exp(-sigma.double())).clamp(0, 1))
