"""GPT-2 and Llama against the transformers library: the same logits of the same folders, under its masks and ours."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dnadiff.checkpoints.upstream import read_upstream
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full
from dnadiff.models.cache import KVCache
from tests.foreign import PARITY

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
NAMES = ("gpt2", "llama")


@pytest.fixture(scope="module")
def arrays():
    with np.load(PARITY / "decoders.npz") as file:
        return {key: file[key] for key in file.files}


def folder(path, arrays, name, **changes):
    """The folder as the library wrote it, its configuration changed."""
    prefix = f"{name}.w."
    weights = {key.removeprefix(prefix): torch.from_numpy(x) for key, x in arrays.items() if key.startswith(prefix)}
    path.mkdir()
    save_file(weights, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(json.loads(str(arrays[f"{name}.config"])) | changes))
    return path


@pytest.fixture(scope="module")
def models(arrays, tmp_path_factory):
    place = tmp_path_factory.mktemp("folders")
    return {name: read_upstream(folder(place / name, arrays, name)).denoiser.backbone for name in NAMES}


def ask(model, tokens, **options):
    with torch.no_grad():
        return model(tokens, torch.zeros(len(tokens)), **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("of", "pattern"), [("logits", BlockCausal(1)), ("blocks", BlockCausal(3))])
def test_logits_are_the_librarys(models, arrays, name, of, pattern):
    found = ask(models[name], torch.from_numpy(arrays["tokens"]), pattern=pattern)
    np.testing.assert_allclose(found[..., :11].numpy(), arrays[f"{name}.{of}"], **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_the_clean_stream_in_blocks_of_one_is_the_autoregressive_model(models, arrays, name):
    """In [x_t ; x_0] the clean half is causal and sees nothing of the noisy half, whatever that is."""
    tokens = torch.from_numpy(arrays["tokens"])
    both = torch.cat([torch.full_like(tokens, 11), tokens], dim=1)
    clean = ask(models[name], both, pattern=BlockDiffusion(1))[:, 9:, :11]
    np.testing.assert_allclose(clean.numpy(), arrays[f"{name}.logits"], **CLOSE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 3, 4])
def test_cached_blocks_are_those_of_the_training_mask(models, arrays, name, size):
    """A noisy block behind a cache of the clean ones has the logits it has in [x_t ; x_0]."""
    clean = torch.from_numpy(arrays["tokens"])
    noisy = torch.where(torch.arange(9) % 2 == 0, 11, clean)
    trained = ask(models[name], torch.cat([noisy, clean], dim=1), pattern=BlockDiffusion(size))[:, :9]
    cache = KVCache()
    for start in range(0, 9, size):
        block = slice(start, min(9, start + size))
        found = ask(models[name], noisy[:, block], pattern=BlockCausal(size), cache=cache)
        torch.testing.assert_close(found, trained[:, block], **CLOSE)
        ask(models[name], clean[:, block], pattern=BlockCausal(size), cache=cache)
        cache.commit(block.stop - start)


@pytest.mark.parametrize("name", NAMES)
def test_chosen_positions_hidden_keys_and_features(models, arrays, name):
    model, tokens = models[name], torch.from_numpy(arrays["tokens"])
    everything = ask(model, tokens, pattern=Full())
    at = torch.tensor([[0, 8], [3, 4]])
    picked = everything.gather(1, at[..., None].expand(-1, -1, 12))
    torch.testing.assert_close(ask(model, tokens, at=at), picked, **CLOSE)
    torch.testing.assert_close(ask(model, tokens, at=slice(2, 5)), everything[:, 2:5], **CLOSE)
    valid = torch.arange(9).expand(2, 9) < 6
    changed = torch.where(valid, tokens, 0)
    torch.testing.assert_close(ask(model, tokens, valid=valid)[:, :6], ask(model, changed, valid=valid)[:, :6], **CLOSE)
    with torch.no_grad():
        states = model.features(tokens, torch.zeros(2))
        torch.testing.assert_close(
            states @ model.embed.weight.T if model.head is None else model.head(states), everything
        )
        first = model.features(tokens, torch.zeros(2), layer=0)
        torch.testing.assert_close(first, model.placed(tokens, torch.arange(9))[0])
        assert model.features(tokens, torch.zeros(2), layer=1).shape == (2, 9, 16)


def test_long_sequences_and_labels_are_refused(models):
    with pytest.raises(InputError, match="position 13: the model has learned 12"):
        ask(models["gpt2"], torch.zeros(1, 13, dtype=torch.int64))
    with pytest.raises(InputError, match="without labels"):
        ask(models["llama"], torch.zeros(1, 3, dtype=torch.int64), labels=torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "without scaling would work"),
        ("llama", {"attention_bias": True}, "attention_bias=True; False would work"),
        ("llama", {"head_dim": 8}, "head_dim=8; 4 would work"),
        ("llama", {"intermediate_size": 24}, "mlp"),
        ("gpt2", {"activation_function": "relu"}, "activation_function=relu; gelu_new would work"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "False would work"),
        ("gpt2", {"n_layer": 3}, "blocks.2"),
    ],
)  # fmt: skip
def test_what_would_be_another_function_is_refused(tmp_path, arrays, name, change, line):
    with pytest.raises(InputError, match=line) as caught:
        read_upstream(folder(tmp_path / name, arrays, name, **change))
    assert "\n" not in str(caught.value)


ODD = {
    "gpt2": {"wte.weight": torch.zeros(()), "h.0.attn.c_attn.bias": torch.zeros(1)},
    "llama": {"embed_tokens.weight": torch.zeros(0, 4), "norm.weight": None, "lm_head.weight": torch.zeros(())},
}


@pytest.mark.parametrize(("name", "weight"), [(name, weight) for name in ODD for weight in ODD[name]])
def test_weights_of_shapes_that_no_model_has_are_refused_in_a_line(arrays, tmp_path, name, weight):
    place = folder(tmp_path / name, arrays, name)
    stored = load_file(place / "model.safetensors")
    full = next((key for key in stored if key.endswith(weight) and ".layers." not in key), f"model.{weight}")
    stored |= {full: ODD[name][weight]}
    save_file({key: value for key, value in stored.items() if value is not None}, place / "model.safetensors")
    with pytest.raises(InputError) as caught:
        read_upstream(place)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(("work", "again"))


def test_weights_of_whole_numbers_are_refused_by_name(arrays, tmp_path):
    place = folder(tmp_path / "x", arrays, "gpt2")
    stored = {key: value.long() for key, value in load_file(place / "model.safetensors").items()}
    save_file(stored, place / "model.safetensors")
    with pytest.raises(InputError, match=r"is torch\.int64; weights of floating types would work"):
        read_upstream(place)
