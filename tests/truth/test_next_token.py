"""The autoregressive objective is -log p(x), token by token; what is read, what is scored, what must not be seen."""

import math

import pytest
import torch

from dnadiff.diffusion import Batch, NextToken, NextTokenNLL
from dnadiff.diffusion.parameterization import FLOOR
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, Full
from dnadiff.models.cache import KVCache
from dnadiff.random import Draws
from tests.oracle import BASES, BOS, LENGTH, MASK, SEQUENCES, VOCAB, P, conditional, ideal_next_token
from tests.tiny import tiny_next_token

PAD = 4


def windows(sequences=SEQUENCES):
    x0 = torch.tensor([(BOS, *x) for x in sequences])
    given = torch.zeros_like(x0, dtype=torch.bool)
    given[:, 0] = True
    return Batch(x0, torch.ones_like(given), given)


def nll(denoiser, batch):
    return NextTokenNLL()(denoiser, batch, Draws(0, range(len(batch.x0))))


def test_exact_for_every_sequence_and_token():
    loss = nll(ideal_next_token(), windows())
    assert loss.count == LENGTH * len(SEQUENCES), "[BOS] is never scored"
    assert (loss.nll[:, 0] == 0).all()
    for x, row in zip(SEQUENCES, loss.nll.tolist(), strict=True):
        want = [-math.log(conditional(x, i, range(i))) for i in range(LENGTH)]
        assert row[1:] == pytest.approx(want, rel=1e-12)
        assert sum(row) == pytest.approx(-math.log(P[x]), rel=1e-12)


def test_pads_and_given_tokens_cost_nothing():
    batch = windows(SEQUENCES[:3])
    x0, valid, given = batch.x0.clone(), batch.valid.clone(), batch.given.clone()
    x0[0, 2:], valid[0, 2:] = PAD, False
    given[1, :2] = True
    x0[2], valid[2] = PAD, False
    loss = nll(tiny_next_token(), Batch(x0, valid, given))
    scored = [[False, True, False, False], [False, False, True, True], [False] * 4]
    assert loss.valid.tolist() == scored
    assert ((loss.nll > 0) == torch.tensor(scored)).all()
    whole = nll(tiny_next_token(), batch)
    torch.testing.assert_close(loss.nll[loss.valid], whole.nll[loss.valid])  # pads lie right: unseen


def test_the_first_token_is_not_scored_even_if_it_is_not_given():
    batch = windows(SEQUENCES[:2])
    loss, want = nll(tiny_next_token(), Batch(batch.x0, batch.valid)), nll(tiny_next_token(), batch)
    assert torch.equal(loss.nll, want.nll) and torch.equal(loss.valid, want.valid)


def test_a_token_never_sees_itself_or_what_follows():
    """The gradient of the loss at position i reaches the embeddings of positions left of i only."""
    denoiser, batch = tiny_next_token(), windows(SEQUENCES[5:6])
    seen = []
    denoiser.backbone.vocab_embed.register_forward_hook(lambda module, args, out: seen.append(out) or out)
    loss = nll(denoiser, batch)
    for i in range(1, LENGTH + 1):
        (grad,) = torch.autograd.grad(loss.nll[0, i], seen[0], retain_graph=True)
        reached = grad[0].abs().sum(-1) > 0
        assert reached.tolist() == [j < i for j in range(LENGTH + 1)]


def test_hidden_tokens_are_not_seen():
    batch = windows(SEQUENCES[:1])
    visible = torch.tensor([[True, False, True, True]])
    hidden = nll(tiny_next_token(), Batch(batch.x0, batch.valid, batch.given, visible=visible))
    assert torch.allclose(hidden.nll[0, :2], nll(tiny_next_token(), batch).nll[0, :2])
    assert not torch.allclose(hidden.nll[0, 2:], nll(tiny_next_token(), batch).nll[0, 2:])


def test_an_empty_batch_costs_nothing_and_has_gradients_of_zero():
    denoiser = tiny_next_token()
    loss = nll(denoiser, Batch(torch.full((2, 5), PAD), torch.zeros(2, 5, dtype=torch.bool)))
    loss.mean.backward()
    assert loss.mean == 0 and loss.count == 0
    assert all((p.grad == 0).all() for p in denoiser.parameters())


def test_noise_changes_nothing_and_inputs_are_not_written_to():
    batch = windows(SEQUENCES[:4])
    before = batch.x0.clone()
    noised = NextTokenNLL().noise(batch, Draws(0, range(4)))
    assert torch.equal(noised.xt, before) and (noised.t == 0).all()
    assert noised.weight.tolist() == [[0.0, 1.0, 1.0, 1.0]] * 4
    nll(tiny_next_token(), batch)
    assert torch.equal(batch.x0, before)


def test_the_parameterization_normalises_and_carries_nothing_over():
    logits = torch.randn(2, 3, VOCAB, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    xt = torch.tensor([[BOS, 7, MASK], [BOS, 9, 8]])
    log_p = NextToken(MASK, BASES)(logits, xt)
    torch.testing.assert_close(log_p[..., list(BASES)], torch.log_softmax(logits[..., list(BASES)], -1))
    assert (log_p[..., [i for i in range(VOCAB) if i not in BASES]] == FLOOR).all()
    assert torch.equal(log_p, NextToken(MASK, BASES)(logits, torch.full_like(xt, 7)))


def test_the_table_reads_a_cache():
    denoiser, rows = ideal_next_token(), windows(SEQUENCES[::7]).x0
    whole, cache, parts = denoiser(rows, None, pattern=BlockCausal(1)), KVCache(), []
    for start, stop in ((0, 2), (2, 3), (3, 4)):
        parts.append(denoiser(rows[:, start:stop], None, pattern=BlockCausal(1), cache=cache))
        cache.commit(stop - start)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert (whole[:, -1, list(BASES)] == -math.log(4)).all(), "nothing is known of what follows the end"


def test_the_table_refuses_what_it_cannot_honour():
    with pytest.raises(InputError, match="BlockCausal"):
        ideal_next_token()(torch.tensor([[BOS]]), None, pattern=Full())
