"""The chunked scan against a loop over positions: values, gradients of all inputs, memory, step size 0."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from dnadiff.errors import InputError
from dnadiff.models import scan
from dnadiff.models.scan import chunked_scan, fused_scan

B, G, E, S = 2, 2, 5, 3


def loop(x, delta, a, b, c):
    """The recurrence as it stands in the paper, one position after the other."""
    h, out = x.new_zeros(x.shape[0], *a.shape), []
    for t in range(x.shape[1]):
        h = torch.exp(delta[:, t, ..., None] * a) * h + (delta[:, t] * x[:, t])[..., None] * b[:, t, :, None]
        out.append((h * c[:, t, :, None]).sum(-1))
    return torch.stack(out, dim=1)


def inputs(n, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    made = (normal(B, n, G, E), F.softplus(normal(B, n, G, E) - 1), -normal(G, E, S).exp(), *(
        normal(B, n, G, S) for _ in range(2)))  # fmt: skip
    return [value.requires_grad_() for value in made]


@pytest.mark.parametrize(("n", "chunk"), [(1, 4), (4, 4), (5, 4), (33, 8), (40, 16), (40, 64), (3, 1)])
def test_values_and_gradients_are_those_of_the_loop(n, chunk, monkeypatch):
    monkeypatch.setattr(scan, "CHUNK", chunk)
    given = inputs(n)
    ours, theirs = chunked_scan(*given), loop(*given)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    weight = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
    for one, other in zip(*(torch.autograd.grad((y * weight).sum(), given) for y in (ours, theirs)), strict=True):
        assert n == 1 or other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_gradients_are_those_of_finite_differences(monkeypatch):
    monkeypatch.setattr(scan, "CHUNK", 3)
    assert torch.autograd.gradcheck(chunked_scan, inputs(7), atol=1e-7)


def test_a_constant_system_has_its_closed_form():
    """One channel, one state, constant coefficients: y_n = c b x delta (1 - q^n) / (1 - q), q = exp(delta a)."""
    n, delta, a, b, c, x = 50, 0.3, -0.7, 1.3, 0.9, 2.0
    shape, one = (1, n, 1, 1), torch.ones
    y = chunked_scan(x * one(shape), delta * one(shape), a * one(1, 1, 1), b * one(shape), c * one(shape)).flatten()
    q = torch.exp(torch.tensor(delta * a))
    want = c * b * x * delta * (1 - q ** torch.arange(1, n + 1)) / (1 - q)
    torch.testing.assert_close(y, want)


def test_step_size_0_is_as_if_the_position_were_not_there():
    x, delta, a, b, c = (value.detach() for value in inputs(20))
    there = torch.ones(20, dtype=torch.bool)
    there[[0, 1, 7, 8, 9, 19]] = False
    hidden = chunked_scan(x, delta * there[:, None, None], a, b, c)[:, there]
    alone = chunked_scan(x[:, there], delta[:, there], a, b[:, there], c[:, there])
    torch.testing.assert_close(hidden, alone, atol=1e-12, rtol=0)


def test_long_sequences_neither_overflow_nor_forget_their_gradients():
    x, delta, a, b, c = (value.detach() for value in inputs(3000, torch.float32))
    x.requires_grad_()
    y = chunked_scan(x, 30 * delta, 30 * a, b, c)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.isfinite().all() and gradient.isfinite().all() and (gradient[:, 0] != 0).any()


def test_training_in_bfloat16_scans_in_float32():
    given = inputs(20, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = chunked_scan(*given)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, chunked_scan(*given), atol=0, rtol=0)
    low = chunked_scan(*(value.detach().bfloat16() for value in given))
    assert low.dtype == torch.float32


def test_states_exist_for_one_chunk_at_a_time():
    """What the forward pass keeps for the backward pass, in numbers, of 16 chunks."""
    given, kept = inputs(16 * scan.CHUNK), []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda value: kept.append(value.numel()) or value, lambda value: value
    ):
        chunked_scan(*given)
    assert sum(kept) == sum(value.numel() for value in given) + 16 * B * G * E * S


def test_inputs_are_not_written_to():
    given = inputs(20)
    before = [value.detach().clone() for value in given]
    chunked_scan(*given).sum().backward()
    assert all(itertools.starmap(torch.equal, zip(given, before, strict=True)))


def test_the_fused_kernel_is_refused_where_it_cannot_run():
    with pytest.raises(InputError, match="scan=mamba_ssm: needs a GPU, found cpu; scan=torch works"):
        fused_scan(*inputs(4))


@pytest.mark.gpu
def test_the_fused_kernel_equals_the_loop():
    pytest.importorskip("mamba_ssm")
    given = [value.detach().cuda().requires_grad_() for value in inputs(70, torch.float32)]
    ours, theirs = fused_scan(*given), chunked_scan(*given)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    for one, other in zip(*(torch.autograd.grad(y.sum(), given) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
