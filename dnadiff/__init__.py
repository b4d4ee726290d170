"""Discrete diffusion on nucleotide sequences: train on a genome, generate, score and compare DNA.

    >>> import dnadiff
    >>> denoiser = dnadiff.load("run")                                      # doctest: +SKIP

The names below are imported when they are first used, so ``import dnadiff`` itself is instant.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "load": "checkpoints.folder",
    "load_embedder": "checkpoints.embedder",
    "load_predictor": "checkpoints.predictor",
    "load_tokenizer": "checkpoints.folder",
    "Pretrained": "checkpoints.hub",
    "Denoiser": "diffusion.denoiser",
    "DiT": "models.dit",
    "Subs": "diffusion.parameterization",
    "AbsorbingProcess": "diffusion.process",
    "LogLinear": "diffusion.schedule",
    "MaskedNELBO": "diffusion.objective",
    "FirstHitting": "diffusion.sampler",
    "Ancestral": "diffusion.sampler",
    "NucleotideTokenizer": "data.tokenizers",
    "Store": "data.genome",
    "Interval": "data.intervals",
    "Draws": "random",
    "Full": "models.attention",
    "BlockCausal": "models.attention",
    "BlockDiffusion": "models.attention",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
