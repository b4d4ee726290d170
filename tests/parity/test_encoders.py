"""BERT and RoBERTa against the transformers library: the same logits and hidden states of the same folders."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dnadiff.checkpoints.upstream import read_upstream
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion
from dnadiff.models.cache import KVCache
from dnadiff.recipes.convert import convert
from tests.bert import MASK, WORDS, encoder_folder, recorded, weights

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
NAMES = ("bert", "roberta")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("folders")
    return {name: read_upstream(encoder_folder(place / name, name)) for name in NAMES}


def ask(model, tokens, **options):
    with torch.no_grad():
        return model(tokens, torch.zeros(len(tokens)), **options)


def rows():
    """Tokens, and which of them are there in the padded rows."""
    tokens = torch.from_numpy(recorded()["tokens"])
    return tokens, torch.arange(9) < torch.from_numpy(recorded()["lengths"])[:, None]


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_states_are_the_librarys(models, name):
    backbone, (tokens, _) = models[name].denoiser.backbone, rows()
    np.testing.assert_allclose(ask(backbone, tokens).numpy(), recorded()[f"{name}.logits"], **CLOSE)
    with torch.no_grad():
        states = backbone.features(tokens, torch.zeros(2))
    np.testing.assert_allclose(states.numpy(), recorded()[f"{name}.states"], **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_hidden_as_the_library_hides_it(models, name):
    backbone, (tokens, there) = models[name].denoiser.backbone, rows()
    padded = torch.where(there, tokens, {"bert": 0, "roberta": 1}[name])
    found = ask(backbone, padded, valid=there)[there]
    np.testing.assert_allclose(found.numpy(), recorded()[f"{name}.padded"][there.numpy()], **CLOSE)
    with torch.no_grad():
        states = backbone.features(padded, torch.zeros(2), valid=there)[there]
    np.testing.assert_allclose(states.numpy(), recorded()[f"{name}.padded_states"][there.numpy()], **CLOSE)
    assert not np.allclose(recorded()[f"{name}.padded"], recorded()[f"{name}.logits"], atol=1e-3)


def test_the_mask_is_its_own_and_no_answer(models):
    denoiser, (tokens, _) = models["bert"].denoiser, rows()
    corrupted = tokens.clone()
    corrupted[:, 3] = MASK
    with torch.no_grad():
        log_p = denoiser(corrupted, torch.full((2,), 0.5))
    p, logits = log_p[:, 3].exp(), ask(denoiser.backbone, corrupted)[:, 3]
    assert p[:, [MASK, 0]].sum() == 0
    torch.testing.assert_close(p.sum(1), torch.ones(2))
    torch.testing.assert_close(log_p[:, 3, 5:] - log_p[:, 3, 5:6], logits[:, 5:] - logits[:, 5:6], **CLOSE)
    assert log_p[0, 0, tokens[0, 0]] == 0


def test_one_hot_rows_chosen_positions_layers_and_blocks(models):
    backbone, (tokens, _) = models["bert"].denoiser.backbone, rows()
    everything = ask(backbone, tokens)
    at = torch.tensor([[0, 8], [3, 4]])
    torch.testing.assert_close(
        ask(backbone, tokens, at=at), everything.gather(1, at[..., None].expand(-1, -1, 40)), **CLOSE
    )
    torch.testing.assert_close(ask(backbone, F.one_hot(tokens, 40).float()), everything, **CLOSE)
    with torch.no_grad():
        first = backbone.features(tokens, torch.zeros(2), layer=0)
    torch.testing.assert_close(first, backbone.placed(tokens, torch.arange(9))[0])
    noisy, cache = torch.where(torch.arange(9) % 2 == 0, MASK, tokens), KVCache()
    trained = ask(backbone, torch.cat([noisy, tokens], dim=1), pattern=BlockDiffusion(3))[:, :9]
    for start in range(0, 9, 3):
        block = slice(start, start + 3)
        found = ask(backbone, noisy[:, block], pattern=BlockCausal(3), cache=cache)
        torch.testing.assert_close(found, trained[:, block], **CLOSE)
        ask(backbone, tokens[:, block], pattern=BlockCausal(3), cache=cache)
        cache.commit(3)


def test_old_names_and_what_is_not_read(tmp_path):
    """Published files say gamma and beta for gain and bias, store the head's matrix again, and have other heads."""
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights().items()
    }
    old |= {
        "cls.predictions.decoder.weight": weights()["bert.embeddings.word_embeddings.weight"].clone(),
        "cls.predictions.decoder.bias": weights()["cls.predictions.bias"].clone(),
        "bert.embeddings.position_ids": torch.arange(12)[None], "cls.seq_relationship.weight": torch.zeros(2, 16),
        "cls.seq_relationship.bias": torch.zeros(2), "bert.pooler.dense.weight": torch.zeros(16, 16),
        "bert.pooler.dense.bias": torch.zeros(16),
    }  # fmt: skip
    folder = encoder_folder(tmp_path / "old", stored=old)
    found = ask(read_upstream(folder).denoiser.backbone, rows()[0])
    np.testing.assert_allclose(found.numpy(), recorded()["bert.logits"], **CLOSE)
    (folder / "model.safetensors").unlink()
    torch.save(old, folder / "pytorch_model.bin")
    again = ask(read_upstream(folder).denoiser.backbone, rows()[0])
    assert torch.equal(again, found)


def test_long_sequences_and_labels_are_refused(models):
    backbone = models["roberta"].denoiser.backbone
    with pytest.raises(InputError, match="position 13: the model has learned 12"):
        ask(backbone, torch.zeros(1, 13, dtype=torch.int64))
    with pytest.raises(InputError, match="without labels"):
        ask(backbone, torch.zeros(1, 3, dtype=torch.int64), labels=torch.zeros(1, dtype=torch.int64))


KMERS = (*WORDS[:5], *(f"{a}{b}{c}" for a in "ACG" for b in "ACGT" for c in "ACG"))[:40]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"hidden_act": "relu"}, "hidden_act=relu; gelu would work"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type=relative_key; absolute would work"),
        ({"is_decoder": True}, "is_decoder=True; False would work"),
        ({"num_hidden_layers": 3}, "lacks blocks.2"),
        ({"num_attention_heads": 3}, "heads must divide it"),
        ({"model_type": "distilbert"}, "model_type=distilbert; mdlm, bd3lm, caduceus, llama, gpt2, bert and roberta"),
        ({"words": None}, "has no vocabulary that is read here"),
        ({"words": WORDS[:-2]}, "its tokenizer has 38 tokens, the model 40"),
        ({"words": (*WORDS[:4], *WORDS[5:], "plot")}, "its tokenizer has 41 tokens, the model 40"),
        ({"words": KMERS}, "its tokens are pieces of DNA, such as AAA; an encoder of text"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(tmp_path, changes, line):
    with pytest.raises(InputError, match=line) as caught:
        convert(str(encoder_folder(tmp_path / "x", **changes)), str(tmp_path / "out"), quiet=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_weights_without_a_head_are_refused(tmp_path):
    stored = {name: value for name, value in weights().items() if not name.startswith("cls")}
    with pytest.raises(InputError, match="has no head that predicts tokens"):
        read_upstream(encoder_folder(tmp_path / "x", stored=stored))
    stored = {f"distil{name}": value for name, value in weights().items()}
    with pytest.raises(InputError, match=r"has no embed.weight by the name of a bert"):
        read_upstream(encoder_folder(tmp_path / "y", stored=stored))


def test_weights_that_are_there_by_two_names_are_refused(tmp_path):
    name = "bert.embeddings.LayerNorm.weight"
    stored = weights() | {name.replace("weight", "gamma"): torch.zeros(16)}
    with pytest.raises(InputError, match=r"has first_norm.weight twice, last as bert.embeddings.LayerNorm"):
        read_upstream(encoder_folder(tmp_path / "x", stored=stored))


def test_capitals_are_kept_where_the_folder_says_so(tmp_path):
    words = tuple(word.replace("good", "Good") for word in WORDS)
    folder = encoder_folder(tmp_path / "cased", words=words)
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    tokens = read_upstream(folder).tokenizer.encode("Good film")
    assert [words[i] for i in tokens] == ["Good", "film"]
