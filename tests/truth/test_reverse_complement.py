"""A window and its reverse complement have the same likelihood, whatever the network within has or has not learned."""

import itertools

import pytest
import torch

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Batch, MaskedNELBO
from dnadiff.diffusion.objective import Noised
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full
from dnadiff.models.cache import KVCache
from dnadiff.models.rc import ReverseComplement
from tests.oracle import MASK, VOCAB
from tests.tiny import SPEC, tiny_denoiser

PAIRS = (0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11)  # A 7 with T 10, C 8 with G 9
X = torch.tensor([[7, 8, MASK, 10, 10, 11, MASK, 9], [MASK] * 8, [9, 9, 7, MASK, 8, 4, 4, 4]])
RC = torch.tensor([[8, MASK, 11, 7, 7, MASK, 9, 10], [MASK] * 8, [4, 4, 4, 9, MASK, 10, 8, 8]])


def dit(seed=0, **changes):
    """A denoiser of a random transformer that reads both strands."""
    backbone = {**SPEC["backbone"], **changes}
    return tiny_denoiser(seed, backbone={**backbone, "rc": list(PAIRS)}, time_conditioning=True)


class Table(torch.nn.Module):
    """A function of tokens, noise level, label and place that treats no strand like the other."""

    vocab_size, n_classes = VOCAB, 2

    def forward(self, tokens, sigma, *, pattern, valid=None, labels=None, cache=None, at=None):
        h = self.features(tokens, sigma, pattern=pattern, valid=valid, labels=labels)
        h = h if at is None else h.gather(1, at[..., None].expand(-1, -1, VOCAB))
        return h.sin()

    def features(self, tokens, sigma, *, pattern, valid=None, labels=None):
        n = tokens.shape[1]
        weight = torch.randn(n, n, VOCAB, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        sigma = sigma[:, None] if sigma.ndim == 1 else sigma
        seen = (tokens + 0.1) * (1 + sigma) * (1 if valid is None else valid)
        return torch.einsum("bm,mnv->bnv", seen, weight) + (0 if labels is None else labels[:, None, None])


def mirrored(logits):
    """P flip of (B, N, V), written with loops."""
    out = torch.empty_like(logits)
    rows, length, vocab = logits.shape
    for b, i, v in itertools.product(range(rows), range(length), range(vocab)):
        out[b, i, v] = logits[b, length - 1 - i, PAIRS[v]]
    return out


def test_the_pairs_are_those_of_the_tokenizer_and_the_examples_are_reverse_complements():
    tokenizer = NucleotideTokenizer()
    assert tokenizer.complement(torch.arange(VOCAB).numpy()).tolist() == list(PAIRS)
    assert tokenizer.decode(X[0]) == "AC[MASK]TTN[MASK]G" and tokenizer.decode(RC[0]) == "C[MASK]NAA[MASK]GT"
    assert torch.equal(torch.tensor(PAIRS)[X].flip(1), RC)


def test_the_formula():
    table = Table()
    sigma = torch.tensor([0.1, 0.7, 2.0], dtype=torch.float64)
    got = ReverseComplement(table, PAIRS)(X, sigma)
    want = table(X, sigma, pattern=Full()) + mirrored(table(RC, sigma, pattern=Full()))
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0)


@pytest.mark.parametrize("options", [{}, {"stem": 3}, {"adaln": False}, {"n_classes": 2}], ids=str)
def test_logits_of_the_other_strand_are_the_mirrored_ones(options):
    f = dit(**options).backbone
    labels = torch.tensor([0, 1, 2]) if "n_classes" in options else None
    for sigma in (torch.tensor([0.1, 0.7, 2.0]), torch.rand(3, 8, generator=torch.Generator().manual_seed(0))):
        there = sigma.flip(1) if sigma.ndim == 2 else sigma
        for valid, theirs in ((None, None), (X != 4, RC != 4)):
            own = f(X, sigma, valid=valid, labels=labels)
            other = f(RC, there, valid=theirs, labels=labels)
            torch.testing.assert_close(other, mirrored(own), atol=1e-5, rtol=0)
            assert own.std() > 0.1 and not torch.allclose(own, mirrored(own), atol=1e-3)


def test_any_function_becomes_equivariant():
    f, sigma = ReverseComplement(Table(), PAIRS), torch.tensor([0.1, 0.7, 2.0], dtype=torch.float64)
    labels, valid = torch.tensor([0, 1, 1]), X != 4
    own = f(X, sigma, labels=labels, valid=valid)
    torch.testing.assert_close(f(RC, sigma, labels=labels, valid=valid.flip(1)), mirrored(own), atol=1e-12, rtol=0)
    alone = Table()(X, sigma, pattern=Full(), labels=labels)
    assert not torch.allclose(Table()(RC, sigma, pattern=Full(), labels=labels), mirrored(alone), atol=1e-2)


def test_the_bound_of_a_window_is_that_of_its_reverse_complement_under_mirrored_masks():
    denoiser = dit()
    tokens = torch.randint(7, 11, (64, 24), generator=torch.Generator().manual_seed(3))
    masked = torch.rand(64, 24, generator=torch.Generator().manual_seed(4)) < 0.5
    t = torch.linspace(0.05, 0.95, 64, dtype=torch.float64)
    all_of_it, none = torch.ones_like(masked), torch.zeros_like(masked)

    def nats(x0, hidden):
        weight = hidden.double() / t[:, None]
        noised = Noised(torch.where(hidden, MASK, x0), t, weight)
        with torch.no_grad():
            return MaskedNELBO(denoiser.process, "time").loss(denoiser, Batch(x0, all_of_it, none), noised).nll.sum(1)

    own = nats(tokens, masked)
    other = nats(torch.tensor(PAIRS)[tokens].flip(1), masked.flip(1))
    torch.testing.assert_close(other / 24, own / 24, atol=1e-5, rtol=0)
    assert own.std() > 0.1
    plain = denoiser.with_backbone(denoiser.backbone.backbone)
    denoiser = plain
    assert (nats(torch.tensor(PAIRS)[tokens].flip(1), masked.flip(1)) - nats(tokens, masked)).abs().max() > 0.1


@pytest.mark.parametrize("at", [torch.tensor([[0, 3], [7, 7], [2, 5]]), slice(2, 7), slice(None)], ids=str)
def test_some_positions_are_those_of_all(at):
    f, sigma = dit().backbone, torch.tensor([0.1, 0.7, 2.0])
    whole = f(X, sigma)
    want = whole[:, at] if isinstance(at, slice) else whole.gather(1, at[..., None].expand(-1, -1, VOCAB))
    torch.testing.assert_close(f(X, sigma, at=at), want)


def test_features_of_the_other_strand_are_the_mirrored_ones():
    f, sigma = dit().backbone, torch.tensor([0.1, 0.7, 2.0])
    own, other = f.features(X, sigma, valid=X != 4), f.features(RC, sigma, valid=RC != 4)
    assert own.shape == (3, 8, SPEC["backbone"]["hidden_size"])
    torch.testing.assert_close(other, own.flip(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(other.mean(1), own.mean(1), atol=1e-5, rtol=0)
    within = f.backbone.features(X, sigma, valid=X != 4) + f.backbone.features(RC, sigma, valid=RC != 4).flip(1)
    torch.testing.assert_close(own, within / 2)


@pytest.mark.parametrize("pattern", [BlockCausal(1), BlockCausal(4), BlockDiffusion(2)], ids=str)
def test_patterns_that_hide_positions_are_refused(pattern):
    f = dit().backbone
    for call in (f, f.features):
        with pytest.raises(InputError, match="sees both sides of a position; it cannot honour Block"):
            call(X, torch.zeros(3), pattern=pattern)


def test_a_cache_and_labels_without_classes_are_refused():
    with pytest.raises(InputError, match="cannot honour a cache"):
        dit().backbone(X, torch.zeros(3), cache=KVCache())
    with pytest.raises(InputError, match="built without labels"):
        dit().backbone(X, torch.zeros(3), labels=torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (PAIRS[:-1], "found 11 ids; each of 0 to 11 once"),
        ((*PAIRS[:-1], 7), "found 12 ids; each of 0 to 11 once"),
        ((*PAIRS[:7], 8, 9, 10, 7, 11), "partner has another partner"),
    ],
)
def test_tokens_that_do_not_pair_up_are_refused(pairs, told):
    with pytest.raises(InputError, match=told):
        ReverseComplement(Table(), pairs)


def test_inputs_are_not_written_to():
    x, sigma, valid = X.clone(), torch.ones(3, 8), X != 4
    dit().backbone(x, sigma, valid=valid)
    assert torch.equal(x, X) and torch.equal(valid, X != 4) and (sigma == 1).all()
