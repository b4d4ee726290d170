"""MDLM's sampler as its authors publish it, so that others can be measured against it: the loop called ddpm_cache.

T steps along an even grid of times from 1 to 1e-5. A step asks the network about every position of the whole batch,
turns the answer into probabilities of all V tokens in float32, and draws every position from

    q(x_s | x_t) = p(x_0 | x_t) (t - s) / t  +  s / t on the mask                      (Sahoo et al. 2024, eq. 7)

by dividing the weights by exponential noise and taking the largest. The answer is kept for the next step if no token of
the whole batch changed. What is still masked at the end becomes the likeliest token.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dnadiff.diffusion import Denoiser

LAST = 1e-5
"""Time at which the loop ends."""


@torch.inference_mode()
def ddpm_cache(denoiser: Denoiser, x: Tensor, steps: int, generator: torch.Generator) -> Iterator[tuple[Tensor, int]]:
    """The batch (B, L) after every step and, last of all, without masks; and how often the network was asked so far.

    Args:
        denoiser: Without time conditioning, in evaluation mode.
        x: Start, (B, L) int64, masks where a token is wanted.
        steps: T.
        generator: Of the noise.
    """
    mask, dt, kept, asked = denoiser.process.mask_id, (1 - LAST) / steps, None, 0
    for t in torch.linspace(1, LAST, steps + 1)[:-1].tolist():
        if kept is None:
            kept, asked = denoiser(x, None).exp(), asked + 1
        weights = kept * dt
        weights[..., mask] = t - dt
        noise = 1e-10 - (torch.rand(weights.shape, generator=generator) + 1e-10).log()
        drawn = torch.where(x == mask, (weights / noise).argmax(-1), x)
        if not torch.equal(drawn, x):
            kept = None
        x = drawn
        yield x, asked
    yield denoiser(x, None).argmax(-1), asked + 1


def kept_share(positions: int, steps: int) -> float:
    """The expected share of steps in which nothing changes, so that the network is not asked in the next.

    Every position leaves the mask in one of the steps, each with the same chance, independently of the others; so no
    position of the batch changes in a given step with probability (1 - 1 / T)^positions.

    Args:
        positions: Masked positions of the whole batch.
        steps: T.
    """
    return (1 - 1 / steps) ** positions
