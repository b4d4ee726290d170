"""Tokenizers of text that need no vocabulary file: bytes, and the 27 characters of text8.

Bytes number any text without loss: 256 values of UTF-8, then four specials. The characters are those of text8 (a to z
and the blank), numbered as in MDLM's repository behind eight specials, so that its checkpoints and ours agree; unlike
there, a character that has no number is refused and not called unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dnadiff.data.tokenizer import Encoded, TextTokenizer, check_ids
from dnadiff.errors import InputError


class ByteTokenizer(TextTokenizer):
    """One token a byte of UTF-8; ids 0 to 255 are the bytes."""

    name = "bytes"
    vocab_size = 260
    bos_id, sep_id, mask_id, pad_id = 256, 257, 258, 259
    special_ids = (256, 257, 258, 259)
    specials = ("[BOS]", "[EOS]", "[MASK]", "[PAD]")

    def encoded(self, texts: Sequence[str]) -> list[Encoded]:
        """The bytes of some texts; the first byte of a character counts for it, the others for nothing."""
        arrays = [np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8) for text in texts]
        return [Encoded(array.astype(np.int64), ((array & 0xC0) != 0x80).astype(np.int64)) for array in arrays]

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """The text of bytes; what is no UTF-8 becomes U+FFFD, specials ``[EOS]`` and the like.

        Raises:
            InputError: An id is not in 0 to 259.
        """
        pieces, held = [], bytearray()
        for i in check_ids(ids, self.vocab_size).tolist():
            if i < 256:
                held.append(i)
            else:
                pieces += [held.decode("utf-8", "replace"), self.specials[i - 256]]
                held.clear()
        return "".join([*pieces, held.decode("utf-8", "replace")])

    def to_json(self) -> dict[str, Any]:
        """Its name and its specials in the order of their ids from 256 on."""
        return {"name": self.name, "specials": list(self.specials)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ByteTokenizer":
        """The one tokenizer of bytes there is.

        Raises:
            InputError: Its specials are numbered differently.
        """
        _check_numbering(cls.name, value.get("specials"), cls.specials)
        return cls()


class Text8Tokenizer(TextTokenizer):
    """One token a character of text8; capitals are read as small letters."""

    name = "text8"
    tokens = ("[CLS]", "[SEP]", "[BOS]", "[EOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
    letters = "abcdefghijklmnopqrstuvwxyz "
    vocab_size = 35
    bos_id, sep_id, mask_id, pad_id = 2, 3, 4, 5
    special_ids = tuple(range(8))

    def encoded(self, texts: Sequence[str]) -> list[Encoded]:
        """The letters of some texts, a token and a character each.

        Raises:
            InputError: A character is neither a letter from a to z nor a blank.
        """
        return [self._encoded(text) for text in texts]

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """The letters; specials as ``[EOS]``.

        Raises:
            InputError: An id is not in 0 to 34.
        """
        names = [*self.tokens, *self.letters]
        return "".join(names[i] for i in check_ids(ids, self.vocab_size).tolist())

    def to_json(self) -> dict[str, Any]:
        """Its name and its tokens in the order of their ids."""
        return {"name": self.name, "tokens": [*self.tokens, *self.letters]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Text8Tokenizer":
        """The one tokenizer of these characters there is.

        Raises:
            InputError: Its tokens are numbered differently.
        """
        _check_numbering(cls.name, value.get("tokens"), (*cls.tokens, *cls.letters))
        return cls()

    def _encoded(self, text: str) -> Encoded:
        lower = text.lower()
        codes = np.frombuffer(lower.encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
        small = (codes >= ord("a")) & (codes <= ord("z"))
        wrong = np.flatnonzero(~small & (codes != ord(" ")))
        if len(wrong):
            raise InputError(
                f"text: found {lower[wrong[0]]!r}, and text8 has letters from a to z and blanks only; such a text, or "
                "tokenizer=bytes, would work"
            )
        ids = np.where(small, codes - ord("a") + len(self.tokens), self.vocab_size - 1)
        return Encoded(ids, np.ones_like(ids))


def _check_numbering(name: str, found: object, own: Sequence[str]) -> None:
    if found is not None and found != list(own):
        raise InputError(
            f"tokenizer '{name}': numbers its tokens differently from this version of dnadiff; its own would work"
        )
