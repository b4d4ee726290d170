r"""How good predictions are: the figures of scikit-learn, with bootstrap intervals.

    class        accuracy, mcc (Matthews), f1 (macro), f1_positive (of the second of two classes, as GLUE has it of MRPC
                 and QQP; of more not defined), auroc and auprc (of the second of two classes; of more, mean over one
                 against the rest), loss (cross-entropy, nats)
    multilabel   the same, each the mean over the labels; a label counts as said above a probability of 1/2
    tokens       those of classes, over all bases but N; an interval draws whole sequences
    regression   pearson, spearman, r2, rmse (units of the target), loss (mean square); means over the numbers

A metric that is not defined (AUROC where only one class is there, a correlation with a constant, r2 of one) is None,
never 0 or NaN. Intervals are percentiles of the metric over examples drawn with replacement (Efron and Tibshirani, An
introduction to the bootstrap, 1993): they tell what another test set of this kind would change, not what another seed
would.

Every metric takes a weight an example: how often it was drawn. What is sorted is sorted once, so that a thousand
resamples of a thousand examples take a second; the tests hold the figures to scikit-learn's, weighted and not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dnadiff.random import key64

Predictions = np.ndarray | list[np.ndarray]
"""Of n sequences (n, T), or of their bases (length, T) each, NaN at N."""
Figures = dict[str, float | None]
Weighted = Callable[[np.ndarray], dict[str, float]]
"""From a weight an example, (n,) float64, to every metric by name; NaN where it is not defined."""

METRICS = {
    "class": ("accuracy", "mcc", "f1", "f1_positive", "auroc", "auprc", "loss"),
    "multilabel": ("accuracy", "mcc", "f1", "auroc", "auprc", "loss"),
    "regression": ("pearson", "spearman", "r2", "rmse", "loss"),
    "tokens": ("accuracy", "mcc", "f1", "f1_positive", "auroc", "auprc", "loss"),
}
"""The metrics of a kind of target, in the order of the tables."""

BEST = {"class": "mcc", "multilabel": "auroc", "regression": "pearson", "tokens": "mcc"}
"""What the best weights are chosen by, where nothing else is asked for."""

LOWER_IS_BETTER = ("loss", "rmse")

_LEAST = float(np.finfo(np.float64).eps)  # a probability of 0 costs what this one costs, as in scikit-learn


def measured(kind: str, predictions: Predictions, targets: np.ndarray) -> Figures:
    """Every metric of a kind of target, by name; None where it is not defined.

    Args:
        kind: ``class``, ``multilabel``, ``regression`` or ``tokens``.
        predictions: Probabilities (n, K) of the classes or labels, or numbers (n, T), or n arrays (length, K) of bases.
        targets: Classes (n,), or zeros and ones (n, K), or numbers (n, T), or n arrays (length,) of classes of bases.
    """
    return _figures(_SCORERS[kind](predictions, targets), np.ones(len(targets)))


def intervals(
    kind: str, predictions: Predictions, targets: np.ndarray, *, resamples: int, seed: int
) -> dict[str, tuple[float, float] | None]:
    """The 95 % interval of every metric; None where it is defined on fewer than half of the resamples.

    Args:
        kind: As ``measured`` takes it.
        predictions: As ``measured`` takes them.
        targets: Likewise.
        resamples: How often to draw as many examples with replacement; 0 gives no intervals.
        seed: Of the draws.
    """
    rng, n, score = np.random.default_rng(key64("bootstrap", seed)), len(targets), _SCORERS[kind](predictions, targets)
    draws = (np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(resamples))
    drawn = [_figures(score, weights) for weights in draws]
    found: dict[str, tuple[float, float] | None] = {}
    for name in METRICS[kind]:
        values = [figures[name] for figures in drawn if figures[name] is not None]
        enough = resamples and 2 * len(values) >= resamples
        found[name] = tuple(np.percentile(values, [2.5, 97.5]).tolist()) if enough else None
    return found


def better(metric: str, one: Mapping[str, float | None], other: Mapping[str, float | None] | None) -> bool:
    """Whether figures are better than others: by the metric, and where that is equal, by the loss.

    Args:
        metric: Its name.
        one: Figures; they are not better than anything where the metric is not defined.
        other: Others; None is worse than all.
    """
    if one[metric] is None:
        return False
    return other is None or _rank(metric, one) > _rank(metric, other)


def _rank(metric: str, figures: Mapping[str, float | None]) -> tuple[float, float]:
    value = figures[metric]
    signed = -math.inf if value is None else -value if metric in LOWER_IS_BETTER else value
    return signed, -(math.inf if figures["loss"] is None else figures["loss"])


def _figures(score: Weighted, weights: np.ndarray) -> Figures:
    with np.errstate(all="ignore"):
        return {name: float(v) if math.isfinite(v) else None for name, v in score(weights).items()}


def _classes(p: np.ndarray, y: np.ndarray) -> Weighted:
    k = p.shape[1]
    cell = y * k + p.argmax(1)
    cost = -np.log(np.maximum(p[np.arange(len(y)), y] / p.sum(1), _LEAST))
    curves = [_curve(p[:, j], y == j) for j in ((1,) if k == 2 else range(k))]

    def score(w: np.ndarray) -> dict[str, float]:
        table = np.bincount(cell, w, minlength=k * k).reshape(k, k)  # rows are the truth, columns what was said
        areas = np.mean([curve(w) for curve in curves], axis=0)
        return {**_said(table), "auroc": areas[0], "auprc": areas[1], "loss": np.average(cost, weights=w)}

    return score


def _tokens(p: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> Weighted:
    """Those of classes, every base with the weight of its sequence."""
    found, truth = np.concatenate(p), np.concatenate(list(y))
    known = ~np.isnan(found[:, 0])
    owner = np.repeat(np.arange(len(y)), [len(row) for row in y])[known]
    score = _classes(found[known], truth[known])
    return lambda w: score(w[owner])


def _labels(p: np.ndarray, y: np.ndarray) -> Weighted:
    said = p > 0.5
    curves = [_curve(p[:, j], y[:, j] > 0) for j in range(p.shape[1])]
    cost = -np.log(np.maximum(np.where(y > 0, p, 1 - p), _LEAST)).mean(1)

    def score(w: np.ndarray) -> dict[str, float]:
        rows = []
        for j, curve in enumerate(curves):
            table = np.bincount((2 * y[:, j] + said[:, j]).astype(np.int64), w, minlength=4).reshape(2, 2)
            both = (table.sum(1) > 0).all()  # else nothing but the accuracy is defined
            right = _said(table)
            areas = curve(w)
            rows.append(
                [right["accuracy"], *([right["mcc"], right["f1_positive"], *areas] if both else [math.nan] * 4)]
            )
        names = ("accuracy", "mcc", "f1", "auroc", "auprc")
        return {**dict(zip(names, _mean(np.array(rows)), strict=True)), "loss": np.average(cost, weights=w)}

    return score


def _numbers(p: np.ndarray, y: np.ndarray) -> Weighted:
    places = [[np.unique(x[:, t], return_inverse=True)[1] for x in (p, y)] for t in range(p.shape[1])]

    def score(w: np.ndarray) -> dict[str, float]:
        rows = []
        for t, (of_p, of_y) in enumerate(places):
            square = np.average((p[:, t] - y[:, t]) ** 2, weights=w)
            spread = np.average((y[:, t] - np.average(y[:, t], weights=w)) ** 2, weights=w)
            ranked = _correlation(_ranks(of_p, w), _ranks(of_y, w), w)
            explained = math.nan if np.ptp(y[w > 0, t]) == 0 else 1 - square / spread
            rows.append([_correlation(p[:, t], y[:, t], w), ranked, explained, np.sqrt(square), square])
        return dict(zip(METRICS["regression"], _mean(np.array(rows)), strict=True))

    return score


def _said(table: np.ndarray) -> dict[str, float]:
    """Accuracy, Matthews' correlation (Gorodkin's of more classes, 2004; 0 if it is 0 / 0) and both F1 of a table."""
    n, right, true, said = table.sum(), table.trace(), table.sum(1), table.sum(0)
    spread = (n * n - said @ said) * (n * n - true @ true)
    there = true + said > 0
    f1 = 2 * table.diagonal()[there] / (true + said)[there]
    positive = 2 * table[1, 1] / (true + said)[1] if len(table) == 2 and there[1] else math.nan
    return {
        "accuracy": right / n,
        "mcc": (right * n - true @ said) / np.sqrt(spread) if spread > 0 else 0.0,
        "f1": f1.mean(),
        "f1_positive": positive,
    }


def _curve(scores: np.ndarray, true: np.ndarray) -> Callable[[np.ndarray], tuple[float, float]]:
    """From weights to the areas under the ROC curve (ties count half) and the precision-recall steps."""
    place, y = np.unique(-scores, return_inverse=True)[1], true.astype(np.float64)

    def areas(w: np.ndarray) -> tuple[float, float]:
        hits, misses = np.bincount(place, w * y), np.bincount(place, w * (1 - y))
        hit, missed = hits.cumsum(), misses.cumsum()
        said = hit + missed
        precision = np.divide(hit, said, out=np.zeros_like(hit), where=said > 0)
        roc = misses @ (hit - hits / 2) / (hit[-1] * missed[-1])
        return roc, hits @ precision / hit[-1] if missed[-1] > 0 else math.nan

    return areas


def _correlation(a: np.ndarray, b: np.ndarray, w: np.ndarray) -> float:
    """Pearson's, weighted; NaN with a constant."""
    a, b = a - np.average(a, weights=w), b - np.average(b, weights=w)
    spread = np.average(a * a, weights=w) * np.average(b * b, weights=w)
    constant = any(np.ptp(x[w > 0]) == 0 for x in (a, b))
    return math.nan if constant else float(np.average(a * b, weights=w) / np.sqrt(spread))


def _ranks(place: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The rank of each example among those drawn; equal values share the mean of theirs."""
    count = np.bincount(place, w)
    return (count.cumsum() - (count - 1) / 2)[place]


def _mean(rows: np.ndarray) -> np.ndarray:
    """The mean of each column over the rows where it is defined."""
    known = np.isfinite(rows)
    return np.where(known, rows, 0).sum(0) / known.sum(0)


_SCORERS: dict[str, Callable[[Any, Any], Weighted]] = {
    "class": _classes, "multilabel": _labels, "regression": _numbers, "tokens": _tokens,
}  # fmt: skip
