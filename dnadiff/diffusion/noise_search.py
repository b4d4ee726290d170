r"""Which noise levels to train a block model on, measured on data.

Block models train on a part of the noise levels, the part whose estimate of the NELBO is steadiest (Arriola et al.
2025, section 5.3). Evaluation always uses all levels.

With the count estimator a level is k, the number of masked tokens of a block, and a part is a range of whole numbers.
A pass over validation windows draws k uniformly from 1..block_size, so it holds a sample of every range at once: keep
the moments of the block NELBO for each k, and every range can be scored afterwards. The score is

    Var / mean^2

of a block's NELBO a token: free of scale, as ranges differ in their mean. Ranges cover at least half of 1..block_size
(as published ones do), else the narrowest would always be the steadiest.

The published search runs the time estimator once for each of up to 36 ranges of t and takes the least variance. Its
weights are 1 / t without the width of the range, so it compares quantities of different scale and drifts to high t.
"""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dnadiff.diffusion.block_objective import BlockNELBO, Clip
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Noised, TokenLoss
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.errors import InputError
from dnadiff.random import Draws

_FEW = "noise search: found fewer than 2 whole blocks; more validation windows would work"


class NoiseSearch(abc.ABC):
    """Measures some batches and says which part to train on."""

    @abc.abstractmethod
    def measure(self, denoiser: Denoiser, batch: Batch, draws: Draws) -> Tensor:
        """Figures of one batch, float64, to be summed over batches and processes."""

    @abc.abstractmethod
    def choose(self, total: Tensor) -> Clip:
        """The part to train on, from the sum of what ``measure`` gave.

        Raises:
            InputError: There were fewer than two whole blocks.
        """


class CountSearch(NoiseSearch):
    """The steadiest range of k, from one call of the network for each batch.

    Args:
        process: The corruption.
        block_size: Tokens of a block.
    """

    def __init__(self, process: AbsorbingProcess, block_size: int) -> None:
        self.objective = BlockNELBO(process, block_size)

    def measure(self, denoiser: Denoiser, batch: Batch, draws: Draws) -> Tensor:
        """``Moments`` as one tensor, (3, block_size)."""
        noised = self.objective.noise(batch, draws)
        loss = self.objective.loss(denoiser, batch, noised)
        found = moments(loss, noised, self.objective.block_size)
        return torch.stack([found.number, found.total, found.square]).cpu()

    def choose(self, total: Tensor) -> Clip:
        """The range with the least Var / mean^2."""
        return steadiest(Moments(*total))


class PublishedSearch(NoiseSearch):
    """The published search over ranges of t: one call of the network for each batch and candidate.

    All candidates see the same uniforms. (The published code draws anew, and keeps the first 100 batches.)

    Args:
        process: The corruption.
        block_size: Tokens of a block.
    """

    def __init__(self, process: AbsorbingProcess, block_size: int) -> None:
        self.candidates, self.block_size = published_candidates(block_size), block_size
        make = [BlockNELBO(process, block_size, "time", clip=clip, published=True) for clip in self.candidates]
        self.objectives = make

    def measure(self, denoiser: Denoiser, batch: Batch, draws: Draws) -> Tensor:
        """Variance of the block NELBO under each candidate, (C,); NaN with fewer than two whole blocks."""
        losses = (objective(denoiser, batch, draws) for objective in self.objectives)
        return torch.stack([whole_blocks(loss, self.block_size)[1].var() for loss in losses]).cpu()

    def choose(self, total: Tensor) -> Clip:
        """The candidate with the least sum of variances."""
        return published_choice(self.candidates, total)


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
    full, value = whole_blocks(loss, block_size)
    masked = noised.weight[:, : full.shape[1] * block_size].unflatten(1, (-1, block_size)) > 0
    k = masked.sum(-1)[full] - 1
    zeros = value.new_zeros(block_size)
    return Moments(*(zeros.index_add(0, k, y) for y in (torch.ones_like(value), value, value.square())))


def whole_blocks(loss: TokenLoss, block_size: int) -> tuple[Tensor, Tensor]:
    """Which blocks have all their tokens to score, (B, n) bool, and the nats a token of those, (W,) float64."""
    whole = loss.nll.shape[1] // block_size * block_size
    nll, valid = (x[:, :whole].unflatten(1, (-1, block_size)) for x in (loss.nll, loss.valid))
    full = valid.all(-1)
    return full, nll.detach().double().mean(-1)[full]


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
        raise InputError(_FEW)
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


def published_choice(candidates: Sequence[Clip], variances: Tensor) -> Clip:
    """The range with the least sum over batches of the variance of block NELBOs.

    Args:
        candidates: C ranges of t.
        variances: That sum for each, with the published weights, (C,).

    Raises:
        InputError: There were fewer than two blocks in a batch.
    """
    if not variances.isfinite().all():
        raise InputError(_FEW)
    return candidates[int(variances.argmin())]
