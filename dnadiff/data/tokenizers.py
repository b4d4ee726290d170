"""Numbering the letters of a sequence.

The nucleotide vocabulary is that of HyenaDNA and Caduceus (Nguyen et al. 2023; Schiff et al. 2024), so that their
checkpoints and ours agree: seven specials, then A 7, C 8, G 9, T 10, N 11. Unlike theirs it reads lower case, U and
IUPAC codes as the genome store does, and refuses anything else rather than calling it unknown.

A model that was converted without its vocabulary has ``IdsTokenizer``: its text are the ids themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.llama_tokenizer import LlamaTokenizer
from dnadiff.data.subwords import SubwordTokenizer
from dnadiff.data.text_tokenizers import ByteTokenizer, Text8Tokenizer
from dnadiff.data.tokenizer import Tokenizer, check_ids
from dnadiff.errors import InputError


class NucleotideTokenizer(Tokenizer):
    """One token a base.

    Attributes:
        base_ids: Ids of A, C, G and T.
        n_id: Id of N.
        from_codes: Id of each code of the genome store, and of a hidden base, which is the mask, (6,) int64.
    """

    name = "nucleotide"
    tokens = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N")
    vocab_size = 12
    sep_id, bos_id, mask_id, pad_id = 1, 2, 3, 4
    base_ids = (7, 8, 9, 10)
    n_id = 11
    from_codes = np.array([*base_ids, n_id, mask_id])

    def encode(self, text: str) -> np.ndarray:
        """Ids of nucleotide letters of either case, (length,) int64; U is T and IUPAC codes are N.

        Raises:
            InputError: A letter is no nucleotide.
        """
        try:
            return self.from_codes[alphabet.encode(text) & alphabet.CODE_BITS]
        except ValueError as error:
            raise InputError(f"sequence '{text[:20]}{'...' * (len(text) > 20)}': {error}") from error

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """Letters of ids, (length,) integers; specials as ``[SEP]``.

        Raises:
            InputError: An id is not in 0 to 11.
        """
        return "".join(self.tokens[i] for i in check_ids(ids, self.vocab_size).tolist())

    def complement(self, ids: np.ndarray) -> np.ndarray:
        """Ids of the bases that pair with these, same shape; specials and N stay. The order is not reversed."""
        return _COMPLEMENT[ids]

    def to_json(self) -> dict[str, Any]:
        """Its name and its tokens in the order of their ids."""
        return {"name": self.name, "tokens": list(self.tokens)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NucleotideTokenizer":
        """The one nucleotide tokenizer there is.

        Raises:
            InputError: The tokens are numbered differently.
        """
        if value.get("tokens", list(cls.tokens)) != list(cls.tokens):
            found = f"tokenizer '{cls.name}': numbers its tokens differently from this version of dnadiff"
            raise InputError(f"{found}; its own would work")
        return cls()


class IdsTokenizer(Tokenizer):
    """Numbers written as numbers, for a model whose vocabulary is not known: ``"7 0 12"`` is [7, 0, 12].

    Args:
        vocab_size: Ids are 0 to vocab_size - 1.
        mask_id: Id of the mask.
        pad_id: Id of the padding; None if unknown.
        bos_id: Id that begins a sequence; None if unknown.
        sep_id: Id that ends a text; None if unknown.

    Raises:
        InputError: An id lies outside the vocabulary.
    """

    name = "ids"

    def __init__(
        self,
        vocab_size: int,
        mask_id: int,
        *,
        pad_id: int | None = None,
        bos_id: int | None = None,
        sep_id: int | None = None,
    ) -> None:
        self.vocab_size, self.mask_id = vocab_size, mask_id
        self.pad_id, self.bos_id, self.sep_id = pad_id, bos_id, sep_id
        check_ids([i for i in (mask_id, pad_id, bos_id, sep_id) if i is not None], vocab_size)

    def encode(self, text: str) -> np.ndarray:
        """Ids of numbers that blanks separate, (count,) int64.

        Raises:
            InputError: A word is no id of the vocabulary.
        """
        words = text.split()
        wrong = next((word for word in words if not (word.isascii() and word.isdigit())), None)
        if wrong is not None:
            raise InputError(f"token ids: found '{wrong}'; 0 to {self.vocab_size - 1} would work")
        return check_ids([int(word) for word in words], self.vocab_size)

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """The ids in decimal, separated by blanks.

        Raises:
            InputError: An id is not in the vocabulary.
        """
        return " ".join(str(i) for i in check_ids(ids, self.vocab_size).tolist())

    def to_json(self) -> dict[str, Any]:
        """Its name and numbers."""
        ids = {key: getattr(self, key) for key in ("mask_id", "pad_id", "bos_id", "sep_id")}
        return {"name": self.name, "vocab_size": self.vocab_size, **ids}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "IdsTokenizer":
        """The tokenizer of these numbers.

        Raises:
            InputError: A number is missing or is none.
        """
        numbers = {key: number for key, number in value.items() if key != "name"}
        wrong = [key for key, number in numbers.items() if number is not None and type(number) is not int]
        try:
            if wrong:
                raise TypeError(f"{wrong[0]} is no whole number")
            return cls(**numbers)
        except TypeError as error:
            raise InputError(f"tokenizer '{cls.name}': {error}; vocab_size and mask_id would work") from error


NUCLEOTIDES = NucleotideTokenizer()
"""The tokenizer of nucleotides, which has no state."""

_COMPLEMENT = np.array([0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11])

TOKENIZERS: dict[str, type[Tokenizer]] = {
    kind.name: kind
    for kind in (NucleotideTokenizer, IdsTokenizer, ByteTokenizer, Text8Tokenizer, SubwordTokenizer, LlamaTokenizer)
}


def tokenizer_from_json(value: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``to_json`` described.

    Raises:
        InputError: The name is unknown, or its tokens are not those of this version.
    """
    name = value.get("name")
    if name not in TOKENIZERS:
        raise InputError(f"tokenizer '{name}': is unknown; {', '.join(TOKENIZERS)} would work")
    return TOKENIZERS[name].from_json(value)
