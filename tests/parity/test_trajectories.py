"""MDLM's samplers, replayed on the uniforms of a recorded run: every token of every step.

Upstream draws x_s from q(x_s | x_t) by the Gumbel trick, argmax of q / E with E = -log u, over all tokens and the mask.
So whether a position stays masked and, if not, which token it becomes are both known from the uniforms, and the same
posterior and denoiser must give the same trajectory. The sampler of the package uses its randomness otherwise; it is
given the reveal steps of the recorded run as its plan and upstream's draw in place of its own, and must then end where
upstream ends.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from dnadiff.diffusion import AbsorbingProcess, Denoiser, LogLinear, Subs
from dnadiff.diffusion.sampler import Plan, Revealing
from dnadiff.models.dit import DiT

MASK, STEPS = 3, 64
RUNS = ["ddpm_tc0", "ddpm_tc1", "cache_tc0"]


@pytest.fixture(scope="module")
def ref():
    with np.load(Path(__file__).parent / "mdlm.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def denoiser_of(ref, run):
    model = DiT(vocab_size=12, hidden_size=64, n_blocks=2, n_heads=2, cond_dim=128)
    model.load_state_dict({key[2:]: value for key, value in ref.items() if key.startswith("w.")})
    everything = tuple(i for i in range(12) if i != MASK)
    process = AbsorbingProcess(LogLinear(1e-3), MASK)
    return Denoiser(model.eval(), Subs(MASK, everything), process, time_conditioning=run.endswith("tc1"))


def exponential(u):
    """Upstream's -log u, with its guards."""
    return 1e-10 - (u + 1e-10).log()


@pytest.mark.parametrize("run", RUNS)
def test_posterior_and_denoiser_give_the_trajectory(ref, run):
    denoiser, times = denoiser_of(ref, run), ref["samp_timesteps"]
    x, dt = denoiser.process.prior(2, 32), (1 - 1e-5) / STEPS
    with torch.no_grad():
        for step in range(STEPS):
            t = times[step].expand(2)
            q = denoiser.process.posterior(denoiser(x, t).exp(), x, t, t - dt)
            drawn = (q / exponential(ref["samp_u"][step])).argmax(-1)
            x = torch.where(x == MASK, drawn, x)
            assert torch.equal(x, ref[f"samp_{run}_traj"][step].long()), f"step {step}"
        assert torch.equal(denoiser(x, times[-1].expand(2)).argmax(-1), ref[f"samp_{run}_final"])


class Replay(Revealing):
    """One row of a recorded run: reveals what was revealed when it was, with upstream's draw."""

    def __init__(self, denoiser, ref, run, row):
        super().__init__(denoiser)
        states = torch.cat([ref[f"samp_{run}_traj"].long(), ref[f"samp_{run}_final"][None]])[:, row]
        self.step = (states == MASK).sum(0)  # what was masked after n steps was revealed in step n
        self.times, self.u = ref["samp_timesteps"], ref["samp_u"][:, row]

    def plan(self, masked, u):
        return Plan(self.step[None], self.times[self.step][None].double())

    def draw(self, log_p, u, allowed):
        at = u[0].long()
        return (log_p.exp() / exponential(self.u[self.step[at], at])).argmax(-1)


class Positions:
    """Draws whose number of each position is the position, so that ``draw`` learns which ones it draws."""

    def rows(self, index):
        return self

    def uniform(self, stream, step, length):
        return torch.arange(length)[None].double()


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("run", RUNS)
def test_the_sampler_ends_where_upstream_ends_in_no_more_calls(ref, run, row):
    denoiser, calls = denoiser_of(ref, run), []
    sampler = Replay(denoiser, ref, run, row)
    out = sampler(denoiser.process.prior(1, 32), Positions(), progress=calls.append)
    assert torch.equal(out[0], ref[f"samp_{run}_final"][row])
    assert len(calls) == len(sampler.step.unique()), "one call for every step in which the row changes"
    assert len(calls) <= int(ref[f"samp_{run}_nfe"])
