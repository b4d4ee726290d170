"""The uniform process against the laws it is made of: rates, Bayes' rule by enumeration, Chapman-Kolmogorov."""

import itertools

import pytest
import torch
from scipy import stats

from dnadiff.diffusion import SCHEDULES, UniformProcess
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, MASK, SCHEDULE_NAMES, VOCAB

S, T, K = 0.3, 0.8, len(BASES)


def at(value):
    return torch.tensor([value], dtype=torch.float64)


def onehot(token):
    return torch.nn.functional.one_hot(torch.tensor([[token]]), VOCAB).double()


def process_of(name):
    return UniformProcess(SCHEDULES[name](), MASK, BASES)


def chance(alpha, j, x):
    return alpha * (j == x) + (1 - alpha) / K


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_the_posterior_is_bayes_rule(name):
    """q(x_t | x_s) q(x_s | x_0) / q(x_t | x_0), each written out."""
    process = process_of(name)
    alpha_t, alpha_s = process.schedule.alpha(at(T)).item(), process.schedule.alpha(at(S)).item()
    for x0, z in itertools.product(BASES, BASES):
        q = process.posterior(onehot(x0), torch.tensor([[z]]), at(T), at(S))[0, 0]
        for j in BASES:
            want = chance(alpha_t / alpha_s, z, j) * chance(alpha_s, j, x0) / chance(alpha_t, z, x0)
            assert q[j].item() == pytest.approx(want, rel=1e-9)
        assert q.sum().item() == pytest.approx(1, rel=1e-12) and q[MASK] == 0


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_chapman_kolmogorov(name):
    """sum over x_t of q(x_t | x_0) q(x_s | x_t, x_0) = q(x_s | x_0)."""
    process = process_of(name)
    alpha_t, alpha_s = process.schedule.alpha(at(T)).item(), process.schedule.alpha(at(S)).item()
    for x0 in BASES:
        total = sum(
            chance(alpha_t, z, x0) * process.posterior(onehot(x0), torch.tensor([[z]]), at(T), at(S))[0, 0]
            for z in BASES
        )
        for j in BASES:
            assert total[j].item() == pytest.approx(chance(alpha_s, j, x0), rel=1e-9)


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
@pytest.mark.parametrize("t", [0.05, 0.5, 1.0])
def test_corruption_replaces_evenly_at_the_schedules_rate(name, t):
    process, n = process_of(name), 100_000
    u = (torch.arange(n, dtype=torch.float64)[None] + 0.5) / n
    xt = process.corrupt(torch.full((1, n), 9), process.schedule.move_chance(at(t)), u)
    alpha = process.schedule.alpha(at(t)).item()
    for token in BASES:
        assert (xt == token).double().mean().item() == pytest.approx(chance(alpha, token, 9), abs=2e-5)
    assert set(xt.unique().tolist()) <= set(BASES)


def test_noise_is_even_and_has_no_mask():
    noise = UniformProcess(SCHEDULES["loglinear"](), MASK, (10, 7, 8, 7, 9)).noise(
        Draws(0, [1, 2]).uniform("u", 0, 4000)
    )
    assert noise.shape == (2, 4000) and set(noise.unique().tolist()) == set(BASES)
    assert stats.chisquare(torch.bincount(noise.flatten())[list(BASES)].numpy()).pvalue > 1e-3


def test_a_sampler_starts_from_masks_that_stand_for_wanted_tokens():
    assert process_of("loglinear").prior(2, 3).tolist() == [[MASK] * 3] * 2


@pytest.mark.parametrize("name", ["loglinear", "linear"])
def test_the_clean_law_is_bayes_rule(name):
    """p(x_0) q(x_t | x_0), normalised; the mask and what p rules out have none."""
    process = process_of(name)
    p = torch.zeros(1, 1, VOCAB, dtype=torch.float64)
    p[..., list(BASES)] = torch.tensor([0.1, 0.5, 0.4, 0.0], dtype=torch.float64)
    alpha = process.schedule.alpha(at(0.1)).item()
    for z in BASES:
        law = process.clean(p, torch.tensor([[z]]), at(0.1))[0, 0]
        joint = {x: p[0, 0, x].item() * chance(alpha, z, x) for x in BASES}
        for x in BASES:
            assert law[x].item() == pytest.approx(joint[x] / sum(joint.values()), rel=1e-9)
        assert law.sum().item() == pytest.approx(1)


def test_inputs_stay():
    process = process_of("loglinear")
    x0, u, p = torch.tensor([[7, 8]]), torch.tensor([[0.1, 0.9]]).double(), onehot(7).expand(1, 2, -1).clone()
    before = x0.clone(), u.clone(), p.clone()
    process.corrupt(x0, at(0.5), u)
    process.posterior(p, x0, at(T), at(S))
    assert all(map(torch.equal, before, (x0, u, p)))


@pytest.mark.parametrize("tokens", [(), (7,), (7, 8, MASK)])
def test_impossible_sets(tokens):
    with pytest.raises(InputError, match="tokens="):
        UniformProcess(SCHEDULES["loglinear"](), MASK, tokens)
