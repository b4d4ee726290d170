r"""Weights of llama2.c: one file of a header of seven 32-bit integers and float32 arrays (its version 0).

    header   dim, inner width, layers, heads, heads of keys and values, vocabulary, longest sequence;
             a negative vocabulary means that the head is not the embedding
    arrays   embedding; of all layers: attention norms, q, k, v, output, MLP norms, gate, down, up; last norm;
             two tables of rotary angles, which are computed here; the head if it is not the embedding

llama2.c turns the neighbours (2j, 2j + 1) of a head against each other, ``models.decoder`` its halves (j, j + K/2), as
Hugging Face's Llama does; the rows of q and k are put into that order, which changes no inner product.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnadiff.checkpoints.folder import build_denoiser
from dnadiff.checkpoints.foreign import ORIGIN, Converted
from dnadiff.checkpoints.manifest import sha256
from dnadiff.checkpoints.mask_row import with_mask_row
from dnadiff.data.llama_tokenizer import read_llama2c_tokenizer
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer, in_spec
from dnadiff.data.tokenizers import IdsTokenizer
from dnadiff.errors import InputError

SUFFIX = ".bin"
_HEADER = struct.Struct("<7i")
_WORKS = "a model.bin of llama2.c's version 0 would work"


def read_llama2c(path: Path, *, tokenizer: str | None = None) -> Converted:
    """The autoregressive model of a file of llama2.c, with a row more for the mask.

    Args:
        path: The file.
        tokenizer: Its ``tokenizer.bin``; None reads and writes token ids.

    Raises:
        InputError: The file is damaged or of another version, or the tokenizer does not fit.
    """
    content = path.read_bytes()
    if len(content) < _HEADER.size or content[:4] == b"24ka":
        raise InputError(f"{path}: is no file of version 0; {_WORKS}")
    dim, inner, layers, heads, kv_heads, vocabulary, length = _HEADER.unpack_from(content)
    tied, size = vocabulary > 0, abs(vocabulary)
    sound = min(dim, inner, layers, heads, kv_heads, size, length) > 0 and dim % heads == 0 and dim // heads % 2 == 0
    if not sound or heads % kv_heads:
        raise InputError(f"{path}: its header is {_HEADER.unpack_from(content)}; {_WORKS}")
    shapes = _shapes(dim, inner, layers, heads, kv_heads, size, length, tied)
    wanted = _HEADER.size + 4 * sum(math.prod(shape) for shape in shapes.values())
    if len(content) != wanted:
        raise InputError(f"{path}: has {len(content):,} bytes, its header describes {wanted:,}; {_WORKS}")
    arrays, place = {}, _HEADER.size
    for name, shape in shapes.items():
        count = math.prod(shape)
        arrays[name] = torch.from_numpy(np.frombuffer(content, "<f4", count, place).reshape(shape).copy())
        place += 4 * count
    words = _tokenizer(tokenizer, size)
    backbone = {
        "name": "llama", "vocab_size": size + 1, "hidden_size": dim, "n_blocks": layers, "n_heads": heads,
        "n_kv_heads": kv_heads, "mlp_size": inner, "rope_base": 10_000.0, "norm_eps": 1e-5, "tied": tied,
    }  # fmt: skip
    spec = autoregressive_spec(backbone, words, length, wrap=False)
    denoiser = build_denoiser(spec)
    denoiser.backbone.load_state_dict(_named(arrays, heads, kv_heads))
    inputs = {str(file): sha256(Path(file)) for file in (path, tokenizer) if file is not None}
    warning = "" if tokenizer else f"no --tokenizer: it reads and writes token ids, 0 to {size}; the mask is {size}"
    return Converted(denoiser.eval(), words, spec, {ORIGIN: "llama2.c version 0"}, inputs, warning)


def autoregressive_spec(
    backbone: dict[str, Any], tokenizer: Tokenizer, length: int, *, wrap: bool = True
) -> dict[str, Any]:
    """The spec of a decoder-only language model as it was published.

    Args:
        backbone: Section of the network.
        tokenizer: Its vocabulary; everything but the mask can be a clean token.
        length: Longest sequence it was trained on.
        wrap: Whether it was trained on a stream of texts; else every text began with the beginning token.
    """
    allowed = [i for i in range(tokenizer.vocab_size) if i != tokenizer.mask_id]
    cut = {"text": {"wrap": wrap, "window_ends": False}} if isinstance(tokenizer, TextTokenizer) else {}
    return {
        "algo": "ar",
        "length": length,
        "bos": True,
        "time_conditioning": False,
        "tokenizer": in_spec(tokenizer),
        **cut,
        "backbone": backbone,
        "parameterization": {"name": "next_token", "mask_id": tokenizer.mask_id, "allowed": allowed},
        "process": {"name": "absorbing", "schedule": {"name": "loglinear", "eps": 1e-3}},
        "objective": {"name": "next_token_nll"},
    }


def _shapes(
    dim: int, inner: int, layers: int, heads: int, kv_heads: int, size: int, length: int, tied: bool
) -> dict[str, tuple[int, ...]]:
    """The arrays of a file in their order."""
    narrow, head = dim // heads * kv_heads, dim // heads
    return {
        "embed": (size, dim), "norm1": (layers, dim), "q": (layers, dim, dim), "k": (layers, narrow, dim),
        "v": (layers, narrow, dim), "out": (layers, dim, dim), "norm2": (layers, dim), "gate": (layers, inner, dim),
        "down": (layers, dim, inner), "up": (layers, inner, dim), "norm": (dim,), "cos": (length, head // 2),
        "sin": (length, head // 2), **({} if tied else {"head": (size, dim)}),
    }  # fmt: skip


def _named(arrays: dict[str, Tensor], heads: int, kv_heads: int) -> dict[str, Tensor]:
    """The weights by the names of ``models.decoder.Llama``, a row for the mask added."""
    q, k = (_halves(arrays[name], n) for name, n in (("q", heads), ("k", kv_heads)))
    layers = {
        "norm1.weight": arrays["norm1"], "attn.q.weight": q, "attn.k.weight": k, "attn.v.weight": arrays["v"],
        "attn.out.weight": arrays["out"], "norm2.weight": arrays["norm2"], "mlp.gate.weight": arrays["gate"],
        "mlp.up.weight": arrays["up"], "mlp.down.weight": arrays["down"],
    }  # fmt: skip
    named = {f"blocks.{i}.{name}": weight[i] for name, weight in layers.items() for i in range(len(weight))}
    named |= {"embed.weight": with_mask_row(arrays["embed"]), "norm.weight": arrays["norm"]}
    if "head" in arrays:
        named["head.weight"] = with_mask_row(arrays["head"], head=True)
    return named


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k of all layers from (pair, which of the two) to (which of the two, pair) within each head."""
    layers, rows, width = weight.shape
    return weight.view(layers, heads, rows // heads // 2, 2, width).transpose(2, 3).reshape(layers, rows, width)


def _tokenizer(path: str | None, size: int) -> Tokenizer:
    if path is None:
        return IdsTokenizer(size + 1, size, bos_id=1, sep_id=2)
    return read_llama2c_tokenizer(path, size)
