"""A trained model opened for generating: what ``sample`` and its kin share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from dnadiff.checkpoints.folder import load, load_tokenizer, model_folder, model_hash, read_provenance, read_spec
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Denoiser
from dnadiff.errors import InputError, printable
from dnadiff.training import ranks

T = TypeVar("T", bound=Tokenizer)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Types the network may compute in."""


@dataclass(frozen=True)
class Model(Generic[T]):
    """A trained model and what its folder says of it.

    Attributes:
        denoiser: In evaluation mode.
        tokenizer: Numbers its tokens.
        window: Bases of a training window.
        bos: Whether a sequence begins with [BOS].
        block_size: Tokens of a block it was trained on; None for a model of whole sequences.
        name: What the FASTA description says of it.
        classes: Names of the classes it was trained with, if any.
        judged: Bases at most that the classifier which guides it reads; None without one.
        documents: Whether every window was a document, of text.
        pairs: Whether it was trained on pairs of a source and a target.
        positions: Tokens of the longest sequence, if the network learned its positions one by one; else None.
    """

    denoiser: Denoiser
    tokenizer: T
    window: int
    bos: bool
    name: str
    block_size: int | None = None
    classes: tuple[str, ...] = ()
    judged: int | None = None
    documents: bool = False
    pairs: bool = False
    positions: int | None = None


def open_model(run: str | Path) -> Model[NucleotideTokenizer]:
    """The model of a run folder or a model folder, on this process's GPU if there is one.

    Raises:
        InputError: There is none, or its tokens are no nucleotides.
    """
    return _opened(run, NucleotideTokenizer)


def open_any_model(run: str | Path, *, pairs: bool = False) -> Model[Any]:
    """The model of a run folder or a model folder, of nucleotides or of text.

    Args:
        run: The folder.
        pairs: Whether models that were trained on pairs are let in too.

    Raises:
        InputError: There is none, or its vocabulary is not known.
    """
    return _opened(run, (NucleotideTokenizer, TextTokenizer), pairs=pairs)


def _opened(
    run: str | Path, kinds: type[Tokenizer] | tuple[type[Tokenizer], ...], *, pairs: bool = False
) -> Model[Any]:
    denoiser, tokenizer, spec = load(run), load_tokenizer(run), read_spec(run)
    if spec.get("pairs", False) and not pairs:
        raise InputError(f"{run}: was trained on pairs and writes targets of sources; sample --pairs FILE would work")
    if not isinstance(tokenizer, kinds):
        raise InputError(f"{model_folder(run)}: has a tokenizer of {tokenizer.name}; one of nucleotides would work")
    step = read_provenance(run).get("step", "unknown")
    bos = bool(spec.get("bos", False))
    name = f"step={printable(str(step))} model={model_hash(run)[:8]}"
    window, classes = int(spec["length"]) - bos, tuple(spec.get("classes", ()))
    whole = not spec.get("text", {}).get("wrap", True)
    blocks = spec.get("block_size")
    return Model(
        denoiser.to(ranks.device()), tokenizer, window, bos, name, blocks, classes, documents=whole,
        pairs=bool(spec.get("pairs", False)), positions=spec["backbone"].get("positions"),
    )  # fmt: skip
