"""Published folders of Caduceus, which are masked language models.

Their names differ from those of ``models.caduceus`` where weights are shared. Both directions of a block hold the same
projections, and the language-model head is the embedding: a folder holds these once or several times. The equivariant
Caduceus-PS wraps layers (``submodule``) and stores how tokens pair up; it becomes the same network read on both
strands. The vocabulary of twelve tokens is padded to sixteen rows, of which the last four stand for nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dnadiff.checkpoints.folder import build_denoiser, check_weights
from dnadiff.checkpoints.foreign import Converted, folder_weights
from dnadiff.checkpoints.manifest import sha256
from dnadiff.checkpoints.upstream_spec import Reader
from dnadiff.checkpoints.vocabulary import folder_tokenizer, read_foreign
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError

_FIXED = {  # what every published network has, and models.caduceus knows
    "bidirectional": True, "bidirectional_strategy": "add", "bidirectional_weight_tie": True, "rms_norm": True,
    "norm_epsilon": 1e-5, "ssm_cfg.d_state": 16, "ssm_cfg.d_conv": 4, "ssm_cfg.expand": 2, "ssm_cfg.dt_rank": "auto",
    "ssm_cfg.conv_bias": True, "ssm_cfg.bias": False,
}  # fmt: skip
_SHARED = {  # second names of shared weights, as they end
    "mixer.mamba_rev.in_proj.weight": "mixer.in_proj.weight",
    "mixer.mamba_rev.out_proj.weight": "mixer.out_proj.weight",
    "lm_head.weight": "embeddings.word_embeddings.weight",
}
_EMBEDDING = "embeddings.word_embeddings.weight"
_PADDED = 16  # rows of the published vocabulary
_LENGTH = 1024  # of most published models, where a folder does not say it
_LONGEST = 1 << 20


def read_caduceus(path: Path, values: Mapping[str, Any], tokenizer: str | None) -> Converted:
    """The model of a published folder.

    Args:
        path: The folder.
        values: Its configuration.
        tokenizer: A folder with a tokenizer, or ``nucleotide``; None is ``nucleotide``, which all of them have.

    Raises:
        InputError: Something is missing, unknown, or needs what dnadiff has not.
    """
    config = path / "config.json"
    reader, known = Reader(values, config), NucleotideTokenizer()
    for key, value in _FIXED.items():
        _check(reader, key, value)
    if tokenizer is not None and not isinstance(folder_tokenizer(tokenizer), NucleotideTokenizer):
        raise InputError(f"--tokenizer {tokenizer}: {path} reads nucleotides; leave it out")
    pairs = known.complement(np.arange(known.vocab_size)).tolist()
    both = reader.flag("rcps", False)
    if both:
        _check_pairs(reader, pairs)
    file, tensors = folder_weights(path, _renamed)
    tensors = _once(_cut(tensors, known.vocab_size, file), file)
    length, warning = _length(path)
    spec = _spec(reader, known, length) | {"tokenizer": known.to_json()}
    if both:
        spec["backbone"]["rc"] = pairs
        tensors = {f"backbone.{name}": value for name, value in tensors.items()}
    check_weights({name: (tuple(value.shape), "F32") for name, value in tensors.items()}, spec, file)
    denoiser = build_denoiser(spec)
    denoiser.backbone.load_state_dict(tensors)
    inputs = {str(read): sha256(read) for read in (config, file)}
    facts = {"converted from": f"caduceus-{'ps' if both else 'ph'} folder"}
    return Converted(denoiser.eval(), known, spec, facts, inputs, warning)


def _check(reader: Reader, key: str, wanted: object) -> None:
    found: Any = reader.values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is not None and (found != wanted or (type(found) is bool) != (type(wanted) is bool)):
        raise reader.refusal(key, found, f"{wanted} would work")


def _check_pairs(reader: Reader, pairs: list[int]) -> None:
    stored = reader.values.get("complement_map")
    if not isinstance(stored, Mapping) or [stored.get(str(i)) for i in range(len(pairs))] != pairs:
        found = f"{reader.path}: its complement_map does not pair A 7 with T 10 and C 8 with G 9 alone"
        raise InputError(f"{found}; the folder of a published Caduceus would work")


def _renamed(stored: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """What is stored by the network's own names; the second names of shared weights stay."""
    named = {}
    for name, value in stored.items():
        parts = [part for part in str(name).split(".") if part != "submodule"]
        if parts[-1] == "complement_map":
            continue
        short = ".".join(parts).removeprefix("caduceus.backbone.")
        for wrapped, plain in (
            ("word_embeddings.embedding.", "word_embeddings."), ("lm_head.lm_head.", "lm_head."),
            ("mamba_fwd.in_proj.", "in_proj."), ("mamba_fwd.out_proj.", "out_proj."),
        ):  # fmt: skip
            short = short.replace(wrapped, plain)
        if short in named:
            raise InputError(f"{path}: has {short} twice, last as {name}; one set of weights would work")
        named[short] = value
    return named


def _cut(tensors: Mapping[str, Tensor], size: int, path: Path) -> dict[str, Tensor]:
    """Embedding and head without the rows that pad the vocabulary."""
    rows = len(tensors[_EMBEDDING]) if _EMBEDDING in tensors else 0
    if rows not in (size, _PADDED):
        found = f"{rows} tokens" if rows else f"no {_EMBEDDING}"
        raise InputError(f"{path}: has {found}; Caduceus's {size} tokens, padded to {_PADDED} or not, would work")
    cut = (_EMBEDDING, "lm_head.weight")
    return {name: value[:size].contiguous() if name in cut else value for name, value in tensors.items()}


def _once(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Each shared weight under its first name only."""
    out = {}
    for name, value in tensors.items():
        end = next((end for end in _SHARED if name.endswith(end)), None)
        if end is None:
            out[name] = value
            continue
        first = tensors.get(name.removesuffix(end) + _SHARED[end])
        if first is None or first.shape != value.shape or not bool((first == value).all()):
            raise InputError(f"{path}: {name} is not the weight it is shared with; a published folder works")
    return out


def _length(path: Path) -> tuple[int, str]:
    """Tokens of a window, and a warning if the folder does not say it."""
    file = path / "tokenizer_config.json"
    length = read_foreign(file).get("model_max_length") if file.is_file() else None
    if type(length) is int and 4 <= length <= _LONGEST:
        return length, ""
    return _LENGTH, f"it does not say how long its windows were: taken to be {_LENGTH:,} bases"


def _spec(reader: Reader, tokenizer: NucleotideTokenizer, length: int) -> dict[str, Any]:
    """The spec of a masked language model, as ``algo=mlm`` writes it."""
    return {
        "algo": "mlm",
        "length": length,
        "bos": False,
        "time_conditioning": False,
        "backbone": {
            "name": "caduceus",
            "vocab_size": tokenizer.vocab_size,
            "hidden_size": reader.whole("d_model"),
            "n_blocks": reader.whole("n_layer"),
            "adaln": False,
        },
        "parameterization": {
            "name": "subs",
            "carry_over": False,
            "mask_id": tokenizer.mask_id,
            "allowed": list(tokenizer.base_ids),
        },
        "process": {"name": "absorbing", "schedule": {"name": "loglinear", "eps": 1e-3}},
        "objective": {"name": "masked_nelbo", "estimator": "count"},
    }
