"""Figures of generated sequences against hand values, scipy and Biopython."""

from itertools import pairwise

import numpy as np
import pytest
from Bio.Seq import Seq
from Bio.SeqUtils import gc_fraction
from scipy.spatial.distance import jensenshannon

from dnadiff.errors import InputError
from dnadiff.evaluation.generation import draw_samples, gc_contents, js_divergence, kmer_counts, report


def codes(text: str) -> np.ndarray:
    return np.array(["ACGTN".index(base) for base in text], dtype=np.uint8)


def random_codes(n: int, seed: int, p: tuple = (0.25, 0.25, 0.25, 0.25)) -> np.ndarray:
    return np.random.default_rng(seed).choice(4, n, p=p).astype(np.uint8)


def markov_codes(n: int, seed: int) -> np.ndarray:
    """A genome with a rule: A is followed by C in four cases of five."""
    out = random_codes(n, seed)
    follow = np.random.default_rng(seed + 1).random(n) < 0.8
    for i in range(1, n):
        if out[i - 1] == 0 and follow[i]:
            out[i] = 1
    return out


def test_divergence_by_hand():
    assert js_divergence(np.array([1, 0]), np.array([0, 1])) == pytest.approx(1.0)
    assert js_divergence(np.array([3, 1]), np.array([6, 2])) == pytest.approx(0.0, abs=1e-15)
    # p = (1, 0), q = (1/2, 1/2): H(3/4, 1/4) - (0 + 1) / 2
    assert js_divergence(np.array([1, 0]), np.array([1, 1])) == pytest.approx(0.311278124459133)


def test_divergence_is_the_square_of_scipys_distance():
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 9, (5, 64)), rng.integers(0, 9, (5, 64))
    np.testing.assert_allclose(
        js_divergence(p, q), [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    )


def test_divergence_of_an_empty_spectrum_is_refused():
    with pytest.raises(InputError, match="found no word"):
        js_divergence(np.zeros(4), np.ones(4))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_kmers_are_those_of_both_strands(k):
    texts = ["ACGTTGCANACG", "TT", "GATTACA"]
    expected = np.zeros(4**k, dtype=int)
    for text in texts:
        for strand in (text, str(Seq(text).reverse_complement())):
            for i in range(len(strand) - k + 1):
                if "N" not in strand[i : i + k]:
                    expected[int("".join(str("ACGT".index(b)) for b in strand[i : i + k]), 4)] += 1
    np.testing.assert_array_equal(kmer_counts([codes(t) for t in texts], k)[0], expected)
    np.testing.assert_array_equal(kmer_counts([codes(t) for t in texts], k, groups=2).sum(0), expected)


def test_kmer_groups_take_turns():
    groups = kmer_counts([codes("AA"), codes("CC"), codes("AA")], 2, groups=2)
    assert groups[0, 0] == 2  # AA twice on the plus strand
    assert groups[1, 5] == 1  # CC once


def test_kmer_length_out_of_range_is_refused():
    with pytest.raises(InputError, match="found 9; 1 to 8"):
        kmer_counts([codes("ACGT")], 9)


def test_gc_agrees_with_biopython():
    texts = ["ACGT", "GGCC", "AATT", "ANNG"]
    np.testing.assert_allclose(gc_contents([codes(t) for t in texts]), [gc_fraction(t, "remove") for t in texts])
    assert np.isnan(gc_contents([codes("NN")])[0])


def test_windows_match_the_synthetic_sequences_and_are_disjoint():
    real = [np.full(1000, 4, np.uint8), np.arange(6000) // 10 % 4, random_codes(50, 1)]
    synthetic = [random_codes(n, n) for n in (100, 80, 100, 60)]
    samples = draw_samples([r.astype(np.uint8) for r in real], synthetic, seed=3)
    for row in (samples.reference, *samples.rows.values()):
        assert sorted(map(len, row)) == [60, 80, 100, 100]
    assert not samples.notes
    spans = [(w.__array_interface__["data"][0], len(w)) for w in samples.reference + samples.rows["real"]]
    spans.sort()
    assert all(a + n <= b for (a, n), (b, _) in pairwise(spans))
    assert all((w < 4).all() for w in samples.reference)


def test_shuffled_rows_keep_the_composition_of_the_real_row():
    samples = draw_samples([markov_codes(5000, 1)], [random_codes(100, i) for i in range(8)], seed=0)
    for real, shuffled in zip(samples.rows["real"], samples.rows["shuffled"], strict=True):
        np.testing.assert_array_equal(np.bincount(real, minlength=4), np.bincount(shuffled, minlength=4))
        assert not np.array_equal(real, shuffled)


def test_a_small_genome_compares_fewer_sequences_and_says_so():
    samples = draw_samples([random_codes(500, 1)], [random_codes(100, i) for i in range(9)], seed=0)
    assert {len(row) for row in samples.rows.values()} == {2}
    assert samples.notes == ["the real genome has 5 windows: 2 of 9 synthetic sequences are compared"]


def test_windows_cut_short_are_known_too():
    """Records that begin with N, of which short windows must not be the beginning."""
    real = [np.concatenate([codes(8 * "N"), random_codes(92, i)]) for i in range(40)]
    samples = draw_samples(real, [random_codes(n, n) for n in (100, *range(8, 17))], seed=1)
    for window in samples.reference + samples.rows["real"]:
        assert np.count_nonzero(window < 4) >= 0.9 * len(window)


@pytest.mark.parametrize("seed", range(6))
def test_a_window_that_is_too_short_is_told_of_whichever_set_it_is_in(seed):
    real = [random_codes(100, 1), random_codes(50, 2)]
    samples = draw_samples(real, [random_codes(100, 3)], seed)
    assert samples.notes == ["real records are shorter than the synthetic sequences: the windows' lengths differ"]


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="synthetic sequences: found none"):
        draw_samples([random_codes(500, 1)], [], seed=0)
    with pytest.raises(InputError, match="found 1 usable window"):
        draw_samples([random_codes(400, 1)], [random_codes(400, 2)], seed=0)


def test_report_tells_order_from_noise():
    genome = markov_codes(40_000, 5)
    faithful = [markov_codes(200, 100 + i) for i in range(60)]
    samples = draw_samples([genome], faithful, seed=1)
    rows = {row["name"]: row for row in report(samples, (2, 3), seed=1)}
    assert rows["real"]["js_2_excess"] == 0 and rows["real"]["js_2"] > 0
    assert abs(rows["synthetic"]["js_2_excess"]) < 4 * rows["synthetic"]["js_2_excess_error"]
    assert rows["shuffled"]["js_2_excess"] > 10 * rows["shuffled"]["js_2_excess_error"]
    assert rows["uniform"]["js_2"] > rows["shuffled"]["js_2"] > 5 * rows["real"]["js_2"]
    assert rows["real"]["gc_mean"] == pytest.approx(rows["shuffled"]["gc_mean"])
    assert rows["synthetic"]["bases"] == rows["real"]["bases"] == 12_000


def test_a_sequence_shorter_than_a_word_leaves_no_error_and_is_no_mistake():
    samples = draw_samples([random_codes(500, 1)], [codes("A"), random_codes(50, 2)], seed=0)
    row = report(samples, (1, 3), seed=1)[0]
    assert row["js_3"] > 0 and row["js_3_error"] is row["js_3_excess_error"] is None
    assert row["js_1_error"] > 0, "every draw has words of one base"


def test_bootstrap_error_of_the_mean_gc_is_the_textbook_one():
    samples = draw_samples([random_codes(90_000, 5)], [random_codes(100, 100 + i) for i in range(400)], seed=1)
    row = next(r for r in report(samples, (1,), seed=1) if r["name"] == "synthetic")
    assert row["gc_mean_error"] == pytest.approx(row["gc_sd"] / np.sqrt(400), rel=0.2)


def test_bootstrap_error_of_the_divergence_is_its_spread_over_repetitions():
    """Divergence of two different laws, 40 times over, against the error a single report gives."""
    values, errors = [], []
    for repeat in range(40):
        seqs = [random_codes(100, 1000 * repeat + i, (0.4, 0.1, 0.1, 0.4)) for i in range(40)]
        samples = draw_samples([random_codes(10_000, 7 + repeat)], seqs, seed=repeat)
        row = report(samples, (1,), seed=repeat)[0]
        values.append(row["js_1"])
        errors.append(row["js_1_error"])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_same_seed_same_report_and_inputs_untouched():
    genome, made = random_codes(9000, 1), [random_codes(100, i) for i in range(10)]
    before = genome.copy()
    reports = [report(draw_samples([genome], made, seed), (2,), seed) for seed in (1, 1, 2)]
    assert reports[0] == reports[1] != reports[2]
    np.testing.assert_array_equal(genome, before)


def test_divergence_of_two_samples_of_one_source_is_as_the_theory_says():
    values = []
    for repeat in range(60):
        samples = draw_samples([random_codes(21_000, repeat)], [random_codes(1002, i) for i in range(10)], seed=repeat)
        values.append(report(samples, (3,), seed=0)[1]["js_3"])
    assert np.mean(values) == pytest.approx(4**3 / (8 * 10_000 * np.log(2)), rel=0.1)
