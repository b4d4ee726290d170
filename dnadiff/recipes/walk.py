"""Which sampler walks, and how: the settings that ``sample`` and its kin share, and the sampler they amount to."""

from dataclasses import dataclass

from dnadiff.diffusion import Ancestral, Denoiser, FirstHitting, Sampler, Truncation
from dnadiff.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Walk:
    """How to sample.

    Attributes:
        sampler: ``first_hitting`` or ``ancestral``.
        steps: Steps of ``ancestral``; None is one a base.
        tokens_per_step: Bases ``first_hitting`` reveals at once; 1 is exact.
        temperature: Above 0; below 1 sharper, above 1 flatter.
        nucleus: Keep the likeliest bases up to this probability, in (0, 1]; 1 keeps all.
    """

    sampler: str = "first_hitting"
    steps: int | None = None
    tokens_per_step: int = 1
    temperature: float = 1.0
    nucleus: float = 1.0


SAMPLERS = {"first_hitting": FirstHitting, "ancestral": Ancestral}
"""The samplers a command may name."""

EXACT = Walk()
"""The default: one base a call, from the model's own distribution."""


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
