"""Discrete diffusion in plain PyTorch: schedule, process, parameterization, denoiser, objective, sampler.

A backbone reads corrupted tokens; a parameterization turns its logits into log p(x_0 | x_t); a process with a noise
schedule says how tokens are corrupted; an objective is a bound on -log p(x_0); a sampler walks back from the prior.
"""

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.ideal import IdealDenoiser
from dnadiff.diffusion.objective import Batch, MaskedNELBO, Noised, Objective, TokenLoss
from dnadiff.diffusion.parameterization import Parameterization, Subs
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.diffusion.schedule import (
    SCHEDULES,
    Cosine,
    CosineSquared,
    Geometric,
    Linear,
    LogLinear,
    NoiseSchedule,
)

__all__ = [
    "SCHEDULES",
    "AbsorbingProcess",
    "Batch",
    "Cosine",
    "CosineSquared",
    "Denoiser",
    "Geometric",
    "IdealDenoiser",
    "Linear",
    "LogLinear",
    "MaskedNELBO",
    "NoiseSchedule",
    "Noised",
    "Objective",
    "Parameterization",
    "Subs",
    "TokenLoss",
]
