"""Attention by products against float64 autograd of its definition."""

import pytest
import torch
import torch.nn.functional as F

from dnadiff.diffusion import Batch, MaskedNELBO
from dnadiff.models import products
from dnadiff.models.attention import BlockCausal, Full, attend
from dnadiff.models.products import attend_by_products, serves
from dnadiff.random import Draws
from tests.tiny import tiny_denoiser

SHAPES = [(2, 3, 40, 40), (1, 2, 17, 64), (3, 1, 64, 33)]  # rows, heads, queries, keys


def given(shape, dtype=torch.bfloat16, width=16):
    """Queries, keys and values in the layout of the network: heads beside each other in memory."""
    generator = torch.Generator().manual_seed(0)
    rows, heads, queries, keys = shape
    drawn = [torch.randn(rows, n, heads, width, generator=generator) for n in (queries, keys, keys)]
    return [x.to(dtype).transpose(1, 2).requires_grad_() for x in drawn]


def by_definition(q, k, v):
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("heads", [1, 2, 100])
def test_it_is_attention_and_its_gradients(shape, heads, monkeypatch):
    pairs = heads * shape[2] * shape[3]
    monkeypatch.setattr(products, "CACHED", -(-pairs // torch.get_num_threads()))  # so many heads at a time
    inputs = given(shape, torch.float64)
    out, expected = attend_by_products(*inputs), by_definition(*inputs)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    dout = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    for found, wanted in zip(
        torch.autograd.grad(out, inputs, dout), torch.autograd.grad(expected, inputs, dout), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_bfloat16_it_errs_about_as_much_as_fused_attention(shape):
    inputs = given(shape)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    dout = torch.randn(*inputs[0].shape, generator=torch.Generator().manual_seed(1))

    def errors(attention, inputs):
        out, true = attention(*inputs), by_definition(*exact)
        found = (out, *torch.autograd.grad(out, inputs, dout.to(out.dtype)))
        wanted = (true, *torch.autograd.grad(true, exact, dout.double()))
        return [float(((a.double() - b).norm() / b.norm()).detach()) for a, b in zip(found, wanted, strict=True)]

    ours, fused = errors(attend_by_products, inputs), errors(F.scaled_dot_product_attention, inputs)
    assert all(a < 4 * b for a, b in zip(ours, fused, strict=True)), (ours, fused)
    assert max(ours) < 0.02


def test_it_serves_training_in_bfloat16_without_a_mask(monkeypatch):
    called = []
    monkeypatch.setattr("dnadiff.models.attention.attend_by_products", lambda *x: called.append(x) or x[0])
    bf16, fp32 = given(SHAPES[0]), given(SHAPES[0], torch.float32)
    attend(*bf16, pattern=Full(), backend="products")
    assert len(called) == 1
    attend(*bf16, pattern=Full())
    with torch.no_grad():
        attend(*bf16, pattern=Full(), backend="products")
    attend(*fp32, pattern=Full(), backend="products")
    attend(*bf16, pattern=BlockCausal(1), backend="products")
    attend(*bf16, pattern=Full(), valid=torch.ones(2, 40, dtype=torch.bool), backend="products")
    monkeypatch.setattr(products, "PAIRS", 2 * 3 * 40 * 40 - 1)
    attend(*bf16, pattern=Full(), backend="products")
    assert len(called) == 1
    assert not serves(*bf16)


def losses(attention):
    """Of five steps of training in bfloat16."""
    denoiser, x0 = tiny_denoiser(), torch.randint(7, 11, (4, 64), generator=torch.Generator().manual_seed(1))
    denoiser.backbone.attention = attention
    optimizer, found = torch.optim.AdamW(denoiser.parameters(), lr=3e-3), []
    for step in range(5):
        with torch.autocast("cpu", torch.bfloat16):
            draws = Draws(0, range(4 * step, 4 * step + 4))
            loss = MaskedNELBO(denoiser.process)(denoiser, Batch(x0, torch.ones_like(x0, dtype=torch.bool)), draws).mean
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    return torch.tensor(found)


def test_training_goes_as_with_fused_attention():
    ours, fused = losses("products"), losses("sdpa")
    assert not torch.equal(ours, fused)  # each takes its own way
    torch.testing.assert_close(ours, fused, rtol=5e-3, atol=0)
    assert ours.diff().abs().min() > 5 * (ours - fused).abs().max()  # steps tell apart what rounding does not
