"""Autoregressive sampling: the table's law, prompts, the cache against no cache, and rows that are their own."""

import pytest
import torch

from dnadiff.diffusion import Autoregressive, FirstHitting, ReMDM, Truncation
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal
from dnadiff.random import Draws
from tests.oracle import (
    BASES,
    BOS,
    LENGTH,
    MASK,
    VOCAB,
    P,
    chi_square_p,
    ideal,
    ideal_next_token,
    law_of_reveals,
)
from tests.tiny import tiny_denoiser, tiny_next_token

N, L = 4000, 16


def sampled(start=(MASK,) * LENGTH, seed=0, **kwargs):
    x = torch.tensor([(BOS, *start)] * N)
    return Autoregressive(ideal_next_token(), rows_per_call=N)(x, Draws(seed, range(N)), **kwargs)[:, 1:]


def start_of(rows, length=L):
    """[BOS], a prompt whose length differs from row to row, and here and there a base further right."""
    x = torch.full((rows, length), MASK)
    x[:, 0] = BOS
    for i in range(rows):
        x[i, 1 : 1 + i % 4] = 7 + i % 4
        x[i, length - 1 - i % 3] = 10 if i % 2 else MASK
    return x


def without_cache(denoiser, x, u):
    """The same draws by inverse CDF from whole forward passes, a position at a time."""
    x = x.clone()
    for row, uniforms in zip(x, u, strict=True):
        for i in (row == MASK).nonzero()[:, 0].tolist():
            p = denoiser(row[None], torch.zeros(1), pattern=BlockCausal(1))[0, i - 1].double().exp()
            row[i] = int((p.cumsum(0) <= uniforms[i] * p.sum()).sum())
    return x


def test_draws_p():
    assert chi_square_p(sampled(), P) > 1e-3


def test_a_prompt_is_continued_exactly():
    fits = {x: p for x, p in P.items() if x[0] == 9}
    law = {x: p / sum(fits.values()) for x, p in fits.items()}
    assert chi_square_p(sampled((9, MASK, MASK)), law) > 1e-3


def test_a_base_further_right_is_kept_and_not_foreseen():
    """x_1 follows p(x_1), not p(x_1 | x_2 = T); x_3 follows p(x_3 | x_1, x_2)."""
    law = {}
    for x, p in law_of_reveals([(0,)]).items():
        for y, q in law_of_reveals([(2,)], (x[0], 10, MASK)).items():
            law[y] = law.get(y, 0.0) + p * q
    x = sampled((MASK, 10, MASK))
    assert chi_square_p(x, law) > 1e-3
    fits = {x: p for x, p in P.items() if x[1] == 10}
    assert chi_square_p(x, {x: p / sum(fits.values()) for x, p in fits.items()}) < 1e-6


def test_allowed_tokens_are_renormalised_from_left_to_right():
    sets = [{7, 9}, {7, 8, 9, 10}, {10}]
    allowed = torch.zeros(LENGTH + 1, VOCAB, dtype=torch.bool)
    for i, tokens in enumerate(sets):
        allowed[i + 1, list(tokens)] = True
    want = law_of_reveals([(0,), (1,), (2,)], allowed=sets)
    assert chi_square_p(sampled(allowed=allowed), want) > 1e-3


def test_what_is_given_need_not_be_allowed_whatever_rows_it_is_read_with():
    x = torch.tensor([(BOS, MASK, 7, MASK), (BOS, MASK, MASK, MASK)])
    allowed = torch.zeros(2, LENGTH + 1, VOCAB, dtype=torch.bool)
    allowed[..., list(BASES)] = True
    allowed[0, 2] = False  # nothing is drawn there
    alone, together = (
        Autoregressive(ideal_next_token(), rows_per_call=rows)(x, Draws(0, [0, 1]), allowed=allowed) for rows in (1, 2)
    )
    assert torch.equal(alone, together) and together[0, 2] == 7


def test_cached_is_uncached():
    denoiser, x = tiny_next_token(), start_of(6)
    with torch.no_grad():
        want = without_cache(denoiser, x, Draws(4, range(6)).uniform("token", 0, L))
    assert torch.equal(Autoregressive(denoiser)(x, Draws(4, range(6))), want)
    assert torch.equal(Autoregressive(denoiser, rows_per_call=6)(x, Draws(4, range(6))), want)


def test_given_stay_masks_go_and_only_bases_come():
    x = start_of(9)
    out = Autoregressive(tiny_next_token())(x, Draws(0, range(9)))
    assert torch.equal(out[x != MASK], x[x != MASK])
    assert torch.isin(out[x == MASK], torch.tensor(BASES)).all()


def test_samples_are_the_same_to_the_bit_at_batch_1_7_and_64():
    sampler, x, ids = Autoregressive(tiny_next_token()), start_of(64, 7), list(range(1000, 1064))
    whole = sampler(x, Draws(5, ids))
    for size, step in ((1, 9), (7, 19)):
        for i in range(0, 64, step):
            part = slice(i, i + size)
            assert torch.equal(sampler(x[part], Draws(5, ids[part])), whole[part])


def test_every_token_is_read_once():
    denoiser, read, told = tiny_next_token(), [], []
    denoiser.backbone.vocab_embed.register_forward_pre_hook(lambda module, args: read.append(args[0].shape[1]))
    x = torch.full((1, L), MASK)
    x[0, :5] = torch.tensor([BOS, 7, 8, 9, 10])
    Autoregressive(denoiser)(x, Draws(0, [0]), progress=told.append)
    assert read == [5] + [1] * (L - 6)
    assert told == [1] * (L - 5)


def test_top_1_is_greedy():
    denoiser, x = tiny_next_token(), start_of(2)
    greedy = Autoregressive(denoiser, truncation=Truncation(top_k=1))(x, Draws(0, [0, 1]))
    with torch.no_grad():
        likeliest = denoiser(greedy, None, pattern=BlockCausal(1)).argmax(-1)
    masked = x[:, 1:] == MASK
    assert torch.equal(greedy[:, 1:][masked], likeliest[:, :-1][masked])


def test_inputs_are_not_written_to():
    x = start_of(3)
    before = x.clone()
    Autoregressive(tiny_next_token())(x, Draws(0, range(3)))
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(0, L), (3, 0)])
def test_nothing_to_do(shape):
    x = torch.full(shape, MASK)
    assert Autoregressive(tiny_next_token())(x, Draws(0, range(shape[0]))).shape == shape


def test_there_must_be_something_to_continue():
    with pytest.raises(InputError, match=r"position 0 is masked.*\[BOS\]"):
        Autoregressive(tiny_next_token())(torch.full((1, L), MASK), Draws(0, [0]))


def test_samplers_refuse_models_of_the_other_kind():
    with pytest.raises(InputError, match="found a denoiser with Subs; one with NextToken works"):
        Autoregressive(tiny_denoiser())
    for make in (FirstHitting, lambda denoiser: ReMDM(denoiser, 4)):
        with pytest.raises(InputError, match="found a denoiser with NextToken; one with Subs works"):
            make(ideal_next_token())
    assert Autoregressive(ideal_next_token()) and FirstHitting(ideal())
