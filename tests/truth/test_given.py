"""What is given costs nothing: NELBO of a target given its source against a table, for every objective."""

import itertools
import math

import numpy as np
import pytest
import torch

from dnadiff.data.cut import Cut
from dnadiff.data.genome import open_genome
from dnadiff.data.intervals import Interval
from dnadiff.data.pair_windows import Pair, PairWindows
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.data.windows import WindowDataset
from dnadiff.diffusion import (
    AbsorbingProcess,
    Batch,
    BlockNELBO,
    IdealDenoiser,
    IdealNextToken,
    LogLinear,
    MaskedLM,
    MaskedNELBO,
    NextTokenNLL,
    Noised,
    Sundae,
    UniformNELBO,
    UniformProcess,
)
from dnadiff.evaluation.likelihood import floor_scores, token_floor_scores
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.token_chain import TokenChain
from dnadiff.random import Draws
from tests.runs import fasta, random_bases

A, C, G, T = BASES = NUCLEOTIDES.base_ids
BOS, END, MASK = NUCLEOTIDES.bos_id, NUCLEOTIDES.sep_id, NUCLEOTIDES.mask_id
PROCESS = AbsorbingProcess(LogLinear(), MASK)
UNIFORM = UniformProcess(LogLinear(1e-3), MASK, (END, *BASES))
LENGTH = 7
NUCLEOTIDES_TO_CODES = np.zeros(12, dtype=np.uint8)
NUCLEOTIDES_TO_CODES[list(BASES)] = range(4)


def pair(source, target):
    return Pair("p.csv:2", source, target, NUCLEOTIDES.encode(source), NUCLEOTIDES.encode(target))


def laid_out(pairs):
    return PairWindows(pairs, NUCLEOTIDES, LENGTH, source=("p", ""), bos=True)


def world():
    """p(source) p(target | source) over sources A and C and targets of one or two of A, G and T."""
    rng = np.random.default_rng(2)
    targets = ["".join(t) for n in (1, 2) for t in itertools.product("AGT", repeat=n)]
    given = {source: rng.dirichlet(np.ones(len(targets))) for source in "AC"}
    pairs = [pair(source, target) for source in given for target in targets]
    p = np.concatenate([(0.3 if source == "A" else 0.7) * given[source] for source in given])
    rows = torch.from_numpy(laid_out(pairs).__getitems__(range(len(pairs)))["tokens"])
    return rows, torch.from_numpy(p), {(s, t): q for s in given for t, q in zip(targets, given[s], strict=True)}


def scored(objective, denoiser, one):
    """What an exact objective says that a target costs, nats."""
    window = laid_out([one]).__getitems__([0])
    x0, given = (torch.from_numpy(window[name]) for name in ("tokens", "given"))
    loss = objective(denoiser, Batch(x0, torch.ones_like(given), given), Draws(5, np.arange(1)))
    assert torch.equal(loss.valid, ~given) and not bool(loss.nll[given].any())
    return float(loss.nll.sum())


@pytest.mark.parametrize("target", ["G", "TA"])
def test_the_bound_is_the_logarithm_of_the_conditional(target):
    rows, p, conditional = world()
    wanted = -math.log(conditional["C", target])
    following, ideal = IdealNextToken(rows, p, PROCESS, 12), IdealDenoiser(rows, p, PROCESS, 12)
    assert scored(NextTokenNLL(), following, pair("C", target)) == pytest.approx(wanted, abs=1e-6)
    assert scored(BlockNELBO(PROCESS, 1), ideal, pair("C", target)) == pytest.approx(wanted, abs=1e-6)
    assert by_every_mask(ideal, pair("C", target)) == pytest.approx(wanted, abs=1e-6)


def by_every_mask(denoiser, one):
    """The count estimator's mean over all it can draw: k of the n targets masked, each k and each subset as likely."""
    window = laid_out([one]).__getitems__([0])
    x0, given = (torch.from_numpy(window[name]) for name in ("tokens", "given"))
    places = (~given[0]).nonzero()[:, 0].tolist()
    n, masks, weights = len(places), [], []
    for k in range(1, n + 1):
        for subset in itertools.combinations(places, k):
            masks.append(torch.isin(torch.arange(LENGTH), torch.tensor(subset)))
            weights.append(n / k / (n * math.comb(n, k)))
    masked = torch.stack(masks)
    rows = x0.expand(len(masked), -1)
    noised = Noised(
        torch.where(masked, MASK, rows), torch.ones(len(masked), dtype=torch.float64),
        masked * torch.tensor(weights, dtype=torch.float64)[:, None],
    )  # fmt: skip
    batch = Batch(rows, torch.ones_like(masked), given.expand(len(masked), -1))
    return float(MaskedNELBO(PROCESS).loss(denoiser, batch, noised).nll.sum())


@pytest.mark.parametrize(
    "objective",
    [
        MaskedNELBO(PROCESS), MaskedNELBO(PROCESS, "time"), BlockNELBO(PROCESS, 3), MaskedLM(PROCESS, BASES),
        NextTokenNLL(), Sundae(UNIFORM), UniformNELBO(UNIFORM),
    ],
)  # fmt: skip
def test_no_noise_touches_a_source(objective):
    window = laid_out([pair("ACG", "T")]).__getitems__([0])
    n = 200
    x0, given = (torch.from_numpy(window[name]).expand(n, -1) for name in ("tokens", "given"))
    noised = objective.noise(Batch(x0, torch.ones_like(given), given), Draws(1, np.arange(n)))
    assert torch.equal(noised.xt[given], x0[given]) and not bool(noised.weight[given].any())
    assert bool(noised.weight[~given].any())


def test_a_cut_gives_what_lies_left_of_it_anywhere(tmp_path):
    store = open_genome(fasta(tmp_path / "g.fa", {"chr": random_bases(30000, 1)}))
    windows = WindowDataset(store, [Interval("chr", 0, 30000)], NUCLEOTIDES, 20, seed=0, bos=True, n_policy="pad")
    cut = Cut(windows, 7)
    whole, found = windows.__getitems__(range(1500)), cut.__getitems__(range(1500))
    assert np.array_equal(whole["tokens"], found["tokens"]) and np.array_equal(whole["valid"], found["valid"])
    starts = found["given"].sum(1)
    assert np.array_equal(found["given"], np.arange(20) < starts[:, None])
    assert np.array_equal(found["prefix"], found["given"] & ~whole["given"])
    counts = np.bincount(starts, minlength=20)  # a cut at 0 or 1 gives [BOS] alone
    assert counts[0] == 0 and 110 < counts[1] < 190 and abs(counts[2:].mean() - 75) < 4 and counts[2:].min() > 40
    assert np.array_equal(cut.__getitems__([1400])["given"][0], found["given"][1400])
    assert not np.array_equal(Cut(windows, 8).__getitems__(range(50))["given"], found["given"][:50])
    assert len(cut) == len(windows) and cut.source == windows.source


def test_floors_pay_for_a_target_and_one_end_and_not_for_the_source():
    window = laid_out([pair("ACG", "T"), pair("C", "GA")]).__getitems__([0, 1])
    chain = TokenChain.fit([np.array([T, END]), np.array([G, A, END])], 12)
    found = token_floor_scores(chain, [window])
    bits = {token: -math.log2((n + 20 / 12) / (5 + 20)) for token, n in ((T, 1), (G, 1), (A, 1), (END, 2))}
    assert found[0].bits[:, 0] == pytest.approx([bits[T] + bits[END], bits[G] + bits[A] + bits[END]])
    assert found[0].counts.tolist() == [1, 2]
    after = -math.log2((1 + 20 * 2 ** -bits[A]) / (1 + 20))  # G was seen once, and A behind it
    last = -math.log2((1 + 20 * 2 ** -bits[END]) / (1 + 20))
    assert found[1].bits[1, 0] == pytest.approx(bits[G] + after + last)


def test_floors_of_a_cut_have_read_what_lies_left_of_it(tmp_path):
    store = open_genome(fasta(tmp_path / "g.fa", {"chr": random_bases(3000, 1)}))
    whole = WindowDataset(store, [Interval("chr", 0, 3000)], NUCLEOTIDES, 24, seed=0)
    cut, chain = Cut(whole, 3), MarkovChain.fit([store.codes(Interval("chr", 0, 3000))], 3)
    batches = [dataset.__getitems__(range(100)) for dataset in (whole, cut)]
    paid = chain.bits(NUCLEOTIDES_TO_CODES[batches[0]["tokens"]], batches[0]["valid"], order=3)
    right = ~batches[1]["given"]
    found = floor_scores(chain, [batches[1]], NUCLEOTIDES)[3]
    assert np.array_equal(found.counts, right.sum(1))
    assert found.bits[:, 0] == pytest.approx((paid * right).sum(1))
