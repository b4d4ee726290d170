"""What a tokenizer is: a two-way table between text and token ids, and the ids that have a meaning of their own."""

import abc
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Tokenizer(abc.ABC):
    """A two-way table between text and token ids.

    Attributes:
        name: Its key in ``TOKENIZERS``.
        vocab_size: Ids are 0 to vocab_size - 1.
        mask_id: Stands for what is not known yet.
        pad_id: Fills what is not there; None if no token does.
        bos_id: Begins a sequence for models that read from left to right; None if no token does.
        sep_id: Marks the end of a contig or text; None if no token does.
    """

    name: str
    vocab_size: int
    mask_id: int
    pad_id: int | None
    bos_id: int | None
    sep_id: int | None

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Token ids of a text, (length,) int64.

        Raises:
            InputError: A letter has no id.
        """

    @abc.abstractmethod
    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """The text of token ids; specials as ``[NAME]``.

        Raises:
            InputError: An id is not in the vocabulary.
        """

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain values from which ``tokenizer_from_json`` makes the same tokenizer."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer of plain values that ``to_json`` gave, or of its name alone if that says it all.

        Raises:
            InputError: They describe another tokenizer than this version has.
        """

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits, the same for tokenizers that number alike."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]
