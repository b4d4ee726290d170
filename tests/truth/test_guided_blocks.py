"""Guidance with blocks and next tokens: laws and likelihoods written out from the guided conditionals of a table."""

import itertools
import math

import pytest
import torch

from dnadiff.diffusion import (
    Autoregressive,
    Batch,
    BlockNELBO,
    BlockSampler,
    FirstHitting,
    NextTokenNLL,
    block_sampler,
    classifier_free,
    of_class,
    restricted,
)
from dnadiff.models.attention import BlockCausal
from dnadiff.models.cache import KVCache
from dnadiff.random import Draws
from tests.labelled import CLASSES, guided_conditional, labelled, labelled_next_token
from tests.oracle import BASES, BOS, LENGTH, MASK, SEQUENCES, VOCAB, chi_square_p, law_of_reveals, mixture
from tests.tiny import SPEC, tiny_denoiser

N, GAMMA = 4000, 2.5
GUIDED = [guided_conditional(GAMMA, label) for label in (0, 1)]
WRITTEN_OUT = [law_of_reveals([(0,), (1,), (2,)], conditional=guided) for guided in GUIDED]


def law_of_blocks(size, start=(MASK,) * LENGTH):
    """The guided law of class 1, block after block, every order within a block equally likely."""
    blocks = [[i for i in range(b, min(b + size, LENGTH)) if start[i] == MASK] for b in range(0, LENGTH, size)]
    walks = [
        [i for order in orders for i in order] for orders in itertools.product(*map(itertools.permutations, blocks))
    ]
    laws = [law_of_reveals([(i,) for i in walk], start, conditional=GUIDED[1]) for walk in walks]
    return mixture([(1 / len(laws), law) for law in laws])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocks_follow_the_guided_conditionals(size):
    steps = FirstHitting(of_class(labelled(), 1, 2, GAMMA), rows_per_call=N)
    x = BlockSampler(steps, size)(torch.full((N, LENGTH), MASK), Draws(0, range(N)))
    assert chi_square_p(x, law_of_blocks(size)) > 1e-3
    assert chi_square_p(x, CLASSES[1]) < 1e-6, "the test can tell"


@pytest.mark.parametrize("size", [1, 2])
def test_long_prompts_are_stored_with_and_without_the_class(size, monkeypatch):
    """The prompt fills the queue, which is fed by itself."""
    monkeypatch.setattr(block_sampler, "PREFILL", 2)
    start, stored = (8, 10, MASK), []
    denoiser = of_class(labelled(), 1, 2, GAMMA)
    denoiser.backbone.register_forward_pre_hook(lambda _, args, options: stored.append(options["at"]), with_kwargs=True)
    steps = FirstHitting(denoiser, rows_per_call=N)
    x = BlockSampler(steps, size)(torch.tensor([start] * N), Draws(0, range(N)))
    assert isinstance(stored[0], slice) == (size == 1), "blocks of 2 wait until there are two"
    assert chi_square_p(x, law_of_blocks(size, start)) > 1e-3


def test_next_tokens_follow_the_guided_conditionals():
    start = torch.tensor([[BOS, *(MASK,) * LENGTH]] * N)
    x = Autoregressive(of_class(labelled_next_token(), 1, 2, GAMMA), rows_per_call=N)(start, Draws(0, range(N)))
    assert chi_square_p(x[:, 1:], WRITTEN_OUT[1]) > 1e-3
    assert chi_square_p(x[:, 1:], CLASSES[1]) < 1e-6, "the test can tell"


def test_what_is_guided_can_be_scored():
    """-log p of every sequence of both classes: in blocks of 1 on [x_t ; x_0], and by next tokens."""
    x, labels = torch.tensor(SEQUENCES * 2), torch.tensor([0, 1]).repeat_interleave(len(SEQUENCES))
    want = torch.tensor([-math.log(law[s]) for law in WRITTEN_OUT for s in SEQUENCES], dtype=torch.float64)
    model, draws = classifier_free(labelled(), GAMMA, 2), Draws(0, range(len(x)))
    blocks = BlockNELBO(model.process, 1)(model, Batch(x, torch.ones_like(x, dtype=torch.bool), labels=labels), draws)
    torch.testing.assert_close(blocks.nll.sum(-1), want, rtol=1e-9, atol=0)
    rows = torch.cat([torch.full((len(x), 1), BOS), x], dim=1)
    given = torch.arange(LENGTH + 1).expand(rows.shape) == 0
    batch = Batch(rows, torch.ones_like(given), given, labels=labels)
    one_by_one = NextTokenNLL()(classifier_free(labelled_next_token(), GAMMA, 2), batch, draws)
    torch.testing.assert_close(one_by_one.nll.sum(-1), want, rtol=1e-9, atol=0)


def test_the_cache_of_a_transformer_holds_the_rows_of_both():
    """A guided block after a stored prompt, and the combination of two plain models that read all of it at once."""
    backbone = {**SPEC["backbone"], "n_blocks": 2, "n_classes": 2}
    denoiser = tiny_denoiser(time_conditioning=True, backbone=backbone).double()
    x, labels = torch.randint(7, 11, (3, 12), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0])
    x[:, 8:] = MASK
    t, pattern, cache = torch.full((3, 12), 0.5).double(), BlockCausal(4), KVCache()
    with torch.no_grad():
        guided = classifier_free(denoiser, GAMMA, 2)
        guided(x[:, :8], t[:, :8], pattern=pattern, labels=labels, cache=cache, at=slice(0, 1))
        cache.commit(8)
        got = guided(x[:, 8:], t[:, 8:], pattern=pattern, labels=labels, cache=cache, at=slice(1, 3))
        of_class_, free = (denoiser(x, t, pattern=pattern, labels=y, at=slice(9, 11)) for y in (labels, None))
    bases = list(BASES)
    want = (GAMMA * of_class_ + (1 - GAMMA) * free)[..., bases].log_softmax(-1)
    torch.testing.assert_close(got[..., bases], want, atol=1e-9, rtol=0)


def test_a_rule_hears_which_positions_a_slice_asks_about():
    def rule(tokens, at):
        """No position may be what its number modulo 4 says."""
        return torch.arange(VOCAB) != 7 + at[..., None] % 4

    x = torch.full((2, 6), MASK)
    ruled, plain = restricted(tiny_denoiser(), rule), tiny_denoiser()
    with torch.no_grad():
        part, whole, free = ruled(x, None, at=slice(1, 5)), ruled(x, None), plain(x, None)
    torch.testing.assert_close(part, whole[:, 1:5])
    for i in range(1, 5):
        left = [base for base in BASES if base != 7 + i % 4]
        torch.testing.assert_close(part[:, i - 1, left], free[:, i, left].log_softmax(-1))
        assert (part[:, i - 1, 7 + i % 4] < -1e5).all()
