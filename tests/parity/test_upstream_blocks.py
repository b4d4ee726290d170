"""Block diffusion with the published code's weights: its losses, branches, cache, window and search."""

import pytest
import torch

from dnadiff.diffusion import AbsorbingProcess, Batch, BlockNELBO, Clip, Denoiser, LogLinear, Noised, Subs
from dnadiff.diffusion.noise_search import published_candidates, published_choice
from dnadiff.models.attention import BlockCausal, BlockDiffusion
from dnadiff.models.cache import KVCache
from tests.parity.test_upstream import arrays, backbone

CLOSE = dict(atol=1e-5, rtol=1e-5)
LOGITS = dict(atol=1e-5, rtol=0)
SIZES = [1, 4, 8, 32]
SCHEDULE = LogLinear(0.0)  # of BD3-LM


@pytest.fixture(scope="module")
def model():
    network, ref = backbone("bd3lm")
    mask_id = int(ref["mask_index"])
    allowed = tuple(i for i in range(int(ref["vocab_size"])) if i != mask_id)
    return Denoiser(network, Subs(mask_id, allowed), AbsorbingProcess(SCHEDULE, mask_id)).eval()


@pytest.fixture(scope="module")
def ref():
    return arrays("bd3lm") | arrays("bd3lm_losses")


def batch_of(ref):
    """Position 0 is [BOS], which is never masked and not scored."""
    given = torch.zeros_like(ref["x0"], dtype=torch.bool)
    given[:, 0] = True
    return Batch(ref["x0"], ref["attention_mask"].bool(), given)


def published(ref, low, high, size):
    return BlockNELBO(
        AbsorbingProcess(SCHEDULE, int(ref["mask_index"])), size, "time", clip=Clip(low, high), published=True
    )


def levels(eps):
    """The published strata, tied to the place of the block in the batch."""
    return (eps.double() / eps.numel() + torch.arange(eps.numel()).reshape(eps.shape) / eps.numel()) % 1


@pytest.mark.parametrize("size", SIZES)
def test_corruption_and_loss(model, ref, size):
    """From the recorded uniforms to the recorded loss: mask, time, weight, logits, SUBS."""
    everything = Batch(ref["x0"], torch.ones_like(ref["x0"], dtype=torch.bool), batch_of(ref).given)
    objective = published(ref, 1e-3, 1.0, size)
    noised = objective.corrupt(everything, levels(ref[f"bs{size}_eps"]), ref[f"bs{size}_u"].double())
    assert torch.equal(noised.xt, ref[f"bs{size}_xt"])
    torch.testing.assert_close(noised.t.float(), ref[f"bs{size}_t"].expand(2, 32), **CLOSE)
    with torch.no_grad():
        loss = objective.loss(model, everything, noised)
        torch.testing.assert_close(loss.nll, ref[f"bs{size}_loss"].float(), **CLOSE)
        scored = objective.loss(model, batch_of(ref), noised)
    assert torch.equal(scored.valid, ref[f"bs{size}_token_mask"].bool())
    torch.testing.assert_close(torch.where(scored.valid, scored.nll, 0.0), ref[f"bs{size}_nlls"], **CLOSE)
    torch.testing.assert_close(scored.mean, ref[f"bs{size}_token_nll"], **CLOSE)


@pytest.mark.parametrize("size", SIZES)
def test_logits_of_the_noisy_half_and_log_probabilities(model, ref, size):
    both = torch.cat([ref[f"bs{size}_xt"], ref["x0"]], dim=1)
    for at in (None, slice(0, 32)):
        logits = model.backbone(both, ref[f"bs{size}_sigma"], pattern=BlockDiffusion(size), at=at)[:, :32]
        torch.testing.assert_close(logits, ref[f"bs{size}_logits"], **LOGITS)
    log_p = model(both, None, pattern=BlockDiffusion(size), at=slice(0, 32))
    possible = ref[f"bs{size}_logprobs"] > -5e5
    assert torch.equal(log_p > -5e5, possible)
    torch.testing.assert_close(log_p[possible], ref[f"bs{size}_logprobs"][possible], **LOGITS)


@pytest.mark.parametrize("branch", ["clip", "hiclip"])
def test_clipped_branches(model, ref, branch):
    """The weight is 1/t, or 1 once the range begins above 0.5."""
    low, high = ref[f"{branch}_range"].tolist()
    objective, xt = published(ref, low, high, 4), ref[f"{branch}_xt"]
    level = levels(ref[f"{branch}_eps"])
    u = (xt != ref["mask_index"]).double() * (1 - 2**-53)  # the recorded mask was drawn again until its share fitted
    everything = Batch(ref["x0"], torch.ones_like(ref["x0"], dtype=torch.bool), batch_of(ref).given)
    noised = objective.corrupt(everything, level, u)
    assert torch.equal(noised.xt, xt)
    torch.testing.assert_close(noised.t.float(), ref[f"{branch}_t"], **CLOSE)
    loss = objective.loss(model, batch_of(ref), noised)
    torch.testing.assert_close(torch.where(loss.valid, loss.nll, 0.0), ref[f"{branch}_nlls"], **CLOSE)
    torch.testing.assert_close(loss.mean, ref[f"{branch}_token_nll"], **CLOSE)


def test_blocks_of_one_have_the_published_likelihood_without_a_mode_of_their_own(model, ref):
    """The count estimator masks everything, which the published code does by clipping to [1, 1]."""
    objective = BlockNELBO(model.process, 1)
    batch = batch_of(ref)
    noised = objective.corrupt(batch, torch.full((2, 32), 0.3), torch.rand(2, 32).double())
    assert torch.equal(noised.xt[batch.valid], ref["nll1_xt"][batch.valid])
    hidden = Noised(ref["nll1_xt"], noised.t, noised.weight)  # attention sees the masks under the pads too
    loss = objective.loss(model, batch, hidden)
    torch.testing.assert_close(torch.where(loss.valid, loss.nll, 0.0), ref["nll1_nlls"], **CLOSE)
    torch.testing.assert_close(loss.mean, ref["nll1_token_nll"], **CLOSE)


def test_gradients(ref):
    network, _ = backbone("bd3lm")
    mask_id = int(ref["mask_index"])
    model = Denoiser(network, Subs(mask_id, tuple(range(mask_id))), AbsorbingProcess(SCHEDULE, mask_id))
    objective = published(ref, 1e-3, 1.0, 4)
    everything = Batch(ref["x0"], torch.ones_like(ref["x0"], dtype=torch.bool), batch_of(ref).given)
    noised = objective.corrupt(everything, levels(ref["bs4_eps"]), ref["bs4_u"].double())
    objective.loss(model, batch_of(ref), noised).mean.backward()
    for name, parameter in network.named_parameters():
        if f"grad_{name}" in ref:
            torch.testing.assert_close(parameter.grad, ref[f"grad_{name}"], atol=1e-5, rtol=1e-3)
    assert sum(key.startswith("grad_") for key in ref) > 5
    norms = torch.stack([p.grad.norm() for _, p in sorted(network.named_parameters())])
    torch.testing.assert_close(norms, ref["grad_norms"], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def cached(model, ref, xt, size, window=None):
    """Logits of every block, each finished one stored in the pass of the next."""
    cache, parts, pending = KVCache(None if window is None else window - size), [], xt[:, :0]
    for start in range(0, 32, size):
        feed = torch.cat([pending, xt[:, start : start + size]], dim=1)
        at = slice(pending.shape[1], feed.shape[1])
        parts.append(model.backbone(feed, torch.zeros(2), pattern=BlockCausal(size, window), cache=cache, at=at))
        cache.commit(pending.shape[1])
        pending = ref["x0"][:, start : start + size]
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("size", SIZES)
def test_cached_sampling(model, ref, size):
    torch.testing.assert_close(cached(model, ref, ref[f"bs{size}_xt"], size), ref[f"bs{size}_kv_logits"], **LOGITS)


def test_uncached_sampling(model, ref):
    """A noisy block behind its clean prefix, all computed at once."""
    for start in range(0, 32, 4):
        row = torch.cat([ref["x0"][:, :start], ref["bs4_xt"][:, start : start + 4]], dim=1)
        logits = model.backbone(row, torch.zeros(2), pattern=BlockCausal(4))[:, start:]
        torch.testing.assert_close(logits, ref["nokv_logits"][:, start : start + 4], **LOGITS)


def test_sliding_window(model, ref):
    """Absolute positions and rotated keys give what rotating anew from the window's edge gives."""
    window = int(ref["slide_window"])
    torch.testing.assert_close(cached(model, ref, ref["bs4_xt"], 4, window), ref["slide_logits"], **LOGITS)
    assert (ref["slide_logits"] - ref["nokv_logits"])[:, window:].abs().max() > 1e-3


def test_search(ref):
    candidates = published_candidates(int(ref["block_size"]))
    found = torch.tensor([(c.low, c.high) for c in candidates])
    torch.testing.assert_close(found, ref["search_candidates"], **CLOSE)
    variance = ref["search_block_nlls"].flatten(2).var(-1).sum(-1)
    torch.testing.assert_close(variance, ref["search_var"], **CLOSE)
    best = published_choice(candidates, variance)
    assert [best.low, best.high] == pytest.approx(ref["search_best"].tolist())
