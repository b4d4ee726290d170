"""The process against the laws it is made of: corruption rates, rows that sum to 1, Chapman-Kolmogorov."""

import pytest
import torch

from dnadiff.diffusion import SCHEDULES, AbsorbingProcess
from tests.oracle import BASES, MASK, SCHEDULE_NAMES, VOCAB

S, T = 0.3, 0.8


def process_of(name):
    return AbsorbingProcess(SCHEDULES[name](), MASK)


def at(value):
    return torch.tensor([value], dtype=torch.float64)


def onehot(x0):
    return torch.nn.functional.one_hot(torch.tensor([[x0]]), VOCAB).double()


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_chapman_kolmogorov(name):
    """sum over x_t of q(x_t | x_0) q(x_s | x_t, x_0) = q(x_s | x_0)."""
    process = process_of(name)
    alpha_t, alpha_s = process.schedule.alpha(at(T)), process.schedule.alpha(at(S))
    for x0 in BASES:
        masked = process.posterior(onehot(x0), torch.tensor([[MASK]]), at(T), at(S))[0, 0]
        kept = process.posterior(onehot(x0), torch.tensor([[x0]]), at(T), at(S))[0, 0]
        want = torch.zeros(VOCAB, dtype=torch.float64)
        want[x0], want[MASK] = alpha_s, 1 - alpha_s
        torch.testing.assert_close((1 - alpha_t) * masked + alpha_t * kept, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_two_steps_are_one(name):
    """Staying masked from t to r and from r to s is staying masked from t to s."""
    process, x = process_of(name), torch.tensor([[MASK]])
    stay = [process.posterior(onehot(7), x, at(b), at(a))[0, 0, MASK] for a, b in ((0.5, T), (S, 0.5), (S, T))]
    torch.testing.assert_close(stay[0] * stay[1], stay[2], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_rows_sum_to_one_and_inputs_stay(name):
    process = process_of(name)
    p = torch.zeros(2, 4, VOCAB, dtype=torch.float64)
    p[..., list(BASES)] = torch.rand(2, 4, 4, dtype=torch.float64).softmax(-1)
    xt = torch.tensor([[MASK, 7, MASK, 10], [8, MASK, MASK, MASK]])
    before = p.clone(), xt.clone()
    t = torch.rand(2, 4, dtype=torch.float64) * 0.5 + 0.5
    q = process.posterior(p, xt, t, t / 2)
    torch.testing.assert_close(q.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    assert (q >= 0).all()
    assert torch.equal(p, before[0]) and torch.equal(xt, before[1])


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_masked_share_is_one_minus_alpha(name, t):
    process, n = process_of(name), 100_000
    u = (torch.arange(n, dtype=torch.float64)[None] + 0.5) / n
    xt = process.corrupt(torch.full((1, n), 7), process.schedule.move_chance(at(t)), u)
    assert (xt == MASK).double().mean().item() == pytest.approx(1 - process.schedule.alpha(at(t)).item(), abs=1e-5)
    assert set(xt.unique().tolist()) <= {7, MASK}


def test_corrupt_takes_a_chance_for_each_token():
    process = process_of("loglinear")
    x0, u = torch.tensor([[7, 8, 9], [10, 7, 8]]), torch.full((2, 3), 0.5, dtype=torch.float64)
    xt = process.corrupt(x0, torch.tensor([[0.0, 0.6, 1.0], [0.6, 0.4, 0.5]]), u)
    assert xt.tolist() == [[7, MASK, MASK], [MASK, 7, 8]]
    assert process.prior(2, 3).tolist() == [[MASK] * 3] * 2
