"""Same weights, same uniforms, same losses as MDLM's code in each of its modes."""

import math

import pytest
import torch

from dnadiff.diffusion import (
    D3PM,
    AbsorbingProcess,
    Batch,
    Denoiser,
    DiscreteNELBO,
    Linear,
    LogLinear,
    LogUniform,
    MaskedNELBO,
    Noised,
    ScoreEntropy,
    Sedd,
    Subs,
)
from dnadiff.diffusion.stepwise import analytic_law
from tests.parity.test_trajectories import exponential
from tests.parity.test_upstream import LOGITS, arrays, backbone

MASK = 3
ALLOWED = tuple(i for i in range(12) if i != MASK)  # all but the mask, as upstream
T = 1000
CLOSE = dict(atol=1e-4, rtol=1e-5)


@pytest.fixture(scope="module")
def mdlm():
    return backbone("mdlm")


@pytest.fixture(scope="module")
def modes():
    return arrays("mdlm_modes")


def batch_of(ref):
    return Batch(ref["x0"], ref["attention_mask"].bool())


def drawn_time(ref):
    """MDLM's low-discrepancy times, from the recorded uniforms."""
    return 0.999 * ((ref["ld_u"].double() / 4 + torch.arange(4) / 4) % 1) + 0.001


def grid_time(ref):
    """The same on the grid of T steps."""
    return torch.floor(drawn_time(ref) * T) / T + 1 / T


def denoiser_of(model, parameterization, schedule=None, conditioned=True):
    return Denoiser(
        model, parameterization, AbsorbingProcess(schedule or LogLinear(), MASK), time_conditioning=conditioned
    )


def check(loss, ref, modes, tag):
    nll = torch.where(loss.valid, loss.nll, 0.0)
    torch.testing.assert_close(nll, modes[f"{tag}_nll"], **CLOSE)
    torch.testing.assert_close(loss.mean, modes[f"{tag}_loss"].float(), **CLOSE)


def corrupted(process, move_chance, ref, modes, tag):
    """The recorded x_t from the recorded uniforms and our move chances."""
    torch.testing.assert_close(move_chance.float(), modes[f"{tag}_move_chance"].flatten(), atol=1e-6, rtol=1e-5)
    xt = process.corrupt(ref["x0"], move_chance, ref["q_u"])
    assert torch.equal(xt, modes[f"{tag}_xt"])
    return xt


@pytest.mark.parametrize("tag", ["T1000", "T1000tc1"])
def test_masked_diffusion_in_steps(mdlm, modes, tag):
    model, ref = mdlm
    denoiser, t = denoiser_of(model, Subs(MASK, ALLOWED), conditioned=tag == "T1000tc1"), grid_time(ref)
    xt = corrupted(denoiser.process, denoiser.process.schedule.move_chance(t), ref, modes, tag)
    weight = (xt == MASK).double() * T
    check(DiscreteNELBO(denoiser.process, T).loss(denoiser, batch_of(ref), Noised(xt, t, weight)), ref, modes, tag)


@pytest.mark.parametrize(("tag", "subs_masking"), [("d3pm", False), ("d3pm_subsmask", True)])
def test_d3pm(mdlm, modes, tag, subs_masking):
    """The loss in steps, its mask terms and its reconstruction."""
    model, ref = mdlm
    denoiser, t = denoiser_of(model, D3PM(MASK, ALLOWED, subs_masking)), grid_time(ref)
    xt = corrupted(denoiser.process, denoiser.process.schedule.move_chance(t), ref, modes, tag)
    out, recorded = denoiser(xt, t), modes[f"{tag}_out"]
    possible = recorded > -1e5
    torch.testing.assert_close(out[possible], recorded[possible], **LOGITS)
    assert (out[~possible] == -1e6).all()
    noised = Noised(xt, t, (xt == MASK).double() * T, start=ref["x0"])
    check(DiscreteNELBO(denoiser.process, T).loss(denoiser, batch_of(ref), noised), ref, modes, tag)


def test_sedd(mdlm, modes):
    """Ratios at masked positions, and the score entropy."""
    model, ref = mdlm
    denoiser, t = denoiser_of(model, Sedd(MASK, ALLOWED)), drawn_time(ref)
    schedule = denoiser.process.schedule
    xt = corrupted(denoiser.process, schedule.move_chance(t), ref, modes, "sedd")
    log_score = Sedd.log_score(denoiser(xt, t), schedule.sigma(t).float())
    rows = xt == MASK
    torch.testing.assert_close(log_score[rows][:, ALLOWED], modes["sedd_out"][rows][:, ALLOWED], **LOGITS)
    weight = torch.where(rows, schedule.weight(t)[:, None], 0.0)  # upstream leaves out the factor 1 - eps
    check(ScoreEntropy(denoiser.process).loss(denoiser, batch_of(ref), Noised(xt, t, weight)), ref, modes, "sedd")


def test_importance_sampling(mdlm, modes):
    """Move chances evenly spread by their logarithm, all with one weight.

    Upstream takes 1 - exp(-eps) for the least move chance and leaves the greatest, 0.999, out of the weight.
    """
    model, ref = mdlm
    denoiser = denoiser_of(model, Subs(MASK, ALLOWED), conditioned=False)
    low = -math.expm1(-1e-3)
    move_chance = low * (0.999 / low) ** drawn_time(ref)
    xt = corrupted(denoiser.process, move_chance, ref, modes, "is")
    t = denoiser.process.schedule.inverse(1 - move_chance)
    torch.testing.assert_close(t.float(), modes["is_t"], atol=1e-6, rtol=1e-5)
    weight = torch.where(xt == MASK, -math.log(low), 0.0).double()
    objective = MaskedNELBO(denoiser.process, "time", importance_sampling=True)
    check(objective.loss(denoiser, batch_of(ref), Noised(xt, t, weight)), ref, modes, "is")


def test_importance_weight_is_upstreams_up_to_its_ends():
    class Half:
        def stratified(self, stream):
            return torch.tensor([0.5], dtype=torch.float64)

        def uniform(self, stream, step, *shape):
            return torch.zeros(1, *shape, dtype=torch.float64)

    objective = MaskedNELBO(AbsorbingProcess(LogLinear(), MASK), "time", importance_sampling=True)
    noised = objective.noise(Batch(torch.full((1, 4), 7), torch.ones(1, 4, dtype=torch.bool)), Half())
    assert noised.weight[0, 0].item() == pytest.approx(-math.log(-math.expm1(-1e-3)), rel=1e-4)


def test_change_of_variables(mdlm, modes):
    """The schedule that makes every weight equal; the network is told what upstream tells it, t itself."""
    model, ref = mdlm
    schedule, t = LogUniform(1e-3), drawn_time(ref)
    process = AbsorbingProcess(schedule, MASK)
    xt = corrupted(process, schedule.move_chance(t), ref, modes, "cv")
    subs = Subs(MASK, ALLOWED)
    told = modes["cv_sigma_in"]
    torch.testing.assert_close(told, t.float(), atol=1e-6, rtol=0)

    def denoiser(xt, t, **kwargs):
        return subs(model(xt, told, **kwargs), xt)

    weight = torch.where(xt == MASK, -math.log(-math.expm1(-1e-3)), 0.0).double()
    assert schedule.weight(t)[0].item() == pytest.approx(weight.max().item(), rel=2e-4)
    check(MaskedNELBO(process, "time").loss(denoiser, batch_of(ref), Noised(xt, t, weight)), ref, modes, "cv")


def test_linear_noise(mdlm, modes):
    model, ref = mdlm
    denoiser, t = denoiser_of(model, Subs(MASK, ALLOWED), Linear(1e-3, 7.0), conditioned=False), drawn_time(ref)
    schedule = denoiser.process.schedule
    xt = corrupted(denoiser.process, schedule.move_chance(t), ref, modes, "linear")
    weight = torch.where(xt == MASK, schedule.weight(t)[:, None], 0.0)
    check(
        MaskedNELBO(denoiser.process, "time").loss(denoiser, batch_of(ref), Noised(xt, t, weight)), ref, modes, "linear"
    )


def test_analytic_sampler(mdlm, modes):
    """SEDD's step on the recorded uniforms, token for token, then its last step from t = 1e-5."""
    model, ref = mdlm
    denoiser, times = denoiser_of(model, Subs(MASK, ALLOWED)), ref["samp_timesteps"].double()
    x, dt = denoiser.process.prior(2, 32), (1 - 1e-5) / 64
    with torch.no_grad():
        for step in range(64):
            t = times[step].expand(2)
            law = analytic_law(denoiser.process, denoiser(x, t).double().exp(), x, t, t - dt)
            x = (law / exponential(ref["samp_u"][step])).argmax(-1)
            assert torch.equal(x, modes["samp_analytic_tc1_traj"][step].long()), f"step {step}"
        t = times[-1].expand(2)
        last = denoiser.process.clean(denoiser(x, t).double().exp(), x, t)
        drawn = (last / exponential(modes["samp_analytic_tc1_u_final"])).argmax(-1)
    assert torch.equal(drawn, modes["samp_analytic_tc1_final"])
