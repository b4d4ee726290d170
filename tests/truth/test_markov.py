"""Markov floors against a dictionary written out by hand, closed forms, and the chain's own laws."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dnadiff.data import alphabet
from dnadiff.data.alphabet import reverse_complement
from dnadiff.data.fasta import read_fasta
from dnadiff.errors import InputError
from dnadiff.evaluation import markov
from dnadiff.evaluation.markov import MarkovChain, order_for

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def codes(text: str) -> np.ndarray:
    return np.array(["ACGTN".index(base) for base in text], dtype=np.uint8)


def random_text(n: int, seed: int, letters: str = "ACGTN", p: tuple = (0.3, 0.2, 0.15, 0.3, 0.05)) -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), n, p=p))


def words(texts: list[str], order: int) -> Counter:
    """Every word of 1 to order + 1 bases on both strands, none across an N."""
    seen: Counter = Counter()
    for text in texts:
        for strand in (text, text.translate(COMPLEMENT)[::-1]):
            for k in range(1, order + 2):
                seen.update(w for i in range(len(strand) - k + 1) if "N" not in (w := strand[i : i + k]))
    return seen


def slow_probability(seen: Counter, context: str, base: str, a: float) -> float:
    below = slow_probability(seen, context[1:], base, a) if context else 0.25
    total = sum(seen[context + x] for x in "ACGT")
    return (seen[context + base] + a * below) / (total + a)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_bits_equal_a_dictionary_implementation(order):
    training = [random_text(300, 1), random_text(57, 2), "N", "A"]
    row = random_text(120, 3)
    chain = MarkovChain.fit([codes(t) for t in training], order, 5.0)
    seen = words(training, order)
    expected = []
    for i, base in enumerate(row):
        context = row[max(0, i - order) : i].rpartition("N")[2]
        expected.append(0.0 if base == "N" else -math.log2(slow_probability(seen, context, base, 5.0)))
    np.testing.assert_allclose(chain.bits(codes(row)[None])[0], expected, rtol=1e-12)


def test_lower_order_of_a_deep_chain_is_the_shallow_chain():
    training, row = [codes(random_text(500, 4))], codes(random_text(80, 5))
    deep = MarkovChain.fit(training, 4)
    for order in range(5):
        np.testing.assert_allclose(deep.bits(row, order=order), MarkovChain.fit(training, order).bits(row), rtol=1e-12)


def test_order_0_is_the_pooled_composition():
    chain = MarkovChain.fit([codes("A" * 30 + "C" * 10)], 0)
    # both strands: A 30, C 10, G 10, T 30; 20 pseudo-counts spread evenly
    np.testing.assert_allclose(chain.probabilities(0), [[35 / 100, 15 / 100, 15 / 100, 35 / 100]])
    np.testing.assert_allclose(chain.bits(codes("AC")), [-math.log2(0.35), -math.log2(0.15)])


def test_alternating_genome_is_certain_at_order_1():
    # TATATA... is its own reverse complement: after T always A, whose cost is closed form
    n = 1000
    chain = MarkovChain.fit([codes("TA" * n)], 1)
    # T on both strands: 2n; followed by A: n on this strand, n on the other
    p0 = (2 * n + 20 / 4) / (4 * n + 20)
    assert chain.bits(codes("TA"))[1] == pytest.approx(-math.log2((2 * n + 20 * p0) / (2 * n + 20)))


def test_context_never_seen_falls_back_exactly():
    chain = MarkovChain.fit([codes("AAAATTTT")], 3)
    row = codes("CGCGA")
    np.testing.assert_allclose(chain.bits(row), chain.bits(row, order=0), rtol=1e-12)


@pytest.mark.parametrize("order", range(5))
def test_probabilities_of_every_context_sum_to_one(order):
    chain = MarkovChain.fit([codes(random_text(400, 6))], 4)
    np.testing.assert_allclose(chain.probabilities(order).sum(1), np.ones(4**order), rtol=1e-12)


@pytest.mark.parametrize("order", range(4))
def test_counts_are_those_of_the_words_and_symmetric_under_reverse_complement(order):
    text = random_text(400, 7)
    table = MarkovChain.fit([codes(text)], 3).counts[order]
    seen = words([text], 3)
    for number, count in enumerate(table):
        word = "".join("ACGT"[number >> 2 * (order - i) & 3] for i in range(order + 1))
        assert count == seen[word]
        assert count == seen[word.translate(COMPLEMENT)[::-1]]


def test_a_genome_and_its_reverse_complement_give_the_same_chain():
    text = codes(random_text(700, 8))
    one, other = MarkovChain.fit([text], 3), MarkovChain.fit([reverse_complement(text)], 3)
    for order in range(4):
        np.testing.assert_array_equal(one.counts[order], other.counts[order])


def test_counting_in_chunks_changes_nothing(monkeypatch):
    text = [codes(random_text(1000, 9)), codes(random_text(64, 10))]
    whole = MarkovChain.fit(text, 4)
    for chunk in (1, 3, 64, 999):
        monkeypatch.setattr(markov, "_CHUNK", chunk)
        pieces = MarkovChain.fit(text, 4)
        for order in range(5):
            np.testing.assert_array_equal(whole.counts[order], pieces.counts[order])


def test_positions_that_are_not_valid_cost_nothing_and_cut_the_context():
    chain = MarkovChain.fit([codes(random_text(500, 11))], 3)
    row, valid = codes("ACGTACGT"), np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
    bits = chain.bits(row, valid)
    assert bits[3] == 0
    np.testing.assert_array_equal(bits[4:], chain.bits(codes("ACGT")))


def test_rows_do_not_see_each_other_and_inputs_stay_untouched():
    chain = MarkovChain.fit([codes(random_text(500, 12))], 3)
    rows = np.stack([codes(random_text(50, s)) for s in range(4)])
    before = rows.copy()
    stacked = chain.bits(rows)
    np.testing.assert_array_equal(stacked, np.stack([chain.bits(row) for row in rows]))
    np.testing.assert_array_equal(rows, before)


def test_saved_chain_is_the_same_chain(tmp_path):
    chain = MarkovChain.fit([codes(random_text(500, 13))], 4, 7.0)
    chain.save(tmp_path / "baseline.npz")
    again = MarkovChain.load(tmp_path / "baseline.npz")
    row = codes(random_text(90, 14))
    np.testing.assert_array_equal(again.bits(row), chain.bits(row))
    assert again.order == 4
    assert [p.name for p in tmp_path.iterdir()] == ["baseline.npz"]


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04broken"])
def test_damaged_baseline_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "baseline.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"baseline\.npz: found no Markov counts"):
        MarkovChain.load(tmp_path / "baseline.npz")


def test_counts_that_do_not_fit_their_order_are_refused(tmp_path):
    np.savez(tmp_path / "baseline.npz", counts=np.ones(21, int), order=1, concentration=20.0)
    with pytest.raises(InputError, match="21 counts for order 1"):
        MarkovChain.load(tmp_path / "baseline.npz")


def test_bad_orders_and_empty_training_are_refused():
    with pytest.raises(InputError, match="found 13; 0 to 12"):
        MarkovChain.fit([codes("ACGT")], 13)
    with pytest.raises(InputError, match="no A, C, G or T"):
        MarkovChain.fit([codes("NNNN")], 2)
    with pytest.raises(InputError, match="found 3; 0 to 2"):
        MarkovChain.fit([codes("ACGT")], 2).bits(codes("ACGT"), order=3)


def test_order_for_grows_with_the_genome():
    sizes = {1: 0, 5_386: 5, 48_502: 6, 4_175_707: 9, 9_900_000: 10, 100_000_000: 11, 3_000_000_000: 11}
    assert {n: order_for(n) for n in sizes} == sizes


ECOLI = Path(__file__).parents[2] / "data" / "ecoli_k12_mg1655.fa.gz"


def test_ecoli_floors():
    """First 90 % of E. coli K-12 against its last 10 %: orders 0, 3, 6 and the best, 7, to 0.002 bits."""
    (record,) = read_fasta(ECOLI)
    genome = alphabet.encode(record.sequence) & alphabet.CODE_BITS
    cut = int(0.9 * len(genome))
    chain = MarkovChain.fit([genome[:cut]], order_for(cut))
    floors = [chain.bits(genome[cut:], order=order).mean() for order in range(chain.order + 1)]
    np.testing.assert_allclose([floors[k] for k in (0, 3, 6, 7)], [1.9997, 1.9522, 1.9328, 1.9305], atol=1e-3)
    assert int(np.argmin(floors)) == 7


def test_many_short_stretches_are_counted_as_one_by_one():
    """Joined or not: 30,000 stretches of up to 9 bases, some of them longer than what is joined."""
    rng = np.random.default_rng(3)
    stretches = [rng.integers(0, 5, rng.integers(0, 10)).astype(np.uint8) for _ in range(30_000)]
    stretches.insert(100, rng.integers(0, 4, 1 << 16).astype(np.uint8))
    found = MarkovChain.fit(stretches, 2).counts
    assert sum(map(len, stretches)) > 2 * (1 << 16)
    for d in range(3):
        want = np.zeros(4 ** (d + 1), dtype=np.int64)
        for stretch in stretches[:400]:
            for codes in (stretch, np.where(stretch < 4, 3 - stretch.astype(int), 4)[::-1]):
                for i in range(d, len(codes)):
                    if (codes[i - d : i + 1] < 4).all():
                        want[int("".join(map(str, codes[i - d : i + 1])), 4)] += 1
        counted = MarkovChain.fit(stretches[:400], 2).counts[d]
        assert np.array_equal(counted, want)
    parts = [MarkovChain.fit([stretch], 2).counts for stretch in stretches[:300] if (stretch < 4).any()]
    assert np.array_equal(MarkovChain.fit(stretches[:300], 2).counts[2], sum(part[2] for part in parts))
    assert found[0].sum() == 2 * sum(int((stretch < 4).sum()) for stretch in stretches)
