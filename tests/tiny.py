"""A very small DiT with random weights: enough to have opinions, too small to be slow."""

import torch

from dnadiff.checkpoints.folder import build_denoiser
from tests.oracle import BASES, MASK, VOCAB

SPEC = {
    "format": 1,
    "length": 16,
    "algo": "mdlm",
    "bos": False,
    "time_conditioning": False,
    "tokenizer": {"name": "nucleotide"},
    "backbone": {
        "name": "dit",
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "n_blocks": 1,
        "n_heads": 2,
        "cond_dim": 8,
        "dropout": 0.0,
        "adaln": True,
        "n_classes": 0,
    },
    "parameterization": {"name": "subs", "mask_id": MASK, "allowed": list(BASES)},
    "process": {"name": "absorbing", "schedule": {"name": "loglinear", "eps": 0.001}},
}


def tiny_denoiser(seed=0, **changes):
    """The denoiser of SPEC with normal weights (a fresh one is uniform), in evaluation mode."""
    denoiser = build_denoiser({**SPEC, **changes})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return denoiser.eval()


BLOCKS = {"algo": "bd3lm", "bos": True, "block_size": 4}
"""What SPEC says besides, of a model trained on blocks."""


def tiny_next_token(seed=0):
    """An autoregressive one with the same weights."""
    return tiny_denoiser(seed, parameterization={"name": "next_token", "mask_id": MASK, "allowed": list(BASES)})
