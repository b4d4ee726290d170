"""What a fine-tuning reads: nucleotides, or text by the tokenizer of the model that it begins with."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES, NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.text_corpus import tokenizer_named
from dnadiff.schema.finetune import SCRATCH, FinetuneConfig
from dnadiff.schema.text import TaskConfig


class Reading(NamedTuple):
    """What is read, and how.

    Attributes:
        config: What was asked for, ``task`` filled in.
        tokenizer: Numbers the examples.
    """

    config: FinetuneConfig
    tokenizer: Tokenizer

    @property
    def of_text(self) -> TextTokenizer | None:
        """The tokenizer if it is one of text."""
        return self.tokenizer if isinstance(self.tokenizer, TextTokenizer) else None


def reading(config: FinetuneConfig, begun: Path | None = None) -> Reading:
    """What a fine-tuning reads, which the model that it begins with decides.

    Args:
        config: What to do.
        begun: The run that is resumed, whose model has the tokenizer.

    Raises:
        InputError: The model cannot be read, or a setting does not go with what it reads.
    """
    if config.start == SCRATCH and begun is None:
        named = config.tokenizer
        return Reading(config, NUCLEOTIDES if config.task.name == "dna" else tokenizer_named(named))
    from dnadiff.checkpoints.folder import load_tokenizer  # costs torch, which scratch needs later only

    tokenizer = load_tokenizer(config.start if begun is None else begun)
    if isinstance(tokenizer, TextTokenizer):
        return Reading(replace(config, task=TaskConfig("text")), tokenizer)
    if not isinstance(tokenizer, NucleotideTokenizer):
        raise InputError(
            f"{config.start}: its tokens are {tokenizer.name}, which nothing becomes; what dna-diff convert makes with "
            "--tokenizer DIR would work"
        )
    if config.task.name == "text":
        raise InputError(f"task=text: {config.start} does not read text; a run of text, or scratch, would work")
    return Reading(config, tokenizer)
