"""Properties that hold for any input hypothesis comes up with."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dnadiff.diffusion import SCHEDULES, AbsorbingProcess, Subs
from dnadiff.diffusion.sampler import inverse_cdf
from dnadiff.diffusion.timesteps import smallest
from dnadiff.diffusion.truncation import nucleus, tempered, top_k
from tests.oracle import BASES, MASK, VOCAB

LOGITS = arrays("float64", (3, 6), elements=st.floats(-40, 40))
UNIFORM = st.floats(0, 1, exclude_max=True)
settings.register_profile("core", max_examples=40, deadline=None)
settings.load_profile("core")


@given(
    arrays("float64", (2, 4, VOCAB), elements=st.floats(-1e4, 1e4)),
    st.lists(st.sampled_from([MASK, *BASES]), min_size=8, max_size=8),
)
def test_subs_rows_are_distributions(logits, tokens):
    p = Subs(MASK, BASES)(torch.tensor(logits), torch.tensor(tokens).reshape(2, 4)).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    assert (p[..., MASK] == 0).all()


@given(
    st.sampled_from(sorted(SCHEDULES)),
    UNIFORM,
    st.floats(1e-3, 1),
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
)
def test_posterior_rows_are_distributions(name, share, t, weights):
    p = torch.zeros(1, 2, VOCAB, dtype=torch.float64)
    p[..., list(BASES)] = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    time = torch.tensor([t], dtype=torch.float64)
    q = AbsorbingProcess(SCHEDULES[name](), MASK).posterior(p, torch.tensor([[MASK, 7]]), time, time * share)
    torch.testing.assert_close(q.sum(-1), torch.ones(1, 2, dtype=torch.float64))
    assert (q >= 0).all()


@given(LOGITS, st.floats(0.01, 1), st.floats(0.1, 10), st.integers(1, 6))
def test_truncation_keeps_a_distribution_and_the_likeliest_token(logits, p, temperature, k):
    log_p = torch.tensor(logits).log_softmax(-1)
    for cut in (nucleus(log_p, p), top_k(log_p, k), tempered(log_p, temperature)):
        torch.testing.assert_close(cut.exp().sum(-1), torch.ones(3, dtype=torch.float64))
        best = log_p.argmax(-1, keepdim=True)
        assert (cut.gather(-1, best) >= cut.amax(-1, keepdim=True) - 1e-12).all()
    mass = log_p.exp().masked_fill(nucleus(log_p, p).isneginf(), 0).sum(-1)
    assert (mass >= p - 1e-9).all()


@given(LOGITS, arrays("float64", 3, elements=UNIFORM))
def test_inverse_cdf_is_the_inverse(logits, u):
    log_p = torch.tensor(logits).log_softmax(-1)
    token = inverse_cdf(log_p, torch.tensor(u))
    cdf = torch.cat([torch.zeros(3, 1, dtype=torch.float64), log_p.exp().cumsum(-1)], -1)
    index = torch.arange(3)
    assert (cdf[index, token] <= torch.tensor(u) + 1e-12).all()
    assert (cdf[index, token + 1] >= torch.tensor(u) - 1e-12).all()


@given(st.data())
def test_smallest_masks_k_of_the_maskable(data):
    length = data.draw(st.integers(1, 9))
    maskable = torch.tensor([data.draw(st.lists(st.booleans(), min_size=length, max_size=length))])
    n = int(maskable.sum())
    k = data.draw(st.integers(0, n))
    u = torch.tensor([data.draw(st.lists(UNIFORM, min_size=length, max_size=length, unique=True))], dtype=torch.float64)
    masked, m = smallest(u, maskable, torch.tensor([k]))
    assert int(masked.sum()) == k and not (masked & ~maskable).any()
    chosen = sorted(u[maskable].tolist())[:k]
    assert sorted(u[masked].tolist()) == chosen
    assert m.item() == (chosen[-1] if k else 0) and math.isfinite(m.item())
