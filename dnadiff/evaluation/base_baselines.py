r"""What can be said of every base without a neural network: the floors of models that label bases.

``majority``    the share of each class among all bases of the training part
``neighbours``  the share of each class where the five bases around are the same, each class counted once more than it
                was seen (Laplace); beyond the ends of a sequence, and for N, there is a fifth letter

Predictions are an array a sequence, (length, K), NaN at N, whose labels count nowhere.
"""

from collections.abc import Sequence

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part

_SIDE = 2  # bases to either side
_LETTERS = 5


def majority(data: Labelled, part: Part) -> list[np.ndarray]:
    """The shares of the classes among the bases of the training part, at every base of a part.

    Args:
        data: Its training part is counted.
        part: What to predict.
    """
    table = _table([np.zeros(len(codes), dtype=np.int64) for codes in data.train.codes], data, 1)
    shares = table[0] / table[0].sum()
    return [_but_n(np.tile(shares, (len(codes), 1)), codes) for codes in part.codes]


def neighbours(data: Labelled, part: Part) -> list[np.ndarray]:
    """The shares of the classes where the five bases around are the same, at every base of a part.

    Args:
        data: Its training part is counted.
        part: What to predict.
    """
    size = _LETTERS ** (2 * _SIDE + 1)
    table = _table([_around(codes) for codes in data.train.codes], data, size) + 1
    shares = table / table.sum(1, keepdims=True)
    return [_but_n(shares[_around(codes)], codes) for codes in part.codes]


def _table(places: Sequence[np.ndarray], data: Labelled, size: int) -> np.ndarray:
    """How often each class is seen at each place, (size, K) float64, N left out."""
    count = len(data.meaning.names)
    cells = np.zeros(size * count)
    for place, labels, codes in zip(places, data.train.targets, data.train.codes, strict=True):
        known = codes != alphabet.N
        cells += np.bincount(place[known] * count + labels[known], minlength=size * count)
    return cells.reshape(size, count)


def _around(codes: np.ndarray) -> np.ndarray:
    """The number of the five bases around each base, (length,) int64."""
    padded = np.pad(codes.astype(np.int64), _SIDE, constant_values=alphabet.N)
    number = np.zeros(len(codes), dtype=np.int64)
    for step in range(2 * _SIDE + 1):
        number = _LETTERS * number + padded[step : step + len(codes)]
    return number


def _but_n(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.where((codes == alphabet.N)[:, None], np.nan, rows)
