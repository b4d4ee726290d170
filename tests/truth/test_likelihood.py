"""Scores of windows against exact likelihoods and closed forms; errors against the textbook."""

import numpy as np
import pytest
import torch

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.ideal import IdealDenoiser
from dnadiff.diffusion.objective import MaskedNELBO
from dnadiff.diffusion.parameterization import Subs
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.diffusion.schedule import LogLinear
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import (
    Scores,
    average,
    chosen_floors,
    difference,
    floor_scores,
    joined,
    reverse_complement,
    score,
    summarise,
)
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.models.dit import DiT

TOKENIZER = NucleotideTokenizer()
PROCESS = AbsorbingProcess(LogLinear(), mask_id=3)
NELBO = MaskedNELBO(PROCESS)


def windows(texts: list[str], first: int = 0, bos: bool = False) -> dict[str, np.ndarray]:
    """Windows of equal length; N is padding."""
    tokens = np.stack([TOKENIZER.encode(text) for text in texts])
    tokens[tokens == TOKENIZER.n_id] = TOKENIZER.pad_id
    given = np.zeros(tokens.shape, bool)
    if bos:
        tokens[:, 0], given[:, 0] = TOKENIZER.bos_id, True
    valid = tokens != TOKENIZER.pad_id
    weight = np.arange(tokens.size, dtype=np.float32).reshape(tokens.shape)
    return {
        "tokens": tokens,
        "valid": valid,
        "given": given,
        "weight": weight,
        "item_ids": first + np.arange(len(texts)),
    }


def random_texts(n: int, length: int, seed: int) -> list[str]:
    return ["".join(row) for row in np.random.default_rng(seed).choice(list("ACGT"), (n, length))]


def batches(texts: list[str], size: int, **options) -> list[dict[str, np.ndarray]]:
    return [windows(texts[i : i + size], i, **options) for i in range(0, len(texts), size)]


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    backbone = DiT(vocab_size=12, hidden_size=32, n_blocks=1, n_heads=2, cond_dim=16)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Denoiser(backbone, Subs(3, TOKENIZER.base_ids), PROCESS).eval()


def table(scores: list[list[float]], counts: list[int]) -> Scores:
    return Scores(np.arange(len(counts)), np.array(scores, dtype=float), np.array(counts))


def test_ideal_denoiser_scores_the_exact_bits():
    """Equal rows have one bound, -log2 p(x) = log2 8/3 for ACG and log2 8/5 for TTG."""
    sequences = torch.tensor(np.stack([TOKENIZER.encode("ACG"), TOKENIZER.encode("TTG")]))
    ideal = IdealDenoiser(sequences, torch.tensor([3 / 8, 5 / 8]), PROCESS, vocab_size=12)
    for text, p in (("ACG", 3 / 8), ("TTG", 5 / 8)):
        scores = score(ideal, NELBO, batches([text] * 64, 16), seed=1, samples=8)
        assert abs(scores.bits_per_base + np.log2(p) / 3) < 5 * scores.monte_carlo_error


def test_uniform_bases_cost_two_bits_exactly():
    every = torch.cartesian_prod(*[torch.tensor(TOKENIZER.base_ids)] * 3)
    ideal = IdealDenoiser(every, torch.full((64,), 1 / 64), PROCESS, vocab_size=12)
    scores = score(ideal, NELBO, batches(random_texts(20, 3, 1), 7), seed=1)
    np.testing.assert_allclose(scores.bits[:, 0], 6.0)
    np.testing.assert_array_equal(scores.counts, 3)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_scores_do_not_depend_on_the_batch_size(denoiser, size):
    texts = random_texts(20, 24, 2)
    texts[3], texts[11] = "N" * 6 + texts[3][6:], texts[11][:20] + "NNNN"
    whole = score(denoiser, NELBO, batches(texts, 20), seed=5, samples=2)
    parts = score(denoiser, NELBO, batches(texts, size), seed=5, samples=2)
    np.testing.assert_array_equal(parts.item_ids, whole.item_ids)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    np.testing.assert_allclose(parts.bits, whole.bits, rtol=1e-5)
    assert whole.counts[3] == 18 and whole.counts[11] == 20


def test_more_draws_keep_the_first_ones_and_strands_have_their_own(denoiser):
    some = batches(random_texts(6, 24, 3), 6)
    two = score(denoiser, NELBO, some, seed=5, samples=2).bits
    np.testing.assert_array_equal(score(denoiser, NELBO, some, seed=5).bits[:, 0], two[:, 0])
    assert not np.allclose(two[:, 0], two[:, 1])
    assert not np.allclose(score(denoiser, NELBO, some, seed=5, strand="-").bits[:, 0], two[:, 0])
    assert not np.allclose(score(denoiser, NELBO, some, seed=6).bits[:, 0], two[:, 0])


def test_bos_is_shown_and_never_scored(denoiser):
    scores = score(denoiser, NELBO, batches(random_texts(6, 24, 3), 6, bos=True), seed=5)
    np.testing.assert_array_equal(scores.counts, 23)


def test_windows_without_a_base_are_left_out_and_none_at_all_is_refused(denoiser):
    scores = score(denoiser, NELBO, batches(["NNNN", "ACGT"], 1), seed=5)
    np.testing.assert_array_equal(scores.item_ids, [1])
    for empty in (batches(["NNNN"], 1), []):
        nothing = score(denoiser, NELBO, empty, seed=5, samples=2)
        assert nothing.bits.shape == (0, 2)
        with pytest.raises(InputError, match="found no base"):
            joined([nothing])


def test_parts_are_joined_in_the_order_of_their_windows_each_window_once():
    one = Scores(np.array([4, 7]), np.array([[4.0], [7.0]]), np.array([2, 3]))
    other = Scores(np.array([1, 4]), np.array([[1.0], [4.0]]), np.array([1, 2]))
    both = joined([one, other])
    assert both.item_ids.tolist() == [1, 4, 7] and both.counts.tolist() == [1, 2, 3]
    assert both.bits.tolist() == [[1.0], [4.0], [7.0]]


def test_standard_error_is_the_textbook_one_for_equal_windows():
    scores = table([[20.0], [22.0], [27.0], [19.0]], [10] * 4)
    assert scores.bits_per_base == pytest.approx(2.2)
    assert scores.standard_error == pytest.approx(np.std([2.0, 2.2, 2.7, 1.9], ddof=1) / 2)
    assert scores.monte_carlo_error is None


def test_windows_count_by_their_bases():
    scores = table([[20.0], [3.0]], [10, 1])
    assert scores.bits_per_base == pytest.approx(23 / 11)
    # residuals (20 - 10 R, 3 - R) / 5.5 with R = 23/11
    assert scores.standard_error == pytest.approx(np.std([-10 / 11 / 5.5, 10 / 11 / 5.5], ddof=1) / np.sqrt(2))


def test_monte_carlo_error_is_that_of_the_mean_of_the_draws():
    scores = table([[20.0, 24.0], [30.0, 30.0]], [10, 10])
    # variances 8 and 0 between draws, two draws: sqrt(8 / 2) bits on 20 bases
    assert scores.monte_carlo_error == pytest.approx(2 / 20)


def test_monte_carlo_error_is_the_spread_over_seeds(denoiser):
    """With one window nothing is stratified, so the estimate must meet the truth."""
    some = batches(random_texts(1, 24, 4), 1)
    runs = [score(denoiser, NELBO, some, seed=seed, samples=12) for seed in range(60)]
    spread = np.std([run.bits_per_base for run in runs], ddof=1)
    assert np.sqrt(np.mean([run.monte_carlo_error**2 for run in runs])) == pytest.approx(spread, rel=0.3)


def test_difference_is_paired():
    model, floor = table([[18.0], [20.0], [25.0]], [10] * 3), table([[20.0], [22.0], [28.0]], [10] * 3)
    gap, error = difference(model, floor)
    assert gap == pytest.approx(-7 / 30)
    assert error == pytest.approx(np.std([-0.2, -0.2, -0.3], ddof=1) / np.sqrt(3))
    assert error < model.standard_error / 5
    with pytest.raises(ValueError, match="different windows"):
        difference(model, Scores(np.array([4, 5, 6]), floor.bits, floor.counts))


def test_average_of_the_strands():
    one, other = table([[10.0], [20.0]], [10, 10]), table([[14.0], [22.0]], [10, 10])
    np.testing.assert_array_equal(average(one, other).bits, [[12.0], [21.0]])
    with pytest.raises(ValueError, match="different windows"):
        average(one, table([[1.0], [2.0]], [10, 9]))


def test_other_strand_is_the_reverse_complement():
    turned = reverse_complement(windows(["AACGN"]), TOKENIZER)
    np.testing.assert_array_equal(turned["tokens"][0], [4, *TOKENIZER.encode("CGTT")])
    np.testing.assert_array_equal(turned["valid"][0], [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(turned["weight"][0], [4, 3, 2, 1, 0])
    with_bos = reverse_complement(windows(["TAACG"], bos=True), TOKENIZER)
    np.testing.assert_array_equal(with_bos["tokens"][0], [2, *TOKENIZER.encode("CGTT")])
    np.testing.assert_array_equal(with_bos["given"][0], [1, 0, 0, 0, 0])


def test_reversing_leaves_the_window_alone():
    window = windows(["AACGN"])
    before = {name: values.copy() for name, values in window.items()}
    reverse_complement(window, TOKENIZER)
    for name, values in before.items():
        np.testing.assert_array_equal(window[name], values)


def test_floors_are_the_chains_bits_of_every_window():
    chain = MarkovChain.fit([np.random.default_rng(0).integers(0, 4, 900, dtype=np.uint8)], 2)
    texts = [*random_texts(4, 9, 5), "ACGNNACGT"]
    floors = floor_scores(chain, batches(texts, 2), TOKENIZER)
    assert sorted(floors) == [0, 1, 2]
    for order, scores in floors.items():
        for text, bits in zip(texts, scores.bits[:, 0], strict=True):
            codes = np.array(["ACGTN".index(base) for base in text], dtype=np.uint8)
            assert bits == pytest.approx(chain.bits(codes, order=order).sum())
    np.testing.assert_array_equal(floors[1].counts, [9, 9, 9, 9, 7])


def test_best_floor_is_the_cheapest_and_the_table_names_it():
    floors = {
        order: table([[bits], [bits + 1]], [10, 10]) for order, bits in ((0, 20.0), (3, 19.0), (4, 17.0), (6, 18.0))
    }
    named = chosen_floors(floors)
    assert list(named) == ["Markov order 0", "Markov order 3", "Markov order 6", "Markov best (order 4)"]
    rows = summarise(table([[18.5], [19.0]], [10, 10]), named)
    assert rows[0]["name"] == "model (bound)"
    assert rows[0]["nats_per_base"] == pytest.approx(1.875 * np.log(2))
    assert rows[0]["perplexity"] == pytest.approx(2**1.875)
    assert rows[4]["difference"] == pytest.approx(1.875 - 1.75)
    assert [row["bases"] for row in rows] == [20] * 5
    assert chosen_floors({}) == {}


def test_one_window_has_no_standard_error():
    assert summarise(table([[18.0]], [10]), {})[0]["standard_error"] is None
