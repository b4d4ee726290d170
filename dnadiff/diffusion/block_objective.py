r"""Block diffusion: autoregressive over blocks of tokens, masked diffusion within a block.

    log p(x) = sum_b log p(x^b | x^{<b}),      -log p(x^b | x^{<b}) <= NELBO of the block given the clean blocks before

(Arriola et al., Block Diffusion: Interpolating Between Autoregressive and Diffusion Language Models, 2025,
arXiv:2503.09573, eq. 3 to 8.) One pass over [x_t ; x_0] with the pattern ``BlockDiffusion`` gives the terms of all
blocks. Blocks of 1 are an autoregressive model, a single block is MDLM.

*count*. A block with n maskable tokens has k ~ U{1..n} of them masked, and their cross-entropies count n / k:

    NELBO of a block  =  E_{k ~ U{1..n}} E_{S uniform, |S| = k} [ (n / k) CE(S) ]

There is no t and no cut-off, no block is left unmasked, and weights lie in [1, n]. With n = 1 the token is always
masked with weight 1, so blocks of 1 give the exact likelihood without any noise of the estimate.

*time*. t in [low, high) a block, every token masked with the schedule's move chance, weight (high - low) w(t).

*Strata.* The levels of the blocks of a row are evenly spread: block b of sample j gets (pi_j(b) + u_j) / n_blocks with
u_j evenly spread over samples and pi_j a random order keyed by the sample, so that no place in the row prefers a level.

*Clipped training* draws k (or t) from a part of its range. The weights stay, so the loss is no bound any more: it is
for training only, and ``noise_search`` says which part.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import ESTIMATORS, Batch, Noised, Objective, TokenLoss
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.diffusion.timesteps import smallest
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockDiffusion
from dnadiff.random import Draws, key64

EPS = 1e-3  # smallest time of the time estimator, as published


class Clip(NamedTuple):
    """A range of noise levels, both ends included; in JSON a list of two numbers.

    Attributes:
        low: Least masked tokens of a block, or earliest time.
        high: Most masked tokens, or latest time.
    """

    low: float
    high: float


class BlockNELBO(Objective):
    """The NELBO of block diffusion, estimated once a block.

    A time-conditioned denoiser is told each noisy token its block's time and the clean half t = 0. (Published code
    gives the first block's to all.)

    Args:
        process: The corruption.
        block_size: Tokens of a block, 1 or more; the last block of a row may be shorter. L or more is one block.
        estimator: ``"count"`` or ``"time"``.
        clip: Part of the range of k (whole numbers in 1..block_size) or of t (in (0, 1]) to train on, lowest and
            highest; None: all of k, or [0.001, 1]. A block with fewer than ``clip.low`` maskable tokens has all of
            them masked.
        published: Weights of the published code, for comparing numbers; only with ``"time"``: the factor high - low is
            left out, and every weight is 1 if low is above 0.5.

    Attributes:
        clip: What training may change on the way.

    Raises:
        InputError: Arguments out of range or that do not go together.
    """

    def __init__(
        self,
        process: AbsorbingProcess,
        block_size: int,
        estimator: Literal["count", "time"] = "count",
        *,
        clip: Sequence[float] | None = None,
        published: bool = False,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise InputError(f"estimator={estimator!r}: there are {', '.join(ESTIMATORS)}")
        if published and estimator != "time":
            raise InputError("published weights go with estimator='time'")
        self.pattern = BlockDiffusion(block_size)
        self.exact = block_size == 1 and estimator == "count"
        self.process, self.block_size, self.estimator, self.published = process, block_size, estimator, published
        self.clip = Clip(*clip) if clip else Clip(1, block_size) if estimator == "count" else Clip(EPS, 1.0)
        _check(self.clip, estimator, block_size)

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch, corrupted; pads and given tokens never are."""
        length = batch.x0.shape[1]
        level = spread(draws, -(-length // self.block_size)).to(batch.x0.device)
        return self.corrupt(batch, level, draws.uniform("mask", 0, length).to(batch.x0.device))

    def corrupt(self, batch: Batch, level: Tensor, u: Tensor) -> Noised:
        """What ``noise`` does once the uniforms are drawn.

        Args:
            batch: Clean tokens.
            level: Place in the range of k or t of each block, in [0, 1), (B, n_blocks) float64.
            u: A uniform a token in [0, 1), (B, L) float64.
        """
        by = self._by_count if self.estimator == "count" else self._by_time
        masked, t, weight = by(batch, level, u)
        xt = torch.where(masked, self.process.mask_id, batch.x0)
        return Noised(xt, self._per_token(t, u.shape[1]), torch.where(masked, self._per_token(weight, u.shape[1]), 0.0))

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every token from one call of the denoiser; 0 where the token was not masked."""
        both = torch.cat([noised.xt, batch.x0], dim=1)
        t = torch.cat([noised.t, torch.zeros_like(noised.t)], dim=1)
        valid = None if batch.visible is None else batch.visible.repeat(1, 2)
        noisy = slice(0, batch.x0.shape[1])
        log_p = denoiser(both, t, pattern=self.pattern, valid=valid, labels=batch.labels, at=noisy)
        log_p_x0 = log_p.gather(-1, batch.x0[..., None])[..., 0]
        weight = noised.weight.to(log_p.dtype)
        return TokenLoss(torch.where(weight > 0, -weight * log_p_x0, 0.0), batch.maskable)

    def _by_count(self, batch: Batch, level: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        blocks = in_blocks(batch.maskable, self.block_size, False)
        n = blocks.sum(-1)
        low, high = n.clamp(max=int(self.clip.low)), n.clamp(max=int(self.clip.high))
        k = torch.minimum(low + (level * (high - low + 1)).long(), high)
        masked, m = smallest(in_blocks(u, self.block_size, 0.0).flatten(0, 1), blocks.flatten(0, 1), k.flatten())
        t = self.process.schedule.inverse(1 - m).clamp(0, 1).reshape(level.shape)
        return masked.reshape(len(u), -1)[:, : u.shape[1]], t, n / k.clamp(min=1).double()

    def _by_time(self, batch: Batch, level: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        schedule, low, high = self.process.schedule, self.clip.low, self.clip.high
        t = low + (high - low) * level
        moved = self.process.corrupt(batch.x0, self._per_token(schedule.move_chance(t), u.shape[1]), u)
        weight = schedule.weight(t) if self.published else (high - low) * schedule.weight(t)
        if self.published and low > 0.5:
            weight = torch.ones_like(t)
        return batch.maskable & (moved == self.process.mask_id), t, weight

    def _per_token(self, value: Tensor, length: int) -> Tensor:
        """(B, n_blocks) made (B, L)."""
        return value.repeat_interleave(self.block_size, dim=1)[:, :length]


class MixedBlockNELBO(Objective):
    """One model for many block sizes: every optimiser step has blocks of one of them, drawn by its seed and number.

    It trains and does not score: ``for_step`` gives the objective of a step.

    Args:
        process: The corruption.
        block_sizes: Which, as likely as each other.
        estimator: As of ``BlockNELBO``.

    Raises:
        InputError: Arguments out of range, or no block size.
    """

    def __init__(
        self, process: AbsorbingProcess, block_sizes: Sequence[int], estimator: Literal["count", "time"] = "count"
    ) -> None:
        if not block_sizes:
            raise InputError("block_sizes=[]: needs one or more")
        self.each = [BlockNELBO(process, size, estimator) for size in block_sizes]

    def for_step(self, seed: int, step: int) -> BlockNELBO:
        """The bound for the blocks of a step."""
        return self.each[key64("block size", seed, step) % len(self.each)]

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """As in the step 0 of a seed 0: what a measurement before training needs."""
        return self.for_step(0, 0).noise(batch, draws)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Of ``noise``."""
        return self.for_step(0, 0).loss(denoiser, batch, noised)


def spread(draws: Draws, n_blocks: int) -> Tensor:
    """A level in [0, 1) for each block, (B, n_blocks) float64: uniform for each, evenly spread over a row."""
    order = draws.uniform("strata", 0, n_blocks).argsort(dim=-1)
    return (order + draws.stratified("time")[:, None]) / n_blocks


def in_blocks(x: Tensor, block_size: int, fill: float | bool) -> Tensor:
    """x (B, L) cut into blocks, (B, n_blocks, block_size); what the last one lacks is ``fill``."""
    short = -x.shape[1] % block_size
    return F.pad(x, (0, short), value=fill).unflatten(1, (-1, block_size))


def _check(clip: Clip, estimator: str, block_size: int) -> None:
    whole = clip.low == int(clip.low) and clip.high == int(clip.high)
    if estimator == "count" and not (whole and 1 <= clip.low <= clip.high <= block_size):
        raise InputError(
            f"clip={clip.low:g},{clip.high:g}: needs whole numbers from 1 to {block_size}, the lower first"
        )
    if estimator == "time" and not 0 < clip.low <= clip.high <= 1:
        raise InputError(f"clip={clip.low:g},{clip.high:g}: needs times above 0, at most 1, the lower first")
