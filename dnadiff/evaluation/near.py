r"""Test sequences that the training part holds already, as they are or nearly, on either strand.

A sequence is the set W of its words of 16 bases, each the lesser of itself and its reverse complement; words with N are
left out. A test sequence t is nearly in the training part if a training sequence s holds four fifths of its words:

    |W(t) & W(s)| / |W(t)| >= 0.8

That is a shift by a fifth of the length, a piece of a longer sequence, or, as a substitution breaks 16 words, about one
difference in 70 bases (the containment of Broder, On the resemblance and containment of documents, 1997). A sequence of
fewer than about 100 bases with a difference in its middle is another one by this measure.

Who holds four fifths of n words holds at least one of any n - ceil(0.8 n) + 1 of them; so only training sequences that
have one of the rarest that many are compared (prefix filtering: Chaudhuri et al., A primitive operator for similarity
joins in data cleaning, 2006), which finds the same as comparing all. Of a family too large for that, the first thousand
by their rarest words are, so that the time is bounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.parts import canonical

WORD = 16
"""Bases of a word; two bits each, they fill 32."""
LEAST = 0.8
"""Share of the words from which on a test sequence counts as nearly there."""
_MOST_COMPARED = 1000


@dataclass(frozen=True)
class Leaks:
    """What the training part knows of each test sequence.

    Attributes:
        nearest: Number of the training sequence that holds most of its words, the first among equals, or that is the
            same; -1 if none holds four fifths, (N,) int64.
        share: Of its words held by that one, 0 without one, (N,) float64 in [0, 1].
        copy: The same sequence, or its reverse complement, is in the training part, (N,) bool.
    """

    nearest: np.ndarray
    share: np.ndarray
    copy: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Test sequences that are in the training part as they are or nearly, (N,) bool."""
        return self.nearest >= 0


def leaks(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> Leaks:
    """What a training part knows of each test sequence.

    Args:
        train: Codes, A 0, C 1, G 2, T 3, N 4, an array each.
        test: Likewise.
    """
    first: dict[bytes, int] = {}
    for number, codes in enumerate(train):
        first.setdefault(canonical(codes), number)
    numbers = list(first.values())
    index = _Index([words_of(train[number]) for number in numbers])
    rows = []
    for codes in test:
        same = first.get(canonical(codes))
        owner, share = index.best(words_of(codes)) if same is None else (-1, 1.0)
        nearest = numbers[owner] if owner >= 0 else -1
        rows.append((nearest, share, False) if same is None else (same, 1.0, True))
    nearest, share, copy = zip(*rows, strict=True) if rows else ((), (), ())
    return Leaks(np.array(nearest, dtype=np.int64), np.array(share, dtype=np.float64), np.array(copy, dtype=bool))


def words_of(codes: np.ndarray) -> np.ndarray:
    """The different words of a sequence as numbers, (W,) uint32 in rising order, alike for both strands.

    Args:
        codes: A 0, C 1, G 2, T 3, N 4, (length,) uint8.
    """
    if len(codes) < WORD:
        return np.zeros(0, dtype=np.uint32)
    forward = codes.astype(np.uint32) & 3
    backward = 3 - forward
    for half in (1, 2, 4, 8):
        forward = forward[:-half] << 2 * half | forward[half:]
        backward = backward[half:] << 2 * half | backward[:-half]
    unknown = np.concatenate([[0], np.cumsum(codes == alphabet.N)])
    return np.unique(np.minimum(forward, backward)[unknown[WORD:] == unknown[:-WORD]])


class _Index:
    """Which sequences have a word.

    Args:
        sets: The words of each sequence, in rising order.
    """

    def __init__(self, sets: Sequence[np.ndarray]) -> None:
        self.sets = sets
        owners = np.repeat(np.arange(len(sets), dtype=np.uint64), [len(words) for words in sets])
        pairs = np.concatenate([np.zeros(0, np.uint32), *sets]).astype(np.uint64) << np.uint64(32) | owners
        pairs.sort()
        self.words = (pairs >> np.uint64(32)).astype(np.uint32)
        self.owners = pairs.astype(np.uint32)  # the lower half

    def best(self, words: np.ndarray) -> tuple[int, float]:
        """Who holds the largest share of some words, and that share; -1 and 0 if nobody holds four fifths."""
        least = math.ceil(round(LEAST * len(words), 6))
        best, most = -1, max(1, least) - 1
        for owner in self._candidates(words, len(words) - least + 1).tolist():
            held = _common(words, self.sets[owner])
            if held > most or (held == most and 0 <= owner < best):
                best, most = owner, held
        return (best, most / len(words)) if best >= 0 else (-1, 0.0)

    def _candidates(self, words: np.ndarray, enough: int) -> np.ndarray:
        """Who has one of the rarest words, ``enough`` of them, the rarest first; a thousand or few more."""
        low, high = (np.searchsorted(self.words, words, side=side) for side in ("left", "right"))
        count = high - low
        rare = count.argsort(kind="stable")[:enough]
        found: list[np.ndarray] = []
        total = 0
        for word in rare[count[rare] > 0].tolist():
            if total >= _MOST_COMPARED:
                break
            found.append(self.owners[low[word] : min(high[word], low[word] + _MOST_COMPARED)])
            total += len(found[-1])
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.uint32)


def _common(words: np.ndarray, others: np.ndarray) -> int:
    """How many of some words are among others, both in rising order and each there once."""
    place = np.minimum(np.searchsorted(others, words), len(others) - 1)
    return int((others[place] == words).sum())
