"""Who sees whom: by the definition written out, by gradients, and by three ways to the same logits."""

import pytest
import torch
from torch.nn.attention import flex_attention

from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full, attend, look
from dnadiff.models.cache import KVCache
from dnadiff.models.dit import DiT

L = 12
SIZES = [1, 2, 3, 4, 5, 12]  # 5 does not divide 12: the last block is partial


def network(**options):
    """A small float64 transformer in which nothing is zero."""
    torch.manual_seed(0)
    model = DiT(8, 16, 2, 2, cond_dim=8, **options).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return model


def gradients(model, tokens, pattern):
    """Entry [i, j]: whether any logit of position i depends on the embedding at position j."""
    embedded = model.vocab_embed(tokens).detach().requires_grad_()
    model.vocab_embed.forward = lambda _: embedded
    logits = model(tokens, torch.zeros(1, dtype=torch.float64), pattern=pattern)
    rows = [torch.autograd.grad(logits[0, i].sum(), embedded, retain_graph=True)[0] for i in range(tokens.shape[1])]
    return torch.stack([row[0].abs().sum(-1) > 0 for row in rows])


def test_full_sees_everything():
    assert gradients(network(), torch.zeros(1, L, dtype=torch.long), Full()).all()


@pytest.mark.parametrize("size", SIZES)
def test_block_causal_leaks_nothing_from_later_blocks(size):
    sees = gradients(network(), torch.zeros(1, L, dtype=torch.long), BlockCausal(size))
    block = torch.arange(L) // size
    assert torch.equal(sees, block[:, None] >= block[None, :])


@pytest.mark.parametrize("size", SIZES)
def test_block_diffusion_leaks_nothing_between_noisy_and_clean(size):
    sees = gradients(network(), torch.zeros(1, 2 * L, dtype=torch.long), BlockDiffusion(size))
    block = torch.arange(L) // size
    own, earlier = block[:, None] == block[None, :], block[:, None] > block[None, :]
    assert torch.equal(sees[:L, :L], own), "a noisy block sees itself among the noisy ones"
    assert torch.equal(sees[:L, L:], earlier), "a noisy block sees the clean blocks before it, not its own answer"
    assert not sees[L:, :L].any(), "nothing clean depends on anything noisy"
    assert torch.equal(sees[L:, L:], own | earlier), "a clean block sees itself and what is before it"


def test_block_diffusion_repeats_positions():
    assert BlockDiffusion(4).positions(8).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    with pytest.raises(InputError, match="odd"):
        BlockDiffusion(4).positions(7)


@pytest.mark.parametrize("size", SIZES)
def test_training_mask_prefix_and_cache_give_the_same_logits(size):
    model, sigma = network(), torch.zeros(2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randint(0, 7, (2, L), generator=generator)
    xt = torch.where(torch.rand(2, L, generator=generator) < 0.5, 7, x0)
    training = model(torch.cat([xt, x0], dim=1), sigma, pattern=BlockDiffusion(size))[:, :L]
    cache = KVCache()
    for start in range(0, L, size):
        block = slice(start, min(start + size, L))
        prefix = torch.cat([x0[:, :start], xt[:, block]], dim=1)
        plain = model(prefix, sigma, pattern=BlockCausal(size))[:, start:]
        cached = model(xt[:, block], sigma, pattern=BlockCausal(size), cache=cache)
        model(x0[:, block], sigma, pattern=BlockCausal(size), cache=cache)
        cache.commit(block.stop - block.start)
        torch.testing.assert_close(training[:, block], plain, atol=1e-12, rtol=0)
        torch.testing.assert_close(cached, plain, atol=1e-12, rtol=0)


def test_invisible_keys_change_nothing():
    model, sigma = network(), torch.zeros(1, dtype=torch.float64)
    x = torch.randint(0, 7, (1, L), generator=torch.Generator().manual_seed(2))
    valid = torch.arange(L)[None] < 8
    changed = x.clone()
    changed[:, 8:] = 0
    seen, other = model(x, sigma, valid=valid)[:, :8], model(changed, sigma, valid=valid)[:, :8]
    torch.testing.assert_close(seen, other, atol=1e-12, rtol=0)
    torch.testing.assert_close(seen, model(x[:, :8], sigma), atol=1e-12, rtol=0)


def test_a_row_without_visible_keys_is_finite():
    x = torch.zeros(2, L, dtype=torch.long)
    valid = torch.stack([torch.zeros(L, dtype=torch.bool), torch.ones(L, dtype=torch.bool)])
    assert network()(x, torch.zeros(2, dtype=torch.float64), valid=valid).isfinite().all()


def test_chosen_positions_are_those_of_the_whole():
    model = network()
    x = torch.randint(0, 7, (2, L), generator=torch.Generator().manual_seed(3))
    sigma = torch.rand(2, L, dtype=torch.float64)
    at = torch.tensor([[3, 0], [11, 5]])
    whole = model(x, sigma)
    torch.testing.assert_close(model(x, sigma, at=at), whole[torch.arange(2)[:, None], at], atol=1e-12, rtol=0)


def test_sdpa_is_softmax_attention_written_out():
    q, k, v = torch.randn(3, 2, 2, L, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for pattern in (Full(), BlockCausal(1), BlockCausal(5)):
        mask = BlockCausal(1).mask(L) if pattern == BlockCausal(1) else pattern.mask(L)
        scores = q @ k.transpose(-1, -2) / 4**0.5
        scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        torch.testing.assert_close(attend(q, k, v, pattern=pattern), scores.softmax(-1) @ v, atol=1e-12, rtol=0)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_equals_sdpa_without_gradients():
    q, k, v = torch.randn(3, 1, 2, 128, 16, generator=torch.Generator().manual_seed(5))
    valid = torch.arange(128)[None] < 100
    for pattern in (BlockCausal(4), BlockDiffusion(16)):
        for keys in (None, valid):
            want = attend(q, k, v, pattern=pattern, valid=keys)
            got = attend(q, k, v, pattern=pattern, valid=keys, backend="flex")
            torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_flex_prepares_its_mask_on_the_device_of_the_tensors_not_on_the_first_of_its_kind(monkeypatch):
    asked = []
    monkeypatch.setattr(flex_attention, "create_block_mask", lambda *args, device: asked.append(torch.device(device)))
    second = torch.device("cuda", 1)
    look(BlockCausal(4), 8, at=torch.tensor([[0, 5]]), device=second, backend="flex")
    assert asked == [second]


def test_backends_refuse_what_they_cannot_do():
    q = torch.randn(1, 1, 4, 8, requires_grad=True)
    with pytest.raises(InputError, match="attention=flash needs bf16 on a GPU"):
        attend(q, q, q, pattern=Full(), backend="flash")
    with pytest.raises(InputError, match="no backward pass on a CPU"):
        attend(q, q, q, pattern=Full(), backend="flex")


def test_a_stem_refuses_patterns_it_would_break():
    model = network(adaln=False, stem=3)
    x, sigma = torch.zeros(1, L, dtype=torch.long), torch.zeros(1, dtype=torch.float64)
    assert model(x, sigma).shape == (1, L, 8)
    for pattern in (BlockCausal(1), BlockDiffusion(2)):
        with pytest.raises(InputError, match="stem"):
            model(x, sigma, pattern=pattern)
