"""Two classes of sequences whose every conditional, guided or not, can be added up by hand."""

import torch
from torch import nn

from dnadiff.diffusion import AbsorbingProcess, Denoiser, LogLinear, NextToken, Subs
from dnadiff.diffusion.ideal import NextTable, Table
from tests.oracle import BASES, BOS, MASK, SEQUENCES, VOCAB, P

CLASSES = [P, {x: P[x[::-1]] for x in SEQUENCES}]  # the second class reads the first one backwards
MIXED = {x: 0.5 * CLASSES[0][x] + 0.5 * CLASSES[1][x] for x in SEQUENCES}
LAWS = [torch.tensor([law[x] for x in SEQUENCES], dtype=torch.float64) for law in (*CLASSES, MIXED)]


class Labelled(nn.Module):
    """A table a label; the last is the mixture of all, for "none"."""

    def __init__(self, tables):
        super().__init__()
        self.tables = nn.ModuleList(tables)

    def forward(self, tokens, sigma, *, labels, **options):
        everything = torch.stack([table(tokens, sigma, **options) for table in self.tables], dim=1)
        return everything[torch.arange(len(tokens)), labels]


def labelled():
    """A denoiser that knows the classes."""
    tables = [Table(torch.tensor(SEQUENCES), p, MASK, VOCAB) for p in LAWS]
    return Denoiser(Labelled(tables), Subs(MASK, BASES), AbsorbingProcess(LogLinear(), MASK))


def labelled_next_token():
    """An autoregressive model that knows them; its sequences begin with [BOS]."""
    tables = [NextTable(torch.tensor([(BOS, *x) for x in SEQUENCES]), p, VOCAB) for p in LAWS]
    return Denoiser(Labelled(tables), NextToken(MASK, BASES), AbsorbingProcess(LogLinear(), MASK))


def conditional_of(law, x, i, shown):
    """p(x_i | the tokens of x at the positions ``shown``), added up from a law."""
    fits = {y: p for y, p in law.items() if all(y[j] == x[j] for j in shown)}
    return sum(p for y, p in fits.items() if y[i] == x[i]) / sum(fits.values())


def guided_conditional(gamma, label):
    """p(x_i | shown, label)^gamma p(x_i | shown)^(1 - gamma), normalised over the bases."""

    def conditional(x, i, shown):
        weights = []
        for base in BASES:
            y = (*x[:i], base, *x[i + 1 :])
            weights.append(
                conditional_of(CLASSES[label], y, i, shown) ** gamma * conditional_of(MIXED, y, i, shown) ** (1 - gamma)
            )
        return weights[BASES.index(x[i])] / sum(weights)

    return conditional
