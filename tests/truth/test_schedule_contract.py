"""Every schedule against autograd, its own inverse, its ends, closed forms, and 60 digits."""

import math

import mpmath
import pytest
import torch

from dnadiff.diffusion import (
    SCHEDULES,
    Cosine,
    CosineSquared,
    Geometric,
    Linear,
    Log,
    LogLinear,
    LogUniform,
    Square,
    SquareRoot,
)
from tests.oracle import SCHEDULE_NAMES


def times(n=257):
    return torch.linspace(1e-3, 1 - 1e-3, n, dtype=torch.float64)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
class TestEverySchedule:
    def test_dalpha_is_the_derivative_of_alpha(self, name):
        schedule, t = SCHEDULES[name](), times().requires_grad_()
        (slope,) = torch.autograd.grad(schedule.alpha(t).sum(), t)
        torch.testing.assert_close(schedule.dalpha(t.detach()), slope, rtol=1e-9, atol=1e-12)

    def test_alpha_decreases_and_move_chance_is_its_complement(self, name):
        schedule, t = SCHEDULES[name](), times()
        alpha = schedule.alpha(t)
        assert (alpha.diff() < 0).all()
        torch.testing.assert_close(schedule.move_chance(t), 1 - alpha, rtol=0, atol=1e-15)

    def test_inverse_is_the_inverse(self, name):
        schedule, t = SCHEDULES[name](), times()
        keep = schedule.alpha(t) > 1e-6  # below, alpha itself no longer tells times apart
        torch.testing.assert_close(schedule.inverse(schedule.alpha(t))[keep], t[keep], rtol=1e-8, atol=1e-9)

    def test_ends(self, name):
        schedule = SCHEDULES[name]()
        zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        assert 0 <= schedule.move_chance(zero) < 2e-3
        assert 0 <= schedule.alpha(one) < 2e-3

    def test_sigma_and_weight_follow_from_alpha(self, name):
        schedule, t = SCHEDULES[name](), times()
        alpha = schedule.alpha(t)
        torch.testing.assert_close(schedule.sigma(t), -torch.log(alpha), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(schedule.weight(t), -schedule.dalpha(t) / (1 - alpha), rtol=1e-6, atol=0)

    def test_weight_is_minus_the_slope_of_log_move_chance(self, name):
        """w(t) = d log(1 - alpha) / dt, so its integral is known without the formula under test."""
        schedule, t = SCHEDULES[name](), times(20_001)
        integral = torch.trapezoid(schedule.weight(t), t)
        want = torch.log(schedule.move_chance(t[-1]) / schedule.move_chance(t[0]))
        torch.testing.assert_close(integral, want, rtol=1e-3, atol=0)

    def test_keeps_shape_and_type(self, name):
        schedule, t = SCHEDULES[name](), torch.rand(2, 5)
        for method in (schedule.alpha, schedule.move_chance, schedule.dalpha, schedule.sigma, schedule.weight):
            assert method(t).shape == t.shape and method(t).dtype == t.dtype
        assert schedule.sigma(torch.ones(1)).isfinite().all()


TINY = 1e-9


def exact_log_uniform(sigma_min, sigma_max, t):
    low, high = (1 - mpmath.exp(-sigma) for sigma in (sigma_min, sigma_max))
    return low ** (1 - t) * high**t


EXACT = {  # the move chance at t = 1e-9 and alpha at t = 1 - 1e-9, from 60 digits
    "loglinear": (LogLinear(), lambda t: (1 - mpmath.mpf("1e-3")) * t),
    "cosine": (Cosine(), lambda t: (1 - mpmath.mpf("1e-3")) * (1 - mpmath.cos(mpmath.pi * t / 2))),
    "cosine_squared": (CosineSquared(), lambda t: (1 - mpmath.mpf("1e-3")) * mpmath.sin(mpmath.pi * t / 2) ** 2),
    "linear": (Linear(0.0, 7.0), lambda t: 1 - mpmath.exp(-7 * t)),
    "square": (Square(), lambda t: (1 - mpmath.mpf("1e-3")) * t**2),
    "square_root": (SquareRoot(), lambda t: (1 - mpmath.mpf("1e-3")) * mpmath.sqrt(t)),
    "log": (Log(), lambda t: (1 - mpmath.mpf("1e-3")) * mpmath.log(1 + t, 2)),
    "log_uniform": (LogUniform(1e-9, 7.0), lambda t: exact_log_uniform(mpmath.mpf("1e-9"), mpmath.mpf(7), t)),
    "geometric": (Geometric(1e-12, 20.0), lambda t: 1 - mpmath.exp(-(mpmath.mpf("1e-12") ** (1 - t)) * 20**t)),
}


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_tiny_times_keep_their_digits(name):
    schedule, exact = EXACT[name]
    t = torch.tensor([TINY], dtype=torch.float64)
    with mpmath.workdps(60):
        want = float(exact(mpmath.mpf(TINY)))
        sigma = float(-mpmath.log(1 - exact(mpmath.mpf(TINY))))
    assert schedule.move_chance(t).item() == pytest.approx(want, rel=1e-12)
    assert schedule.sigma(t).item() == pytest.approx(sigma, rel=1e-12)


def test_loglinear_is_mdlms():
    """sigma = -log1p(-(1 - eps) t) and the weight 1/t, eps = 1e-3."""
    t = times()
    torch.testing.assert_close(LogLinear().weight(t), 1 / t, rtol=1e-14, atol=0)
    torch.testing.assert_close(LogLinear().sigma(t), -torch.log1p(-(1 - 1e-3) * t), rtol=1e-12, atol=0)
    assert LogLinear().sigma(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(6.907755, abs=1e-6)


def test_closed_forms_at_half_time():
    t = torch.tensor([0.5], dtype=torch.float64)
    assert Cosine(0.0).alpha(t).item() == pytest.approx(math.sqrt(0.5))
    assert CosineSquared(0.0).alpha(t).item() == pytest.approx(0.5)
    assert Linear(0.0, 2.0).alpha(t).item() == pytest.approx(math.exp(-1))
    assert Square(0.0).alpha(t).item() == pytest.approx(0.75)
    assert SquareRoot(0.0).alpha(t).item() == pytest.approx(1 - math.sqrt(0.5))
    assert Log(0.0).alpha(t).item() == pytest.approx(2 - math.log2(3))
    assert LogUniform(1e-2, 7.0).weight(t).item() == pytest.approx(math.log(math.expm1(-7) / math.expm1(-1e-2)))
    assert Geometric(1e-2, 1.0).alpha(t).item() == pytest.approx(math.exp(-0.1))


@pytest.mark.parametrize(
    ("schedule", "move_chance", "loss_scaling"),
    [
        (LogLinear(0.0), lambda t: t, lambda t: 1 / t),
        (Square(0.0), lambda t: t**2, lambda t: 2 / t),
        (SquareRoot(0.0), lambda t: t**0.5, lambda t: 0.5 / t),
        (Log(0.0), lambda t: math.log1p(t) / math.log(2), lambda t: 1 / (math.log1p(t) * (1 + t))),
    ],
)
def test_bd3lms_schedules(schedule, move_chance, loss_scaling):
    """Move chance and weight as BD3-LM's ``noise_schedule`` has them, above its clamp of 1e-3."""
    for value in (0.05, 0.3, 0.9):
        t = torch.tensor([value], dtype=torch.float64)
        assert schedule.move_chance(t).item() == pytest.approx(move_chance(value), rel=1e-12)
        assert schedule.weight(t).item() == pytest.approx(loss_scaling(value), rel=1e-12)
