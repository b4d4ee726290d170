"""Runs that train together, in the benchmarks, take the steps that each would take alone."""

import pytest
import torch

from benchmarks.upstream import BASES, Upstream
from benchmarks.upstream_grid import Ensemble

RUNS = [(1, 1e-3), (2, 3e-4), (1, 5e-3)]  # seeds and rates


def alone(seed, lr):
    torch.manual_seed(seed)
    run = Upstream(16, 1, 1, cond_dim=8, lr=lr, warmup=3)
    for block in run.model.blocks:
        block.dropout = 0.0  # its random numbers would not be those of another run
    return run


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_runs_side_by_side_take_the_steps_of_each():
    runs = [alone(*each) for each in RUNS]
    together, generator = Ensemble([alone(*each) for each in RUNS], "cpu"), torch.Generator().manual_seed(0)
    for step in range(6):
        x0 = torch.tensor(BASES)[torch.randint(0, 4, (len(runs), 4, 16), generator=generator)]
        drawn = []
        for number, run in enumerate(runs):
            torch.manual_seed(step)
            run.step(x0[number])
            torch.manual_seed(step)
            drawn.append((torch.rand(4), torch.rand(4, 16)))
        together.step(x0, *map(torch.stack, zip(*drawn, strict=True)))
    for number, run in enumerate(runs):
        for flat, tensors in ((together.weights, run.model.parameters()), (together.average, run.shadow)):
            expected = torch.cat([tensor.detach().flatten() for tensor in tensors])
            torch.testing.assert_close(flat[number], expected, rtol=1e-5, atol=1e-6)
    assert (together.weights[0] - together.weights[2]).abs().max() > 1e-3  # same seed, other rate
