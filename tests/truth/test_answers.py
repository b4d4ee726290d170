"""Exact match, F1, BLEU and identity against figures by hand, a recursion, and sacrebleu itself."""

import functools
import math

import numpy as np
import pytest

from dnadiff.errors import InputError
from dnadiff.evaluation.answers import corpus_bleu, exact_match, figures, identity, normalised, same_bases, token_f1
from dnadiff.recipes import answers


def test_squads_normalisation():
    assert normalised("  The  U.S. President,\tan actor ") == "us president actor"


@pytest.mark.parametrize(
    ("written", "wanted", "match", "f1"),
    [
        ("The Cat!", "cat", 1, 1),
        ("black cat", "the black dog", 0, 0.5),  # 1 of 2 words in common, of 2 and 2
        ("one one two", "one two two two", 0, 4 / 7),  # one and two: precision 2/3, recall 2/4
        ("cat", "dog", 0, 0),
        ("the", "", 1, 1),
        ("", "dog", 0, 0),
    ],
)
def test_exact_match_and_f1(written, wanted, match, f1):
    assert exact_match(written, wanted) == match and token_f1(written, wanted) == pytest.approx(f1)


def levenshtein(a, b):
    @functools.cache
    def d(i, j):
        if not i or not j:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return d(len(a), len(b))


def test_identity_is_that_of_the_shortest_edit():
    assert identity("ACGT", "CGT") == 0.75 and same_bases("ACGT", "CGT") == 0.0
    assert same_bases("ACGT", "ACTT") == 0.75 and identity("", "") == same_bases("", "") == 1.0
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = ("".join(rng.choice(list("ACG"), rng.integers(0, 9))) for _ in range(2))
        assert identity(a, b) == pytest.approx(1 - levenshtein(a, b) / max(len(a), len(b), 1))


def test_figures_have_bootstrapped_errors():
    wanted = ["A"] * 100
    found = figures(["A"] * 30 + ["C"] * 70, wanted, text=False)
    assert found["exact_match"] == found["same_bases"] == 0.3
    assert found["exact_match_error"] == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.08)
    assert set(figures(["a"], ["a"], text=True)) == {"exact_match", "exact_match_error", "f1", "f1_error"}


def test_bleu_is_sacrebleus():
    sacrebleu = pytest.importorskip("sacrebleu")
    written = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    wanted = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]
    ours = corpus_bleu(written, wanted)(np.arange(3))
    assert ours == pytest.approx(sacrebleu.corpus_bleu(written, [wanted]).score, abs=1e-9)
    assert ours == pytest.approx(45.0675, abs=1e-4)  # as of sacrebleu 2.6.0
    twice = corpus_bleu(written, wanted)(np.array([0, 0, 1]))
    again = sacrebleu.corpus_bleu([written[0], *written[:2]], [[wanted[0], *wanted[:2]]]).score
    assert twice == pytest.approx(again, abs=1e-9)


def test_without_sacrebleu_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(InputError, match=r"--bleu: needs sacrebleu, which is missing; pip install 'dnadiff\[text\]'"):
        figures(["a"], ["a"], text=True, bleu=True)


def test_a_copy_of_what_lies_left_is_as_long_as_what_is_wanted():
    copied = answers._without_model(["ACGT", "ACGT", "AC"], ["", "GA", "GATT"], text=False, pairs=False)
    assert copied["copy of what lies left"] == ["", "GT", "AC"]
