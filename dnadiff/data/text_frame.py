r"""Labelled text as batches of token ids of one length.

A row is [BOS], where the model has one, then the tokens of the sentence and, of a pair, the end token and those of the
second sentence, then the end token where the model's windows end with one; what lies behind is padding. A longer one
than fits keeps its beginning, if cropping was allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dnadiff.data.example_batches import RowFrame
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError


@dataclass(frozen=True)
class TextFrame(RowFrame):
    """How sentences and pairs of them become the rows of a batch.

    Attributes:
        tokenizer: Numbers them.
        length: Tokens of a row, [BOS] and the end token included.
        bos: Whether a row begins with [BOS].
        ends: Whether a row ends with the end token.
        segments: Whether the model is told which tokens are those of a second sentence, as BERT is.
    """

    tokenizer: TextTokenizer
    length: int
    bos: bool = False
    ends: bool = False
    segments: bool = False
    unit: ClassVar[str] = "tokens"

    @property
    def bases(self) -> int:
        """Tokens of text that fit into a row."""
        return self.length - self.bos - self.ends

    def rows(self, sequences: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """A batch of texts.

        Args:
            sequences: Token ids, as ``numbered`` gives them; of longer ones the beginning is taken.

        Returns:
            ``tokens`` (B, length) int64; ``valid`` (B, length) bool, True at tokens of the text; ``given`` (B, length)
            bool, True at [BOS] and the last end token; with ``segments`` also ``second`` (B, length) bool, True behind
            the end token of the first of two sentences, the last one included.
        """
        shape = (len(sequences), self.length)
        tokens = np.full(shape, self.tokenizer.filler, dtype=np.int64)
        valid, given, second = (np.zeros(shape, dtype=bool) for _ in range(3))
        for row, ids in enumerate(sequences):
            ids = ids[: self.bases]
            stop = self.bos + len(ids)
            tokens[row, self.bos : stop], valid[row, self.bos : stop] = ids, True
            if self.ends:
                tokens[row, stop], given[row, stop] = self.tokenizer.sep_id, True
            between = np.flatnonzero(ids == self.tokenizer.sep_id)
            if len(between):
                second[row, self.bos + between[0] + 1 : stop + self.ends] = True
        if self.bos:
            tokens[:, 0], given[:, 0] = self.tokenizer.bos_id, True
        rows = {"tokens": tokens, "valid": valid, "given": given}
        return rows | {"second": second} if self.segments else rows

    def codes(self, sequence: str | tuple[str, ...] | np.ndarray, place: str) -> np.ndarray:
        """The token ids of a sentence or a pair; ids are given back as they are.

        Args:
            sequence: Text, two of them, or ids.
            place: What it is called, for messages.

        Raises:
            InputError: The tokenizer has no number for a letter, or there is no text.
        """
        if isinstance(sequence, np.ndarray):
            ids = sequence
        else:
            ids = numbered([(sequence,) if isinstance(sequence, str) else tuple(sequence)], self.tokenizer)[0]
        self.check_known(ids, place)
        return ids

    def check_known(self, codes: np.ndarray, place: str) -> None:
        """Refuses a text of which nothing can be said.

        Raises:
            InputError: It has no token.
        """
        if not len(codes):
            raise InputError(f"{place}: found no text; one word or more would work")


def numbered(texts: Sequence[tuple[str, ...]], tokenizer: TextTokenizer) -> list[np.ndarray]:
    """The token ids of sentences and pairs, (n,) int64 each: of a pair [first, end token, second].

    Args:
        texts: One sentence or two an example.
        tokenizer: Numbers them.

    Raises:
        InputError: A letter has no number.
    """
    found = iter(tokenizer.encoded([sentence for text in texts for sentence in text]))
    end, out = np.array([tokenizer.sep_id], dtype=np.int64), []
    for text in texts:
        pieces = [next(found).ids for _ in text]
        joined = [piece for each in pieces for piece in (end, each)][1:]
        out.append(np.concatenate(joined).astype(np.int64) if all(map(len, pieces)) else end[:0])
    return out
