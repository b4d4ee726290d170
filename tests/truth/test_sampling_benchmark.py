"""The sides of the sampling benchmark: the reference draws its law, skips what it should, and losses are the sums."""

import itertools
import math

import numpy as np
import pytest
import torch

from benchmarks.sampling import default_pace, fastest
from benchmarks.sampling_quality import SHARES, measured_quality, walked_bits
from benchmarks.scaling import exponent
from benchmarks.upstream_sampler import ddpm_cache, kept_share
from tests.oracle import LENGTH, MASK, chi_square_p, ideal, law_of_reveals, mixture


class Counting(torch.nn.Module):
    """A denoiser that counts its calls."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.process, self.calls = inner, inner.process, 0

    def forward(self, x, t):
        self.calls += 1
        return self.inner(x, t)


def walked(denoiser, rows, steps):
    return list(ddpm_cache(denoiser, torch.full((rows, LENGTH), MASK), steps, torch.Generator().manual_seed(3)))


def test_the_reference_draws_the_law_of_its_steps():
    """Every position is revealed in one of the steps, each as likely as the others."""
    steps, laws = 3, []
    for places in itertools.product(range(steps), repeat=LENGTH):
        groups = [[i for i in range(LENGTH) if places[i] == j] for j in range(steps)]
        laws.append((steps**-LENGTH, law_of_reveals([g for g in groups if g])))
    *_, (x, _) = walked(ideal(), 6_000, steps)
    assert chi_square_p(x, mixture(laws)) > 1e-3


def test_the_reference_asks_again_only_after_a_change():
    denoiser = Counting(ideal())
    states = walked(denoiser, 1, 40)
    changes = sum(not torch.equal(a[0], b[0]) for a, b in itertools.pairwise(states[:-1]))
    first = not (states[0][0] == MASK).all()
    assert states[-1][1] == denoiser.calls
    assert denoiser.calls - 2 in {changes + first, changes + first - 1}  # a change in the last step asks once less
    assert denoiser.calls < 10


def test_the_share_of_steps_kept_is_that_of_a_long_walk():
    """One row of three positions: about 37 of 40 steps change nothing."""
    kept = 1 - (walked(ideal(), 1, 40)[-1][1] - 2) / 40
    assert kept_share(LENGTH, 40) == pytest.approx((39 / 40) ** 3)
    assert kept == pytest.approx(kept_share(LENGTH, 40), abs=0.08)
    assert kept_share(64 * 1024, 1000) < 1e-28


def test_what_drawing_together_loses_is_the_sum_of_steps():
    """With c(m) = 1.9 + m / 10 the sum over n steps is 1.95 + 1 / (20 n)."""
    curves = np.array([[1.9 + share / 10 for share in SHARES]])
    for k, n in ((64, 16), (256, 4), (1024, 1)):
        assert walked_bits(curves, 1024, k)[0] == pytest.approx(1.95 + 1 / (20 * n))
    assert walked_bits(curves, 1000, 300)[0] == pytest.approx(0.3 * (2.0 + 1.97 + 1.94) + 0.1 * 1.91)


def test_a_side_is_equal_within_two_errors_and_the_fastest_equal_one_wins():
    rng = np.random.default_rng(0)

    def drawn(weights, n):
        return [rng.choice(4, 400, p=weights).astype(np.uint8) for _ in range(n)]

    even, skewed = [0.25] * 4, [0.4, 0.1, 0.1, 0.4]
    made = {"ancestral": drawn(even, 12), "like it": drawn(even, 12), "other": drawn(skewed, 12)}
    found = measured_quality(drawn(even, 24), made, drawn(even, 2), seed=0)
    assert {name: row["equal"] for name, row in found["rows"].items()} == {
        "ancestral": True,
        "like it": True,
        "other": False,
    }
    assert found["real"]["js_3"] < found["rows"]["other"]["js_3"] and found["whole"]["sequences"] == 2
    rows = [{"name": name, "times_less": x, **found["rows"].get(name, {})} for x, name in enumerate(["ref", *made])]
    assert fastest(rows) == {"name": "like it", "times_less": 2}
    assert fastest(rows[:1]) is None
    paces = [{**row, "settings": {"tokens_per_step": k}} for row, k in zip(rows, (1, 2, 16, 64), strict=True)]
    assert default_pace(paces, 1024) == {"name": "like it", "times_less": 2, "equal": True}
    assert default_pace(paces, 1 << 20) is None


def test_exponents_are_slopes():
    assert exponent([1024, 2048, 4096], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert exponent([10, 1000], [1.0, math.sqrt(100)]) == pytest.approx(0.5)
