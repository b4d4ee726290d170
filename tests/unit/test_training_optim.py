"""Learning rate, AdamW's groups, Muon's factor against the singular value decomposition, the joint optimiser."""

import copy
import math

import pytest
import torch
from torch import nn

from dnadiff.training.muon import Muon, orthogonalised
from dnadiff.training.optim import Joint, optimizer_of, rate_at
from tests.tiny import tiny_denoiser

OPTIONS = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("step", "schedule", "share"),
    [
        (0, "constant", 0.25),
        (3, "constant", 1.0),
        (900, "constant", 1.0),
        (4, "cosine", 1.0),
        (12, "cosine", 0.1 + 0.9 / 2),  # half way down
        (8, "cosine", 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),
        (20, "cosine", 0.1),
        (8, "linear", 0.1 + 0.9 * 0.75),
        (20, "linear", 0.1),
        (99, "cosine", 0.1),
    ],
)
def test_the_rate_rises_and_then_stays_or_falls_along_a_cosine_or_a_line(step, schedule, share):
    assert rate_at(step, schedule=schedule, warmup_steps=4, steps=20, floor=0.1) == pytest.approx(share)


def test_no_warm_up_starts_at_the_full_rate():
    assert rate_at(0, schedule="constant", warmup_steps=0, steps=None, floor=0.0) == 1.0


@pytest.mark.parametrize("shape", [(24, 24), (12, 40), (40, 12)])
def test_orthogonalised_keeps_the_singular_vectors_and_evens_out_the_values(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    for matrix, factor in zip(matrices, orthogonalised(matrices), strict=True):
        u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
        inside = u.mT @ factor.double() @ vh.mT  # diagonal if the singular vectors are the same
        values = inside.diagonal()
        assert (inside - values.diag()).abs().max() < 1e-4
        clear = s > 0.02 * s.max()  # values near zero would need more iterations
        assert values[clear].min() > 0.6 and values[clear].max() < 1.3


def test_one_step_of_muon_is_the_scaled_factor_after_decay():
    weight = nn.Parameter(torch.randn(6, 10, generator=torch.Generator().manual_seed(1)))
    before, gradient = weight.detach().clone(), torch.randn(6, 10, generator=torch.Generator().manual_seed(2))
    weight.grad = gradient.clone()
    Muon([weight], lr=0.02, momentum=0.9, weight_decay=0.5).step()
    factor = orthogonalised((gradient + 0.9 * gradient)[None])[0]  # look ahead along the fresh momentum
    expected = before * (1 - 0.02 * 0.5) - 0.02 * 0.2 * math.sqrt(10) * factor
    assert torch.allclose(weight, expected, atol=1e-6)


def test_muon_runs_its_closure():
    weight = nn.Parameter(torch.ones(2, 2))

    def closure():
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert Muon([weight], lr=0.1).step(closure).item() == 4.0
    assert not torch.equal(weight, torch.ones(2, 2))


def test_adamw_decays_matrices_only():
    optimizer = optimizer_of(tiny_denoiser(), name="adamw", **OPTIONS)
    decays = {p.ndim >= 2: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {True: 0.1, False: 0.0}


def descend(optimizer, module, steps, rate=None):
    """Some steps on a loss that involves every parameter."""
    for number in range(steps):
        if rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate
        optimizer.zero_grad()
        sum(((p - 0.1 * (number + 1)) ** 2).sum() for p in module.parameters()).backward()
        optimizer.step()


def test_muon_takes_the_matrices_of_the_blocks_and_joint_is_both_parts():
    module, other = tiny_denoiser(), tiny_denoiser()
    joint = optimizer_of(module, name="muon", **OPTIONS)
    assert isinstance(joint, Joint)
    named = dict(other.named_parameters())
    hidden = [p for n, p in named.items() if ".blocks." in n and p.ndim == 2]
    rest = [p for n, p in named.items() if not (".blocks." in n and p.ndim == 2)]
    assert sum(len(g["params"]) for g in joint.parts[0].param_groups) == len(hidden) > 3
    muon = Muon(hidden, lr=0.003, weight_decay=0.1)
    groups = [{"params": [p for p in rest if p.ndim >= 2]}, {"params": [p for p in rest if p.ndim < 2]}]
    groups[1]["weight_decay"] = 0.0
    adamw = torch.optim.AdamW(groups, lr=0.003, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1, fused=True)
    descend(joint, module, 3, rate=0.003)  # the rate reaches the parts through the joint groups
    for number in range(3):
        for optimizer in (muon, adamw):
            optimizer.zero_grad()
        sum(((p - 0.1 * (number + 1)) ** 2).sum() for p in other.parameters()).backward()
        muon.step()
        adamw.step()
    assert all(torch.equal(p, named[n]) for n, p in module.named_parameters())


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_restored_optimiser_goes_on_as_the_first(name):
    module = tiny_denoiser()
    first = optimizer_of(module, name=name, **OPTIONS)
    descend(first, module, 2)
    copied = copy.deepcopy(module)
    second = optimizer_of(copied, name=name, **OPTIONS)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    descend(first, module, 2, rate=0.02)
    descend(second, copied, 2, rate=0.02)
    others = dict(copied.named_parameters())
    assert all(torch.equal(p, others[n]) for n, p in module.named_parameters())
