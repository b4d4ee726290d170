"""Denoisers with an opinion about every corrupted sequence and every time, for formulas that must hold for any."""

import torch

from tests.oracle import BASES, MASK, VOCAB


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
