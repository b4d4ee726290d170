"""Discrete diffusion in plain PyTorch: schedule, process, parameterization, denoiser, objective, sampler.

A backbone reads corrupted tokens; a parameterization turns its logits into log p(x_0 | x_t); a process with a noise
schedule says how tokens are corrupted; an objective is a bound on -log p(x_0); a sampler walks back from the prior.
"""

from dnadiff.diffusion.block_objective import BlockNELBO
from dnadiff.diffusion.block_sampler import BlockSampler
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.ideal import IdealDenoiser, IdealNextToken
from dnadiff.diffusion.next_token_objective import NextTokenNLL
from dnadiff.diffusion.noise_search import Clip
from dnadiff.diffusion.objective import Batch, MaskedNELBO, Noised, Objective, TokenLoss
from dnadiff.diffusion.parameterization import NextToken, Parameterization, Subs
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.diffusion.sampler import Ancestral, FirstHitting, Sampler
from dnadiff.diffusion.schedule import (
    SCHEDULES,
    Cosine,
    CosineSquared,
    Geometric,
    Linear,
    LogLinear,
    NoiseSchedule,
)
from dnadiff.diffusion.truncation import Truncation

__all__ = [
    "SCHEDULES",
    "AbsorbingProcess",
    "Ancestral",
    "Batch",
    "BlockNELBO",
    "BlockSampler",
    "Clip",
    "Cosine",
    "CosineSquared",
    "Denoiser",
    "FirstHitting",
    "Geometric",
    "IdealDenoiser",
    "IdealNextToken",
    "Linear",
    "LogLinear",
    "MaskedNELBO",
    "NextToken",
    "NextTokenNLL",
    "NoiseSchedule",
    "Noised",
    "Objective",
    "Parameterization",
    "Sampler",
    "Subs",
    "TokenLoss",
    "Truncation",
]
