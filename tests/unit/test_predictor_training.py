"""Training a predictor: its loss, the averaged weights it is judged with, and the best ones it keeps."""

import numpy as np
import pytest
import torch

from dnadiff.data.example_batches import ExampleDataset, Frame
from dnadiff.data.parts import Part
from dnadiff.evaluation.metrics import measured
from dnadiff.training.datamodule import to_tensors
from dnadiff.training.network import Running
from dnadiff.training.predictor import HeldOutExamples, PredictorModule
from tests.labels import tiny_predictor

OPTIMIZER = {"name": "adamw", "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}
SCHEDULE = {"schedule": "constant", "warmup_steps": 0, "steps": None, "floor": 0.0}
RNG = np.random.default_rng(0)
PART = Part(
    tuple(map(str, range(12))), tuple(RNG.integers(0, 4, 9).astype(np.uint8) for _ in range(12)), np.arange(12) % 2
)


def module_of(metric="mcc", **changes):
    options = {"seed": 1, "optimizer": OPTIMIZER, "schedule": SCHEDULE, "ema_decay": 0.9}
    return PredictorModule(tiny_predictor(**changes), metric, **options)


def held_out(patience=None):
    return HeldOutExamples(PART, "class", Frame(16), batch_size=5, both_strands=False, patience=patience)


def batch(numbers):
    return to_tensors(ExampleDataset(PART, Frame(16), seed=1).__getitems__(numbers))


def figures(mcc, loss=1.0):
    return {"mcc": mcc, "loss": loss}


def test_the_loss_is_the_mean_cross_entropy():
    module, rows = module_of(), batch(range(6))
    loss = module.training_step(rows, 0)
    with torch.no_grad():
        p = module.network(rows["tokens"], rows["valid"], rows["given"]).softmax(-1)
    wanted = -p[torch.arange(6), rows["targets"]].log()
    assert float(loss.detach()) == pytest.approx(float(wanted.mean()), rel=1e-5)
    assert module.tally.sums.tolist() == pytest.approx([float(wanted.sum()), 6, 0], rel=1e-5)
    assert module.figures(Running(6.0, 4)) == {"train_loss": 1.5}


def test_a_loss_that_is_not_finite_names_its_samples():
    module, rows = module_of(), batch([3, 7, 9])
    before = module.network.readout.loss
    module.network.readout.loss = lambda outputs, targets: before(outputs, targets) * torch.tensor([1, torch.nan, 1])
    with torch.no_grad():
        module.training_step(rows, 0)
    assert module.tally.bad == [7]


def test_averaged_weights_are_judged_and_kept_and_training_goes_on_with_its_own():
    module, averaged = module_of(), tiny_predictor(seed=5).eval()
    module.network.train()
    raw = {name: p.detach().clone() for name, p in module.network.named_parameters()}
    module.ema.shadow = {name: p.detach().clone() for name, p in averaged.named_parameters()}
    scores = held_out().score(module)
    from dnadiff.checkpoints.predictor import predictions

    assert scores == measured("class", predictions(averaged, Frame(16), PART.codes, batch_size=5), PART.targets)
    assert all(torch.equal(module.best.weights[name], p) for name, p in averaged.named_parameters())
    assert module.network.training and all(torch.equal(p, raw[n]) for n, p in module.network.named_parameters())
    assert list(held_out().figures(module, scores)) == ["valid_mcc", "valid_loss"]


def test_the_best_is_kept_and_published():
    module, published = module_of(), []
    module.publish(lambda step, weights: published.append((step, dict(weights))))
    assert published[0][0] == 0 and set(published[0][1]) == set(module.network.state_dict())  # the average, so far
    for step, mcc, loss in ((1, 0.2, 0.9), (2, 0.5, 0.8), (3, 0.5, 0.8), (4, 0.4, 0.1), (5, None, 0.1)):
        module.step = step
        with torch.no_grad():
            module.network.head.linear.bias.fill_(step)
        module.consider(figures(mcc, loss))
    module.publish(lambda step, weights: published.append((step, dict(weights))))
    assert module.best.step == 2 and published[1][0] == 2
    assert published[1][1]["head.linear.bias"].tolist() == [2.0, 2.0]


def test_patience_counts_steps_since_the_best():
    module = module_of()
    assert not held_out(3).enough(module)  # nothing was validated yet
    module.consider(figures(0.1))
    for step, over in ((2, False), (3, True), (9, True)):
        module.step = step
        assert held_out(3).enough(module) is over and not held_out(None).enough(module)


def test_the_best_goes_into_the_checkpoint_and_comes_out_of_it():
    module, other = module_of(), module_of(seed=9)
    module.step = 4
    module.consider(figures(0.3, 0.6))
    module.step = 7
    state = module.state(module.configure_optimizers())
    other.restore(state)
    assert other.step == 7 and other.best.step == 4 and other.best.figures == figures(0.3, 0.6)
    assert all(torch.equal(other.best.weights[name], value) for name, value in module.best.weights.items())
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), other.parameters(), strict=True))
    fresh = module_of()
    other.restore(fresh.state(fresh.configure_optimizers()))
    assert other.best is None


def test_the_log_has_a_column_for_the_metric():
    assert [name for name in module_of("auroc").columns if name.startswith("valid")] == ["valid_auroc", "valid_loss"]
    assert [name for name in module_of("loss").columns if name.startswith("valid")] == ["valid_loss"]
