"""The loss of a micro-batch: its normaliser, its weights, its noise; what is counted."""

import numpy as np
import pytest
import torch

from dnadiff.diffusion import MaskedNELBO
from dnadiff.training.module import DiffusionModule
from tests.oracle import BASES
from tests.tiny import SPEC, tiny_denoiser

OPTIMIZER = {"name": "adamw", "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}
SCHEDULE = {"schedule": "constant", "warmup_steps": 0, "steps": None, "floor": 0.0}


def module_of(denoiser, seed=1):
    objective = MaskedNELBO(denoiser.process)
    options = {"optimizer": OPTIMIZER, "schedule": SCHEDULE, "ema_decay": 0.5, "compiled": False}
    return DiffusionModule(denoiser, objective, seed=seed, **options)


def windows(n, length=16, weight=1.0):
    rng = np.random.default_rng(0)
    return {
        "tokens": torch.from_numpy(rng.choice(BASES, (n, length))),
        "valid": torch.ones(n, length, dtype=torch.bool),
        "given": torch.zeros(n, length, dtype=torch.bool),
        "weight": torch.full((n, length), weight),
        "item_ids": torch.arange(n),
    }


def rows(batch, index):
    return {name: tensor[index] for name, tensor in batch.items()}


def gradient(batches):
    """The mean of the gradients of some micro-batches, as accumulation and ranks form it."""
    module = module_of(tiny_denoiser())
    for batch in batches:
        module.micro = 0
        (module.training_step(batch, 0) / len(batches)).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


@pytest.mark.parametrize("parts", [2, 4])
def test_the_gradient_does_not_depend_on_how_the_batch_is_cut(parts):
    batch = windows(8)
    batch["valid"][:3, 5:] = False  # rows of different lengths: a normaliser by valid tokens would differ
    whole, cut = gradient([batch]), gradient([rows(batch, slice(i, None, parts)) for i in range(parts)])
    assert whole.abs().max() > 0.01
    assert torch.allclose(whole, cut, atol=1e-6)


def test_the_loss_is_the_weighted_sum_over_the_fixed_number_of_positions():
    batch = windows(4)
    batch["valid"][0, :8] = False
    module = module_of(tiny_denoiser())
    loss = float(module.training_step(batch, 0).detach())
    nats, count, _ = module.tally.sums.tolist()
    assert loss == pytest.approx(nats / (4 * 16), rel=1e-5)
    assert count == 4 * 16 - 8


def test_repeat_weights_act_in_the_loss_only():
    whole, half = module_of(tiny_denoiser()), module_of(tiny_denoiser())
    loss, weighted = whole.training_step(windows(4), 0), half.training_step(windows(4, weight=0.25), 0)
    assert weighted.item() == pytest.approx(0.25 * loss.item(), rel=1e-6)
    assert half.tally.sums.tolist() == whole.tally.sums.tolist()


def test_a_batch_without_a_base_costs_nothing_and_is_counted():
    batch = windows(3)
    batch["valid"][:] = False
    batch["given"][:, 0] = True
    module = module_of(tiny_denoiser())
    loss = module.training_step(batch, 0)
    loss.backward()
    assert float(loss.detach()) == 0.0 and module.tally.sums.tolist() == [0, 0, 3]
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_dropout_and_noise_depend_on_the_step_alone():
    spec = {**SPEC["backbone"], "dropout": 0.5}
    losses = {}
    for step, noise in ((0, 1), (1, 2), (0, 3)):
        torch.manual_seed(noise)  # whatever the process has drawn before
        denoiser = tiny_denoiser(backbone=spec)
        module = module_of(denoiser.train())
        module.step = step
        losses.setdefault(step, []).append(float(module.training_step(windows(4), 7).detach()))
    assert losses[0][0] == losses[0][1] != losses[1][0]


def test_a_loss_that_is_not_finite_names_its_samples():
    module = module_of(tiny_denoiser())

    class Broken(MaskedNELBO):
        def loss(self, denoiser, batch, noised):
            loss = super().loss(denoiser, batch, noised)
            loss.nll[2] = float("nan")
            return loss

    module.objective = Broken(module.denoiser.process)
    batch = windows(4) | {"item_ids": torch.arange(40, 44)}
    with torch.no_grad():
        module.training_step(batch, 0)
    assert module.tally.bad == [42]
