"""A converted checkpoint answers what upstream recorded, whichever way it was stored."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

import dnadiff
from dnadiff.checkpoints.folder import load_tokenizer, read_provenance, read_spec
from dnadiff.cli import main
from dnadiff.models.attention import BlockCausal, BlockDiffusion
from tests.foreign import SHIFT, arrays, bd3lm_as_pickled, lightning, mdlm_config, state_dict, weights

LOGITS = dict(atol=2e-5, rtol=0)


def converted(source, out, *flags):
    """The denoiser of what ``dna-diff convert`` makes of a checkpoint."""
    assert main(["convert", str(source), "-o", str(out), *flags]) == 0
    return dnadiff.load(out)


def same_weights(backbone, wanted):
    found = backbone.state_dict()
    assert found.keys() == wanted.keys()
    return all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("container", [dict, OmegaConf.create])
@pytest.mark.parametrize("prefix", ["backbone.", "backbone._orig_mod.", "_orig_mod.backbone.", "module.backbone."])
def test_mdlm_logits(tmp_path, container, prefix):
    source = lightning(tmp_path / "mdlm.ckpt", config=container(mdlm_config()), prefix=prefix)
    denoiser, ref = converted(source, tmp_path / "model", "--weights", "raw"), arrays("mdlm")
    for tag in ("tc0", "tc1"):
        logits = denoiser.backbone(ref["xt"], ref[f"{tag}_sigma_in"])
        torch.testing.assert_close(logits, ref[f"{tag}_logits"], **LOGITS)
    out = denoiser(ref["xt"], ref["t"].flatten())
    possible = ref["tc0_out"] > -1e5
    torch.testing.assert_close(out[possible], ref["tc0_out"][possible], **LOGITS)


def test_time_conditioning_comes_from_the_configuration(tmp_path):
    source = lightning(tmp_path / "mdlm.ckpt", config=mdlm_config(time_conditioning=True))
    denoiser, ref = converted(source, tmp_path / "model", "--weights", "raw"), arrays("mdlm")
    out, possible = denoiser(ref["xt"], ref["t"].flatten()), ref["tc1_out"] > -1e5
    torch.testing.assert_close(out[possible], ref["tc1_out"][possible], **LOGITS)


def test_averaged_weights_are_the_default_and_keep_their_names(tmp_path):
    source = lightning(tmp_path / "mdlm.ckpt")
    averaged = {name: value + SHIFT for name, value in weights("mdlm").items()}
    assert same_weights(converted(source, tmp_path / "default").backbone, averaged)
    assert same_weights(converted(source, tmp_path / "ema", "--weights", "ema").backbone, averaged)
    assert same_weights(converted(source, tmp_path / "raw", "--weights", "raw").backbone, weights("mdlm"))


def test_ar_log_probabilities(tmp_path):
    denoiser = converted(lightning(tmp_path / "ar.ckpt", "ar"), tmp_path / "model", "--weights", "raw")
    ref, spec = arrays("ar"), read_spec(tmp_path / "model")
    log_p, possible = denoiser(ref["x0"], None, pattern=BlockCausal(1)), ref["ar_logprobs"] > -500
    torch.testing.assert_close(log_p[possible], ref["ar_logprobs"][possible], **LOGITS)
    assert (spec["algo"], spec["parameterization"]["name"], spec["bos"]) == ("ar", "next_token", True)


def test_bd3lm_as_upstream_pickled_it(tmp_path, capsys):
    source = bd3lm_as_pickled(tmp_path / "bd3lm.ckpt")
    denoiser, ref = converted(source, tmp_path / "model", "--weights", "raw"), arrays("bd3lm")
    both = torch.cat([ref["bs4_xt"], ref["x0"]], dim=1)
    logits = denoiser.backbone(both, ref["bs4_sigma"], pattern=BlockDiffusion(4))
    torch.testing.assert_close(logits[:, :32], ref["bs4_logits"], **LOGITS)
    spec = read_spec(tmp_path / "model")
    assert {key: spec[key] for key in ("algo", "block_size", "length", "bos", "time_conditioning")} == {
        "algo": "bd3lm", "block_size": 4, "length": 32, "bos": True, "time_conditioning": False,
    }  # fmt: skip
    assert spec["process"]["schedule"] == {"name": "loglinear", "eps": 0.0}
    assert denoiser.process.mask_id == 9 and denoiser.parameterization.allowed == tuple(range(9))
    tokenizer = load_tokenizer(tmp_path / "model")  # [BOS] 0, [EOS] 1, [PAD] 2 and no mask in its JSON
    assert (tokenizer.name, tokenizer.bos_id, tokenizer.sep_id, tokenizer.pad_id) == ("ids", 0, 1, 2)
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1 and "token ids, 0 to 9; the mask is 9" in warnings[0]
    averaged = converted(source, tmp_path / "ema").backbone
    assert same_weights(averaged, {name: value + SHIFT for name, value in weights("bd3lm").items()})


CONFIG_JSON = {"model_type": "mdlm", "hidden_dim": 64, "cond_dim": 129, "n_blocks": 2, "n_heads": 2, "model_length": 32,
               "dropout": 0.1, "time_conditioning": False, "vocab_size": 12, "return_dict": False}  # fmt: skip


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_published_folder(tmp_path, kind):
    folder, ref = tmp_path / "published", arrays("mdlm")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG_JSON))
    if kind == "bin":
        torch.save(state_dict(), folder / "pytorch_model.bin")
    else:
        save_file({name: value.clone() for name, value in state_dict().items()}, folder / "model.safetensors")
    denoiser = converted(folder, tmp_path / "model")
    torch.testing.assert_close(denoiser.backbone(ref["xt"], ref["tc0_sigma_in"]), ref["tc0_logits"], **LOGITS)
    assert len(read_provenance(tmp_path / "model")["inputs"]) == 2


def test_published_block_folder(tmp_path):
    folder, ref = tmp_path / "published", arrays("bd3lm")
    folder.mkdir()
    config = {**CONFIG_JSON, "model_type": "bd3lm", "n_blocks": 3, "n_heads": 4, "cond_dim": 32, "block_size": 8}
    (folder / "config.json").write_text(json.dumps({**config, "cross_attn": True, "attn_backend": "flex"}))
    stored = {**state_dict("bd3lm"), "sampling_eps_min": torch.tensor(1e-3), "sampling_eps_max": torch.tensor(1.0)}
    save_file(stored, folder / "model.safetensors")
    denoiser = converted(folder, tmp_path / "model")
    both = torch.cat([ref["bs8_xt"], ref["x0"]], dim=1)
    logits = denoiser.backbone(both, ref["bs8_sigma"], pattern=BlockDiffusion(8))
    torch.testing.assert_close(logits[:, :32], ref["bs8_logits"], **LOGITS)
    assert read_spec(tmp_path / "model")["block_size"] == 8 and denoiser.process.mask_id == 9


def test_half_precision_weights_become_float32(tmp_path):
    stored = {name: value.to(torch.bfloat16) for name, value in state_dict().items()}
    source = lightning(tmp_path / "mdlm.ckpt", state_dict=stored)
    backbone = converted(source, tmp_path / "model", "--weights", "raw").backbone
    assert same_weights(backbone, {name: value.bfloat16().float() for name, value in weights("mdlm").items()})


def test_provenance_names_source_step_and_weights(tmp_path):
    import hashlib

    source = lightning(tmp_path / "mdlm.ckpt")
    converted(source, tmp_path / "model")
    facts = read_provenance(tmp_path / "model")
    assert facts["inputs"] == {str(source): hashlib.sha256(source.read_bytes()).hexdigest()}
    assert (facts["step"], facts["epoch"], facts["weights"]) == (1000, 1, "ema")
    assert facts["converted from"] == "mdlm checkpoint of Lightning 2.2.1"
    assert "model of token ids" in (tmp_path / "model" / "README.md").read_text()
