"""Shuffles against all there are, written out, and pairs against hand-counted figures."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest

from dnadiff.data import alphabet
from dnadiff.evaluation.likelihood import Scores
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.pairs import chosen_orders, interval, paired, wins
from dnadiff.evaluation.shuffle import shuffled


def codes(text):
    return alphabet.encode(text) & alphabet.CODE_BITS


def neighbours(text):
    return Counter(pairwise(text))


def all_shuffles(text):
    """Every arrangement with the same ends and the same neighbours as often, by trying all."""
    inner = set(permutations(text[1:-1]))
    whole = ("".join((text[0], *middle, text[-1])) for middle in inner)
    return sorted(one for one in whole if neighbours(one) == neighbours(text))


def test_the_shuffles_of_a_short_sequence_written_by_hand():
    assert all_shuffles("ACAGA") == ["ACAGA", "AGACA"]
    assert all_shuffles("AACGT") == ["AACGT"]


@pytest.mark.parametrize("text", ["ACACTATCT", "ACCACTATT", "AACAGAACC", "ACACATCCT"])
def test_every_shuffle_is_drawn_and_each_as_often(text):
    """Pearson's statistic has the mean d and the variance 2 d under fair draws, d = shuffles - 1."""
    every, rng, n = all_shuffles(text), np.random.default_rng(1), 2000
    drawn = Counter(alphabet.decode(shuffled(codes(text), rng)) for _ in range(n))
    assert len(every) > 3 and set(drawn) == set(every)
    expected = n / len(every)
    statistic = sum((drawn[one] - expected) ** 2 / expected for one in every)
    freedom = len(every) - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)


def test_long_sequences_keep_their_neighbours_and_unknown_bases_their_places():
    rng = np.random.default_rng(2)
    one = rng.integers(0, 4, 2000).astype(np.uint8)
    one[[0, 1, 500, 501, 502, 1999]] = alphabet.N
    before = one.copy()
    other = shuffled(one, np.random.default_rng(3))
    assert np.array_equal(one, before) and not np.array_equal(one, other) and other.dtype == np.uint8
    assert np.array_equal(np.flatnonzero(one == alphabet.N), np.flatnonzero(other == alphabet.N))
    for part in (slice(2, 500), slice(503, 1999)):
        assert neighbours(one[part].tolist()) == neighbours(other[part].tolist())
        assert (one[part][0], one[part][-1]) == (other[part][0], other[part][-1])
    assert np.array_equal(other, shuffled(one, np.random.default_rng(3)))


@pytest.mark.parametrize("text", ["A", "AC", "AAAA", "N", "NNA", "AACGTT"])
def test_what_has_no_other_shuffle_stays(text):
    assert alphabet.decode(shuffled(codes(text), np.random.default_rng(0))) == text


def test_a_chain_of_order_1_cannot_tell_shuffles_and_one_of_order_2_can():
    motif = codes("AACAGATCCGCTGGTTAC" * 20)
    chain, rng = MarkovChain.fit([motif], 2), np.random.default_rng(4)
    for _ in range(5):
        other = shuffled(motif, rng)
        cost = [[chain.bits(x[None], order=order).sum() for order in range(3)] for x in (motif, other)]
        assert cost[0][:2] == pytest.approx(cost[1][:2], abs=1e-9)
        assert cost[0][2] < cost[1][2] - 10


def scores(bits, counts=None):
    array = np.array(bits, dtype=float).reshape(len(bits), -1)
    return Scores(np.arange(len(bits)), array, np.full(len(bits), 10) if counts is None else np.array(counts))


def test_pairs_are_counted_by_the_mean_over_draws():
    real = scores([[10, 12], [20, 20], [15, 15], [9, 9]])
    other = scores([[13, 10], [19, 20], [15 + 1e-9, 15], [1, 2]])
    assert wins(real, other).tolist() == [1, 0, 0.5, 0]
    row = paired("x", real, other)
    assert (row["accuracy"], row["ties"], row["pairs"]) == (0.375, 1, 4)
    assert row["real"] == pytest.approx(55 / 40) and row["difference"] == pytest.approx((55 - 47.5) / 40)
    with pytest.raises(ValueError, match="different sequences"):
        wins(real, scores([1.0, 2, 3, 4], counts=[10, 10, 10, 9]))


@pytest.mark.parametrize(("p", "n"), [(0.5, 10), (0.9, 40), (0.0, 7), (1.0, 1)])
def test_the_interval_solves_wilsons_equation(p, n):
    """Its ends are the chances q with (p - q)^2 = z^2 q (1 - q) / n."""
    ends = interval(p, n)
    for q in ends:
        assert (p - q) ** 2 == pytest.approx(1.959963984540054**2 * q * (1 - q) / n, abs=1e-12)
    assert 0 <= ends[0] <= p + 1e-12 and p - 1e-12 <= ends[1] <= 1
    assert interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_the_best_chain_is_the_one_that_tells_most():
    real, worse, better = scores([5, 5]), scores([4, 6]), scores([6, 6])
    floors = {0: (real, real), 1: (real, real), 2: (real, better), 3: (real, worse)}
    named = chosen_orders(floors)
    assert list(named) == ["Markov order 1", "Markov order 3", "Markov best (order 2)"]
    assert chosen_orders({}) == {}
