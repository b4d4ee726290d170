r"""Back-off Markov chains of tokens: the floors that a likelihood of text is read against.

The chains of ``evaluation.markov`` for any alphabet of K tokens, read in one direction::

    p_k(x | c) = (n(c x) + a p_{k-1}(x | c')) / (n(c) + a)        c' = c without its oldest token,  p_{-1} = 1/K

with a = 20 pseudo-counts. Order 0 is the unigram: what a model pays that knows how frequent each token is and nothing
else. Tables grow as K^(k+1), so higher orders are counted only while a table has at most four million cells: order 1
for bytes, order 3 for the 35 tokens of text8, order 0 alone for vocabularies of words.
"""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dnadiff.errors import InputError
from dnadiff.evaluation.markov import CONCENTRATION, NO_COUNTS, array_of

MOST_CELLS = 1 << 22
_HIGHEST = 8
_CHUNK = 1 << 21
_WORKS = "a baseline.npz written by train would work"


class TokenChain:
    """Back-off chains of orders 0 to ``order``.

    Args:
        counts: How often each word of order + 1 tokens was seen, order by order: (K**(d + 1),) integers.

    Attributes:
        order: The highest order.
        vocab_size: K.
    """

    def __init__(self, counts: list[np.ndarray]) -> None:
        self._counts = counts
        self.order, self.vocab_size = len(counts) - 1, len(counts[0])
        below = np.full(self.vocab_size, 1 / self.vocab_size)
        self._bits = []
        for table in counts:
            seen = table.reshape(-1, self.vocab_size)
            prior = np.tile(below, len(table) // len(below)).reshape(seen.shape)
            below = ((seen + CONCENTRATION * prior) / (seen.sum(1, keepdims=True) + CONCENTRATION)).reshape(-1)
            self._bits.append(-np.log2(below))

    @classmethod
    def fit(cls, streams: Iterable[np.ndarray], vocab_size: int) -> "TokenChain":
        """The chain counted on some streams of tokens, with all the orders that fit.

        Args:
            streams: Token ids, (n,) each; context restarts with each.
            vocab_size: K.
        """
        order = highest_order(vocab_size)
        counts = [np.zeros(vocab_size ** (d + 1), dtype=np.int64) for d in range(order + 1)]
        for stream in streams:
            for start in range(0, len(stream), _CHUNK):
                piece = np.asarray(stream[max(0, start - order) : start + _CHUNK]).astype(np.int64)
                before = min(order, start)
                for d, table in enumerate(counts):
                    words = _words(piece, d, vocab_size)[max(0, before - d) :]
                    np.add.at(table, words, 1)  # a table may be larger than any stream
        return cls(counts)

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
        depth = np.clip(place - last - 1, 0, order)
        out, digits = np.zeros(tokens.shape), np.where(known, tokens, 0)
        for d in range(order + 1):
            word = np.zeros(tokens.shape, dtype=np.int64)
            for back in range(d, -1, -1):
                word *= self.vocab_size
                word[:, back:] += digits[:, : tokens.shape[1] - back]
            out = np.where(known & (depth == d), self._bits[d][word], out)
        return out

    def save(self, path: Path) -> None:
        """Writes the counts to an ``.npz`` file, whole or not at all."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial.npz")
        try:
            np.savez_compressed(
                partial, counts=np.concatenate(self._counts), order=self.order, vocab_size=self.vocab_size
            )
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
                order, size = (int(array_of(archive, name, 1)) for name in ("order", "vocab_size"))
                if not 0 < size < 1 << 24 or order != highest_order(size):
                    raise ValueError(f"order {order} of {size} tokens")
                ends = np.cumsum([size ** (d + 1) for d in range(order + 1)])
                counts = array_of(archive, "counts", int(ends[-1]))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); {_WORKS}") from error
        except NO_COUNTS as error:
            raise InputError(f"{path}: found no counts of tokens ({error}); {_WORKS}") from error
        if counts.shape != (ends[-1],) or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise InputError(f"{path}: found {counts.size} counts for order {order} ({counts.dtype}); {_WORKS}")
        return cls(np.split(counts, ends[:-1]))


def highest_order(vocab_size: int) -> int:
    """The highest order whose table has at most ``MOST_CELLS`` cells, 0 to 8."""
    return next((d for d in range(_HIGHEST, 0, -1) if vocab_size ** (d + 1) <= MOST_CELLS), 0)


def _words(tokens: np.ndarray, order: int, vocab_size: int) -> np.ndarray:
    """Every word of ``order`` + 1 tokens as a number to base ``vocab_size``, oldest first, (n - order,)."""
    n = max(0, len(tokens) - order)
    word = np.zeros(n, dtype=np.int64)
    for place in range(order + 1):
        word = word * vocab_size + tokens[place : place + n]
    return word
