"""What every tokenizer offers, whether its letters are bases, characters, bytes or pieces of words."""

import abc
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dnadiff.errors import InputError


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


class Encoded(NamedTuple):
    """A text as tokens.

    Attributes:
        ids: Token ids, (n,) int64.
        characters: Characters of the text that each token stands for, (n,) int64; blanks that no token holds count with
            the token after them.
    """

    ids: np.ndarray
    characters: np.ndarray


class TextTokenizer(Tokenizer):
    """A tokenizer of text. Its ``bos_id`` and ``sep_id`` are never None: a document begins and ends with them.

    Attributes:
        special_ids: Ids that stand for no text, the mask, beginning, end and padding among them.
    """

    bos_id: int
    sep_id: int
    special_ids: tuple[int, ...]

    @abc.abstractmethod
    def encoded(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of some texts; what looks like a special token in a text is text.

        Raises:
            InputError: A letter has no id.
        """

    def encode(self, text: str) -> np.ndarray:
        """Token ids of a text, (length,) int64.

        Raises:
            InputError: A letter has no id.
        """
        return self.encoded([text])[0].ids

    def text(self, ids: np.ndarray | Sequence[int]) -> str:
        """The text of token ids, specials left out.

        Raises:
            InputError: An id is not in the vocabulary.
        """
        array = np.asarray(ids, dtype=np.int64)
        return self.decode(array[~np.isin(array, self.special_ids)])

    @property
    def filler(self) -> int:
        """What stands behind the end of a row: the padding, or the end again where no token is one."""
        return self.sep_id if self.pad_id is None else self.pad_id

    @property
    def clean_ids(self) -> list[int]:
        """What a token of a text can be: every id but the mask and the padding."""
        return [i for i in range(self.vocab_size) if i not in (self.mask_id, self.pad_id)]


def in_spec(tokenizer: Tokenizer) -> dict[str, Any]:
    """What a spec says of a tokenizer: what ``to_json`` does, or of text, whose vocabularies are long, its print."""
    if isinstance(tokenizer, TextTokenizer):
        return {"name": tokenizer.name, "fingerprint": tokenizer.fingerprint()}
    return tokenizer.to_json()


def check_ids(ids: np.ndarray | Sequence[int], vocab_size: int) -> np.ndarray:
    """The ids as an array, (n,) int64.

    Raises:
        InputError: One is not in 0 to vocab_size - 1.
    """
    array = np.asarray(ids, dtype=np.int64)
    if array.size and not (array.min() >= 0 and array.max() < vocab_size):
        wrong = int(array.min()) if array.min() < 0 else int(array.max())
        raise InputError(f"token ids: found {wrong}; 0 to {vocab_size - 1} would work")
    return array
