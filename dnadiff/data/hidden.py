"""Sequences with some bases hidden, as masked diffusion has them on its way: what a classifier guiding it must read.

The reverse process shows a sequence of n bases with n, n - 1, ..., 0 of them masked, each number once, and which ones
is chance. So a number of bases, from none to all of them, is drawn evenly, and then that many bases; a schedule does
not enter (as in the count estimator of the objective). In every stretch, such as the middle that is read of a sequence
that is too long, each number is as likely too.
"""

from collections.abc import Sequence

import numpy as np

from dnadiff.data import alphabet
from dnadiff.random import keyed_uniform


def hidden(sequences: Sequence[np.ndarray], numbers: np.ndarray, *key: object) -> list[np.ndarray]:
    """The sequences, (length,) uint8 each, with an evenly drawn number of their known bases as ``alphabet.HIDDEN``.

    Args:
        sequences: Codes, A 0, C 1, G 2, T 3, N 4; N stays.
        numbers: One a sequence, integers; what is hidden in it depends on the sequence's own number alone.
        *key: Names and numbers that choose the draws, such as a seed.
    """
    shares = keyed_uniform(numbers, "share", *key).tolist()
    return [
        _hidden(codes, share, number, key)
        for codes, share, number in zip(sequences, shares, numbers.tolist(), strict=True)
    ]


def _hidden(codes: np.ndarray, share: float, number: int, key: tuple[object, ...]) -> np.ndarray:
    known = np.flatnonzero(codes != alphabet.N)
    order = keyed_uniform(np.arange(len(known)), "hidden", *key, number).argsort()
    out = codes.copy()
    out[known[order[: int(share * (len(known) + 1))]]] = alphabet.HIDDEN
    return out
