"""What a GPU must do as the CPU does: attention, the compiled step, the optimiser; and a step must not wait for it.

Run where there is one: ``make gpu-check``.
"""

import copy

import pytest
import torch

from dnadiff.diffusion import Batch, BlockNELBO, MaskedNELBO
from dnadiff.models.attention import BlockCausal, BlockDiffusion, Full, attend
from dnadiff.random import Draws
from dnadiff.training.ema import EMA
from dnadiff.training.module import DiffusionModule
from dnadiff.training.optim import optimizer_of
from tests.tiny import tiny_denoiser
from tests.unit.test_training_module import SCHEDULE, windows

DEVICE = "cuda"
pytestmark = pytest.mark.gpu
PATTERNS = [Full(), BlockCausal(1), BlockCausal(16), BlockDiffusion(16)]
ADAMW = {"name": "adamw", "lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1}


def read(pattern, device, backend="sdpa", dtype=torch.float32):
    """What attention gives, and its gradients, on the CPU again."""
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(2, 2, 256, 64, generator=generator).to(device, dtype).requires_grad_() for _ in range(3)]
    out = attend(*given, pattern=pattern, backend=backend)
    return [x.float().cpu() for x in (out.detach(), *torch.autograd.grad(out.float().pow(2).sum(), given))]


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("backend", ["sdpa", "flex"])
def test_attention_and_its_gradients_are_those_of_the_cpu(pattern, backend):
    for found, expected in zip(read(pattern, DEVICE, backend), read(pattern, "cpu"), strict=True):
        torch.testing.assert_close(found, expected, rtol=5e-3, atol=5e-3)  # products may run in tf32


@pytest.mark.parametrize("pattern", PATTERNS[:2], ids=str)
def test_flash_attention_is_that_of_the_cpu(pattern):
    pytest.importorskip("flash_attn")
    for found, expected in zip(read(pattern, DEVICE, "flash", torch.bfloat16), read(pattern, "cpu"), strict=True):
        torch.testing.assert_close(found, expected, rtol=5e-2, atol=5e-2)


def batch_of(device):
    x0 = torch.randint(7, 11, (8, 64), generator=torch.Generator().manual_seed(1))
    return Batch(x0.to(device), torch.ones(8, 64, dtype=torch.bool, device=device))


def losses(device, *, compiled=False):
    """Loss of three steps of training and the averaged weights."""
    torch.backends.cuda.matmul.allow_tf32 = False
    denoiser = tiny_denoiser().to(device)
    optimizer, ema = optimizer_of(denoiser, **ADAMW), EMA(denoiser, 0.9)
    call = torch.compile(denoiser.forward, dynamic=False) if compiled else denoiser
    found = []
    for step in range(3):
        loss = MaskedNELBO(denoiser.process)(call, batch_of(device), Draws(0, range(8 * step, 8 * step + 8))).mean
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update()
        found.append(loss.detach().cpu())
    return found + [average.cpu() for average in ema.shadow.values()]


@pytest.mark.parametrize("compiled", [False, True])
def test_training_takes_the_steps_of_the_cpu(compiled):
    for found, expected in zip(losses(DEVICE, compiled=compiled), losses("cpu"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_optimiser_is_fused():
    optimizer = optimizer_of(tiny_denoiser().to(DEVICE), **ADAMW)
    assert optimizer.defaults["fused"]


@pytest.mark.parametrize("blocks", [0, 16], ids=["masked", "blocks"])
def test_nothing_in_a_step_waits_for_the_device(blocks):
    denoiser = tiny_denoiser().to(DEVICE)
    objective = BlockNELBO(denoiser.process, blocks) if blocks else MaskedNELBO(denoiser.process)
    module = DiffusionModule(
        denoiser, objective, seed=1, optimizer=ADAMW, schedule=SCHEDULE, ema_decay=0.9, compiled=False
    ).to(DEVICE)
    optimizer = optimizer_of(denoiser, **ADAMW)
    before = copy.deepcopy(module.ema.shadow)
    for mode in ("default", "error"):  # the first step may build what later ones find
        torch.cuda.set_sync_debug_mode(mode)
        try:
            module.training_step(windows(8, 64), 0).backward()
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            module.ema.update()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert any(not torch.equal(before[name], average) for name, average in module.ema.shadow.items())
