"""Discrete diffusion in plain PyTorch: schedule, process, parameterization, denoiser, objective, sampler.

A backbone reads corrupted tokens; a parameterization turns its logits into log p(x_0 | x_t); a process with a noise
schedule says how tokens are corrupted; an objective is a bound on -log p(x_0); a sampler walks back from the prior.
"""

from dnadiff.diffusion.block_objective import BlockNELBO, Clip, MixedBlockNELBO
from dnadiff.diffusion.block_sampler import BlockSampler
from dnadiff.diffusion.classifier_guidance import Classifier, classifier_guided
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.discrete_objective import DiscreteNELBO
from dnadiff.diffusion.guidance import classifier_free, of_class
from dnadiff.diffusion.ideal import IdealDenoiser, IdealNextToken
from dnadiff.diffusion.masked_lm import MaskedLM
from dnadiff.diffusion.next_token_objective import NextTokenNLL
from dnadiff.diffusion.next_token_sampler import Autoregressive
from dnadiff.diffusion.noise_search import CountSearch, NoiseSearch, PublishedSearch
from dnadiff.diffusion.objective import Batch, MaskedNELBO, Noised, Objective, TokenLoss
from dnadiff.diffusion.parameterization import D3PM, NextToken, Parameterization, Revise, Sedd, Subs
from dnadiff.diffusion.process import AbsorbingProcess, Process, UniformProcess
from dnadiff.diffusion.remasking import Loop, ReMDM
from dnadiff.diffusion.restricted import Rule, restricted
from dnadiff.diffusion.sampler import Ancestral, FirstHitting, Revealing, Sampler
from dnadiff.diffusion.schedule import (
    SCHEDULES,
    Cosine,
    CosineSquared,
    Geometric,
    Linear,
    Log,
    LogLinear,
    LogUniform,
    NoiseSchedule,
    Square,
    SquareRoot,
)
from dnadiff.diffusion.score_guidance import Score, ScoreGuided
from dnadiff.diffusion.score_objective import ScoreEntropy
from dnadiff.diffusion.sliding import Sliding
from dnadiff.diffusion.stepwise import Analytic, Posterior
from dnadiff.diffusion.sundae import Revising, Sundae
from dnadiff.diffusion.truncation import Truncation
from dnadiff.diffusion.uniform_objective import UniformNELBO

__all__ = [
    "D3PM",
    "SCHEDULES",
    "AbsorbingProcess",
    "Analytic",
    "Ancestral",
    "Autoregressive",
    "Batch",
    "BlockNELBO",
    "BlockSampler",
    "Classifier",
    "Clip",
    "Cosine",
    "CosineSquared",
    "CountSearch",
    "Denoiser",
    "DiscreteNELBO",
    "FirstHitting",
    "Geometric",
    "IdealDenoiser",
    "IdealNextToken",
    "Linear",
    "Log",
    "LogLinear",
    "LogUniform",
    "Loop",
    "MaskedLM",
    "MaskedNELBO",
    "MixedBlockNELBO",
    "NextToken",
    "NextTokenNLL",
    "NoiseSchedule",
    "NoiseSearch",
    "Noised",
    "Objective",
    "Parameterization",
    "Posterior",
    "Process",
    "PublishedSearch",
    "ReMDM",
    "Revealing",
    "Revise",
    "Revising",
    "Rule",
    "Sampler",
    "Score",
    "ScoreEntropy",
    "ScoreGuided",
    "Sedd",
    "Sliding",
    "Square",
    "SquareRoot",
    "Subs",
    "Sundae",
    "TokenLoss",
    "Truncation",
    "UniformNELBO",
    "UniformProcess",
    "classifier_free",
    "classifier_guided",
    "of_class",
    "restricted",
]
