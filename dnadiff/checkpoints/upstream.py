"""Checkpoints of MDLM, of BD3-LM and of their AR baselines, the folders they and Caduceus were published as, and models
of other projects: llama2.c's file and the folders of Llama, GPT-2 and BERT, which have readers of their own.

A Lightning checkpoint holds the raw weights by name (``state_dict``), their exponential average as a bare list in the
order of the parameters (``ema``), the configuration and a pickled tokenizer (``hyper_parameters``). A published folder
holds ``config.json`` and averaged weights, as ``model.safetensors`` or ``pytorch_model.bin``. The network's names are
the ones ``models.dit`` uses, behind a prefix. What else they store is known by name and dropped; anything beyond that,
and anything missing, is an error.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dnadiff.checkpoints import causal_lm, encoder, llama2c
from dnadiff.checkpoints.folder import build_denoiser, check_weights
from dnadiff.checkpoints.foreign import ORIGIN, Converted, folder_weights
from dnadiff.checkpoints.manifest import sha256
from dnadiff.checkpoints.pickles import Archive, described, mapping
from dnadiff.checkpoints.upstream_caduceus import read_caduceus
from dnadiff.checkpoints.upstream_spec import Settings, folder_settings, pickled_settings, spec_of
from dnadiff.checkpoints.vocabulary import (
    Vocabulary,
    folder_tokenizer,
    folder_vocabulary,
    pickled_vocabulary,
    read_foreign,
    unnamed_vocabulary,
)
from dnadiff.data.tokenizer import Tokenizer, in_spec
from dnadiff.data.tokenizers import IdsTokenizer
from dnadiff.errors import InputError

WEIGHTS = ("ema", "raw")
_WRAPPERS = ("module", "model", "backbone")  # leading parts of a name that only say who holds the network
_BUFFERS = ("rotary_emb.inv_freq", "sampling_eps_min", "sampling_eps_max")  # stored, and computed here or not needed
_NOISE = "noise."  # the noise schedule's own, whose state is in the spec
_EMBEDDING, _SIGMA = "vocab_embed.embedding", "sigma_map.mlp.2.bias"


def read_upstream(path: Path, *, weights: str | None = None, tokenizer: str | None = None) -> Converted:
    """The model of a Lightning checkpoint or a published folder.

    Args:
        path: A ``.ckpt`` file, a ``.bin`` file of llama2.c, or a folder with ``config.json``.
        weights: ``ema`` (the default) or ``raw``; a folder or a file of llama2.c holds one set and takes neither.
        tokenizer: A folder with a tokenizer, or ``nucleotide``; of a file of llama2.c its ``tokenizer.bin``; None takes
            what the checkpoint says.

    Raises:
        InputError: It cannot be read, lacks something, has something unknown, or needs what dnadiff has not.
    """
    single = path.is_file() and path.suffix == llama2c.SUFFIX and not zipfile.is_zipfile(path)
    if path.is_dir() or single:
        if weights is not None:
            raise InputError(f"--weights {weights}: {path} holds one set of weights; leave it out")
    elif not path.exists():
        raise InputError(f"{path}: no such file; a checkpoint of MDLM or BD3-LM, or a folder of one, would work")
    try:
        if single:
            return llama2c.read_llama2c(path, tokenizer=tokenizer)
        return _folder(path, tokenizer) if path.is_dir() else _lightning(path, weights or "ema", tokenizer)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:  # weights of odd shapes
        if "allocate memory" in str(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: its weights are not those of its model ({reason}); copy or download it again"
        ) from error


def _lightning(path: Path, weights: str, tokenizer: str | None) -> Converted:
    with Archive(path) as archive:
        root = mapping(archive.root)
        stored, hyper = mapping(root.get("state_dict")), mapping(root.get("hyper_parameters"))
        if not stored or "config" not in hyper:
            raise InputError(f"{path}: is no Lightning checkpoint of MDLM or BD3-LM; one with its configuration works")
        settings = pickled_settings(hyper["config"], path)
        named = _parameters(stored, path)
        if weights == "ema":
            named = dict(zip(named, _shadow(root.get("ema"), len(named), path), strict=True))
        elif weights not in WEIGHTS:
            raise InputError(f"--weights {weights}: {' and '.join(WEIGHTS)} would work")
        tensors = {name: archive.tensor(value) for name, value in named.items() if not name.startswith(_NOISE)}
    counts = {"step": root.get("global_step"), "epoch": root.get("epoch")}
    facts: dict[str, Any] = {name: count for name, count in counts.items() if type(count) is int}
    inside = hyper.get("tokenizer")
    known = None if inside is None else pickled_vocabulary(inside)
    made = f"{settings.algo} checkpoint of Lightning {root.get('pytorch-lightning_version', 'unknown')}"
    facts |= {"weights": weights, ORIGIN: made}
    return _converted(path, {path: sha256(path)}, settings, tensors, known, tokenizer, facts)


def _folder(path: Path, tokenizer: str | None) -> Converted:
    config = path / "config.json"
    if not config.is_file():
        raise InputError(f"{path}: has no config.json; the folder of a published model would work")
    values = read_foreign(config)
    kind = str(values.get("model_type"))
    if kind == "caduceus":
        return read_caduceus(path, values, tokenizer)
    if kind in causal_lm.KINDS:
        return causal_lm.read_causal_lm(path, values, tokenizer)
    if kind in encoder.KINDS:
        return encoder.read_encoder(path, values, tokenizer)
    settings = folder_settings(values, config)
    file, tensors = folder_weights(path, _parameters)
    facts = {ORIGIN: f"{settings.algo} folder"}
    inputs = {config: sha256(config), file: sha256(file)}
    return _converted(file, inputs, settings, tensors, folder_vocabulary(path), tokenizer, facts)


def _converted(
    path: Path, inputs: Mapping[Path, str], settings: Settings, tensors: Mapping[str, Tensor], known: Vocabulary | None,
    asked: str | None, facts: Mapping[str, Any],
) -> Converted:  # fmt: skip
    size = len(tensors[_EMBEDDING]) if _EMBEDDING in tensors else 0
    if not size:
        raise InputError(f"{path}: lacks {_EMBEDDING}; weights of the transformer of MDLM or BD3-LM work")
    tokenizer = _tokenizer(path, known, asked, size)
    cond_dim = len(tensors[_SIGMA]) if _SIGMA in tensors else None
    spec = spec_of(settings, size, tokenizer.mask_id, cond_dim) | {"tokenizer": in_spec(tokenizer)}
    check_weights({name: (tuple(value.shape), "F32") for name, value in tensors.items()}, spec, path)
    denoiser = build_denoiser(spec)
    denoiser.backbone.load_state_dict(tensors)
    hashes = {str(file): digest for file, digest in inputs.items()}
    return Converted(denoiser.eval(), tokenizer, spec, dict(facts), hashes, _warning(tokenizer, known, asked))


def _tokenizer(path: Path, known: Vocabulary | None, asked: str | None, size: int) -> Tokenizer:
    """The tokenizer asked for if it fits what the checkpoint says, or the one that the checkpoint says."""
    if asked is None:
        return (known or unnamed_vocabulary(size)).tokenizer(size, path)
    tokenizer, mask = folder_tokenizer(asked), known.mask_id(size) if known else None
    if tokenizer.vocab_size != size or (mask is not None and tokenizer.mask_id != mask):
        found = f"has {tokenizer.vocab_size} tokens and mask {tokenizer.mask_id}"
        wanted = f"{path} has {size}" + (f" and {mask}" if mask is not None else "")
        raise InputError(f"--tokenizer {asked}: {found}, {wanted}; without it, token ids work")
    return tokenizer


def _warning(tokenizer: Tokenizer, known: Vocabulary | None, asked: str | None) -> str:
    if asked is not None or not isinstance(tokenizer, IdsTokenizer):
        return ""
    inside = "no tokenizer came with it" if known is None else "its vocabulary is not one of dnadiff's"
    mask = f"{'taken to be ' if known is None else ''}{tokenizer.mask_id}"
    return f"{inside}: it reads and writes token ids, 0 to {tokenizer.vocab_size - 1}; the mask is {mask}"


def _parameters(stored: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """What is stored by the network's own names, in the same order; buffers are left out."""
    named = {}
    for name, value in stored.items():
        parts = [part for part in str(name).split(".") if part != "_orig_mod"]
        while len(parts) > 1 and parts[0] in _WRAPPERS:
            parts = parts[1:]
        short = ".".join(parts)
        if short in named:
            raise InputError(f"{path}: has {short} twice, last as {name}; one set of weights would work")
        if not short.endswith(_BUFFERS):
            named[short] = value
    return named


def _shadow(ema: object, count: int, path: Path) -> list[Any]:
    """The averaged parameters, as many as there are raw ones."""
    shadow = mapping(ema).get("shadow_params")
    if not isinstance(shadow, list):
        raise InputError(f"{path}: has no averaged weights ({described(shadow)}); --weights raw would work")
    if len(shadow) != count:
        raise InputError(f"{path}: averages {len(shadow)} of {count} parameters; --weights raw would work")
    return shadow
