r"""Decoder-only language models in Hugging Face's folders: ``config.json`` beside ``model.safetensors``.

Their weights go into this project's own networks (``models.decoder``), so nothing of the transformers library is
imported and no 4-D mask has to be smuggled into it: patterns, cache and ``at`` are those of every backbone. The seam
is ``KINDS``: one entry a type of model, with its network's settings and its names. A setting that would change the
function and is not known here is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dnadiff.checkpoints.folder import build_denoiser, check_weights
from dnadiff.checkpoints.foreign import ORIGIN, Converted, folder_weights, name_parts
from dnadiff.checkpoints.llama2c import autoregressive_spec
from dnadiff.checkpoints.manifest import sha256
from dnadiff.checkpoints.mask_row import with_mask_row
from dnadiff.checkpoints.upstream_spec import Reader
from dnadiff.checkpoints.vocabulary import folder_tokenizer, folder_vocabulary
from dnadiff.data.tokenizers import IdsTokenizer, NucleotideTokenizer, Tokenizer
from dnadiff.errors import InputError

Named = dict[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """A type of model.

    Attributes:
        section: Of a configuration, the section ``backbone`` without ``vocab_size``, and the longest sequence.
        names: The weights by the network's own names, of the file's weights without their prefix and the heads.
    """

    section: Callable[[Reader], tuple[dict[str, Any], int]]
    names: Callable[[Mapping[str, Tensor]], Named]


def read_causal_lm(folder: Path, values: Mapping[str, Any], tokenizer: str | None) -> Converted:
    """The autoregressive model of a folder, with a row more for the mask where its vocabulary has none.

    Args:
        folder: With ``model.safetensors``.
        values: Its ``config.json``, whose ``model_type`` is in ``KINDS``.
        tokenizer: A folder with a tokenizer, or ``nucleotide``; None takes what the folder says, else token ids.

    Raises:
        InputError: It asks for something that dnadiff has not, or its weights are not what it describes.
    """
    config = folder / "config.json"
    reader, kind = Reader(values, config), KINDS[values["model_type"]]
    section, length = kind.section(reader)
    file, stored = folder_weights(folder, _without_buffers)
    if "embed.weight" not in (named := kind.names(stored)):
        raise InputError(
            f"{file}: has no embedding by the name of a {values['model_type']}; its own weights would work"
        )
    size = len(named["embed.weight"])
    words, known = _tokenizer(reader, folder, tokenizer, size)
    if words.vocab_size == size + 1:
        named["embed.weight"] = with_mask_row(named["embed.weight"])
        if "head.weight" in named:
            named["head.weight"] = with_mask_row(named["head.weight"], head=True)
    spec = autoregressive_spec({**section, "vocab_size": words.vocab_size}, words, length)
    check_weights({name: (tuple(value.shape), "F32") for name, value in named.items()}, spec, file)
    denoiser = build_denoiser(spec)
    denoiser.backbone.load_state_dict(named)
    inputs = {str(path): sha256(path) for path in (config, file)}
    told = f"it reads and writes token ids, 0 to {size - 1}, the mask is {words.mask_id}; --tokenizer DIR names them"
    facts = {ORIGIN: f"{values['model_type']} folder"}
    return Converted(denoiser.eval(), words, spec, facts, inputs, "" if known else told)


def _llama(reader: Reader) -> tuple[dict[str, Any], int]:
    heads, width = reader.whole("num_attention_heads"), reader.whole("hidden_size")
    rope = "rope_parameters" if reader.has("rope_parameters") else "rope_scaling"
    if reader.has(rope) and reader.text(f"{rope}.rope_type", reader.text(f"{rope}.type", "default")) != "default":
        raise reader.refusal(rope, reader.values[rope], "rotary positions without scaling would work")
    reader.demand({"hidden_act": "silu", "attention_bias": False, "mlp_bias": False})
    if reader.whole("head_dim", width // heads) != width // heads:
        raise reader.refusal("head_dim", reader.values["head_dim"], f"{width // heads} would work")
    base = reader.real("rope_theta", reader.real("rope_parameters.rope_theta", 10_000.0))
    section = {
        "name": "llama", "hidden_size": width, "n_blocks": reader.whole("num_hidden_layers"), "n_heads": heads,
        "n_kv_heads": reader.whole("num_key_value_heads", heads), "mlp_size": reader.whole("intermediate_size"),
        "rope_base": base, "norm_eps": reader.real("rms_norm_eps", 1e-6),
        "tied": reader.flag("tie_word_embeddings", False),
    }  # fmt: skip
    return section, reader.whole("max_position_embeddings", 2048)


def _gpt2(reader: Reader) -> tuple[dict[str, Any], int]:
    reader.demand({
        "activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False, "tie_word_embeddings": True,
    })  # fmt: skip
    width, length = reader.whole("n_embd"), reader.whole("n_positions", 1024)
    section = {
        "name": "gpt2", "hidden_size": width, "n_blocks": reader.whole("n_layer"), "n_heads": reader.whole("n_head"),
        "positions": length, "mlp_size": reader.whole("n_inner", 4 * width),
        "norm_eps": reader.real("layer_norm_epsilon", 1e-5),
    }  # fmt: skip
    return section, length


_LLAMA = {
    "input_layernorm": "norm1", "post_attention_layernorm": "norm2", "self_attn.q_proj": "attn.q",
    "self_attn.k_proj": "attn.k", "self_attn.v_proj": "attn.v", "self_attn.o_proj": "attn.out",
    "mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.up", "mlp.down_proj": "mlp.down",
}  # fmt: skip
_LLAMA_ENDS = {"embed_tokens.weight": "embed.weight", "norm.weight": "norm.weight", "lm_head.weight": "head.weight"}
_GPT2 = {"ln_1": "norm1", "ln_2": "norm2", "attn.c_proj": "attn.out", "mlp.c_fc": "mlp.0", "mlp.c_proj": "mlp.2"}
_GPT2_ENDS = {
    "wte.weight": "embed.weight", "wpe.weight": "place.weight", "ln_f.weight": "norm.weight", "ln_f.bias": "norm.bias"
}  # fmt: skip


def _llama_names(stored: Mapping[str, Tensor]) -> Named:
    """A head that is stored although it is the embedding is left out."""
    named = {}
    for name, value in stored.items():
        layer, part, leaf = name_parts(name.removeprefix("model."), "layers.")
        key = f"blocks.{layer}.{_LLAMA[part]}.{leaf}" if part in _LLAMA else _LLAMA_ENDS.get(f"{part}{leaf}", name)
        named[key] = value
    head, embed = named.get("head.weight"), named.get("embed.weight")
    if head is not None and embed is not None and torch.equal(head, embed):
        del named["head.weight"]
    return named


def _gpt2_names(stored: Mapping[str, Tensor]) -> Named:
    """Its linear maps are stored transposed (Conv1D), and those of q, k and v as one."""
    named: Named = {}
    for name, value in stored.items():
        layer, part, leaf = name_parts(name.removeprefix("transformer."), "h.")
        value = value.T.contiguous() if value.ndim == 2 and layer else value
        if part == "attn.c_attn":
            named |= {f"blocks.{layer}.attn.{x}.{leaf}": y for x, y in zip("qkv", value.chunk(3), strict=True)}
        elif part in _GPT2:
            named[f"blocks.{layer}.{_GPT2[part]}.{leaf}"] = value
        elif name != "lm_head.weight":  # it is the embedding
            named[_GPT2_ENDS.get(f"{part}{leaf}", name)] = value
    return {name: value.contiguous() for name, value in named.items()}


KINDS = {"llama": Kind(_llama, _llama_names), "gpt2": Kind(_gpt2, _gpt2_names)}
"""The types of model that can be read, by ``model_type``."""

_BUFFERS = (".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")


def _without_buffers(stored: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    return {str(name): value for name, value in stored.items() if not str(name).endswith(_BUFFERS)}


def _tokenizer(reader: Reader, folder: Path, asked: str | None, size: int) -> tuple[Tokenizer, bool]:
    """The tokenizer, and whether its tokens are more than ids."""
    if asked is not None:
        tokenizer = folder_tokenizer(asked)
        if tokenizer.vocab_size not in (size, size + 1):
            found = f"has {tokenizer.vocab_size} tokens, the model {size}"
            raise InputError(f"--tokenizer {asked}: {found}; without it, token ids work")
        return tokenizer, True
    vocabulary = folder_vocabulary(folder)
    if vocabulary is not None and size == NucleotideTokenizer.vocab_size:
        return NucleotideTokenizer(), True
    ends = {key: reader.whole(f"{key}_token_id", -1, -1) for key in ("bos", "eos", "pad")}
    ids = {key: i if 0 <= i < size else None for key, i in ends.items()}
    return IdsTokenizer(size + 1, size, pad_id=ids["pad"], bos_id=ids["bos"], sep_id=ids["eos"]), False
