"""Chains of tokens and the figures of texts against counting by hand."""

import math
from collections import Counter

import numpy as np
import pytest

from dnadiff.data.tokenizer import Encoded
from dnadiff.errors import InputError
from dnadiff.evaluation import token_chain
from dnadiff.evaluation.likelihood import Scores, summarise, token_floor_scores
from dnadiff.evaluation.text import distinct, judged_rows, judged_windows, per_text, token_entropy
from dnadiff.evaluation.token_chain import TokenChain, highest_order

A = 20.0


def by_hand(stream, word, order, k):
    """p(word[-1] | the order tokens before it), by the formula, on counts of the whole stream."""
    if order < 0:
        return 1 / k
    context, token = tuple(word[len(word) - 1 - order : -1]), word[-1]
    runs = [tuple(stream[i : i + order + 1]) for i in range(len(stream) - order)]
    n, total = runs.count((*context, token)), sum(run[:-1] == context for run in runs)
    return (n + A * by_hand(stream, word, order - 1, k)) / (total + A)


def test_a_chain_is_what_counting_gives(monkeypatch):
    monkeypatch.setattr(token_chain, "MOST_TOKENS", 61)
    stream = np.random.default_rng(1).integers(0, 4, 90)
    words = len({tuple(stream[i : i + 3]) for i in range(59)})
    monkeypatch.setattr(token_chain, "MOST_WORDS", words)  # order 3 has more
    chain, stream = TokenChain.fit([stream], 5), stream[:61]
    assert chain.order == 2
    row = np.array([[1, 0, 4, 2, 3, 3]])
    known = np.array([[True, True, True, False, True, True]])
    for order in range(3):
        depths = [0, min(1, order), min(2, order), None, 0, min(1, order)]
        wanted = [
            0.0 if depth is None else -math.log2(by_hand(stream.tolist(), row[0, : i + 1].tolist(), depth, 5))
            for i, depth in enumerate(depths)
        ]
        assert chain.bits(row, known, order=order)[0] == pytest.approx(wanted, abs=1e-12)


def test_counts_are_kept_and_damage_is_refused(tmp_path):
    chain = TokenChain.fit([np.array([0, 1, 2, 1, 0, 1])], 35)
    path = tmp_path / "baseline.npz"
    chain.save(path)
    row, known = np.array([[0, 1, 2]]), np.ones((1, 3), bool)
    again = TokenChain.load(path)
    assert again.order == chain.order == 5 and np.array_equal(
        again.bits(row, known, order=2), chain.bits(row, known, order=2)
    )
    for change in ({"counts": np.zeros(21, int)}, {"sizes": [3]}, {"vocab_size": 2}, {"words": np.arange(21)[::-1]}):
        with np.load(path) as whole:
            np.savez(tmp_path / "changed.npz", **{**whole, **change})
        with pytest.raises(InputError, match=r"changed\.npz: found no counts of tokens"):
            TokenChain.load(tmp_path / "changed.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="found no counts of tokens"):
        TokenChain.load(path)
    with pytest.raises(InputError, match=r"cannot be read .* a baseline\.npz written by train would work"):
        TokenChain.load(tmp_path / "missing.npz")


def test_the_order_follows_from_the_vocabulary():
    assert [highest_order(size) for size in (260, 35, 512, 50258, 3)] == [5, 5, 5, 3, 5]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_rows_shorter_than_the_order_cost_what_longer_ones_begin_with(length):
    stream = np.random.default_rng(1).integers(0, 3, 200)
    chain = TokenChain.fit([stream], 3)
    rows = stream[:24].reshape(4, 6)
    whole = chain.bits(rows, np.ones_like(rows, dtype=bool), order=chain.order)
    short = chain.bits(rows[:, :length], np.ones((4, length), dtype=bool), order=chain.order)
    np.testing.assert_array_equal(short, whole[:, :length])


def test_context_restarts_with_each_stream():
    apart, joined = (TokenChain.fit(streams, 4) for streams in ([[0, 1], [2, 3]], [[0, 1, 2, 3]]))
    row, known = np.array([[1, 2]]), np.ones((1, 2), bool)
    assert joined.bits(row, known, order=1)[0, 1] < apart.bits(row, known, order=1)[0, 1]
    assert apart.bits(row, known, order=1)[0, 1] == apart.bits(row, known, order=0)[0, 1]


def test_nothing_to_count_is_the_uniform_chain():
    chain = TokenChain.fit([], 4)
    assert chain.bits(np.array([[1, 2]]), np.ones((1, 2), bool), order=chain.order).tolist() == [[2, 2]]


def test_floors_score_what_is_valid_and_not_given():
    chain = TokenChain.fit([np.array([0, 1, 2, 1, 0, 1])], 50258)
    window = {
        "tokens": np.array([[7, 1, 1, 9]]), "valid": np.array([[True, True, True, False]]),
        "given": np.array([[True, False, False, False]]), "item_ids": np.array([4]),
    }  # fmt: skip
    scores = token_floor_scores(chain, [window])[0]
    p = (3 + A / 50258) / (6 + A)
    assert scores.counts.tolist() == [2] and scores.bits[0, 0] == pytest.approx(-2 * math.log2(p))


def test_figures_of_text_are_those_of_the_formulas():
    scores = Scores(np.arange(3), np.array([[8.0], [10.0], [6.0]]), np.array([4, 4, 4]), np.array([10, 6, 8]))
    row = summarise(scores, {}, unit="token")[0]
    assert row["bits_per_token"] == pytest.approx(2) and row["perplexity"] == pytest.approx(4)
    error = np.std([2.0, 2.5, 1.5], ddof=1) / math.sqrt(3)
    assert row["standard_error"] == pytest.approx(error)
    assert row["perplexity_error"] == pytest.approx((2 ** (2 + 1e-6) - 2 ** (2 - 1e-6)) / 2e-6 * error, rel=1e-6)
    assert row["bits_per_character"] == pytest.approx(1.0) and row["characters"] == 24 and row["tokens"] == 12
    residuals = np.array([8 - 10, 10 - 6, 6 - 8]) / 8
    assert row["character_error"] == pytest.approx(residuals.std(ddof=1) / math.sqrt(3))
    assert "perplexity_error" not in summarise(scores, {})[0]


def test_entropy_is_that_of_the_histogram_averaged_over_samples():
    samples = [np.array([1, 1, 2, 2]), np.array([5, 5, 5]), np.array([], dtype=int), np.array([1, 2, 3, 4])]
    values = [math.log(2), 0.0, math.log(4)]
    assert token_entropy(samples) == pytest.approx((np.mean(values), np.std(values, ddof=1) / math.sqrt(3)))
    assert math.isnan(token_entropy([])[0])


def test_distinct_runs_are_counted_over_all_texts():
    texts = ["the cat the cat", "the dog"]
    assert distinct(texts, 1) == pytest.approx(3 / 6) and distinct(texts, 2) == pytest.approx(3 / 4)
    assert distinct(texts, 3) == pytest.approx(1.0) and math.isnan(distinct(texts, 9))


@pytest.mark.parametrize("convention", ["mdlm", "bd3lm"])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 12, 13, 40])
def test_a_judge_scores_every_token_once(convention, length):
    places = judged_windows(length, 8, convention)
    scored = Counter(i for _, end, done in places for i in range(done, end))
    assert scored == Counter(range(length))
    assert all(0 < end - start <= 8 and start <= done for start, end, done in places)
    if convention == "bd3lm":
        assert [start for start, _, _ in places] == list(range(0, 4 * len(places), 4))
    else:
        assert all(start == done for start, _, done in places)


def test_rows_of_a_judge_show_what_was_scored_before():
    text = Encoded(np.arange(10, 23), np.ones(13, dtype=np.int64))
    rows, owners = judged_rows([text, Encoded(text.ids[:2], text.characters[:2])], 9, "bd3lm", bos=1, filler=0)
    assert owners.tolist() == [0, 0, 0, 1] and rows["characters"].tolist() == [8, 4, 1, 2]
    assert rows["tokens"][1].tolist() == [1, *range(14, 22)] and rows["tokens"][2].tolist() == [
        1,
        *range(18, 23),
        0,
        0,
        0,
    ]
    assert rows["given"][1].tolist() == [True] * 5 + [False] * 4 and rows["given"][2].sum() == 5
    assert rows["valid"].sum(1).tolist() == [9, 9, 6, 3]
    scores = Scores(np.arange(4), np.array([[8.0], [4.0], [1.0], [6.0]]), np.array([8, 4, 1, 2]), rows["characters"])
    summed = per_text(scores, owners)
    assert (summed.bits[:, 0].tolist(), summed.counts.tolist(), summed.characters.tolist()) == (
        [13, 6],
        [13, 2],
        [13, 2],
    )
