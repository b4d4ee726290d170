r"""What a labelled data set gives away without a model: leaks between its parts, contradictions, and simple rules.

A rule is learned on the training part and scored on the test part:

    majority      the most frequent class (of numbers the mean)
    length        a decision tree on the length of a sequence
    composition   a linear model on the shares of A, C, G and T
    k-mers        a linear model on 1- to 4-mers and, where all sequences are equally long, positions; of labels a base,
                  a table of the five bases around it
    look-up       the target of the training sequence that holds most of the words of a test sequence, see ``near``;
                  where none holds four fifths, the majority

Labels of bases have the first and the fourth only.

The figure is the accuracy; of numbers, R2. Coordinates without bases are audited by ``audit``.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part, at_most, different, joined
from dnadiff.evaluation import base_baselines, baselines
from dnadiff.evaluation.metrics import measured
from dnadiff.evaluation.near import Leaks, leaks

MOST_FITTED = 20_000
"""Training sequences that a rule is fitted to; of more, as many are drawn."""

FIGURE = {"class": "accuracy", "multilabel": "accuracy", "regression": "r2", "tokens": "accuracy"}
"""The figure of the rules by the kind of the targets."""


def leaks_of(data: Labelled) -> Leaks:
    """What training and validation part know of each test sequence; of no test part, of nothing."""
    return leaks(_known(data).codes, data.test.codes if data.test else ())


def audit_sequences(data: Labelled, found: Leaks | None = None) -> dict[str, Any]:
    """The row of a data set in a table of audits; plain values, None where there is no test part.

    Args:
        data: The data set.
        found: What ``leaks_of`` gives, if it is there already.

    Returns:
        ``kind`` of the targets; ``train`` (validation part included) and ``test``, their sizes; ``drawn``, whether the
        data name no test part; ``metric`` and under ``majority``, ``length``, ``composition``, ``words`` and
        ``look_up`` that figure of each rule; ``copies``, test sequences that the training part holds on either strand;
        ``near``, those it holds nearly; ``leaked``, the share of both; ``repeated``, training sequences that were there
        before; ``conflicts``, sequences of all parts that have another target elsewhere; of classes, how many of each
        (``train_NAME``, ``test_NAME``).
    """
    known, found = _known(data), leaks_of(data) if found is None else found
    copies = int(found.copy.sum())
    rules = _rules(data, known, data.test, found) if data.test else {}
    return {
        "kind": data.meaning.kind,
        "train": len(known),
        "test": len(data.test) if data.test else 0,
        "drawn": data.test is not None and data.test.drawn,
        "metric": FIGURE[data.meaning.kind],
        **{name: rules.get(name) for name in ("majority", "length", "composition", "words", "look_up")},
        "copies": copies,
        "near": int(found.found.sum()) - copies,
        "leaked": float(found.found.mean()) if len(found.found) else None,
        "repeated": len(known) - different(known),
        "conflicts": conflicts(*data.parts.values()),
        **_balance(data, known),
    }


def conflicts(*parts: Part) -> int:
    """How many sequences of some parts are there elsewhere, on the same strand, with another target."""
    pairs = [pair for part in parts for pair in zip(part.codes, part.targets, strict=True)]
    said: dict[bytes, set[bytes]] = {}
    for codes, target in pairs:
        said.setdefault(codes.tobytes(), set()).add(np.asarray(target).tobytes())
    return sum(len(said[codes.tobytes()]) > 1 for codes, _ in pairs)


def _known(data: Labelled) -> Part:
    """What a model may learn from: training and validation part."""
    return joined(data.train, data.valid) if data.valid else data.train


def _rules(data: Labelled, known: Part, test: Part, found: Leaks) -> dict[str, float | None]:
    kind, metric = data.meaning.kind, FIGURE[data.meaning.kind]
    fitted = replace(data, train=at_most(data.train, MOST_FITTED, "audit"))
    if kind == "tokens":
        guesses = {
            "majority": base_baselines.majority(data, test),
            "words": base_baselines.neighbours(fitted, test),
        }
    else:
        guesses = {
            "majority": baselines.majority(data, len(test)),
            "length": baselines.length(fitted, test),
            "composition": baselines.composition(fitted, test, metric),
            "words": baselines.words(fitted, test, metric),
            "look_up": _looked_up(data, known, found),
        }
    return {name: measured(kind, guess, test.targets)[metric] for name, guess in guesses.items()}


def _looked_up(data: Labelled, known: Part, found: Leaks) -> np.ndarray:
    guess = baselines.majority(data, len(found.found))
    guess[found.found] = baselines.rows_of(data, known)[found.nearest[found.found]]
    return guess


def _balance(data: Labelled, known: Part) -> dict[str, int]:
    if data.meaning.kind != "class":
        return {}
    parts, names = {"train": known, **({"test": data.test} if data.test else {})}, data.meaning.names
    return {
        f"{part}_{name}": int(count)
        for part, examples in parts.items()
        for name, count in zip(names, np.bincount(examples.targets, minlength=len(names)), strict=True)
    }
