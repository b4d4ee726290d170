"""Training that begins with the weights of another model: fine-tuning of a base, such as for another block size."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dnadiff.checkpoints.folder import build_denoiser, load, read_spec
from dnadiff.checkpoints.mask_row import mask_row
from dnadiff.diffusion import Denoiser
from dnadiff.errors import InputError
from dnadiff.random import key64

NETWORK = (
    "name", "hidden_size", "n_blocks", "n_heads", "cond_dim", "adaln", "stem", "rc", "n_kv_heads", "mlp_size",
    "positions", "rope_base", "norm_eps", "tied", "segments",
)  # fmt: skip
"""What two models must agree on besides their tokens."""

EMBEDDINGS = ("vocab_embed.embedding", "embed.weight")
"""What the networks that can read from left to right call the embedding of their tokens."""


def fresh(spec: Mapping[str, Any], seed: int) -> Denoiser:
    """The denoiser of a spec with the initial weights of a seed; PyTorch's generator is left where they end."""
    torch.manual_seed(key64("init", seed) >> 1)
    return build_denoiser(spec)


def start_from(folder: str, denoiser: Denoiser, spec: Mapping[str, Any]) -> None:
    """Gives a fresh denoiser the (averaged) weights of a trained one.

    The two may differ in method, block size, window and dropout, not in the network or the meaning of its tokens.
    A network that is told classes may begin with one that was not: what it adds for them starts fresh. A model of next
    tokens never read the mask, so the embedding of the mask starts fresh too, as the mean of those of the tokens.

    Args:
        folder: Run or model folder.
        denoiser: What will be trained; its weights are overwritten.
        spec: What it was built from.

    Raises:
        InputError: There is no such model, or its network is another one.
    """
    theirs, key = read_spec(folder), f"init_from={folder}"
    source = load(folder).backbone
    if theirs["tokenizer"] != spec["tokenizer"]:
        raise InputError(f"{key}: numbers its tokens otherwise; a model trained by this version on DNA would work")
    for name in NETWORK:
        old, new = (_value(of["backbone"], name) for of in (theirs, spec))
        if old != new:
            named = "backbone" if name == "name" else name
            here, there = (f"model.{named}={str(value).lower()}" for value in (new, old))
            raise InputError(f"{key}: was built with {there}, and this run has {here}; {there} would work")
    _copy(source, denoiser.backbone, "backbone." if "rc" in spec["backbone"] else "", key)
    if theirs["parameterization"]["name"] == "next_token" != spec["parameterization"]["name"]:
        _new_mask(denoiser)


def embedding_name(backbone: nn.Module) -> str:
    """What a network that can read from left to right calls the embedding of its tokens."""
    return next(name for name in EMBEDDINGS if name in dict(backbone.named_parameters()))


def _new_mask(denoiser: Denoiser) -> None:
    """Overwrites the embedding of the mask, with noise of PyTorch's generator."""
    embedding = denoiser.backbone.get_parameter(embedding_name(denoiser.backbone))
    mask_id, ordinary = denoiser.process.mask_id, denoiser.parameterization.allowed
    with torch.no_grad():
        embedding[mask_id] = mask_row(embedding, ordinary, torch.default_generator)


def _value(backbone: Mapping[str, Any], name: str) -> object:
    """A setting of a spec as far as it matters: of the tokens that pair with each other, whether there are any."""
    if name == "cond_dim" and not backbone.get("adaln", True):
        return 0
    return name in backbone if name == "rc" else backbone.get(name, 0)


def _copy(source: nn.Module, target: nn.Module, prefix: str, key: str) -> None:
    """Every weight; only those of classes may be missing in the source. Names begin with ``prefix``."""
    given, own = source.state_dict(), target.state_dict()
    classes = f"{prefix}label_embed.weight"
    if classes in given and (classes not in own or given[classes].shape != own[classes].shape):
        raise InputError(f"{key}: knows {len(given[classes]) - 1} classes; data.label with as many would work")
    target.load_state_dict({**own, **given} if classes in own else given)
