r"""What can be predicted without a neural network: the rows that a model's figures are read by.

``majority``  says of every sequence what is most frequent in the training part: its class balance, the share of each
              label, the mean of each number.
``k-mers``    logistic (of numbers: ridge) regression on the frequencies of the 1- to 4-mers and, where all sequences
              are equally long, on the base at each position. Features are scaled to unit spread; of three strengths of
              regularisation the one that does best on the validation part is taken.
"""

from collections.abc import Sequence

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.evaluation.probes import Known, LinearProbe

LONGEST_WORD = 4
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse strengths of the regularisation that are tried; the middle one is taken if there is nothing to choose by."""


def majority(data: Labelled, n: int) -> np.ndarray:
    """What is most frequent in the training part, n times, (n, T)."""
    targets = data.train.targets
    if data.meaning.kind == "class":
        row = np.bincount(targets, minlength=len(data.meaning.names)) / len(targets)
    else:
        row = targets.mean(0, dtype=np.float64)
    return np.tile(row, (n, 1))


def words(data: Labelled, part: Part, metric: str) -> np.ndarray:
    """What the linear model on k-mers and positions says of a part, (n, T).

    Args:
        data: The model is fitted to its training part.
        part: What to predict.
        metric: Chooses the regularisation on the validation part.
    """
    lengths = {len(codes) for one in (*data.parts.values(), part) for codes in one.codes}
    positions = len(lengths) == 1

    def known(one: Part) -> Known:
        return Known(features(one.codes, positions=positions), one.targets)

    valid = None if data.valid is None else known(data.valid)
    probe = LinearProbe(data.meaning.kind, STRENGTHS).fit(known(data.train), valid, metric)
    return probe.predict(features(part.codes, positions=positions))


def features(sequences: Sequence[np.ndarray], *, positions: bool) -> np.ndarray:
    """Frequencies of the words of 1 to 4 known bases, (n, 340) float32, and with ``positions`` one-hot bases, + 4 L.

    Args:
        sequences: Codes, A 0, C 1, G 2, T 3, N 4.
        positions: Whether they are all equally long and the base at each position counts.
    """
    rows = np.stack([_frequencies(codes) for codes in sequences])
    if not positions:
        return rows
    one_hot = np.eye(5, dtype=np.float32)[np.stack(sequences)][..., : alphabet.N]
    return np.concatenate([rows, one_hot.reshape(len(rows), -1)], axis=1)


def _frequencies(codes: np.ndarray) -> np.ndarray:
    parts = []
    for k in range(1, LONGEST_WORD + 1):
        n = max(0, len(codes) - k + 1)
        number, known = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
        for i in range(k):
            base = codes[i : i + n]
            number, known = 4 * number + base, known & (base != alphabet.N)
        counts = np.bincount(number[known], minlength=4**k)[: 4**k]
        parts.append(counts / max(1, counts.sum()))
    return np.concatenate(parts).astype(np.float32)
