"""Same weights, same numbers as the published implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dnadiff.diffusion import (
    AbsorbingProcess,
    Batch,
    Cosine,
    CosineSquared,
    Denoiser,
    Geometric,
    Linear,
    LogLinear,
    MaskedNELBO,
    NextToken,
    NextTokenNLL,
    Noised,
    Subs,
)
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full
from dnadiff.models.cache import KVCache
from dnadiff.models.dit import DiT
from dnadiff.random import Draws

HERE = Path(__file__).parent
LOGITS = dict(atol=2e-5, rtol=0)
SIZES = {
    "mdlm": dict(vocab_size=12, hidden_size=64, n_blocks=2, n_heads=2, cond_dim=128),
    "ar": dict(vocab_size=12, hidden_size=64, n_blocks=2, n_heads=2, adaln=False),
    "bd3lm": dict(vocab_size=10, hidden_size=64, n_blocks=3, n_heads=4, cond_dim=32),
}


def arrays(name):
    with np.load(HERE / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def backbone(name):
    """Our DiT with the recorded weights; strict: every name must be upstream's."""
    ref = arrays(name)
    model = DiT(**SIZES[name])
    model.load_state_dict({key[2:]: value for key, value in ref.items() if key.startswith("w.")}, strict=True)
    return model.eval(), ref


@pytest.fixture(scope="module")
def mdlm():
    return backbone("mdlm")


@pytest.fixture(scope="module")
def bd3lm():
    return backbone("bd3lm")


@pytest.mark.parametrize("tag", ["tc0", "tc1"])
def test_mdlm_logits(mdlm, tag):
    model, ref = mdlm
    torch.testing.assert_close(model(ref["xt"], ref[f"{tag}_sigma_in"]), ref[f"{tag}_logits"], **LOGITS)


def test_mdlm_features_are_the_normed_last_hidden_states(mdlm):
    model, ref = mdlm
    norm = model.output_layer.norm_final
    torch.testing.assert_close(
        model.features(ref["xt"], ref["tc1_sigma_in"]), norm(ref["tc1_hidden"][-1]), atol=2e-5, rtol=1e-5
    )


def test_mdlm_corruption(mdlm):
    _, ref = mdlm
    process = AbsorbingProcess(LogLinear(), mask_id=3)
    times = 0.999 * ((ref["ld_u"] / 4 + torch.arange(4) / 4) % 1) + 0.001
    torch.testing.assert_close(times.float(), ref["t"].flatten(), atol=1e-6, rtol=0)
    moved = process.corrupt(ref["x0"], process.schedule.move_chance(ref["t"].flatten()), ref["q_u"])
    assert torch.equal(moved, ref["xt"])


@pytest.mark.parametrize("tag", ["tc0", "tc1"])
def test_mdlm_nll(mdlm, tag):
    """The weight of the time estimator without its factor 1 - eps is upstream's loss."""
    model, ref = mdlm
    process = AbsorbingProcess(LogLinear(), mask_id=3)
    denoiser = Denoiser(model, Subs(3, tuple(i for i in range(12) if i != 3)), process, time_conditioning=tag == "tc1")
    t = ref["t"].flatten()
    weight = torch.where(ref["xt"] == 3, process.schedule.weight(t)[:, None], 0.0)
    batch = Batch(ref["x0"], ref["attention_mask"].bool())
    loss = MaskedNELBO(process, "time").loss(denoiser, batch, Noised(ref["xt"], t, weight))
    nll = torch.where(loss.valid, loss.nll, 0.0)
    torch.testing.assert_close(nll, ref[f"{tag}_nll"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(loss.mean, ref[f"{tag}_loss"].float(), atol=1e-4, rtol=1e-5)


def test_mdlm_gradients(mdlm):
    model, ref = backbone("mdlm")
    process = AbsorbingProcess(LogLinear(), mask_id=3)
    denoiser = Denoiser(model, Subs(3, tuple(i for i in range(12) if i != 3)), process, time_conditioning=True)
    t = ref["t"].flatten()
    weight = torch.where(ref["xt"] == 3, process.schedule.weight(t)[:, None], 0.0)
    batch = Batch(ref["x0"], ref["attention_mask"].bool())
    MaskedNELBO(process, "time").loss(denoiser, batch, Noised(ref["xt"], t, weight)).mean.backward()
    norms = torch.stack([p.grad.norm() for p in model.parameters()])
    torch.testing.assert_close(norms, ref["grad_norms_tc1"].float(), atol=1e-4, rtol=1e-4)
    for name, parameter in model.named_parameters():
        if f"gradtc1.{name}" in ref:
            torch.testing.assert_close(parameter.grad, ref[f"gradtc1.{name}"], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("loglinear", LogLinear(1e-3)),
        ("cosine", Cosine(1e-3)),
        ("cosinesqr", CosineSquared(1e-3)),
        ("linear", Linear(1e-3, 7.0)),
        ("geometric", Geometric(1e-4, 20.0)),
    ],
)
def test_mdlm_schedules(mdlm, name, schedule):
    _, ref = mdlm
    t = ref["noise_grid_t"].double()
    torch.testing.assert_close(schedule.sigma(t).float(), ref[f"noise_{name}_sigma"].float(), atol=1e-5, rtol=1e-4)
    rate = -schedule.dalpha(t) / schedule.alpha(t)
    torch.testing.assert_close(rate.float(), ref[f"noise_{name}_dsigma"].float(), atol=2e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def ar():
    model, ref = backbone("ar")
    everything = tuple(i for i in range(12) if i != 3)
    return Denoiser(model, NextToken(3, everything), AbsorbingProcess(LogLinear(), mask_id=3)), ref


def test_ar_log_probabilities(ar):
    """Upstream rules the mask out with a logit of -1000."""
    denoiser, ref = ar
    possible = ref["ar_logprobs"] > -500
    log_p = denoiser(ref["x0"], None, pattern=BlockCausal(1))
    torch.testing.assert_close(log_p[possible], ref["ar_logprobs"][possible], **LOGITS)


def test_ar_nll(ar):
    """Upstream scores token i + 1 with the logits at i and counts its first pad as a token of the shifted row."""
    denoiser, ref = ar
    loss = NextTokenNLL()(denoiser, Batch(ref["x0"], ref["attention_mask"].bool()), Draws(0, range(4)))
    assert not loss.nll[:, 0].any() and not loss.valid[:, 0].any()
    torch.testing.assert_close(loss.nll[:, 1:], ref["ar_nll"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(loss.mean, ref["ar_loss"], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 4, 8, 32])
def test_bd3lm_training_mask_and_logits(bd3lm, size):
    model, ref = bd3lm
    pattern = BlockDiffusion(size)
    assert torch.equal(pattern.mask(64), ref[f"bs{size}_attn_mask"])
    both = torch.cat([ref[f"bs{size}_xt"], ref["x0"]], dim=1)
    logits = model(both, ref[f"bs{size}_sigma"], pattern=pattern)
    torch.testing.assert_close(logits[:, :32], ref[f"bs{size}_logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [1, 4, 8, 32])
def test_bd3lm_cached_logits(bd3lm, size):
    """Denoise a block on the cache of the clean blocks before it, then keep the clean block."""
    model, ref = bd3lm
    cache, sigma, parts = KVCache(), torch.zeros(2), []
    for start in range(0, 32, size):
        block = slice(start, start + size)
        parts.append(model(ref[f"bs{size}_xt"][:, block], sigma, pattern=BlockCausal(size), cache=cache))
        model(ref["x0"][:, block], sigma, pattern=BlockCausal(size), cache=cache)
        cache.commit(size)
    torch.testing.assert_close(torch.cat(parts, dim=1), ref[f"bs{size}_kv_logits"], atol=1e-5, rtol=0)


def test_bd3lm_noise_level_a_row_and_a_token(bd3lm):
    model, ref = bd3lm
    both = torch.cat([ref["bs4_xt"], ref["x0"]], dim=1)
    by_row = model(both, ref["tc_row_sigma"], pattern=BlockDiffusion(4))[:, :32]
    torch.testing.assert_close(by_row, ref["tc_row_logits"], atol=1e-5, rtol=0)
    by_token = model(both, ref["tc_tok_sigma"].reshape(2, 64), pattern=BlockDiffusion(4))[:, :32]
    torch.testing.assert_close(by_token, ref["tc_tok_logits"], atol=1e-5, rtol=0)


def test_mdlm_is_block_diffusion_with_one_block(bd3lm):
    model, ref = bd3lm
    logits = model(ref["bs32_xt"], torch.zeros(2), pattern=Full())
    torch.testing.assert_close(logits, ref["mdlm_logits"], atol=1e-5, rtol=0)
