"""The count estimator is -log p(x) exactly: every k and every subset through the objective's own code."""

import itertools
import math

import pytest
import torch
from scipy import stats

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import AbsorbingProcess, Batch, IdealDenoiser, LogLinear, MaskedNELBO
from dnadiff.diffusion.timesteps import draw_counts, draw_few, smallest
from dnadiff.random import Draws
from tests.oracle import LENGTH, MASK, SEQUENCES, VOCAB, P, Recorded, ideal


def expectation(denoiser, x0, maskable, few=False):
    """E[loss of the row] over k and subsets, each with its probability: 1/n, or that of ``draw_few``, and 1/C(n, k)."""
    places, n = [i for i, m in enumerate(maskable) if m], sum(maskable)
    time, mask, weight = [], [], []
    for k in range(1, n + 1):
        for subset in itertools.combinations(places, k):
            time.append(((k - 0.5) / n) ** (0.5 if few else 1))
            mask.append([0.1 if i in subset else 0.9 - 0.01 * i for i in range(len(x0))])
            weight.append(((k / n) ** 0.5 - ((k - 1) / n) ** 0.5 if few else 1 / n) / math.comb(n, k))
    rows = len(time)
    batch = Batch(torch.tensor([x0] * rows), torch.tensor([maskable] * rows))
    mask = torch.tensor(mask, dtype=torch.float64) + 1e-3 * torch.arange(len(x0))
    loss = MaskedNELBO(denoiser.process, importance_sampling=few)(denoiser, batch, Recorded(time, mask))
    assert (loss.count == rows * n) and torch.equal(loss.valid, batch.valid)
    return (loss.nll.sum(-1) * torch.tensor(weight, dtype=torch.float64)).sum().item()


@pytest.mark.parametrize("x0", SEQUENCES[::5], ids=lambda x: NucleotideTokenizer().decode(x))
def test_count_objective_is_minus_log_p(x0):
    assert expectation(ideal(), x0, [True] * LENGTH) == pytest.approx(-math.log(P[x0]), rel=1e-12)


@pytest.mark.parametrize("x0", SEQUENCES[::5], ids=lambda x: NucleotideTokenizer().decode(x))
@pytest.mark.parametrize("maskable", [[True] * LENGTH, [True, False, True]], ids=["all", "some"])
def test_drawing_few_masks_more_often_has_the_same_mean(x0, maskable):
    evenly, few = (expectation(ideal(), x0, maskable, few) for few in (False, True))
    assert few == pytest.approx(evenly, rel=1e-12)


def test_few_masks_are_drawn_with_the_chance_that_is_told():
    n, rows = 50, 200_000
    k, chance = draw_few(Draws(0, range(rows)), torch.full((rows,), n))
    assert k.min() == 1 and k.max() == n
    for value in (1, 2, 7, 49, 50):
        told = chance[k == value]
        assert (told == told[0]).all() and told[0] == pytest.approx((value / n) ** 0.5 - ((value - 1) / n) ** 0.5)
        assert (k == value).double().mean().item() == pytest.approx(told[0].item(), abs=2e-5)
    assert all(x.tolist() == [0] for x in draw_few(Draws(0, [3]), torch.tensor([0])))


@pytest.mark.parametrize("given", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_given_tokens_condition(given):
    """With given tokens it is -log p(the others | the given)."""
    maskable = [i not in given for i in range(LENGTH)]
    for x0 in SEQUENCES[::9]:
        marginal = sum(p for y, p in P.items() if all(y[i] == x0[i] for i in given))
        assert expectation(ideal(), x0, maskable) == pytest.approx(-math.log(P[x0] / marginal), rel=1e-12)


def test_pads_do_not_count():
    """Rows of two bases and a pad have the likelihood of the two bases."""
    pairs = torch.tensor([[7, 8, 4], [9, 10, 4], [7, 10, 4]])
    denoiser = IdealDenoiser(
        pairs, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), AbsorbingProcess(LogLinear(), MASK), VOCAB
    )
    assert expectation(denoiser, [7, 8, 4], [True, True, False]) == pytest.approx(-math.log(0.5), rel=1e-12)


def test_given_and_valid_say_the_same_of_what_is_masked():
    x0 = torch.tensor([SEQUENCES[5]] * 4)
    valid, given = torch.ones(4, 3, dtype=torch.bool), torch.zeros(4, 3, dtype=torch.bool)
    given[:, 1] = True
    one = MaskedNELBO(ideal().process).noise(Batch(x0, valid, given=given), Draws(0, range(4)))
    two = MaskedNELBO(ideal().process).noise(Batch(x0, valid & ~given), Draws(0, range(4)))
    assert torch.equal(one.xt, two.xt) and torch.equal(one.weight, two.weight)


@pytest.mark.parametrize(("n", "k"), [(3, 1), (3, 3), (8, 5)])
def test_move_chance_follows_beta_whatever_the_subset(n, k):
    rows = 4000
    u = Draws(3, range(rows)).uniform("mask", 0, n)
    masked, m = smallest(u, torch.ones(rows, n, dtype=torch.bool), torch.full((rows,), k))
    assert (masked.sum(-1) == k).all()
    assert stats.kstest(m.numpy(), stats.beta(k, n - k + 1).cdf).pvalue > 1e-3
    with_first = masked[:, 0]
    assert with_first.double().mean().item() == pytest.approx(k / n, abs=0.03)
    if k < n:
        assert stats.ks_2samp(m[with_first].numpy(), m[~with_first].numpy()).pvalue > 1e-3


def test_subsets_are_uniform():
    rows, n, k = 6000, 4, 2
    u = Draws(1, range(rows)).uniform("mask", 0, n)
    masked, _ = smallest(u, torch.ones(rows, n, dtype=torch.bool), torch.full((rows,), k))
    counts = torch.bincount((masked.long() * torch.tensor([8, 4, 2, 1])).sum(-1), minlength=16)
    seen = counts[counts > 0]
    assert len(seen) == math.comb(n, k) and stats.chisquare(seen.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("n", [1, 2, 7, 512])
def test_counts_are_uniform_and_stratified(n):
    rows = 8 * n
    k = draw_counts(Draws(5, range(rows)), torch.full((rows,), n))
    counts = torch.bincount(k, minlength=n + 1)
    assert counts[0] == 0 and len(counts) == n + 1
    assert counts[1:].min() >= 5 and counts[1:].max() <= 11  # independent draws would leave this band


def test_weights_are_n_over_k_and_bounded():
    valid = torch.ones(300, 16, dtype=torch.bool)
    valid[::2, 9:] = False
    noised = MaskedNELBO(ideal().process).noise(Batch(torch.full((300, 16), 7), valid), Draws(0, range(300)))
    k, n = (noised.xt == MASK).sum(-1), valid.sum(-1)
    torch.testing.assert_close(noised.weight.amax(-1), n / k.double())
    torch.testing.assert_close(noised.weight.sum(-1), n.double())
    assert torch.equal(noised.weight > 0, noised.xt == MASK)
