r"""Back-off Markov chains of tokens: the floors that a likelihood of text is read against.

The chains of ``evaluation.markov`` for any alphabet of K tokens, read in one direction::

    p_k(x | c) = (n(c x) + a p_{k-1}(x | c')) / (n(c) + a)        c' = c without its oldest token,  p_{-1} = 1/K

with a = 20 pseudo-counts. Order 0 is the unigram: what a model pays that knows how frequent each token is and nothing
else. Only words that were seen are kept, as sorted numbers to base K, so that vocabularies of any size have contexts:
up to order 5, while a word's number fits 63 bits and an order has at most four million different words. Counted are the
first 16 million training tokens at most, which bounds time and memory.
"""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dnadiff.errors import InputError
from dnadiff.evaluation.markov import CONCENTRATION, NO_COUNTS, array_of

MOST_WORDS = 1 << 22
MOST_TOKENS = 1 << 24
_HIGHEST = 5
_WORKS = "a baseline.npz written by train would work"


class TokenChain:
    """Back-off chains of orders 0 to ``order``.

    Args:
        words: The different words of order + 1 tokens, order by order: (n,) int64 numbers to base K, oldest token
            first, ascending.
        counts: How often each was seen, (n,) integers.
        vocab_size: K.

    Attributes:
        order: The highest order.
        vocab_size: K.
    """

    def __init__(self, words: list[np.ndarray], counts: list[np.ndarray], vocab_size: int) -> None:
        self._words, self._counts = words, counts
        self.order, self.vocab_size = len(words) - 1, vocab_size
        self._contexts = [_contexts(*table, vocab_size) for table in zip(words, counts, strict=True)]

    @classmethod
    def fit(cls, streams: Iterable[np.ndarray], vocab_size: int) -> "TokenChain":
        """The chain counted on some streams of tokens, with all the orders that fit.

        Args:
            streams: Token ids, (n,) each; context restarts with each. Of all together the first ``MOST_TOKENS`` count.
            vocab_size: K.
        """
        pieces, left = [np.empty(0, dtype=np.int64)], MOST_TOKENS
        for stream in streams:
            pieces.append(np.asarray(stream[:left]).astype(np.int64))
            left -= len(pieces[-1])
        words: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        for order in range(highest_order(vocab_size) + 1):
            seen = np.concatenate([_numbers(piece, order, vocab_size) for piece in pieces])
            found = np.unique(seen, return_counts=True)
            if order and len(found[0]) > MOST_WORDS:
                break
            words.append(found[0])
            counts.append(found[1])
        return cls(words, counts, vocab_size)

    def bits(self, tokens: np.ndarray, known: np.ndarray, *, order: int) -> np.ndarray:
        """What each token costs, (B, L) float64 bits; zero where it is not known.

        Context restarts at the left edge of every row and after every token that is not known.

        Args:
            tokens: Ids, (B, L).
            known: Which are scored, (B, L) bool.
            order: Tokens of context at most, 0 to ``self.order``.
        """
        place = np.arange(tokens.shape[1])
        last = np.maximum.accumulate(np.where(known, -1, place), axis=1)
        depth = np.where(known, np.clip(place - last - 1, 0, order), -1)
        p = np.full(tokens.shape, 1 / self.vocab_size)
        word = np.zeros(tokens.shape, dtype=np.int64)
        digits = np.where(known, tokens, 0).astype(np.int64)
        for d in range(min(order, tokens.shape[1] - 1) + 1):
            word[:, d:] += digits[:, : tokens.shape[1] - d] * self.vocab_size**d
            at = depth >= d
            seen = _found(self._words[d], self._counts[d], word[at])
            total = _found(*self._contexts[d], word[at] // self.vocab_size)
            p[at] = (seen + CONCENTRATION * p[at]) / (total + CONCENTRATION)
        return np.where(known, -np.log2(p), 0.0)

    def save(self, path: Path) -> None:
        """Writes the counts to an ``.npz`` file, whole or not at all."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial.npz")
        try:
            np.savez_compressed(
                partial, words=np.concatenate(self._words), counts=np.concatenate(self._counts),
                sizes=[len(table) for table in self._words], vocab_size=self.vocab_size,
            )  # fmt: skip
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "TokenChain":
        """The chain that ``save`` wrote.

        Raises:
            InputError: The file is missing, damaged or something else.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                size = int(array_of(archive, "vocab_size", 1))
                sizes = array_of(archive, "sizes", _HIGHEST + 1)
                if not 0 < size < 1 << 24 or not 0 < len(sizes) <= highest_order(size) + 1 or sizes.min() < 0:
                    raise ValueError(f"{len(sizes)} orders of {size} tokens")
                words, counts = (array_of(archive, name, int(sizes.sum())) for name in ("words", "counts"))
                if words.shape != counts.shape or words.shape != (sizes.sum(),):
                    raise ValueError(f"{words.shape} words, {counts.shape} counts for {sizes.sum():,}")
                tables = [np.split(table.astype(np.int64), np.cumsum(sizes)[:-1]) for table in (words, counts)]
                _check(*tables, size)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); {_WORKS}") from error
        except NO_COUNTS as error:
            raise InputError(f"{path}: found no counts of tokens ({error}); {_WORKS}") from error
        return cls(*tables, size)


def highest_order(vocab_size: int) -> int:
    """The highest order, 0 to 5, of which a word's number fits 63 bits."""
    return next(d for d in range(_HIGHEST, -1, -1) if vocab_size ** (d + 1) < 1 << 63)


def _numbers(tokens: np.ndarray, order: int, vocab_size: int) -> np.ndarray:
    """Every word of ``order`` + 1 tokens as a number to base ``vocab_size``, oldest first, (n - order,)."""
    n = max(0, len(tokens) - order)
    word = np.zeros(n, dtype=np.int64)
    for place in range(order + 1):
        word = word * vocab_size + tokens[place : place + n]
    return word


def _contexts(words: np.ndarray, counts: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The different contexts of ascending words, ascending, and how often each was seen."""
    if not len(words):
        return words, counts
    contexts, first = np.unique(words // vocab_size, return_index=True)
    return contexts, np.add.reduceat(counts, first)


def _found(keys: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The values of ascending keys, 0 of those that are not among them."""
    if not len(keys):
        return np.zeros(len(asked), dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)


def _check(words: list[np.ndarray], counts: list[np.ndarray], vocab_size: int) -> None:
    """Refuses tables that no counting gives."""
    for order, (table, seen) in enumerate(zip(words, counts, strict=True)):
        inside = not len(table) or (table[0] >= 0 and table[-1] < vocab_size ** (order + 1))
        if not inside or (np.diff(table) <= 0).any() or (seen <= 0).any():
            raise ValueError(f"order {order} is no table of counts")
