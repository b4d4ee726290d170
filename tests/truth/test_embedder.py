"""Vectors against states read and averaged by hand, of every method; layers against recorded and composed ones."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import dnadiff
from dnadiff.checkpoints.embedder import POOLINGS, Embedder, load_embedder, untrained_embedder
from dnadiff.checkpoints.folder import save_model
from dnadiff.checkpoints.predictor import save_predictor
from dnadiff.data import alphabet
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, Full
from dnadiff.models.caduceus import Caduceus
from dnadiff.models.dit import DiT
from dnadiff.recipes.convert import convert
from tests.foreign import lightning
from tests.labels import SPEC as TUNED
from tests.labels import tiny_predictor
from tests.parity.test_upstream import backbone
from tests.tiny import BLOCKS, SPEC, tiny_denoiser

TEXTS = ["ACGTAC", "TTGA", "ACGTAA", "NCGTNC", "G", "ACGTACGTACGTACGTACGTACGT"]
TOKEN = dict(zip("ACGTN", (7, 8, 9, 10, 11), strict=True))
RC = [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11]
SPECS = {
    "mdlm": SPEC,
    "blocks": {**SPEC, **BLOCKS},
    "next tokens": {**SPEC, "bos": True, "parameterization": {**SPEC["parameterization"], "name": "next_token"}},
    "both strands": {**SPEC, "backbone": {**SPEC["backbone"], "rc": RC}},
    "N is a token": {**SPEC, "parameterization": {"name": "subs", "mask_id": 3, "allowed": [7, 8, 9, 10, 11]}},
}
PATTERNS = {"blocks": BlockCausal(4), "next tokens": BlockCausal(1)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model folder of every method, and a fine-tuned one."""
    home, found = tmp_path_factory.mktemp("models"), {}
    for name, spec in SPECS.items():
        found[name] = home / name.replace(" ", "_")
        save_model(found[name], tiny_denoiser(**spec), NucleotideTokenizer(), spec, {})
    found["fine-tuned"] = home / "tuned"
    save_predictor(found["fine-tuned"], tiny_predictor(), TUNED, {})
    return found


def by_hand(network, text, pooling, *, bos=False, n_token=False, pattern=Full(), layer=None):
    """The vector of one sequence: its states one by one, those of bases that count pooled."""
    tokens = torch.tensor([[2] * bos + [TOKEN[x] for x in text]])
    counts = [False] * bos + [x != "N" or n_token for x in text]
    tokens[0, [not one and token == 11 for one, token in zip(counts, tokens[0].tolist(), strict=True)]] = 4
    seen = torch.tensor([[one or (bos and i == 0) for i, one in enumerate(counts)]])
    with torch.no_grad():
        states = network.features(tokens, torch.zeros(1), pattern=pattern, valid=seen, layer=layer)[0].numpy()
    kept = [state for state, one in zip(states, counts, strict=True) if one]
    return {"mean": sum(kept) / len(kept), "max": np.max(kept, axis=0), "first": states[0]}[pooling]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", [*SPECS, "fine-tuned"])
def test_vectors_are_pooled_states_whatever_the_company(folders, name, pooling):
    embedder, pattern = dnadiff.load_embedder(folders[name]), PATTERNS.get(name, Full())
    assert (embedder.pattern, embedder.layers) == (pattern, 1)
    if pooling == "first" and name in PATTERNS:
        with pytest.raises(InputError, match="the first token of this model does not see the others; mean would work"):
            embedder.embed(TEXTS, pooling=pooling)
        return
    how = {"bos": name in PATTERNS, "n_token": name == "N is a token", "pattern": pattern}
    wanted = np.stack([by_hand(embedder.backbone, text, pooling, **how) for text in TEXTS])
    for size in (1, 2, 64):
        found = embedder.embed(TEXTS, pooling=pooling, batch_size=size)
        assert found.dtype == np.float32 and found.shape == (6, 16)
        np.testing.assert_allclose(found, wanted, atol=2e-6)
    arrays = [alphabet.encode(text) & alphabet.CODE_BITS for text in TEXTS]
    np.testing.assert_array_equal(embedder.embed(arrays, pooling=pooling), found)


def test_vectors_of_both_strands_are_the_mean_of_each(folders):
    texts, turned = ["ACGTTA", "GGA"], ["TAACGT", "TCC"]
    embedder = load_embedder(folders["mdlm"])
    one, other = embedder.embed(texts), embedder.embed(turned)
    assert not np.allclose(one, other, atol=1e-2)
    told = []
    both = embedder.embed(texts, both_strands=True, batch_size=1, progress=told.append)
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    assert told == [1] * 4
    equivariant = load_embedder(folders["both strands"])
    np.testing.assert_allclose(equivariant.embed(texts), equivariant.embed(turned), atol=1e-5)
    np.testing.assert_allclose(equivariant.embed(texts, layer=0), equivariant.embed(turned, layer=0), atol=1e-5)


def test_an_autoregressive_state_knows_nothing_of_what_follows(folders):
    """The maximum over all bases but the last is the same whatever the last is, unless states look ahead."""
    network = load_embedder(folders["next tokens"])
    short = network.embed(["ACGTAC"], pooling="max")
    longer = network.embed(["ACGTACG", "ACGTACT"], pooling="max")
    assert (longer >= short - 1e-5).all()
    assert not (load_embedder(folders["mdlm"]).embed(["ACGTACG"], pooling="max") >= short - 1e-5).all()


def test_layers_are_the_recorded_hidden_states_of_the_published_network():
    model, ref = backbone("mdlm")
    sigma = ref["tc1_sigma_in"]
    for layer in (1, 2):
        found, wanted = model.features(ref["xt"], sigma, layer=layer), ref["tc1_hidden"][layer - 1]
        wanted = model.output_layer.norm_final(wanted) if layer == 2 else wanted
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(model.features(ref["xt"], sigma, layer=0), model.vocab_embed(ref["xt"]))


@pytest.mark.parametrize("name", ["dit with a stem", "caduceus"])
def test_layers_of_a_deeper_network_are_those_of_its_shallower_self(name):
    def network(n_blocks):
        if name == "caduceus":
            model = Caduceus(12, 8, n_blocks, cond_dim=4)
        else:
            model = DiT(12, 8, n_blocks, 2, cond_dim=4, stem=3)
        generator = torch.Generator().manual_seed(0)
        for _, parameter in sorted(model.named_parameters(), key=lambda pair: pair[0]):
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
        return model.eval()

    deep, tokens, sigma = network(3), torch.tensor([[7, 8, 9, 10, 7, 9]]), torch.zeros(1)
    layers = [deep.features(tokens, sigma, layer=layer) for layer in range(4)]
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in pairwise(layers))
    torch.testing.assert_close(layers[3], deep.features(tokens, sigma))
    for depth in (1, 2):
        shallow = network(depth)
        named = deep.state_dict()
        shallow.load_state_dict({key: named[key] for key in shallow.state_dict()})
        norm = shallow.norm_f if name == "caduceus" else shallow.output_layer.norm_final
        torch.testing.assert_close(norm(layers[depth]), shallow.features(tokens, sigma))
    for layer in (-1, 4):
        with pytest.raises(InputError, match=f"layer={layer}: the last one of the network is 3; 0 to 3 would work"):
            deep.features(tokens, sigma, layer=layer)


def test_an_untrained_network_has_the_shape_and_reads_more_than_composition(folders):
    for name in SPECS:
        one, again, other = (untrained_embedder(folders[name], seed).embed(["ACGGT", "GAGCT"]) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, again)
        assert one.shape == (2, 16) and not np.allclose(one, other, atol=1e-3)
        assert np.abs(one[0] - one[1]).max() > 1e-5, "the order of the bases does not matter to it"
        assert not np.allclose(one, load_embedder(folders[name]).embed(["ACGGT", "GAGCT"]), atol=1e-3)


@pytest.mark.parametrize(
    ("sequences", "options", "told"),
    [
        (["ACGT", "AXT"], {}, "sequence 2: position 2: found 'X', a protein letter"),
        (["NN"], {}, "sequence 1: found no A, C, G or T; one base or more would work"),
        ([], {}, "sequences: found none"),
        (["A" * (16 * 64 + 1)], {}, "sequence 1: found 1,025 bases; the model was trained on 16, and 1,024 or fewer"),
        (["A"], {"layer": 2}, "layer=2: the last one of the network is 1; 0 to 1 would work"),
        (["A"], {"pooling": "men"}, r"pooling=men: did you mean mean\?"),
    ],
)
def test_what_cannot_be_embedded_is_refused(folders, sequences, options, told):
    with pytest.raises(InputError, match=told):
        load_embedder(folders["mdlm"]).embed(sequences, **options)


def test_models_of_other_tokens_are_refused(tmp_path):

    convert(str(lightning(tmp_path / "a.ckpt", tokenizer=None)), str(tmp_path / "model"))
    with pytest.raises(InputError, match="reads no nucleotides; a model trained on DNA would work"):
        load_embedder(tmp_path / "model")


def test_an_embedder_of_your_own():
    embedder = Embedder(tiny_denoiser().backbone, Full(), window=16)
    assert embedder.embed(["ACGT"]).shape == (1, 16)
