"""Caduceus against the published layout written out, both strands of it, its pads, conditioning and refusals."""

import pytest
import torch

from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion
from dnadiff.models.cache import KVCache
from dnadiff.models.caduceus import Caduceus, Direction
from dnadiff.models.rc import ReverseComplement
from tests.oracle import VOCAB
from tests.published_caduceus import COMPLEMENT, LAYERS, ROWS, WIDTH, published_logits, published_weights

PAIRS = tuple(COMPLEMENT[:VOCAB])
X = torch.tensor([[7, 8, 3, 10, 10, 11, 3, 9, 8, 7, 7], [9, 3, 3, 8, 7, 10, 9, 9, 3, 10, 8]])
RC = torch.tensor(PAIRS)[X].flip(1)
SIGMA = torch.tensor([0.3, 1.2], dtype=torch.float64)


def from_published(weights, **options):
    """The network with these weights, renamed by hand, float64."""
    model = Caduceus(ROWS, WIDTH, LAYERS, adaln=False, **options).double()
    named = {}
    for name, value in weights.items():
        short = name.removeprefix("caduceus.backbone.").replace("mixer.submodule.", "mixer.")
        short = short.replace("word_embeddings.embedding.", "word_embeddings.")
        for shared in ("in_proj", "out_proj"):
            short = short.replace(f"mamba_fwd.{shared}", shared)
        if "complement_map" not in name:
            named[short] = value.double()
    model.load_state_dict(named)
    return model.eval()


def network(seed=0, **options):
    """A small float64 network in which nothing is zero."""
    torch.manual_seed(seed)
    model = Caduceus(VOCAB, 16, 2, cond_dim=8, **options).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return model


def test_one_strand_is_the_published_network():
    weights = published_weights(rcps=False)
    with torch.no_grad():
        ours = from_published(weights)(X, SIGMA)
    theirs = published_logits(weights, X, rcps=False)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


def test_both_strands_are_the_published_equivariant_network():
    weights = published_weights(rcps=True)
    with torch.no_grad():
        ours = ReverseComplement(from_published(weights), tuple(COMPLEMENT))(X, SIGMA)
    theirs = published_logits(weights, X, rcps=True)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)
    mirrored = published_logits(weights, RC, rcps=True).flip(1)[..., COMPLEMENT]
    torch.testing.assert_close(ours, mirrored, atol=1e-10, rtol=0)


@pytest.mark.parametrize("options", [{"adaln": False}, {}, {"n_classes": 2}], ids=str)
def test_equivariance_in_float32(options):
    f = ReverseComplement(network(**options).float(), PAIRS)
    valid, labels = X != 11, torch.tensor([1, 0]) if "n_classes" in options else None
    with torch.no_grad():
        own = f(X, SIGMA.float(), valid=valid, labels=labels)
        other = f(RC, SIGMA.float(), valid=valid.flip(1), labels=labels)
        features = f.features(X, SIGMA.float(), valid=valid, labels=labels)
        theirs = f.features(RC, SIGMA.float(), valid=valid.flip(1), labels=labels)
        alone = f.backbone(X, SIGMA.float(), labels=labels), f.backbone(RC, SIGMA.float(), labels=labels)
    assert own.std() > 0.1
    torch.testing.assert_close(other.flip(1)[..., list(PAIRS)], own, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.flip(1), features, atol=1e-5, rtol=0)
    assert not torch.allclose(alone[1].flip(1)[..., list(PAIRS)], alone[0], atol=1e-2)


@pytest.mark.parametrize("left", [0, 3])
def test_padded_sequences_get_the_logits_they_have_alone(left):
    model, pads = network(n_classes=2), torch.full((2, 4), 4)
    labels = torch.tensor([1, 2])
    padded = torch.cat([pads[:, :left], X, pads[:, left:]], dim=1)
    with torch.no_grad():
        ours = model(padded, SIGMA, valid=padded != 4, labels=labels)[:, left : left + X.shape[1]]
        alone = model(X, SIGMA, labels=labels)
        read = model(padded, SIGMA, labels=labels)[:, left : left + X.shape[1]]
    torch.testing.assert_close(ours, alone, atol=1e-12, rtol=0)
    assert not torch.allclose(read, alone, atol=1e-3), "without a mask pads are read"


def test_hidden_positions_within_do_not_leak():
    model, valid = network(), X != 11
    valid[1, 5] = False
    other = torch.where(valid, X, 8)
    with torch.no_grad():
        ours, theirs = model(X, SIGMA, valid=valid), model(other, SIGMA, valid=valid)
    torch.testing.assert_close(ours[valid], theirs[valid], atol=1e-12, rtol=0)


def test_every_position_sees_every_other():
    model = network(adaln=False)
    rows = torch.nn.functional.one_hot(X[:1], VOCAB).to(torch.float64).requires_grad_()
    logits = model(rows, SIGMA[:1])
    for i in range(X.shape[1]):
        (seen,) = torch.autograd.grad(logits[0, i].square().sum(), rows, retain_graph=True)
        assert (seen[0].abs().sum(-1) > 1e-12).all()


@pytest.mark.parametrize("at", [torch.tensor([[0, 10, 3], [5, 5, 1]]), slice(2, 7), slice(None)], ids=str)
def test_some_positions_are_those_of_all(at):
    model, sigma = network(), torch.rand(2, 11, dtype=torch.float64)
    whole = model(X, sigma)
    want = whole[:, at] if isinstance(at, slice) else whole.gather(1, at[..., None].expand(-1, -1, VOCAB))
    torch.testing.assert_close(model(X, sigma, at=at), want, atol=1e-12, rtol=0)


def test_noise_and_labels_reach_the_network_that_was_built_for_them():
    model = network(n_classes=2)
    plain = model(X, SIGMA)
    assert not torch.allclose(model(X, 2 * SIGMA), plain) and not torch.allclose(
        model(X, SIGMA, labels=torch.tensor([0, 1])), plain
    )
    torch.testing.assert_close(model(X, SIGMA, labels=torch.tensor([2, 2])), plain)
    torch.testing.assert_close(model(X, SIGMA[:, None].expand(2, 11)), plain)
    without = network(adaln=False)
    torch.testing.assert_close(without(X, SIGMA), without(X, 2 * SIGMA), atol=0, rtol=0)


@pytest.mark.parametrize("pattern", [BlockCausal(1), BlockCausal(4), BlockDiffusion(2)], ids=str)
def test_patterns_that_hide_positions_are_refused(pattern):
    for call in (network(), network().features):
        with pytest.raises(InputError, match="reads from both ends sees all positions; it cannot honour Block"):
            call(X, SIGMA, pattern=pattern)


def test_caches_and_unknown_labels_are_refused():
    with pytest.raises(InputError, match="cannot honour a cache"):
        network()(X, SIGMA, cache=KVCache())
    with pytest.raises(InputError, match="built without labels"):
        network()(X, SIGMA, labels=torch.tensor([0, 1]))
    with pytest.raises(InputError, match="labels enter through adaLN"):
        Caduceus(VOCAB, 16, 2, adaln=False, n_classes=2)


def test_the_published_sizes():
    """470 thousand parameters of four layers 118 wide, the published vocabulary of 16 rows counted."""
    with torch.device("meta"):
        model = Caduceus(16, 118, 4, adaln=False)
    assert sum(p.numel() for p in model.parameters()) == 470_702


def test_untrained_networks_are_nearly_uniform_and_steps_begin_in_their_range():
    torch.manual_seed(0)
    for options in ({"adaln": False}, {}):
        logits = Caduceus(VOCAB, 64, 3, **options)(X, torch.zeros(2))
        assert logits.std() < 0.5
    steps = torch.nn.functional.softplus(Direction(500, 4).dt_proj.bias)
    assert 1e-3 * 0.99 < steps.min() < 2e-3 and 5e-2 < steps.max() < 1e-1 * 1.01


def test_inputs_are_not_written_to():
    x, valid, sigma = X.clone(), X != 11, SIGMA.clone()
    network()(x, sigma, valid=valid)
    assert torch.equal(x, X) and torch.equal(valid, X != 11) and torch.equal(sigma, SIGMA)
