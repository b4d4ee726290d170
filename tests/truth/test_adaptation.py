"""From next tokens to diffusion: what is exact at the start, what opens on the way, what may never leak."""

import math

import numpy as np
import pytest
import torch

from dnadiff.diffusion import (
    AbsorbingProcess,
    Autoregressive,
    Batch,
    BlockNELBO,
    BlockSampler,
    Denoiser,
    FirstHitting,
    LogLinear,
    MaskedNELBO,
    NextToken,
    NextTokenNLL,
    Subs,
    Truncation,
)
from dnadiff.diffusion.adaptation import AlsoNextToken, GrowingBlocks, OpeningAttention
from dnadiff.diffusion.classifier_guidance import classifier_guided
from dnadiff.diffusion.restricted import restricted
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full
from dnadiff.models.decoder import GPT2, Llama
from dnadiff.models.dit import DiT
from dnadiff.models.opening import Ahead, Scattered
from dnadiff.random import Draws

V, MASK, BOS, ALLOWED, L = 7, 6, 0, (1, 2, 3, 4), 10
PROCESS = AbsorbingProcess(LogLinear(1e-3), MASK)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
NETWORKS = {
    "dit": lambda: DiT(V, 16, 2, 2, cond_dim=4),
    "llama": lambda: Llama(V, 16, 2, 4, n_kv_heads=2),
    "gpt2": lambda: GPT2(V, 16, 2, 2, positions=L),
}


def network(name):
    made = NETWORKS[name]()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return made.eval()


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def pair(request):
    """An autoregressive model, and the model of shifted diffusion with the same weights."""
    made = network(request.param)
    shifted = Denoiser(made, Subs(MASK, ALLOWED), PROCESS, shift=True)
    return Denoiser(made, NextToken(MASK, ALLOWED), PROCESS).eval(), shifted.eval()


def rows(n=3, seed=0):
    x = torch.randint(1, 5, (n, L), generator=torch.Generator().manual_seed(seed))
    x[:, 0] = BOS
    given = torch.zeros_like(x, dtype=torch.bool)
    given[:, 0] = True
    return Batch(x, ~given, given)


def draws(n=3):
    return Draws(5, np.arange(n))


@torch.no_grad()
def test_blocks_of_one_are_the_autoregressive_model(pair):
    """Its likelihood and, in the training pass on [x_t ; x_0], every one of its probabilities."""
    ar, shifted = pair
    batch = rows()
    bound, exact = BlockNELBO(PROCESS, 1)(shifted, batch, draws()), NextTokenNLL()(ar, batch, draws())
    torch.testing.assert_close(bound.nll, exact.nll, **CLOSE)
    masked = torch.where(batch.given, batch.x0, MASK)
    log_p = shifted(torch.cat([masked, batch.x0], 1), torch.zeros(3, 2 * L), pattern=BlockDiffusion(1), at=slice(0, L))
    wanted = ar(batch.x0, torch.zeros(3), pattern=BlockCausal(1))
    torch.testing.assert_close(log_p[:, 1:], wanted[:, :-1], **CLOSE)
    again = shifted(batch.x0, torch.zeros(3), pattern=BlockCausal(1), next_token=True)
    torch.testing.assert_close(again, wanted, **CLOSE)


@torch.no_grad()
def test_one_mask_under_causal_attention_is_the_autoregressive_model(pair):
    ar, shifted = pair
    x, i = rows(L - 1).x0, torch.arange(1, L)[:, None]
    log_p = shifted(x.scatter(1, i, MASK), torch.zeros(L - 1), pattern=BlockCausal(1), at=i)[:, 0]
    wanted = ar(x, torch.zeros(L - 1), pattern=BlockCausal(1), at=i - 1)[:, 0]
    torch.testing.assert_close(log_p, wanted, **CLOSE)


class Recorded(Denoiser):
    """A denoiser that remembers what it was asked and what it said."""

    def forward(self, xt, t, *, cache=None, at=None, **options):
        start = 0 if cache is None else cache.length
        log_p = super().forward(xt, t, cache=cache, at=at, **options)
        self.calls.append((start, xt.clone(), at, log_p))
        return log_p


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("size", [1, 3, 4, L])
def test_cached_sampling_asks_what_training_answers(pair, size, shift):
    """Every distribution a token was drawn from is that of the training mask, given the tokens known at that time."""
    spy = Recorded(pair[1].backbone, Subs(MASK, ALLOWED), PROCESS, shift=shift).eval()
    spy.calls = []
    start = torch.full((1, L), MASK)
    start[:, 0] = BOS
    out = BlockSampler(FirstHitting(spy), size)(start, draws(1))
    calls, checked = spy.calls, 0
    for first, tokens, at, log_p in calls:
        for place, said in zip(at[0].tolist(), log_p[0], strict=True):
            i = first + place
            noisy, block = start.clone(), slice(i // size * size, min(L, (i // size + 1) * size))
            noisy[:, block] = tokens[:, block.start - first : block.stop - first]
            spy.calls = []
            with torch.inference_mode():
                both = torch.cat([noisy, out], dim=1)
                wanted = spy(both, torch.zeros(1, 2 * L), pattern=BlockDiffusion(size), at=slice(0, L))[0, i]
            torch.testing.assert_close(said, wanted, **CLOSE)
            checked += 1
    assert checked == L - 1


@pytest.mark.parametrize("shift", [False, True])
def test_a_window_forgets_in_the_cache_what_its_pattern_hides(pair, shift):
    spy = Recorded(pair[1].backbone, Subs(MASK, ALLOWED), PROCESS, shift=shift).eval()
    spy.calls = []
    start = torch.full((1, L), MASK)
    start[:, 0] = BOS
    out = BlockSampler(FirstHitting(spy), 2, window=4)(start, draws(1))
    for first, tokens, at, log_p in list(spy.calls):
        i = first + int(at)
        until = i // 2 * 2 + 2
        seen = torch.cat([out[:, : until - 2], tokens[:, until - 2 - first :]], dim=1)
        with torch.inference_mode():
            wanted = spy(seen, torch.zeros(1, until), pattern=BlockCausal(2, 4), at=torch.tensor([[i]]))
        torch.testing.assert_close(log_p, wanted, **CLOSE)


def test_greedy_blocks_of_one_write_what_the_autoregressive_model_writes(pair):
    ar, shifted = pair
    start = torch.full((4, L), MASK)
    start[:, 0], start[:, 1] = BOS, torch.tensor([1, 2, 3, 4])
    greedy = Truncation(top_k=1)
    wanted = Autoregressive(ar, truncation=greedy)(start, draws(4))
    found = BlockSampler(FirstHitting(shifted, truncation=greedy), 1)(start, draws(4))
    assert torch.equal(found, wanted)


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 3, 4])
def test_a_block_never_learns_of_itself_or_what_follows(pair, size):
    """Changing clean tokens from a block on changes nothing that the block is told."""
    _, shifted = pair
    x0, noisy = rows(1).x0, torch.full((1, L), MASK)
    noisy[:, 0] = BOS

    def ask(clean):
        both = torch.cat([noisy, clean], dim=1)
        return shifted(both, torch.zeros(1, 2 * L), pattern=BlockDiffusion(size), at=slice(0, L))

    before = ask(x0)
    for start in range(size, L, size):
        other = x0.clone()
        other[:, start:] = 5 - other[:, start:]
        after = ask(other)
        torch.testing.assert_close(after[:, : start + size], before[:, : start + size], atol=0, rtol=0)
        if start + size < L:
            assert not torch.allclose(after[:, start + size :], before[:, start + size :])


def test_where_a_shifted_network_speaks_of_each_token():
    assert Full().before(4).tolist() == [0, 0, 1, 2]
    # [x_t ; x_0] of 5 tokens in blocks of 2: 0 1 | 2 3 | 4 and, from 5 on, the clean ones
    assert BlockDiffusion(2).before(10).tolist() == [0, 0, 6, 2, 8, 5, 5, 6, 7, 8]
    assert BlockDiffusion(1).before(6).tolist() == [0, 3, 4, 3, 3, 4]


def test_a_shifted_model_needs_a_first_token(pair):
    with pytest.raises(InputError, match="position 0 is masked"):
        FirstHitting(pair[1])(torch.full((1, L), MASK), draws(1))


@torch.no_grad()
def test_rules_and_classifiers_are_about_the_token_and_not_the_one_after(pair):
    """What is forbidden or wanted at position 3 changes what is said of position 3."""
    _, shifted = pair
    x, t = torch.full((1, L), MASK), torch.zeros(1)
    x[:, 0] = BOS
    plain = shifted(x, t)

    def no_ones_at_3(tokens, at):
        return (at != 3)[..., None] | (torch.arange(V) != 1)

    ruled = restricted(shifted, no_ones_at_3)(x, t)
    assert float(ruled[0, 3, 1]) < -1e5 and float(ruled[0, 3].exp().sum()) == pytest.approx(1, abs=1e-5)
    others = [i for i in range(L) if i != 3]
    torch.testing.assert_close(ruled[0, others], plain[0, others])
    guided = classifier_guided(shifted, lambda tokens: torch.where(tokens[:, 3] == 2, 5.0, 0.0), 1.0)(x, t)
    wanted = (plain[0, 3] + 5.0 * (torch.arange(V) == 2))[list(ALLOWED)].log_softmax(-1)
    torch.testing.assert_close(guided[0, 3, list(ALLOWED)], wanted, **CLOSE)
    torch.testing.assert_close(guided[0, others], plain[0, others], **CLOSE)


def test_blocks_grow_and_then_stay():
    growing = GrowingBlocks(PROCESS, 16, 8)
    assert [growing.for_step(0, step).block_size for step in range(10)] == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16]
    assert GrowingBlocks(PROCESS, 6, 4).sizes == [1, 2, 4, 6]
    assert [GrowingBlocks(PROCESS, 1, 3).for_step(0, step).block_size for step in range(4)] == [1, 1, 1, 1]
    assert GrowingBlocks(PROCESS, 16, 0).for_step(0, 0).block_size == 16


def test_attention_opens_from_causal_to_full():
    causal = BlockCausal(1).mask(40)
    for pattern in (Ahead(0), Scattered(0.0, 9)):
        assert torch.equal(pattern.mask(40), causal)
    for pattern in (Ahead(40), Scattered(1.0, 9)):
        assert bool(pattern.mask(40).all())
    band = Ahead(2).mask(5).int().tolist()
    assert band == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    ahead = ~BlockCausal(1).mask(400)
    one, other = Scattered(0.3, 1).mask(400), Scattered(0.3, 2).mask(400)
    n = int(ahead.sum())
    for mask in (one, other):
        assert abs(float(mask[ahead].float().mean()) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / n)
    both = float((one & other)[ahead].float().mean())
    assert abs(both - 0.09) < 4 * math.sqrt(0.09 * 0.91 / n)
    for dim in (0, 1):  # no row or column is favoured
        shares = one.float().masked_fill(~ahead, 0).sum(dim) / ahead.sum(dim).clamp(min=1)
        many = shares[ahead.sum(dim) > 200]
        assert float((many - 0.3).abs().max()) < 5 * math.sqrt(0.3 * 0.7 / 200)


def test_opening_attention_begins_causal_ends_full_and_differs_by_step():
    opening = OpeningAttention(PROCESS, 4, length=8, how="reach")
    assert [opening.for_step(0, s).pattern for s in range(5)] == [Ahead(0), Ahead(2), Ahead(4), Ahead(6), Full()]
    scattered = OpeningAttention(PROCESS, 4, length=8)
    first, second = scattered.for_step(0, 1).pattern, scattered.for_step(0, 2).pattern
    assert (first.share, second.share) == (0.25, 0.5) and first.seed != second.seed
    assert scattered.for_step(0, 4).pattern == Full() and scattered.for_step(0, 1).pattern == first
    assert OpeningAttention(PROCESS, 0, length=8).for_step(0, 0).pattern == Full()
    with pytest.raises(InputError, match="how=window: there are random, reach"):
        OpeningAttention(PROCESS, 4, 8, "window")


def test_the_autoregressive_loss_beside_another(pair):
    ar, shifted = pair
    batch, inner = rows(), MaskedNELBO(PROCESS)
    with torch.no_grad():
        both = AlsoNextToken(inner, 0.25)(shifted, batch, draws())
        wanted = inner(shifted, batch, draws()).nll + 0.25 * NextTokenNLL()(ar, batch, draws()).nll
    torch.testing.assert_close(both.nll, wanted, **CLOSE)
    growing = AlsoNextToken(GrowingBlocks(PROCESS, 4, 2), 0.5)
    assert [growing.for_step(0, step).objective.block_size for step in (0, 1, 2)] == [1, 2, 4]
