r"""What simple predictors make of vectors: a linear model, and the nearest neighbours.

Neither changes the vectors, so their figures tell what the vectors hold and how plainly. Components are scaled to zero
mean and unit spread on the training part first.

``linear``      logistic regression of classes and of each label, ridge regression of numbers (Alain and Bengio,
                Understanding intermediate layers using linear classifier probes, 2016)
``neighbours``  the mean of the targets of the k nearest training vectors, near by the cosine: the share of the votes
                for a class or a label, the mean of numbers

The strength of the regularisation and k are those that do best on the validation part; without one, the middle of those
that would be tried.
"""

import abc
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dnadiff.evaluation.metrics import better, measured

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Inverse strengths of the regularisation of linear probes that are tried."""

NEIGHBOURS = (1, 3, 5, 10, 20, 50, 100)
"""Numbers of neighbours that are tried, as far as there are as many training vectors."""

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Known:
    """Vectors with their targets.

    Attributes:
        rows: (n, D), an array or a sparse matrix.
        targets: Classes (n,), zeros and ones (n, K), or numbers (n, T).
    """

    rows: np.ndarray
    targets: np.ndarray


class Probe(abc.ABC):
    """A predictor with one setting that the validation part chooses.

    Args:
        kind: ``class``, ``multilabel`` or ``regression``.
        settings: What is tried, in ascending order.
        scaled: Whether components are scaled first; those of sparse rows are not.

    Attributes:
        chosen: The setting taken; there once ``fit`` was called, like ``validation``.
        validation: Its figures on the validation part; None without one.
    """

    def __init__(self, kind: str, settings: Sequence[float], *, scaled: bool = True) -> None:
        self.kind, self.settings, self.scaled = kind, tuple(settings), scaled
        self.validation: dict[str, float | None] | None = None

    def fit(self, train: Known, valid: Known | None, metric: str) -> "Probe":
        """The probe itself, fitted.

        Args:
            train: What is learnt from.
            valid: What the setting is chosen on; None takes the middle one.
            metric: By which it is chosen; the first of equals is taken.
        """
        self._scale = (StandardScaler() if self.scaled else FunctionTransformer()).fit(train.rows)
        self._make = self._fitted(self._scale.transform(train.rows), train.targets)
        settings = self._possible(train.rows.shape[0])
        self.chosen = settings[len(settings) // 2]
        if valid is not None:
            rows = self._scale.transform(valid.rows)
            for setting in settings:
                figures = measured(self.kind, self._make(setting)(rows), valid.targets)
                if better(metric, figures, self.validation):
                    self.chosen, self.validation = setting, figures
        self._predict = self._make(self.chosen)
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) of classes or labels, or numbers (n, T), of vectors (n, D)."""
        return self._predict(self._scale.transform(rows))

    def _possible(self, n: int) -> tuple[float, ...]:
        """The settings that so many training vectors allow."""
        return self.settings

    @abc.abstractmethod
    def _fitted(self, rows: np.ndarray, targets: np.ndarray) -> Callable[[float], Predict]:
        """From a setting to what predicts by it, for scaled training vectors."""


class LinearProbe(Probe):
    """A linear model; the setting is the inverse strength of its regularisation.

    Args:
        kind: ``class``, ``multilabel`` or ``regression``.
        settings: Inverse strengths.
        scaled: Whether components are scaled first.
        classes: How many there are; 0 takes those up to the last that the training part has. One that it lacks is
            never predicted.
    """

    def __init__(
        self, kind: str, settings: Sequence[float] = STRENGTHS, *, scaled: bool = True, classes: int = 0
    ) -> None:
        super().__init__(kind, settings, scaled=scaled)
        self.classes = classes

    def _fitted(self, rows: np.ndarray, targets: np.ndarray) -> Callable[[float], Predict]:
        def classes(strength: float) -> Predict:
            there = np.unique(targets)
            width = max(self.classes, int(there[-1]) + 1)
            model = _logistic(strength, rows, targets) if len(there) > 1 else None

            def said(wanted: np.ndarray) -> np.ndarray:
                found = np.ones((wanted.shape[0], 1)) if model is None else model.predict_proba(wanted)
                out = np.zeros((len(found), width), found.dtype)
                out[:, there] = found
                return out

            return said

        def labels(strength: float) -> Predict:
            models = [_logistic(strength, rows, column) if np.ptp(column) else column[0] for column in targets.T]
            return lambda wanted: np.stack(
                [np.full(wanted.shape[0], m) if np.isscalar(m) else m.predict_proba(wanted)[:, 1] for m in models],
                axis=1,
            )

        def numbers(strength: float) -> Predict:
            model = Ridge(alpha=1 / strength).fit(rows, targets.reshape(len(targets), -1))
            return lambda wanted: model.predict(wanted).reshape(wanted.shape[0], -1)

        return {"class": classes, "multilabel": labels, "regression": numbers}[self.kind]


class NeighbourProbe(Probe):
    """The nearest training vectors by the cosine; the setting is how many.

    Args:
        kind: ``class``, ``multilabel`` or ``regression``.
        settings: Numbers of neighbours; those above the number of training vectors are left out.
    """

    def __init__(self, kind: str, settings: Sequence[int] = NEIGHBOURS) -> None:
        super().__init__(kind, settings)

    def _possible(self, n: int) -> tuple[float, ...]:
        return tuple(k for k in self.settings if k <= n)

    def _fitted(self, rows: np.ndarray, targets: np.ndarray) -> Callable[[float], Predict]:
        votes = np.eye(int(targets.max()) + 1)[targets] if self.kind == "class" else targets.astype(np.float64)
        near = NearestNeighbors(metric="cosine", algorithm="brute").fit(rows)
        most = int(max(self._possible(len(rows))))

        def by(k: float) -> Predict:
            return lambda wanted: votes[near.kneighbors(wanted, most, return_distance=False)[:, : int(k)]].mean(1)

        return by


def _logistic(strength: float, known: np.ndarray, targets: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not converged to the last digit says the same
        return LogisticRegression(C=strength, max_iter=300).fit(known, targets)
