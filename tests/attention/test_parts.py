"""Attention in parts, for some positions only and over a cache that forgets: equal to the masked dense computation."""

import pytest
import torch
import torch.nn.functional as F

from dnadiff.errors import InputError
from dnadiff.models import attention
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full, attend, look
from dnadiff.models.cache import KVCache
from dnadiff.models.dit import DiT

L = 40
PATTERNS = [BlockDiffusion(k) for k in (1, 3, 4, 7, 16, 40, 50)] + [
    BlockCausal(1), BlockCausal(3), BlockCausal(16), BlockCausal(80), BlockCausal(1, 6), BlockCausal(4, 12),
    BlockCausal(16, 16),
]  # fmt: skip


@pytest.fixture(autouse=True, params=[8, 128])
def _chunk(request, monkeypatch):
    """Several chunks in a short sequence, and one."""
    monkeypatch.setattr(attention, "CHUNK", request.param)


def dense(q, k, v, pattern, valid=None):
    """Softmax attention written out with the whole mask."""
    n = k.shape[2]
    i = torch.arange(n)
    mask = pattern.allows(i[:, None], i[None, :], n)
    if valid is not None:
        mask = (mask & valid[:, None, None, :]) | torch.eye(n, dtype=torch.bool)
    return ((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)).softmax(-1) @ v


def inputs(n=2 * L, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(2, 2, n, 4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3))


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_in_parts_is_dense_and_so_are_gradients(pattern, pads):
    q, k, v = inputs()
    valid = None
    if pads:
        valid = torch.ones(2, 2 * L, dtype=torch.bool)
        valid[0, :9] = valid[0, L : L + 9] = False  # the first blocks have nothing to see
        valid[1, 30:L] = valid[1, L + 30 :] = False
    weight = torch.randn(2, 2, 2 * L, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours, theirs = attend(q, k, v, pattern=pattern, valid=valid), dense(q, k, v, pattern, valid)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    for one, other in zip(*(torch.autograd.grad((y * weight).sum(), (q, k, v)) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("pattern", [Full(), *PATTERNS], ids=str)
def test_some_queries_are_those_of_all(pattern):
    q, k, v = (x.detach() for x in inputs())
    whole = dense(q, k, v, pattern)
    for at in (slice(0, L), slice(5, 23), slice(L - 3, L + 9), slice(L, 2 * L)):
        ours = look(pattern, 2 * L, at=at)(q[:, :, at], k, v)
        torch.testing.assert_close(ours, whole[:, :, at], atol=1e-12, rtol=0)
    at = torch.tensor([[0, 70, 39], [41, 2, 2]])
    rows = torch.arange(2)[:, None]
    picked = q.transpose(1, 2)[rows, at].transpose(1, 2)
    ours = look(pattern, 2 * L, at=at)(picked, k, v)
    torch.testing.assert_close(ours, whole.transpose(1, 2)[rows, at].transpose(1, 2), atol=1e-12, rtol=0)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if isinstance(p, BlockCausal)], ids=str)
def test_queries_after_a_cache_are_the_last_of_all(pattern):
    q, k, v = (x.detach() for x in inputs())
    whole = dense(q, k, v, pattern)
    ours = attend(q[:, :, 48:], k, v, pattern=pattern, past=48)
    torch.testing.assert_close(ours, whole[:, :, 48:], atol=1e-12, rtol=0)


@pytest.mark.parametrize("pattern", [BlockCausal(1, 6), BlockCausal(4, 12), BlockCausal(16, 16)], ids=str)
def test_keys_outside_the_window_can_be_forgotten(pattern):
    q, k, v = (x.detach() for x in inputs())
    past, gone = 64, 64 - (pattern.window - pattern.block_size)
    ours = look(pattern, 2 * L, past=past, forgotten=gone)(q[:, :, past:], k[:, :, gone:], v[:, :, gone:])
    torch.testing.assert_close(ours, dense(q, k, v, pattern)[:, :, past:], atol=1e-12, rtol=0)


def test_a_window_is_whole_blocks():
    for window in (0, 3, 6):
        with pytest.raises(InputError, match="multiple of the block size"):
            BlockCausal(4, window)


def test_training_on_both_halves_takes_no_cache():
    with pytest.raises(InputError, match="cache goes with BlockCausal"):
        look(BlockDiffusion(4), 16, past=8)


@pytest.mark.parametrize("size", [1, 4, 16, 128])
def test_few_pairs_are_computed(size, monkeypatch):
    """About a quarter of the (2L)^2 pairs at L = 1024; none of the noisy half's columns for the clean half."""
    monkeypatch.setattr(attention, "CHUNK", 128)
    length, pairs = 1024, []
    monkeypatch.setattr(
        F, "scaled_dot_product_attention",
        lambda q, k, v, attn_mask=None: pairs.append(q.shape[2] * k.shape[2]) or q,
    )  # fmt: skip
    x = torch.zeros(1, 1, 2 * length, 2)
    attend(x, x, x, pattern=BlockDiffusion(size))
    assert sum(pairs) / (2 * length) ** 2 < 0.34
    needed = BlockDiffusion(size).mask(2 * length).sum().item()
    assert needed <= sum(pairs) <= 1.3 * needed


def network(**options):
    """A small float64 transformer in which nothing is zero."""
    torch.manual_seed(0)
    model = DiT(8, 16, 3, 2, cond_dim=8, **options).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return model


@pytest.mark.parametrize("sigma_of", ["row", "token"])
@pytest.mark.parametrize("adaln", [True, False])
def test_the_last_block_computes_what_is_asked(adaln, sigma_of):
    """Logits of the noisy half and gradients of all weights are those of the whole."""
    model = network(adaln=adaln)
    x = torch.randint(0, 7, (2, 2 * L), generator=torch.Generator().manual_seed(3))
    sigma = torch.rand((2, 2 * L) if sigma_of == "token" else (2,), dtype=torch.float64)
    whole, found = model(x, sigma, pattern=BlockDiffusion(4)), []
    ours = model(x, sigma, pattern=BlockDiffusion(4), at=slice(0, L))
    torch.testing.assert_close(ours, whole[:, :L], atol=1e-12, rtol=0)
    for y in (ours, whole[:, :L]):
        found.append(torch.autograd.grad(y.square().sum(), list(model.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
    one = slice(0, 1)
    torch.testing.assert_close(model(x[:, :1], sigma[:, ...][:2] if sigma.ndim == 1 else sigma[:, :1], at=one),
                               model(x[:, :1], sigma if sigma.ndim == 1 else sigma[:, :1]))  # fmt: skip


@pytest.mark.parametrize(("size", "window"), [(1, None), (4, None), (5, None), (1, 8), (4, 12), (5, 5)])
def test_storing_a_block_with_the_next_one_equals_storing_it_alone(size, window):
    """[clean b-1 ; noisy b] in one pass, by a cache that forgets, against the prefix and the block computed whole."""
    model, sigma = network(), torch.zeros(2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randint(0, 7, (2, 22), generator=generator)
    xt = torch.where(torch.rand(2, 22, generator=generator) < 0.5, 7, x0)
    pattern = BlockCausal(size, window)
    cache, pending = KVCache(None if window is None else window - size), x0[:, :0]
    for start in range(0, 22, size):
        stop = min(start + size, 22)
        feed = torch.cat([pending, xt[:, start:stop]], dim=1)
        with torch.no_grad():
            ours = model(feed, sigma, pattern=pattern, cache=cache, at=slice(pending.shape[1], feed.shape[1]))
        cache.commit(pending.shape[1])
        again = model(xt[:, start:stop], sigma, pattern=pattern, cache=cache)
        plain = model(torch.cat([x0[:, :start], xt[:, start:stop]], dim=1), sigma, pattern=pattern)[:, start:]
        torch.testing.assert_close(ours, plain, atol=1e-12, rtol=0)
        torch.testing.assert_close(again, plain, atol=1e-12, rtol=0)
        pending = x0[:, start:stop]


def test_a_window_hides_what_lies_before_it_from_one_layer():
    """By gradients, with one layer: more of them pass on what they saw."""
    torch.manual_seed(0)
    model = DiT(8, 16, 1, 2, adaln=False).double()
    torch.nn.init.normal_(model.output_layer.linear.weight)
    embedded = model.vocab_embed(torch.zeros(1, 12, dtype=torch.long)).detach().requires_grad_()
    model.vocab_embed.forward = lambda _: embedded
    logits = model(torch.zeros(1, 12, dtype=torch.long), torch.zeros(1), pattern=BlockCausal(3, 6))
    rows = [torch.autograd.grad(logits[0, i].sum(), embedded, retain_graph=True)[0] for i in range(12)]
    sees = torch.stack([row[0].abs().sum(-1) > 0 for row in rows])
    ahead = torch.arange(12)[:, None] // 3 - torch.arange(12)[None, :] // 3
    assert torch.equal(sees, (ahead == 0) | (ahead == 1))


def test_a_cache_gives_back_what_it_was_given_and_stays_small():
    generator, keep = torch.Generator().manual_seed(0), 6
    cache, given = KVCache(keep), torch.zeros(1, 2, 0, 4)
    for _ in range(200):
        new = torch.rand(1, 2, 5, 4, generator=generator)
        k, v = cache.extend(0, new, -new)
        want = torch.cat([given[:, :, -keep:], new], dim=2)
        assert torch.equal(k, want) and torch.equal(v, -want)
        cache.commit(3)
        given = torch.cat([given, new[:, :, :3]], dim=2)
        assert k.untyped_storage().nbytes() <= 4 * 2 * 4 * 2 * (keep + 5)
    assert cache.length == 600 and cache.forgotten == 594
