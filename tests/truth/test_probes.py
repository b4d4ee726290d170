"""Probes against scikit-learn's own models and against choices made by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from dnadiff.evaluation.metrics import measured
from dnadiff.evaluation.probes import Known, LinearProbe, NeighbourProbe

RNG = np.random.default_rng(5)


def vectors(n):
    return (RNG.normal(size=(n, 6)) * [1, 10, 0.1, 3, 1, 1] + [0, 5, 0, 0, 100, 0]).astype(np.float32)


def part(n, kind, noise=1.0):
    rows = vectors(n)
    signal = (rows[:, 1] - 5) / 10 + rows[:, 2] * 10 + noise * RNG.normal(size=n)
    targets = {
        "class": (signal > 0).astype(np.int64) + (signal > 1),
        "multilabel": np.stack([signal > 0, signal > 1], 1).astype(np.float32),
        "regression": signal[:, None].astype(np.float32),
    }[kind]
    return Known(rows, targets)


KINDS = {"class": "mcc", "multilabel": "auroc", "regression": "pearson"}


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_are_sklearns_by_the_cosine(kind):
    train, test = part(60, kind), part(20, kind)
    scale = StandardScaler().fit(train.rows)
    rows, wanted = scale.transform(train.rows), scale.transform(test.rows)
    found = NeighbourProbe(kind, (7,)).fit(train, None, KINDS[kind]).predict(test.rows)
    if kind == "class":
        theirs = KNeighborsClassifier(7, metric="cosine").fit(rows, train.targets).predict_proba(wanted)
    else:
        theirs = KNeighborsRegressor(7, metric="cosine").fit(rows, train.targets).predict(wanted)
    np.testing.assert_allclose(found, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", ["class", "regression"])
def test_the_linear_probe_is_sklearns_at_the_strength_that_validates_best(kind):
    train, valid, test = part(40, kind, 2.0), part(40, kind, 2.0), part(20, kind)
    scale = StandardScaler().fit(train.rows)
    rows, held_out, wanted = (scale.transform(one.rows) for one in (train, valid, test))

    def told(strength, x):
        if kind == "class":
            return LogisticRegression(C=strength, max_iter=300).fit(rows, train.targets).predict_proba(x)
        return Ridge(alpha=1 / strength).fit(rows, train.targets).predict(x).reshape(len(x), -1)

    tried, metric = (1e-4, 1e-2, 1.0, 100.0), KINDS[kind]
    figures = [measured(kind, told(strength, held_out), valid.targets) for strength in tried]
    best = max(range(len(tried)), key=lambda i: (figures[i][metric], -figures[i]["loss"]))
    probe = LinearProbe(kind, tried).fit(train, valid, metric)
    assert probe.chosen == tried[best] and probe.validation == figures[best]
    np.testing.assert_allclose(probe.predict(test.rows), told(tried[best], wanted), atol=1e-9)


@pytest.mark.parametrize("probe", [LinearProbe, NeighbourProbe])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_vectors_hold_is_found(probe, kind):
    train, valid, test = (part(n, kind, 0.1) for n in (200, 60, 60))
    found = probe(kind).fit(train, valid, KINDS[kind]).predict(test.rows)
    assert measured(kind, found, test.targets)[KINDS[kind]] > (0.9 if probe is LinearProbe else 0.4)


def test_without_a_validation_part_the_middle_is_taken_and_k_is_no_more_than_there_are():
    train = part(12, "class")
    assert LinearProbe("class", (1e-2, 1e-1, 1.0)).fit(train, None, "mcc").chosen == 1e-1
    probe = NeighbourProbe("class").fit(train, None, "mcc")
    assert probe.chosen == 5 and probe.validation is None  # of 1, 3, 5, 10


def test_a_class_that_training_lacks_is_never_said():
    train = part(12, "class")
    train.targets[:] = np.where(train.targets == 0, 0, 2)
    found = LinearProbe("class", (1.0,), classes=4).fit(train, None, "mcc").predict(train.rows)
    assert found.shape == (12, 4) and not found[:, [1, 3]].any() and np.allclose(found.sum(1), 1)
    train.targets[:] = 1
    found = LinearProbe("class", (1.0,), classes=3).fit(train, None, "mcc").predict(train.rows)
    assert (found == [0, 1, 0]).all() and len(found) == 12


def test_a_label_that_is_always_there_is_always_said():
    train = part(30, "multilabel")
    train.targets[:, 0] = 1
    assert (LinearProbe("multilabel", (1.0,)).fit(train, None, "auroc").predict(train.rows)[:, 0] == 1).all()
