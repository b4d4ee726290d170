"""A small table p(x) over {A, C, G, T}^3 whose every conditional can be added up by hand, and draws that are chosen."""

import functools
import itertools
import math

import numpy as np
import torch
from scipy import stats

from dnadiff.diffusion import SCHEDULES, AbsorbingProcess, IdealDenoiser, IdealNextToken, LogLinear

BOS, MASK, VOCAB, LENGTH = 2, 3, 12, 3
BASES = (7, 8, 9, 10)
SEQUENCES = list(itertools.product(BASES, repeat=LENGTH))
_weights = np.random.default_rng(7).gamma(0.6, size=len(SEQUENCES)) + 0.02
P = dict(zip(SEQUENCES, (_weights / _weights.sum()).tolist(), strict=True))
SUBSETS = [s for k in range(1, LENGTH + 1) for s in itertools.combinations(range(LENGTH), k)]
SCHEDULE_NAMES = sorted(SCHEDULES)


def ideal(schedule=None):
    """The ideal denoiser of the table."""
    process = AbsorbingProcess(schedule or LogLinear(), MASK)
    return IdealDenoiser(torch.tensor(SEQUENCES), torch.tensor(list(P.values()), dtype=torch.float64), process, VOCAB)


def ideal_next_token():
    """The autoregressive model of the table; its sequences begin with [BOS]."""
    rows = torch.tensor([(BOS, *x) for x in SEQUENCES])
    p = torch.tensor(list(P.values()), dtype=torch.float64)
    return IdealNextToken(rows, p, AbsorbingProcess(LogLinear(), MASK), VOCAB)


def conditional(x, i, shown):
    """p(x_i | the tokens of x at the positions ``shown``), added up from the table."""
    return _conditional(tuple(x[j] if j in shown else None for j in range(LENGTH)), i, x[i])


@functools.cache
def _conditional(x, i, token):
    shown = [j for j in range(LENGTH) if x[j] is not None]
    fits = [y for y in SEQUENCES if all(y[j] == x[j] for j in shown)]
    return sum(P[y] for y in fits if y[i] == token) / sum(P[y] for y in fits)


def cross_entropy(x, masked):
    """Summed -log p of the masked tokens given the others, nats."""
    shown = [j for j in range(LENGTH) if j not in masked]
    return -sum(math.log(conditional(x, i, shown)) for i in masked)


def law_of_reveals(groups, start=(MASK,) * LENGTH, allowed=None, conditional=conditional):
    """Probability of each sequence when groups of positions are revealed in turn, independently within a group."""
    law = {tuple(start): 1.0}
    for group in groups:
        grown = {}
        for x, p in law.items():
            shown = [j for j in range(LENGTH) if x[j] != MASK]
            options = []
            for i in group:
                tokens = [b for b in BASES if allowed is None or b in allowed[i]]
                chances = [conditional((*x[:i], b, *x[i + 1 :]), i, shown) for b in tokens]
                options.append([(i, b, c / sum(chances)) for b, c in zip(tokens, chances, strict=True)])
            for picks in itertools.product(*options):
                y, q = list(x), p
                for i, b, chance in picks:
                    y[i], q = b, q * chance
                grown[tuple(y)] = grown.get(tuple(y), 0.0) + q
        law = grown
    return law


def mixture(laws):
    """The average of (weight, law) pairs."""
    out = {}
    for weight, law in laws:
        for x, p in law.items():
            out[x] = out.get(x, 0.0) + weight * p
    return out


def chi_square_p(samples, law):
    """The p-value of Pearson's test that rows of tokens follow a law; cells expecting less than 5 are pooled."""
    rows = [tuple(row) for row in samples.tolist()]
    assert set(rows) <= set(law), "a sequence of probability 0 was drawn"
    counts = {x: 0 for x in law}
    for row in rows:
        counts[row] += 1
    observed, expected, rest = [], [], [0, 0.0]
    for x, p in law.items():
        if len(rows) * p >= 5:
            observed.append(counts[x])
            expected.append(len(rows) * p)
        else:
            rest = [rest[0] + counts[x], rest[1] + len(rows) * p]
    if rest[1] > 1e-9:
        observed.append(rest[0])
        expected.append(rest[1])
    return stats.chisquare(observed, np.array(expected) * sum(observed) / sum(expected)).pvalue


class Recorded:
    """Draws with chosen uniforms: one a row for times and counts, one a position for the mask."""

    def __init__(self, time, mask):
        self.time, self.mask = torch.as_tensor(time).double(), torch.as_tensor(mask).double()

    def stratified(self, stream):
        return self.time

    def uniform(self, stream, step, *shape):
        assert self.mask.shape[1:] == shape
        return self.mask
