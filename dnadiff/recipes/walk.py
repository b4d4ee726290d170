"""Which sampler walks, and how: the settings that ``sample`` and its kin share, and the sampler they amount to."""

from dataclasses import dataclass

from dnadiff.diffusion import Ancestral, BlockSampler, Denoiser, FirstHitting, Sampler, Truncation
from dnadiff.errors import InputError, did_you_mean
from dnadiff.recipes.model import Model


@dataclass(frozen=True)
class Walk:
    """How to sample.

    Attributes:
        sampler: ``first_hitting`` or ``ancestral``.
        steps: Steps of ``ancestral``, of each block if there are blocks; None is one a base.
        tokens_per_step: Bases ``first_hitting`` reveals at once; 1 is exact.
        temperature: Above 0; below 1 sharper, above 1 flatter.
        nucleus: Keep the likeliest bases up to this probability, in (0, 1]; 1 keeps all.
        block_size: Bases of a block, for models trained on blocks; None is what the model was trained on.
    """

    sampler: str = "first_hitting"
    steps: int | None = None
    tokens_per_step: int = 1
    temperature: float = 1.0
    nucleus: float = 1.0
    block_size: int | None = None


SAMPLERS = {"first_hitting": FirstHitting, "ancestral": Ancestral}
"""The samplers a command may name."""

EXACT = Walk()
"""The default: one base a call, from the model's own distribution."""


def sampler_for(model: Model, walk: Walk, length: int) -> Sampler:
    """The sampler of some settings for a model: block by block if it was trained on blocks.

    A block sees at most a training window, so sequences can be of any length.

    Raises:
        InputError: A setting is impossible, or belongs to another sampler or model.
    """
    if model.block_size is None:
        if walk.block_size is not None:
            raise InputError(f"--block-size {walk.block_size}: the model reads whole sequences; leave it out")
        return sampler_of(model.denoiser, walk, length)
    size, read = walk.block_size or model.block_size, model.window + model.bos
    if size > read:
        raise InputError(f"--block-size {size}: the model read {read} tokens at a time; 1 to {read} would work")
    return BlockSampler(sampler_of(model.denoiser, walk, min(length, size)), size, window=read // size * size)


def sampler_of(denoiser: Denoiser, walk: Walk, length: int) -> Sampler:
    """The sampler of some settings, for sequences of ``length`` tokens.

    Raises:
        InputError: A setting is impossible or belongs to another sampler.
    """
    shape = {"truncation": Truncation(walk.temperature, walk.nucleus)}
    if walk.sampler not in SAMPLERS:
        raise InputError(f"--sampler {walk.sampler}: {did_you_mean(walk.sampler, SAMPLERS)}")
    if walk.sampler == "ancestral":
        if walk.tokens_per_step != 1:
            raise InputError("--tokens-per-step: belongs to --sampler first_hitting; ancestral takes --steps")
        return Ancestral(denoiser, length if walk.steps is None else walk.steps, **shape)
    if walk.steps is not None:
        raise InputError("--steps: belongs to --sampler ancestral; first_hitting takes --tokens-per-step")
    return FirstHitting(denoiser, walk.tokens_per_step, **shape)
