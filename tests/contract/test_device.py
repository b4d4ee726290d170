"""A training step asks the device nothing until its sums are read, whatever the method.

The device here is PyTorch's ``meta``: it computes shapes and has no values, so whoever asks it for one fails. What a
GPU does is checked by ``tests/attention/test_gpu.py`` where there is one.
"""

import pytest
import torch

from dnadiff.checkpoints.folder import build_denoiser, build_objective
from dnadiff.config import compose
from dnadiff.recipes.methods import method_of
from dnadiff.recipes.training_plan import spec_of
from dnadiff.training.module import DiffusionModule
from dnadiff.training.muon import Muon
from tests.unit.test_training_module import OPTIMIZER, SCHEDULE, windows

METHODS = {
    "mdlm": ["algo=mdlm"],
    "mdlm, times": ["algo=mdlm", "estimator=time"],
    "mdlm with time": ["algo=mdlm", "time_conditioning=true", "model.adaln=true"],
    "stem": ["algo=mdlm", "model.stem=5"],
    "blocks": ["algo=bd3lm", "block_size=4"],
    "ar": ["algo=ar"],
    "d3pm": ["algo=d3pm"],
    "sedd": ["algo=sedd"],
    "udlm": ["algo=udlm"],
    "mlm": ["algo=mlm"],
    "sundae": ["algo=sundae"],
}
SIZE = ["model.length=16", "model.hidden_size=8", "model.n_blocks=2"]


def module_of(words):
    """A module on the device that has no values."""
    stem = [] if "model.stem=5" in words else ["model.stem=0"]
    config = compose([*words, *stem, *SIZE])
    denoiser = build_denoiser(spec_of(config))
    objective = build_objective(method_of(config).training, denoiser.process)
    module = DiffusionModule(
        denoiser, objective, seed=1, optimizer=OPTIMIZER, schedule=SCHEDULE, ema_decay=0.5, compiled=False
    )
    module.to("meta")
    module.ema.follow()
    return module


@pytest.mark.parametrize("words", METHODS.values(), ids=METHODS)
def test_a_micro_batch_asks_the_device_nothing(words):
    module, batch = module_of(words), windows(4)
    batch["valid"][1, 5:] = False
    module.training_step(batch, 0).backward()
    assert module.tally.sums.shape == (3,) and module.tally.sums.is_meta
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert torch.nn.utils.get_total_norm(gradients).is_meta
    with pytest.raises(RuntimeError, match="meta"):  # what this test relies on
        module.tally.sums.tolist()


def test_clipping_muon_and_the_average_ask_the_device_nothing():
    module = module_of(["algo=mdlm"])
    matrices = [p for p in module.parameters() if p.ndim == 2]
    muon = Muon(matrices, lr=0.1, weight_decay=0.1)
    for _ in range(2):
        module.training_step(windows(4), 0).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(module.parameters(), 1.0, norm)
        muon.step()
        module.ema.update()
    assert all(muon.state[p]["momentum"].is_meta for p in matrices)
