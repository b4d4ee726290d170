r"""From an autoregressive network to a diffusion model: what is trained on the way.

A network of next tokens looks left and speaks of what comes next; a diffusion model looks around and speaks of what is
hidden. Two routes lead from one to the other, and each begins at the autoregressive function itself.

*Blocks* (``GrowingBlocks``). Blocks of 1 with a clean past are autoregression; they double step by step until they have
their size: 1, 2, 4, ... The past stays clean and is read from left to right all the way, which is what makes the
conversion cheap (Arriola et al., 2025; the block-wise conversions of SDAR, LLaDA 2.0 and Efficient-DLM grow or fix the
block in the same way).

*Everything at once* (``OpeningAttention``). Masked diffusion from the first step on, while attention opens from causal
to full: a growing random share of what lies right (Gong et al., 2024, arXiv:2410.17891, DiffuGPT), or a growing reach.

*Both at once* (``AlsoNextToken``). A share of the autoregressive loss keeps the network's left-to-right mode: with
``BlockCausal(1)`` it stays the model of next tokens that it was, for exact scores and drafts.
"""

from collections.abc import Callable
from typing import Literal

from dnadiff.diffusion.block_objective import BlockNELBO
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.next_token_objective import next_token_loss
from dnadiff.diffusion.objective import Batch, MaskedNELBO, Noised, Objective, TokenLoss
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, Full, Pattern
from dnadiff.models.opening import Ahead, Scattered
from dnadiff.random import Draws, key64

Estimator = Literal["count", "time"]


class Curriculum(Objective):
    """An objective whose steps differ; it trains and does not score. ``for_step`` gives that of a step."""

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """As in step 0 of a seed 0: what a measurement before training needs."""
        return self.for_step(0, 0).noise(batch, draws)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Of ``noise``."""
        return self.for_step(0, 0).loss(denoiser, batch, noised)


class GrowingBlocks(Curriculum):
    """Block diffusion with blocks that double during the first ``steps``: 1, 2, 4, ... and then ``block_size``.

    Args:
        process: The corruption.
        block_size: The last size.
        steps: Optimiser steps before the last size; the sizes before it share them evenly.
        estimator: As of ``BlockNELBO``.

    Raises:
        InputError: Arguments out of range.
    """

    def __init__(self, process: AbsorbingProcess, block_size: int, steps: int, estimator: Estimator = "count") -> None:
        self.sizes = [*(1 << i for i in range((block_size - 1).bit_length())), block_size]
        self.steps = steps
        self.each = [BlockNELBO(process, size, estimator) for size in self.sizes]

    def for_step(self, seed: int, step: int) -> BlockNELBO:
        """The bound for the blocks of a step."""
        return self.each[-1 if step >= self.steps else step * (len(self.sizes) - 1) // self.steps]


def random_share(seed: int, step: int, done: float, length: int) -> Pattern:
    """Causal attention, and a share ``done`` in [0, 1] of what it hides, drawn anew in every step."""
    return Scattered(done, key64("attention", seed, step) >> 33)


def growing_reach(seed: int, step: int, done: float, length: int) -> Pattern:
    """Everything to the left, and a share ``done`` in [0, 1] of a window of ``length`` positions to the right."""
    return Ahead(int(done * length))


OPENINGS: dict[str, Callable[[int, int, float, int], Pattern]] = {"random": random_share, "reach": growing_reach}
"""The ways from causal to full attention."""


class OpeningAttention(Curriculum):
    """Masked diffusion whose attention is causal in step 0 and opens during the first ``steps``.

    Args:
        process: The corruption.
        steps: Optimiser steps until attention is full.
        length: Tokens of a window.
        how: A name of ``OPENINGS``.
        estimator: As of ``MaskedNELBO``.

    Raises:
        InputError: There is no such way.
    """

    def __init__(
        self, process: AbsorbingProcess, steps: int, length: int, how: str = "random", estimator: Estimator = "count"
    ) -> None:
        if how not in OPENINGS:
            raise InputError(f"how={how}: there are {', '.join(OPENINGS)}")
        self.process, self.steps, self.length, self.how, self.estimator = process, steps, length, how, estimator

    def for_step(self, seed: int, step: int) -> MaskedNELBO:
        """The bound under the attention of a step."""
        done = step / self.steps if self.steps else 1.0
        pattern = Full() if done >= 1 else OPENINGS[self.how](seed, step, done, self.length)
        return MaskedNELBO(self.process, self.estimator, pattern=pattern)


class AlsoNextToken(Objective):
    """Another objective and, with a weight, the autoregressive loss of the same network on the clean tokens.

    It takes a causal pass of its own, L tokens beside those of the other: the clean half of [x_t ; x_0] sees whole
    blocks and cannot be asked for next tokens.

    Args:
        objective: The other one.
        weight: Of a nat of the autoregressive loss, above 0.
    """

    def __init__(self, objective: Objective, weight: float) -> None:
        self.objective, self.weight = objective, weight

    def for_step(self, seed: int, step: int) -> "AlsoNextToken":
        """The other objective's, with the same weight."""
        return AlsoNextToken(self.objective.for_step(seed, step), self.weight)

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The other objective's."""
        return self.objective.noise(batch, draws)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """The other's nats plus the weighted ones of next tokens; it is no bound any more."""
        bound = self.objective.loss(denoiser, batch, noised)
        options = {"pattern": BlockCausal(1), "valid": batch.visible, "labels": batch.labels}
        log_p = denoiser(batch.x0, noised.t.new_zeros(len(batch.x0)), next_token=True, **options)
        return TokenLoss(bound.nll + self.weight * next_token_loss(log_p, batch).nll, bound.valid)
