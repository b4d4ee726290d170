"""Metrics against sums by hand and scipy, intervals against theory, floors against what can be counted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from dnadiff.data import alphabet
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.data.targets import Meaning
from dnadiff.evaluation.baselines import differ_in_length, features, length, majority, words
from dnadiff.evaluation.metrics import METRICS, better, intervals, measured
from dnadiff.random import key64

RNG = np.random.default_rng(0)


def codes(text):
    return alphabet.encode(text) & alphabet.CODE_BITS


def test_two_classes_by_hand():
    """4 true of 10; of 5 called true 3 are: TP 3, FP 2, FN 1, TN 4."""
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    p1 = np.array([0.9, 0.8, 0.7, 0.2, 0.85, 0.6, 0.4, 0.3, 0.1, 0.05])
    found = measured("class", np.stack([1 - p1, p1], 1), y)
    assert found["accuracy"] == 0.7
    assert found["mcc"] == pytest.approx((3 * 4 - 2 * 1) / np.sqrt(5 * 4 * 6 * 5))
    assert found["f1"] == pytest.approx((2 * 3 / (2 * 3 + 2 + 1) + 2 * 4 / (2 * 4 + 1 + 2)) / 2)
    assert found["f1_positive"] == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    pairs = [(a > b) + 0.5 * (a == b) for a in p1[y == 1] for b in p1[y == 0]]
    assert found["auroc"] == pytest.approx(np.mean(pairs))
    # in falling order the true ones stand at places 1, 3, 4 and 8
    assert found["auprc"] == pytest.approx(np.mean([1 / 1, 2 / 3, 3 / 4, 4 / 8]))
    assert found["loss"] == pytest.approx(-np.mean(np.log(np.where(y == 1, p1, 1 - p1))))


def test_several_classes_are_one_against_the_rest():
    y = np.array([0, 1, 2, 2, 1, 0])
    p = RNG.dirichlet(np.ones(3), 6)
    found = measured("class", p, y)
    apart = []
    for k in range(3):
        ones, rest = p[y == k, k], p[y != k, k]
        apart.append(np.mean([(a > b) + 0.5 * (a == b) for a in ones for b in rest]))
    assert found["auroc"] == pytest.approx(np.mean(apart)) and found["accuracy"] == np.mean(p.argmax(1) == y)
    assert measured("class", p, np.array([0, 1, 1, 1, 1, 0]))["auroc"] is None  # nobody is of class 2


def test_numbers_are_scipys():
    y, p = RNG.normal(size=(30, 2)), RNG.normal(size=(30, 2))
    p[:6, 0] = p[6:12, 0]  # ties
    found = measured("regression", p, y)
    assert found["pearson"] == pytest.approx(np.mean([stats.pearsonr(p[:, t], y[:, t])[0] for t in range(2)]))
    assert found["spearman"] == pytest.approx(np.mean([stats.spearmanr(p[:, t], y[:, t])[0] for t in range(2)]))
    assert found["rmse"] == pytest.approx(np.mean(np.sqrt(((p - y) ** 2).mean(0))))
    assert found["r2"] == pytest.approx(np.mean(1 - ((p - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)))
    assert measured("regression", np.ones((30, 2)), y)["pearson"] is None


def test_labels_are_means_over_those_that_are_defined():
    y = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    p = np.array([[0.9, 0.2, 0.1], [0.1, 0.7, 0.1], [0.6, 0.4, 0.1], [0.2, 0.45, 0.1]])
    found = measured("multilabel", p, y)
    assert found["auroc"] == pytest.approx((1.0 + 0.75) / 2) and found["accuracy"] == pytest.approx((1 + 0.75 + 1) / 3)
    assert found["loss"] == pytest.approx(-np.mean(np.log(np.where(y == 1, p, 1 - p))))
    assert measured("multilabel", p[:, 2:], y[:, 2:])["auroc"] is None


def test_intervals_have_the_width_that_theory_gives_and_repeat():
    """Accuracy .8 of 400: 1.96 sqrt(.8 .2 / 400) = .0392 on each side."""
    y = RNG.integers(0, 2, 400)
    right = np.arange(400) % 5 != 0
    p = np.where(right[:, None] == (np.arange(2) == y[:, None]), 0.9, 0.1)
    low, high = intervals("class", p, y, resamples=300, seed=1)["accuracy"]
    assert 0.03 < 0.8 - low < 0.05 and 0.03 < high - 0.8 < 0.05
    assert intervals("class", p, y, resamples=300, seed=1)["accuracy"] == (low, high)
    assert intervals("class", p, y, resamples=300, seed=2)["accuracy"] != (low, high)
    assert set(intervals("class", p, y, resamples=0, seed=1).values()) == {None}
    assert intervals("class", p[:2], np.array([1, 1]), resamples=20, seed=1)["auroc"] is None


SKLEARN = {
    "accuracy": lambda y, p, w: metrics.accuracy_score(y, p.argmax(1), sample_weight=w),
    "mcc": lambda y, p, w: metrics.matthews_corrcoef(y, p.argmax(1), sample_weight=w),
    "f1": lambda y, p, w: metrics.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
    "f1_positive": lambda y, p, w: metrics.f1_score(y, p.argmax(1), sample_weight=w),
    "auroc": lambda y, p, w: metrics.roc_auc_score(y, p[:, 1], sample_weight=w),
    "auprc": lambda y, p, w: metrics.average_precision_score(y, p[:, 1], sample_weight=w),
    "loss": lambda y, p, w: metrics.log_loss(y, p, labels=[0, 1], sample_weight=w),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_figures_are_scikit_learns(name):
    """Of all examples, and of resamples as the intervals draw them; with ties and a probability of 0."""
    y = RNG.integers(0, 2, 60)
    p1 = np.clip(np.round(0.3 * y + 0.7 * RNG.random(60), 1), 0, 1)
    p, wanted = np.stack([1 - p1, p1], 1), []
    assert measured("class", p, y)[name] == pytest.approx(SKLEARN[name](y, p, None), abs=1e-12)
    rng = np.random.default_rng(key64("bootstrap", 5))
    for _ in range(40):
        rows = rng.integers(0, 60, 60)
        wanted.append(SKLEARN[name](y[rows], p[rows], None))
        weights = np.bincount(rows, minlength=60)
        assert wanted[-1] == pytest.approx(SKLEARN[name](y, p, weights), abs=1e-9)
    low, high = intervals("class", p, y, resamples=40, seed=5)[name]
    assert (low, high) == pytest.approx(np.percentile(wanted, [2.5, 97.5]), abs=1e-12)


def test_more_classes_are_scikit_learns():
    y, p = RNG.integers(0, 4, 80), RNG.dirichlet(np.ones(5), 80)  # nobody is of the last class, some are said to be
    found = measured("class", p, y)
    assert found["f1_positive"] is None
    for name in ("accuracy", "mcc", "f1"):
        assert found[name] == pytest.approx(SKLEARN[name](y, p, None), abs=1e-12)
    p = p[:, :4] / p[:, :4].sum(1, keepdims=True)
    found, ones = measured("class", p, y), np.eye(4)[y]
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(y, p, multi_class="ovr"), abs=1e-12)
    assert found["auprc"] == pytest.approx(metrics.average_precision_score(ones, p), abs=1e-12)


def test_resampled_correlations_are_those_of_the_examples_drawn():
    y, p = RNG.normal(size=(30, 1)), np.round(RNG.normal(size=(30, 1)), 1)
    rng, wanted = np.random.default_rng(key64("bootstrap", 1)), []
    for _ in range(30):
        rows = rng.integers(0, 30, 30)
        wanted.append((stats.pearsonr(p[rows, 0], y[rows, 0])[0], stats.spearmanr(p[rows, 0], y[rows, 0])[0]))
    found = intervals("regression", p, y, resamples=30, seed=1)
    for name, values in zip(("pearson", "spearman"), np.array(wanted).T, strict=True):
        assert found[name] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)


def test_r2_of_a_constant_is_not_defined_whatever_its_mean_rounds_to():
    y = np.array([[0.1], [0.7], [0.3]])  # one draw in nine of three examples is thrice the same
    assert np.mean([0.1, 0.1, 0.1]) != 0.1
    assert measured("regression", y, np.full((3, 1), 0.1))["r2"] is None
    p = np.array([[0.2], [0.1], [0.3]])
    assert intervals("regression", p, y, resamples=200, seed=0)["r2"][0] > -100


def test_what_is_better():
    low, high = {"mcc": 0.1, "loss": 0.5, "rmse": 2.0}, {"mcc": 0.2, "loss": 0.9, "rmse": 3.0}
    assert better("mcc", high, low) and not better("mcc", low, high)
    assert better("loss", low, high) and better("rmse", low, high) and not better("rmse", high, low)
    assert better("mcc", low | {"loss": 0.4}, low) and not better("mcc", low, low)  # the first of equals stays
    assert better("mcc", low, None) and not better("mcc", {"mcc": None, "loss": 0.1}, None)
    assert all("loss" in named for named in METRICS.values())


def test_words_are_counted_as_a_reader_would():
    row = features([codes("ACACN")], positions=False)[0]
    assert row.shape == (4 + 16 + 64 + 256,)
    assert row[:4].tolist() == [0.5, 0.5, 0, 0]  # A A, C C; N is none of them
    assert row[4 + 1] == pytest.approx(2 / 3) and row[4 + 4] == pytest.approx(1 / 3)  # AC, CA, AC
    assert row[20 + 0b000100] == 0.5 and row[20 + 0b010001] == 0.5  # ACA, CAC
    assert row[84 + 0b00010001] == 1 and row.sum() == pytest.approx(4)  # ACAC
    one_hot = features([codes("ACN"), codes("TTT")], positions=True)[:, 340:]
    assert one_hot.tolist() == [[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1] * 3]
    assert features([codes("A")], positions=False)[0].tolist() == [1] + [0] * 339


def labelled(kind, train, test, names=("a", "b")):
    """Sequences with and without the word TATA, of one length or two."""
    parts = {}
    for name, n in (("train", train), ("valid", test), ("test", test)):
        texts = ["".join(RNG.choice(list("ACG"), 12)) for _ in range(n)]
        y = np.arange(n) % 2
        texts = [("TATA" + x[4:] if one else x) for x, one in zip(texts, y, strict=True)]
        targets = {"class": y, "multilabel": np.stack([y, 1 - y], 1), "regression": y[:, None] * 3.0 + 1}[kind]
        parts[name] = Part(tuple(map(str, range(n))), tuple(map(codes, texts)), targets)
    return Labelled("x", Meaning(kind, ("label",), names), *parts.values(), {}, 0)


@pytest.mark.parametrize(("kind", "metric"), [("class", "mcc"), ("multilabel", "auroc"), ("regression", "pearson")])
def test_the_linear_floor_finds_a_word(kind, metric):
    data = labelled(kind, 80, 40)
    found = words(data, data.test, metric)
    assert measured(kind, found, data.test.targets)[metric] > 0.95


def test_the_majority_is_the_training_balance():
    data = labelled("class", 81, 4)
    assert majority(data, 2).tolist() == [[41 / 81, 40 / 81]] * 2
    numbers = labelled("regression", 80, 4)
    assert majority(numbers, 3).tolist() == [[2.5]] * 3


@pytest.mark.parametrize("kind", ["class", "multilabel", "regression"])
def test_the_length_alone_says_what_scikit_learns_tree_does(kind):
    """A tree of classes by Gini's impurity and the one of least squares are the same; of numbers it is the mean."""
    data, rng = labelled(kind, 200, 50), np.random.default_rng(5)
    assert not differ_in_length(data)
    parts = []
    for part in (data.train, data.test):
        y = part.targets if kind == "class" else part.targets[:, 0] > 1
        texts = tuple(np.zeros(n, dtype=np.uint8) for n in rng.integers(20, 30, len(part)) + 7 * y)
        parts.append(replace(part, codes=texts))
    data = replace(data, train=parts[0], test=parts[1])
    assert differ_in_length(data)
    x, queries = ([[len(codes)] for codes in part.codes] for part in parts)
    found, targets = length(data, data.test), data.train.targets
    settings = {"min_samples_leaf": 20, "random_state": 0}
    if kind == "regression":
        wanted = DecisionTreeRegressor(**settings).fit(x, targets[:, 0]).predict(queries)[:, None]
    else:
        wanted = DecisionTreeClassifier(**settings).fit(x, targets if kind == "class" else targets[:, 1])
        wanted = wanted.predict_proba(queries)  # the first label is one less the second
    assert found == pytest.approx(wanted)
