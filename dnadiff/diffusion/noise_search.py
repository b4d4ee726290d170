r"""Which noise levels to train a block model on, measured on data.

Block models train on a part of the noise levels, the part whose estimate of the NELBO is steadiest (Arriola et al.
2025, section 5.3). Evaluation always uses all levels.

With the count estimator a level is k, the number of masked tokens of a block, and a part is a range of whole numbers.
An ordinary validation pass draws k uniformly from 1..block_size, so it holds a sample of every range at once: keep the
moments of the block NELBO for each k, and every range can be scored afterwards. The score is

    Var / mean^2

of a block's NELBO a token: free of scale, as ranges differ in their mean. Ranges cover at least half of 1..block_size
(as published ones do), else the narrowest would always be the steadiest.

The published search runs the time estimator once for each of up to 36 ranges of t and takes the least variance. Its
weights are 1 / t without the width of the range, so it compares quantities of different scale and drifts to high t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dnadiff.diffusion.objective import Noised, TokenLoss
from dnadiff.errors import InputError


@dataclass(frozen=True)
class Clip:
    """A range of noise levels, both ends included; plain numbers, so ``dataclasses.asdict`` is its JSON.

    Attributes:
        low: Least masked tokens of a block, or earliest time.
        high: Most masked tokens, or latest time.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Moments:
    """Sums over blocks by their number of masked tokens; those of k lie at index k - 1.

    Attributes:
        number: Blocks, (block_size,) float64.
        total: Sum of their NELBO a token, nats, (block_size,) float64.
        square: Sum of its square, (block_size,) float64.
    """

    number: Tensor
    total: Tensor
    square: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        """Those of both, such as of two batches or two processes."""
        return Moments(self.number + other.number, self.total + other.total, self.square + other.square)


def moments(loss: TokenLoss, noised: Noised, block_size: int) -> Moments:
    """Those of one batch; blocks that lack a maskable token are left out, as their k means something else.

    Args:
        loss: Of ``BlockNELBO`` with the count estimator and no clip.
        noised: The same batch.
        block_size: Tokens of a block.
    """
    whole = loss.nll.shape[1] // block_size * block_size
    nll, valid, weight = (x[:, :whole].unflatten(1, (-1, block_size)) for x in (loss.nll, loss.valid, noised.weight))
    full = valid.all(-1)
    k = (weight > 0).sum(-1)[full] - 1
    value = nll.detach().double().mean(-1)[full]
    zeros = value.new_zeros(block_size)
    return Moments(*(zeros.index_add(0, k, y) for y in (torch.ones_like(value), value, value.square())))


def ranges(block_size: int) -> Tensor:
    """All ranges of k that cover at least half of 1..block_size, (R, 2) int64, the whole one first."""
    low, high = torch.meshgrid(torch.arange(1, block_size + 1), torch.arange(1, block_size + 1), indexing="ij")
    width = high - low + 1
    both = torch.stack([low, high], dim=-1)[2 * width >= block_size]
    return both[(both[:, 0] - both[:, 1]).argsort(stable=True)]


def scores(found: Moments, candidates: Tensor) -> Tensor:
    """Var / mean^2 of the block NELBO when k is uniform on each range, (R,) float64; inf with fewer than 2 blocks."""
    number, total, square = (
        torch.cat([x.new_zeros(1), x.cumsum(0)])[candidates[:, 1]]
        - torch.cat([x.new_zeros(1), x.cumsum(0)])[candidates[:, 0] - 1]
        for x in (found.number, found.total, found.square)
    )
    mean = total / number.clamp(min=1)
    variance = (square - number * mean.square()).clamp(min=0) / (number - 1).clamp(min=1)
    return torch.where((number >= 2) & (mean > 0), variance / mean.square(), torch.inf)


def steadiest(found: Moments) -> Clip:
    """The range of k to train on.

    Raises:
        InputError: There were fewer than two blocks.
    """
    candidates = ranges(len(found.number))
    score = scores(found, candidates)
    if not score.isfinite().any():
        raise InputError("noise search: found fewer than 2 whole blocks; more validation windows would work")
    low, high = candidates[score.argmin()].tolist()
    return Clip(low, high)


def published_candidates(
    block_size: int, widths: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9), delta: float = 0.05
) -> list[Clip]:
    """The ranges of t that the published search tries: all, and those of each width at steps of ``delta``."""
    if block_size == 1:
        return [Clip(1e-3, 1.0), Clip(1.0, 1.0)]
    starts = [(round(i * delta, 9), w) for w in widths for i in range(round((1 - w) / delta) + 1)]
    return [Clip(1e-3, 1.0), *(Clip(max(start, 1e-3), round(start + w, 9)) for start, w in starts)]


def published_choice(candidates: Sequence[Clip], nelbos: Tensor) -> Clip:
    """The range with the least sum over batches of the variance of block NELBOs.

    Args:
        candidates: C ranges of t.
        nelbos: Mean loss of each block with the published weights, (C, batches, B, n_blocks).
    """
    return candidates[int(nelbos.double().flatten(2).var(-1).sum(-1).argmin())]
