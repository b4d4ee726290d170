r"""The optimiser and its learning rate.

AdamW (Loshchilov and Hutter, Decoupled weight decay regularization, 2019) with decay on matrices only. The rate rises
linearly during the warm-up and then stays, or falls along half a cosine.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn


def adamw(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW in its fused form; ``weight_decay`` acts on weights of two or more dimensions.

    Args:
        parameters: What to train.
        lr: Learning rate after the warm-up.
        betas: Decay rates of the two moments, each in [0, 1).
        eps: Added to the root of the second moment.
        weight_decay: Decoupled decay, 0 or more.
    """
    parameters = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def rate_at(step: int, *, schedule: str, warmup_steps: int, steps: int | None, floor: float) -> float:
    """Share of the full learning rate at an optimiser step, in (0, 1].

    Args:
        step: Number of the step, from 0.
        schedule: ``"constant"`` or ``"cosine"``.
        warmup_steps: Steps of the linear rise.
        steps: Last step, where the cosine reaches ``floor``.
        floor: Share that the cosine ends at.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant" or steps is None:
        return 1.0
    done = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
