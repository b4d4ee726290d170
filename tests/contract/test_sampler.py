"""Sampler: given positions never change, rows are their own, randomness is the draws'."""

import pytest
import torch

from dnadiff.diffusion import (
    D3PM,
    Analytic,
    Ancestral,
    Denoiser,
    FirstHitting,
    Posterior,
    ReMDM,
    Sedd,
    Sliding,
    Truncation,
    UniformProcess,
)
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, MASK, VOCAB
from tests.tiny import tiny_denoiser

L = 16


def as_model_of(parameterization, denoiser, process=None):
    """The same network, read as another method reads it."""
    conditioned = denoiser.time_conditioning
    return Denoiser(
        denoiser.backbone, parameterization, process or denoiser.process, time_conditioning=conditioned
    ).eval()


def udlm(denoiser):
    process = UniformProcess(denoiser.process.schedule, MASK, BASES)
    return as_model_of(D3PM(MASK, BASES, subs_masking=True), denoiser, process)


MAKE = {
    "first hitting": lambda denoiser, **kw: FirstHitting(denoiser, **kw),
    "first hitting 3": lambda denoiser, **kw: FirstHitting(denoiser, 3, **kw),
    "ancestral": lambda denoiser, **kw: Ancestral(denoiser, 6, **kw),
    "remdm cap": lambda denoiser, **kw: ReMDM(denoiser, 6, eta=0.4, **kw),
    "remdm conf": lambda denoiser, **kw: ReMDM(denoiser, 6, remask="conf", **kw),
    "posterior of udlm": lambda denoiser, **kw: Posterior(udlm(denoiser), 3, **kw),
    "posterior of d3pm": lambda denoiser, **kw: Posterior(as_model_of(D3PM(MASK, BASES), denoiser), 3, **kw),
    "analytic": lambda denoiser, **kw: Analytic(as_model_of(Sedd(MASK, BASES), denoiser), 3, **kw),
    "sliding remdm": lambda denoiser, **kw: Sliding(ReMDM(denoiser, 4, eta=0.4, **kw), 9, 4, lead=1),
}


@pytest.fixture(params=MAKE)
def make(request):
    return MAKE[request.param]


def start_of(rows):
    """Rows of masks with a different number of given tokens each; the fourth has nothing to do."""
    x = torch.full((rows, L), MASK)
    for i in range(rows):
        x[i, : i % 5] = 7 + i % 4
    x[3] = 8
    return x


def test_given_stay_masks_go_and_only_bases_come(make):
    x = start_of(9)
    out = make(tiny_denoiser())(x, Draws(0, range(9)))
    assert torch.equal(out[x != MASK], x[x != MASK])
    assert torch.isin(out[x == MASK], torch.tensor(BASES)).all()
    assert len(out[4:].unique(dim=0)) > 1


def test_samples_are_the_same_to_the_bit_at_batch_1_7_and_64(make):
    sampler = make(tiny_denoiser(time_conditioning=True))
    x, ids = start_of(64)[:, 1:6], list(range(1000, 1064))
    whole = sampler(x, Draws(5, ids))
    for size, step in ((1, 9), (7, 19)):
        for i in range(0, 64, step):
            part = slice(i, i + size)
            assert torch.equal(sampler(x[part], Draws(5, ids[part])), whole[part])


def test_rows_together_agree_with_rows_alone(make):
    """With several rows a call only the rounding of matrix products differs, which these draws do not meet."""
    x, denoiser = start_of(12), tiny_denoiser()
    together = make(denoiser, rows_per_call=5)(x, Draws(5, range(12)))
    assert torch.equal(together, make(denoiser, rows_per_call=1)(x, Draws(5, range(12))))


def test_other_seeds_and_items_give_other_sequences(make):
    sampler, x = make(tiny_denoiser()), torch.full((2, L), MASK)
    first = sampler(x, Draws(0, [0, 1]))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, sampler(x, Draws(1, [0, 1])))


def test_inputs_are_not_written_to(make):
    x = start_of(4)
    allowed = torch.ones(L, VOCAB, dtype=torch.bool)
    before = x.clone()
    make(tiny_denoiser())(x, Draws(0, range(4)), allowed=allowed)
    assert torch.equal(x, before) and allowed.all()


def test_progress_counts_calls_and_positions():
    for sampler, calls in ((FirstHitting(tiny_denoiser()), L), (FirstHitting(tiny_denoiser(), 3), 6)):
        revealed = []
        sampler(torch.full((1, L), MASK), Draws(0, [0]), progress=revealed.append)
        assert len(revealed) == calls and sum(revealed) == L
    revealed = []
    Ancestral(tiny_denoiser(), 10_000)(torch.full((1, L), MASK), Draws(0, [0]), progress=revealed.append)
    assert len(revealed) <= L, "steps in which nothing is revealed cost no call"


def test_the_network_is_told_the_time_of_the_plan(monkeypatch):
    denoiser, told = tiny_denoiser(time_conditioning=True), []
    forward = denoiser.forward
    monkeypatch.setattr(denoiser, "forward", lambda x, t, **kw: told.append(t.item()) or forward(x, t, **kw))
    sampler, x = FirstHitting(denoiser), torch.full((1, L), MASK)
    sampler(x, Draws(0, [0]))
    plan = sampler.plan(x == MASK, Draws(0, [0]).uniform("reveal", 0, L))
    assert told == plan.time[0].sort(descending=True).values.tolist()


@pytest.mark.parametrize("shape", [(0, L), (3, 0)])
def test_nothing_to_do(make, shape):
    x = torch.full(shape, MASK)
    assert make(tiny_denoiser())(x, Draws(0, range(shape[0]))).shape == shape


def test_allowed_tokens(make):
    allowed = torch.zeros(2, L, VOCAB, dtype=torch.bool)
    allowed[0, :, [7, 10]] = True
    allowed[1, :, [8, 9]] = True
    out = make(tiny_denoiser())(torch.full((2, L), MASK), Draws(0, [0, 2]), allowed=allowed)
    assert set(out[0].tolist()) == {7, 10} and set(out[1].tolist()) == {8, 9}


def test_allowed_must_leave_something(make):
    allowed = torch.zeros(VOCAB, dtype=torch.bool)
    allowed[11] = True  # N, which the model cannot produce
    with pytest.raises(InputError, match="allowed"):
        make(tiny_denoiser())(torch.full((1, L), MASK), Draws(0, [0]), allowed=allowed)


def test_low_temperature_small_nucleus_and_top_1_take_the_likeliest_token():
    """All three are greedy decoding in the same order, which is written out here."""
    denoiser, draws = tiny_denoiser(), Draws(3, [0])
    x = torch.full((1, L), MASK)
    with torch.no_grad():
        for i in draws.uniform("reveal", 0, L)[0].argsort(descending=True).tolist():
            x[0, i] = denoiser(x, None)[0, i].argmax()
    for extreme in ({"temperature": 1e-3}, {"nucleus_p": 1e-3}, {"top_k": 1}):
        sampler = FirstHitting(denoiser, truncation=Truncation(**extreme))
        assert torch.equal(sampler(torch.full((1, L), MASK), draws), x)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"temperature": -1.0}, {"nucleus_p": 0.0}, {"nucleus_p": 1.1}, {"top_k": 0}]
)
def test_impossible_truncations(wrong):
    with pytest.raises(InputError, match="needs"):
        Truncation(**wrong)


def test_first_hitting_needs_a_token_a_step():
    with pytest.raises(InputError, match="tokens_per_step=0"):
        FirstHitting(tiny_denoiser(), 0)


def test_ancestral_needs_a_step():
    with pytest.raises(InputError, match="steps=0"):
        Ancestral(tiny_denoiser(), 0)


def test_what_is_asked_of_rows_goes_where_the_rows_are():
    x, allowed, labels = torch.full((2, L), MASK, device="meta"), torch.ones(VOCAB, dtype=torch.bool), torch.ones(2)
    ((_, conditions),) = FirstHitting(tiny_denoiser()).calls(x, allowed, labels, None)
    assert conditions.allowed.is_meta and conditions.labels.is_meta
