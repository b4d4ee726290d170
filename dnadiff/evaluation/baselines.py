r"""What can be predicted without a neural network: the rows that a model's figures are read by.

``majority``  says of every sequence what is most frequent in the training part: its class balance, the share of each
              label, the mean of each number.
``length``    a decision tree on the length of a sequence; its leaves stand for 20 training examples or more.
``k-mers``    logistic (of numbers: ridge) regression on the frequencies of the 1- to 4-mers and, where all sequences
              are equally long, on the base at each position. Features are scaled to unit spread; of three strengths of
              regularisation the one that does best on the validation part is taken. ``composition`` is the same model
              on the shares of A, C, G and T alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from dnadiff.data import alphabet
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.evaluation.probes import Known, LinearProbe

LONGEST_WORD = 4
_LEAST = 20  # training examples a leaf of the tree stands for
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse strengths of the regularisation that are tried; the middle one is taken if there is nothing to choose by."""


def majority(data: Labelled, n: int) -> np.ndarray:
    """What is most frequent in the training part, n times, (n, T)."""
    return np.tile(rows_of(data, data.train).mean(0), (n, 1))


def rows_of(data: Labelled, part: Part) -> np.ndarray:
    """The targets of a part as predictions that are sure of them, (n, T) float64: a class is a row of zeros and a one.

    Args:
        data: Says what the targets mean.
        part: Whose they are.
    """
    if data.meaning.kind == "class":
        return np.eye(len(data.meaning.names))[part.targets]
    return part.targets.astype(np.float64)


def length(data: Labelled, part: Part) -> np.ndarray:
    """What the lengths of sequences say of a part, (n, T).

    The tree takes least squares of zeros and ones, which is Gini's impurity of classes.

    Args:
        data: The tree is fitted to its training part.
        part: What to predict.
    """
    tree = DecisionTreeRegressor(min_samples_leaf=min(_LEAST, len(data.train)), random_state=0)
    tree.fit(_lengths(data.train), rows_of(data, data.train))
    return tree.predict(_lengths(part)).reshape(len(part), -1)


def composition(data: Labelled, part: Part, metric: str) -> np.ndarray:
    """What the linear model on the shares of A, C, G and T says of a part, (n, T).

    Args:
        data: The model is fitted to its training part.
        part: What to predict.
        metric: Chooses the regularisation on the validation part.
    """
    return _linear(data, part, metric, lambda sequences: features(sequences, positions=False, longest=1))


def differ_in_length(data: Labelled) -> bool:
    """Whether the training sequences do."""
    return len({len(codes) for codes in data.train.codes}) > 1


def words(data: Labelled, part: Part, metric: str) -> np.ndarray:
    """What the linear model on k-mers and positions says of a part, (n, T).

    Args:
        data: The model is fitted to its training part.
        part: What to predict.
        metric: Chooses the regularisation on the validation part.
    """
    lengths = {len(codes) for one in (*data.parts.values(), part) for codes in one.codes}
    return _linear(data, part, metric, lambda sequences: features(sequences, positions=len(lengths) == 1))


def _linear(
    data: Labelled, part: Part, metric: str, columns: Callable[[Sequence[np.ndarray]], np.ndarray]
) -> np.ndarray:
    """What a linear model on some features says of a part, its strength chosen on the validation part."""

    def known(one: Part) -> Known:
        return Known(columns(one.codes), one.targets)

    valid = None if data.valid is None else known(data.valid)
    probe = LinearProbe(data.meaning.kind, STRENGTHS, classes=len(data.meaning.names)).fit(
        known(data.train), valid, metric
    )
    return probe.predict(columns(part.codes))


def _lengths(part: Part) -> np.ndarray:
    return np.array([[len(codes)] for codes in part.codes])


def features(sequences: Sequence[np.ndarray], *, positions: bool, longest: int = LONGEST_WORD) -> np.ndarray:
    """Frequencies of words of known bases, (n, 340) float32 of 1 to 4, and with ``positions`` one-hot bases, + 4 L.

    Args:
        sequences: Codes, A 0, C 1, G 2, T 3, N 4.
        positions: Whether they are all equally long and the base at each position counts.
        longest: Bases of the longest words.
    """
    rows = np.stack([_frequencies(codes, longest) for codes in sequences])
    if not positions:
        return rows
    one_hot = np.eye(5, dtype=np.float32)[np.stack(sequences)][..., : alphabet.N]
    return np.concatenate([rows, one_hot.reshape(len(rows), -1)], axis=1)


def _frequencies(codes: np.ndarray, longest: int) -> np.ndarray:
    parts = []
    for k in range(1, longest + 1):
        n = max(0, len(codes) - k + 1)
        number, known = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
        for i in range(k):
            base = codes[i : i + n]
            number, known = 4 * number + base, known & (base != alphabet.N)
        counts = np.bincount(number[known], minlength=4**k)[: 4**k]
        parts.append(counts / max(1, counts.sum()))
    return np.concatenate(parts).astype(np.float32)
