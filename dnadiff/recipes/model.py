"""A trained model opened for generating: what ``sample`` and its kin share."""

from dataclasses import dataclass
from pathlib import Path

import torch

from dnadiff.checkpoints.folder import load, load_tokenizer, model_folder, model_hash, read_provenance, read_spec
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Denoiser
from dnadiff.errors import InputError, printable
from dnadiff.training import ranks

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Types the network may compute in."""


@dataclass(frozen=True)
class Model:
    """A trained model and what its folder says of it.

    Attributes:
        denoiser: In evaluation mode.
        tokenizer: Of nucleotides.
        window: Bases of a training window.
        bos: Whether a sequence begins with [BOS].
        block_size: Tokens of a block it was trained on; None for a model of whole sequences.
        name: What the FASTA description says of it.
        classes: Names of the classes it was trained with, if any.
        judged: Bases at most that the classifier which guides it reads; None without one.
    """

    denoiser: Denoiser
    tokenizer: NucleotideTokenizer
    window: int
    bos: bool
    name: str
    block_size: int | None = None
    classes: tuple[str, ...] = ()
    judged: int | None = None


def open_model(run: str | Path) -> Model:
    """The model of a run folder or a model folder, on this process's GPU if there is one.

    Raises:
        InputError: There is none, or its tokens are no nucleotides.
    """
    denoiser, tokenizer, spec = load(run), load_tokenizer(run), read_spec(run)
    if not isinstance(tokenizer, NucleotideTokenizer):
        raise InputError(f"{model_folder(run)}: has a tokenizer of {tokenizer.name}; one of nucleotides would work")
    step = read_provenance(run).get("step", "unknown")
    bos = bool(spec.get("bos", False))
    name = f"step={printable(str(step))} model={model_hash(run)[:8]}"
    window, classes = int(spec["length"]) - bos, tuple(spec.get("classes", ()))
    return Model(denoiser.to(ranks.device()), tokenizer, window, bos, name, spec.get("block_size"), classes)
