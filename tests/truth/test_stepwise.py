"""Samplers that draw every step, against laws carried from step to step by formulas written out here."""

import itertools

import pytest
import torch

from dnadiff.diffusion import (
    D3PM,
    AbsorbingProcess,
    Analytic,
    Cosine,
    Denoiser,
    LogLinear,
    Posterior,
    Sedd,
    Truncation,
    UniformProcess,
)
from dnadiff.diffusion.stepwise import analytic_law
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.opinions import Network, every_sequence, ideal_of_uniform
from tests.oracle import BASES, LENGTH, MASK, VOCAB, P, chi_square_p, ideal
from tests.tiny import tiny_denoiser
from tests.truth.test_samplers import ancestral_law

N, K = 3000, len(BASES)
SCHEDULE = LogLinear()


def made_up(tokens, t):
    """Logits that depend on all tokens and on the time."""
    place = torch.arange(VOCAB, dtype=torch.float64)
    return torch.sin(tokens.double().cumsum(1)[..., None] * (1 + place) + 3 * t[:, None, None] + tokens[:, -1:, None])


def model(parameterization, process, answer=made_up):
    return Denoiser(Network(answer, process.schedule), parameterization, process, time_conditioning=True)


def uniform_step(p, z, a, b, last):
    """UDLM: law of one position's next token, by Bayes' rule; a = alpha_t, b = alpha_s."""
    chance = {}
    for j in BASES:
        stay = (a / b) * (j == z) + (1 - a / b) / K
        earlier = b * p[j] + (1 - b) / K
        chance[j] = p[j] * (a * (j == z) + (1 - a) / K) if last else stay * earlier
    return chance


def d3pm_step(p, z, a, b, last):
    """D3PM: a masked token is revealed at the rate its own probability of being masked leaves."""
    if z != MASK:
        return {z: 1.0}
    if last:
        return {j: p[j] for j in BASES}
    whole = 1 - a + a * p[MASK]
    return {j: (b - a) * p[j] / whole for j in BASES} | {MASK: (1 - b + b * p[MASK]) / whole}


def sedd_step(q, z, a, b, last):
    """SEDD: (exp(sigma_t - sigma_s) - 1) s_y, with s_y = q_y / (exp(sigma_t) - 1)."""
    if z != MASK:
        return {z: 1.0}
    if last:
        return {j: q[j] for j in BASES}
    reveal = {j: (b / a - 1) * q[j] / (1 / a - 1) for j in BASES}
    return reveal | {MASK: 1 - sum(reveal.values())}


def carried(denoiser, step, steps):
    """The law of the sequences after all steps."""
    alpha = denoiser.process.schedule.alpha
    uniform = isinstance(denoiser.process, UniformProcess)
    states = every_sequence(LENGTH, BASES if uniform else (*BASES, MASK))
    start = [1 / K**LENGTH if uniform else float((x == MASK).all()) for x in states]
    law = {tuple(x.tolist()): p for x, p in zip(states, start, strict=True) if p}
    for j in range(steps):
        now, then = 1 - j / steps, 1 - (j + 1) / steps
        a, b = (alpha(torch.tensor(time, dtype=torch.float64)).item() for time in (now, then))
        rows = torch.tensor(list(law))
        p_rows = denoiser(rows, torch.full((len(rows),), now, dtype=torch.float64)).exp().tolist()
        grown = {}
        for (x, chance), p_row in zip(law.items(), p_rows, strict=True):
            options = [step(p, z, a, b, j == steps - 1) for p, z in zip(p_row, x, strict=True)]
            options = [{y: c / sum(o.values()) for y, c in o.items() if c > 0} for o in options]
            for picks in itertools.product(*(o.items() for o in options)):
                y = tuple(token for token, _ in picks)
                share = picks[0][1] * picks[1][1] * picks[2][1]
                grown[y] = grown.get(y, 0.0) + chance * share
        law = grown
    return law


def sampled(sampler, start=(MASK,) * LENGTH, **kwargs):
    return sampler(torch.tensor([start] * N), Draws(0, range(N)), **kwargs)


UNIFORM = UniformProcess(SCHEDULE, MASK, BASES)
ABSORBING = AbsorbingProcess(SCHEDULE, MASK)
CASES = {
    "udlm": (Posterior, model(D3PM(MASK, BASES, subs_masking=True), UNIFORM), uniform_step),
    "d3pm": (Posterior, model(D3PM(MASK, BASES), ABSORBING), d3pm_step),
    "d3pm with subs masking": (Posterior, model(D3PM(MASK, BASES, subs_masking=True), ABSORBING), d3pm_step),
    "sedd": (Analytic, model(Sedd(MASK, BASES), ABSORBING, lambda x, t: made_up(x, t) - 2), sedd_step),
}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_every_step_follows_its_law(name, steps):
    """For networks that are wrong, so that nothing cancels."""
    kind, denoiser, step = CASES[name]
    law = carried(denoiser, step, steps)
    assert sum(law.values()) == pytest.approx(1) and all(MASK not in x for x in law)
    assert chi_square_p(sampled(kind(denoiser, steps, rows_per_call=N)), law) > 1e-3
    if steps == 3:
        assert chi_square_p(sampled(kind(denoiser, 1, rows_per_call=N)), law) < 1e-6  # the test can tell


def distance(law):
    return sum(abs(law.get(x, 0.0) - p) for x, p in P.items()) / 2


def ideal_ratios(schedule):
    backbone = ideal(schedule).backbone
    logits = lambda x, t: backbone(x, torch.zeros(len(x))) + torch.log(torch.tensor(float(K)))  # noqa: E731
    return model(Sedd(MASK, BASES), AbsorbingProcess(schedule, MASK), logits)


@pytest.mark.parametrize("schedule", [LogLinear(), Cosine()], ids=["loglinear", "cosine"])
def test_sedd_with_ideal_ratios_is_ancestral_sampling(schedule):
    sampler = Analytic(ideal_ratios(schedule), 3, rows_per_call=N)
    assert chi_square_p(sampled(sampler), ancestral_law(schedule, 3)) > 1e-3


@pytest.mark.parametrize("name", ["udlm", "sedd"])
def test_ideal_predictions_come_near_p_as_steps_grow(name):
    """Total variation halves as steps double, and the sampler draws what is left."""
    if name == "udlm":
        process = UniformProcess(LogLinear(1e-6), MASK, BASES)
        denoiser = model(D3PM(MASK, BASES, subs_masking=True), process, ideal_of_uniform(process))
    else:
        denoiser = ideal_ratios(LogLinear(1e-6))
    kind, _, step = CASES[name]
    laws = {steps: carried(denoiser, step, steps) for steps in (4, 8, 16)}
    near = [distance(law) for law in laws.values()]
    assert all(1.6 < a / b < 2.6 for a, b in itertools.pairwise(near)) and near[-1] < 0.05
    assert chi_square_p(sampled(kind(denoiser, 16, rows_per_call=N)), laws[16]) > 1e-3


def test_ratios_that_reveal_too_much_reveal_for_certain():
    q = torch.zeros(1, 1, VOCAB, dtype=torch.float64)
    q[..., list(BASES)] = torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    t, s = (torch.tensor([time], dtype=torch.float64) for time in (0.8, 0.2))
    law = analytic_law(ABSORBING, q, torch.tensor([[MASK]]), t, s)[0, 0]
    assert law[list(BASES)].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6, 0]) and law[MASK] == 0


@pytest.mark.parametrize("name", CASES)
def test_given_bases_stay_and_allowed_ones_come(name):
    kind, denoiser, _ = CASES[name]
    start = (8, MASK, MASK)
    allowed = torch.zeros(LENGTH, VOCAB, dtype=torch.bool)
    allowed[1, [7, 9]], allowed[2, 10] = True, True
    x = sampled(kind(denoiser, 4, rows_per_call=N), start, allowed=allowed)
    assert (x[:, 0] == 8).all() and set(x[:, 1].tolist()) == {7, 9} and (x[:, 2] == 10).all()
    with pytest.raises(InputError, match="a position is left without any token"):
        sampled(kind(denoiser, 4), start, allowed=torch.zeros(VOCAB, dtype=torch.bool))


@pytest.mark.parametrize("name", CASES)
def test_truncation_acts_on_the_prediction_of_x0(name):
    """One step from the prior with the likeliest base only; UDLM's own token then changes nothing."""
    kind, denoiser, _ = CASES[name]
    x = sampled(kind(denoiser, 1, truncation=Truncation(top_k=1), rows_per_call=N))
    if name != "udlm":
        assert len(x.unique(dim=0)) == 1
        first = denoiser(torch.full((1, LENGTH), MASK), torch.ones(1))[..., list(BASES)].argmax(-1)[0]
        assert x[0].tolist() == [BASES[i] for i in first]
    else:
        start = UNIFORM.noise(Draws(0, range(N)).uniform("prior", 0, LENGTH))
        first = denoiser(start, torch.ones(N))[..., list(BASES)].argmax(-1)
        assert torch.equal(x, torch.tensor(BASES)[first])


@pytest.mark.parametrize("name", CASES)
def test_progress_adds_up(name):
    kind, denoiser, _ = CASES[name]
    told = []
    kind(denoiser, 5)(torch.tensor([[MASK] * LENGTH, [8, MASK, 9]]), Draws(0, [0, 1]), progress=told.append)
    assert sum(told) == LENGTH + 1 and len(told) <= 10 and all(n >= 0 for n in told)


def test_what_cannot_be_walked_is_refused():
    with pytest.raises(InputError, match="steps=0"):
        Posterior(CASES["udlm"][1], 0)
    with pytest.raises(InputError, match="Posterior: found a denoiser with Subs; one with D3PM works"):
        Posterior(tiny_denoiser(), 3)
    with pytest.raises(InputError, match="Analytic: found a denoiser with D3PM; one with Sedd works"):
        Analytic(CASES["d3pm"][1], 3)
