r"""Encoders of text in Hugging Face's folders, BERT and RoBERTa, as masked models: their mask is the mask.

Such a model gives p(token | what is not masked) and was trained at one masking rate, 15 %, by a loss without weights
(``algo=mlm``). It is read as what it is mathematically, a denoiser by SUBS, so it can be scored with the bound of
masked diffusion, which asks for all rates; continued with that loss it becomes MDLM (Sahoo et al. 2024, sec. 5.3).

The network is ``models.encoder.Bert``; nothing of the transformers library is imported. The embedding of the first
segment goes into the positions, the difference of the second to it, if there is one, stays, and RoBERTa's first two
positions, which are padding's, are left out. The pooler and the head for sentence order are not read. Windows begin
with [CLS] and end with [SEP], as in pre-training.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dnadiff.checkpoints.folder import build_denoiser, check_weights
from dnadiff.checkpoints.foreign import ORIGIN, Converted, folder_weights, name_parts
from dnadiff.checkpoints.manifest import sha256
from dnadiff.checkpoints.upstream_spec import Reader
from dnadiff.checkpoints.vocabulary import folder_tokenizer, token_names
from dnadiff.data.subwords import SubwordTokenizer
from dnadiff.data.tokenizer import in_spec
from dnadiff.errors import InputError

KINDS = {"bert": 0, "roberta": 2}
"""The types of model that can be read, by ``model_type``, and how many of their positions are no token's."""

_DEMANDS = {
    "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False,
    "tie_word_embeddings": True,
}  # fmt: skip
_LAYER = {
    "attention.self.query": "attn.q", "attention.self.key": "attn.k", "attention.self.value": "attn.v",
    "attention.output.dense": "attn.out", "attention.output.LayerNorm": "norm1", "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2", "output.LayerNorm": "norm2",
}  # fmt: skip
_ENDS = {
    "embeddings.word_embeddings.": "embed", "embeddings.position_embeddings.": "place",
    "embeddings.token_type_embeddings.": "segments", "embeddings.LayerNorm.": "first_norm",
    "cls.predictions.transform.dense.": "transform.0", "cls.predictions.transform.LayerNorm.": "transform.2",
    "lm_head.dense.": "transform.0", "lm_head.layer_norm.": "transform.2",
}  # fmt: skip
_LEAVES = {"gamma": "weight", "beta": "bias"}  # of norms in old files
_BIAS = ("cls.predictions.bias", "lm_head.bias", "cls.predictions.decoder.bias", "lm_head.decoder.bias")
_UNREAD = (
    "pooler.", "cls.seq_relationship.", "embeddings.position_ids", "cls.predictions.decoder.", "lm_head.decoder.",
)  # fmt: skip
_OF_DNA = re.compile(r"[ACGTUN]+")


def read_encoder(folder: Path, values: Mapping[str, Any], tokenizer: str | None) -> Converted:
    """The masked model of a folder.

    Args:
        folder: With ``config.json``, weights and, if ``tokenizer`` is None, ``tokenizer.json`` or ``vocab.txt``.
        values: Its ``config.json``, whose ``model_type`` is in ``KINDS``.
        tokenizer: Another folder with a tokenizer.

    Raises:
        InputError: It asks for something that dnadiff has not, its weights are not what it describes, it predicts no
            tokens, its tokens are not there, or they are pieces of DNA.
    """
    config, kind = folder / "config.json", values["model_type"]
    reader = Reader(values, config)
    reader.demand(_DEMANDS)
    words = _tokenizer(folder, tokenizer)
    file, named = folder_weights(folder, _names)
    if missing := {"embed.weight", "place.weight", "segments.weight"} - named.keys():
        raise InputError(f"{file}: has no {min(missing)} by the name of a {kind}; its own weights would work")
    if not {"transform.0.weight", "bias"} <= named.keys():
        raise InputError(f"{file}: has no head that predicts tokens; weights of a masked language model would work")
    if words.vocab_size != len(named["embed.weight"]):
        found = f"has {words.vocab_size} tokens, the model {len(named['embed.weight'])}"
        raise InputError(f"{tokenizer or folder}: its tokenizer {found}; the model's own would work")
    spec = _spec(reader, kind, words, segments=len(named["segments.weight"]) > 1)
    placed = _with_segment(named, KINDS[kind])
    check_weights({name: (tuple(value.shape), "F32") for name, value in placed.items()}, spec, file)
    denoiser = build_denoiser(spec)
    denoiser.backbone.load_state_dict(placed)
    inputs = {str(path): sha256(path) for path in (config, file)}
    return Converted(denoiser.eval(), words, spec, {ORIGIN: f"{kind} folder"}, inputs, "")


def _tokenizer(folder: Path, asked: str | None) -> SubwordTokenizer:
    words = folder_tokenizer(asked or str(folder))
    if not isinstance(words, SubwordTokenizer):
        raise InputError(f"--tokenizer {asked}: numbers {words.name}; the tokenizer of the encoder would work")
    ordinary = {name.removeprefix("##") for name, i in token_names(words).items() if i not in words.special_ids}
    ordinary = {name for name in ordinary if name[:1] not in "[<"}
    if ordinary and all(map(_OF_DNA.fullmatch, ordinary)):
        raise InputError(
            f"{folder}: its tokens are pieces of DNA, such as {min(ordinary)}; an encoder of text, or a model of "
            "single bases such as Caduceus, would work"
        )
    return words


def _spec(reader: Reader, kind: str, words: SubwordTokenizer, *, segments: bool) -> dict[str, Any]:
    width, positions = reader.whole("hidden_size"), reader.whole("max_position_embeddings", 512) - KINDS[kind]
    backbone = {
        "name": "bert", "vocab_size": words.vocab_size, "hidden_size": width,
        "n_blocks": reader.whole("num_hidden_layers"), "n_heads": reader.whole("num_attention_heads"),
        "positions": positions, "mlp_size": reader.whole("intermediate_size", 4 * width),
        "norm_eps": reader.real("layer_norm_eps", 1e-12), "segments": segments,
    }  # fmt: skip
    return {
        "algo": "mlm",
        "length": positions,
        "bos": True,
        "time_conditioning": False,
        "tokenizer": in_spec(words),
        "text": {"wrap": True, "window_ends": True},
        "backbone": backbone,
        "parameterization": {"name": "subs", "mask_id": words.mask_id, "allowed": words.clean_ids},
        "process": {"name": "absorbing", "schedule": {"name": "loglinear", "eps": 1e-3}},
        "objective": {"name": "masked_nelbo", "estimator": "count"},
    }


def _names(stored: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """What is stored by the network's own names; the head's matrix is the embedding, its bias may be there twice."""
    named = {}
    bias = next((stored[name] for name in _BIAS if name in stored), None)
    for name, value in stored.items():
        short = str(name).removeprefix("bert.").removeprefix("roberta.")
        if short in _BIAS or short.startswith(_UNREAD):
            continue
        layer, part, leaf = name_parts(short, "encoder.layer.")
        own = f"blocks.{layer}.{_LAYER[part]}." if part in _LAYER else f"{_ENDS[part]}." if part in _ENDS else ""
        key = own + _LEAVES.get(leaf, leaf) if own else short
        if key in named:
            raise InputError(f"{path}: has {key} twice, last as {name}; one set of weights would work")
        named[key] = value
    return named if bias is None else {**named, "bias": bias}


def _with_segment(named: Mapping[str, Tensor], unused: int) -> dict[str, Tensor]:
    """The weights with the first segment in the positions, of which the first few are left out."""
    first, *others = named["segments.weight"]
    moved = {"place.weight": named["place.weight"][unused:] + first} | ({"second": others[0] - first} if others else {})
    return {name: value for name, value in named.items() if name != "segments.weight"} | moved
