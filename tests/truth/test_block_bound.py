"""Block diffusion's bound is -log p(x) at every block size: each k, subset and node of t goes through the objective."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import betainc

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import AbsorbingProcess, Batch, BlockNELBO, Clip, IdealDenoiser, LogLinear, MaskedNELBO
from dnadiff.diffusion.block_objective import spread
from dnadiff.models.attention import BlockCausal
from dnadiff.random import Draws
from tests.oracle import LENGTH, MASK, SEQUENCES, VOCAB, P, ideal
from tests.tiny import tiny_denoiser

PAD, BOS = 4, 2


def block_places(maskable, size):
    """The maskable places of each block."""
    places = [i for i, m in enumerate(maskable) if m]
    return [[i for i in places if i // size == b] for b in range(-(-len(maskable) // size))]


def expectation(denoiser, x0, maskable, size, clip=None):
    """E[loss] over every combination of k and subset in all blocks, each with its probability."""
    options = []
    for places in block_places(maskable, size):
        n = len(places)
        low, high = (min(clip.low, n), min(clip.high, n)) if clip else (min(1, n), n)
        options.append([
            (s, (k - low + 0.5) / (high - low + 1), 1 / (high - low + 1) / math.comb(n, k))
            for k in range(low, high + 1) for s in itertools.combinations(places, k)
        ])  # fmt: skip
    level, u, weight = [], [], []
    for choice in itertools.product(*options):
        masked = set().union(*(s for s, _, _ in choice))
        level.append([place for _, place, _ in choice])
        u.append([(0.1 if i in masked else 0.9) + 1e-3 * i for i in range(len(x0))])
        weight.append(math.prod(p for _, _, p in choice))
    rows = len(level)
    batch = Batch(torch.tensor([x0] * rows), torch.tensor([maskable] * rows))
    objective = BlockNELBO(denoiser.process, size, clip=clip)
    noised = objective.corrupt(batch, torch.tensor(level), torch.tensor(u, dtype=torch.float64))
    loss = objective.loss(denoiser, batch, noised)
    assert loss.count == rows * sum(maskable)
    return (loss.nll.sum(-1) * torch.tensor(weight, dtype=torch.float64)).sum().item()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("x0", SEQUENCES[::9], ids=lambda x: NucleotideTokenizer().decode(x))
def test_the_bound_is_minus_log_p_at_every_block_size(x0, size):
    """A last block of one and blocks longer than the row too."""
    assert expectation(ideal(), x0, [True] * LENGTH, size) == pytest.approx(-math.log(P[x0]), rel=1e-12)


def marginal(x, places):
    """The probability of the tokens of x at some places."""
    return sum(p for y, p in P.items() if all(y[i] == x[i] for i in places))


@pytest.mark.parametrize("given", [(0,), (1,), (2,), (0, 2)])
@pytest.mark.parametrize("size", [1, 2])
def test_given_tokens_condition_their_block_and_what_follows(size, given):
    """Each block costs -log p(its others | earlier blocks, the given of its own); not the given further right."""
    maskable = [i not in given for i in range(LENGTH)]
    for x0 in SEQUENCES[::13]:
        want = 0.0
        for b in range(-(-LENGTH // size)):
            block = [i for i in range(LENGTH) if i // size == b]
            before = [i for i in range(LENGTH) if i // size < b] + [i for i in block if i in given]
            want -= math.log(marginal(x0, {*before, *block}) / marginal(x0, before))
        assert expectation(ideal(), x0, maskable, size) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_bos_and_pads_do_not_count(size):
    """[BOS] + two bases and a pad have the likelihood of the two bases; block 0 has one place less."""
    rows = torch.tensor([[BOS, 7, 8, PAD], [BOS, 9, 10, PAD], [BOS, 7, 10, PAD]])
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    denoiser = IdealDenoiser(rows, p, AbsorbingProcess(LogLinear(), MASK), VOCAB)
    maskable = [False, True, True, False]
    assert expectation(denoiser, rows[0].tolist(), maskable, size) == pytest.approx(-math.log(0.5), rel=1e-12)


@pytest.mark.parametrize("clip", [None, (1e-3, 1.0), (0.3, 0.8), (0.6, 1.0)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_time_estimator_integrates_its_range(size, clip):
    """A quadrature of all masks against incomplete beta functions: int (1/m) m^k (1-m)^(n-k) dm over [low, high]."""
    denoiser = ideal(LogLinear(0.0))
    objective = BlockNELBO(denoiser.process, size, "time", clip=clip and Clip(*clip))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    masks = torch.tensor(list(itertools.product([False, True], repeat=LENGTH)))
    low, high = clip or (1e-3, 1.0)
    for x0 in SEQUENCES[::17]:
        want = 0.0
        for places in block_places([True] * LENGTH, size):
            before = range(places[0])
            for s in (s for k in range(1, len(places) + 1) for s in itertools.combinations(places, k)):
                k, n = len(s), len(places)
                shown = [*before, *(i for i in places if i not in s)]
                cost = -sum(math.log(marginal(x0, {*shown, i}) / marginal(x0, shown)) for i in s)
                chance = betainc(k, n - k + 1, high) - betainc(k, n - k + 1, low)
                want += chance * cost / k / math.comb(n, k)
        total = 0.0
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            rows = len(masks)
            m = low + (high - low) * node
            level = torch.full((rows, -(-LENGTH // size)), node, dtype=torch.float64)
            batch = Batch(torch.tensor([x0] * rows), torch.ones(rows, LENGTH, dtype=torch.bool))
            u = torch.where(masks, 0.0, 1 - 2**-53).double()
            nll = objective.loss(denoiser, batch, objective.corrupt(batch, level, u)).nll.sum(-1)
            k = masks.sum(-1).double()
            total += weight * (nll * m**k * (1 - m) ** (LENGTH - k)).sum().item()
        assert total == pytest.approx(want, rel=1e-8)


def random_batch(rows, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(7, 11, (rows, length), generator=generator), torch.ones(rows, length, dtype=torch.bool)


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("estimator", ["count", "time"])
def test_one_block_is_masked_diffusion_with_the_same_draws(estimator, conditioned):
    denoiser = tiny_denoiser(time_conditioning=conditioned)
    x0, valid = random_batch(5, 13)
    valid[1, 9:] = False
    batch, draws = Batch(x0, valid, visible=valid), Draws(3, range(5))
    ours = BlockNELBO(denoiser.process, 13, estimator)(denoiser, batch, draws)
    theirs = MaskedNELBO(denoiser.process, estimator)(denoiser, batch, draws)
    assert torch.equal(ours.valid, theirs.valid)
    torch.testing.assert_close(ours.nll[valid], theirs.nll[valid], atol=1e-5, rtol=1e-5)


def test_blocks_of_one_are_the_autoregressive_likelihood_without_noise():
    denoiser = tiny_denoiser()
    x0, valid = random_batch(3, 9)
    nll = torch.zeros(3, 9)
    with torch.no_grad():
        for i in range(9):
            x = torch.cat([x0[:, :i], torch.full((3, 1), MASK)], dim=1)
            nll[:, i] = -denoiser(x, None, pattern=BlockCausal(1))[:, -1].gather(1, x0[:, i : i + 1])[:, 0]
    objective = BlockNELBO(denoiser.process, 1)
    for seed in (0, 1):
        ours = objective(denoiser, Batch(x0, valid), Draws(seed, range(3))).nll
        torch.testing.assert_close(ours, nll, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n_blocks", [1, 2, 7])
def test_levels_are_uniform_wherever_the_block_and_spread_over_a_row(n_blocks):
    level = spread(Draws(5, range(4000)), n_blocks)
    assert torch.equal((level * n_blocks).long().sort(-1).values, torch.arange(n_blocks).expand(4000, -1))
    for b in range(n_blocks):
        assert stats.kstest(level[:, b].numpy(), "uniform").pvalue > 1e-3
    alone = spread(Draws(5, [17]), n_blocks)
    assert torch.equal(alone[0], level[17])


@pytest.mark.parametrize("size", [1, 4, 5])
def test_monte_carlo_agrees(size):
    """The mean of real draws of a partial last block lies within 5 standard errors of the enumeration."""
    x0, rows = SEQUENCES[17], 4000
    denoiser = ideal()
    batch = Batch(torch.tensor([x0] * rows), torch.ones(rows, LENGTH, dtype=torch.bool))
    for estimator in ("count", "time"):
        loss = BlockNELBO(denoiser.process, min(size, 2), estimator)(denoiser, batch, Draws(11, range(rows)))
        total = loss.nll.sum(-1)
        assert abs(total.mean().item() + math.log(P[x0])) < 5 * total.std().item() / rows**0.5 + 0.01


def test_a_clip_masks_its_share_of_each_block():
    process = tiny_denoiser().process
    x0, valid = random_batch(300, 18)
    valid[0, 1:] = False  # one maskable token in block 0, none in the others
    noised = BlockNELBO(process, 8, clip=Clip(3, 5)).noise(Batch(x0, valid), Draws(0, range(300)))
    masked = (noised.xt == MASK).unfold(1, 8, 8)[1:].sum(-1)
    assert set(masked.flatten().tolist()) == {3, 4, 5}
    assert ((noised.xt == MASK)[1:, 16:].sum(-1) == 2).all(), "a block of two has both masked"
    assert (noised.xt == MASK)[0].sum() == 1 and noised.weight[0, 0] == 1
    weight = noised.weight.unfold(1, 8, 8)[1:].amax(-1)
    torch.testing.assert_close(weight, 8 / masked.double())
