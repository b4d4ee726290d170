r"""The optimiser and its learning rate.

``adamw``  AdamW (Loshchilov and Hutter, Decoupled weight decay regularization, 2019), decay on matrices only.
``muon``   The matrices of the blocks step along the orthogonalised momentum of their gradient (Jordan et al., Muon: an
           optimizer for hidden layers in neural networks, 2024), scaled to the size of an AdamW step (Liu et al., Muon
           is scalable for LLM training, 2025) so that one rate serves all; everything else is left to AdamW.

The decay rates of a state space model are kept as logarithms in a table that is no linear map: no matrix to either.

The rate rises linearly during the warm-up and then stays, or falls along half a cosine or a line.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dnadiff.training.muon import Muon
from dnadiff.training.sharding import spread

_HIDDEN = re.compile(r"(^|\.)(blocks|layers)\.")  # names of what lies inside the blocks of a network
_TABLES = "A_log"  # how names end of parameters with two dimensions that are no matrices


def optimizer_of(
    module: nn.Module, *, name: str, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimiser of a module's parameters.

    Args:
        module: What to train; Muon takes the matrices inside its ``blocks`` or ``layers``.
        name: ``"adamw"`` or ``"muon"``.
        lr: Learning rate after the warm-up.
        betas: Decay rates of AdamW's two moments, each in [0, 1).
        eps: Added to the root of AdamW's second moment.
        weight_decay: Decoupled decay of matrices and convolutions, 0 or more.
    """
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    maps = [n for n, p in named.items() if p.ndim >= 2 and not n.endswith(_TABLES)]
    hidden = [n for n in maps if name == "muon" and named[n].ndim == 2 and _HIDDEN.search(n)]
    groups = [
        {"params": [p for n, p in named.items() if n in maps and n not in hidden], "weight_decay": weight_decay},
        {"params": [p for n, p in named.items() if n not in maps], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=betas, eps=eps, fused=True)
    if not hidden:
        return adamw
    muon = Muon([named[n] for n in hidden], lr=lr, weight_decay=weight_decay)
    return Joint(muon, adamw)


class Joint(torch.optim.Optimizer):
    """Several optimisers of different parameters as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        groups = [group for part in parts for group in part.param_groups]
        super().__init__([{"params": group["params"]} for group in groups], {})
        self.parts, self.param_groups = parts, groups  # the parts' own groups, so that a scheduler reaches them

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step of every part."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, list]:
        """The states of the parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, list]) -> None:
        """Take over what ``state_dict`` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def spread_optimizer(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of an optimiser with its moments sliced as the parameters are."""
    if isinstance(optimizer, Joint):
        return {"parts": [spread_optimizer(*pair) for pair in zip(state["parts"], optimizer.parts, strict=True)]}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        number: {name: _moment(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    return {**state, "state": moments}


def rate_at(step: int, *, schedule: str, warmup_steps: int, steps: int | None, floor: float) -> float:
    """Share of the full learning rate at an optimiser step, in (0, 1].

    Args:
        step: Number of the step, from 0.
        schedule: ``"constant"``, ``"cosine"`` or ``"linear"``.
        warmup_steps: Steps of the linear rise.
        steps: Last step, where cosine and line reach ``floor``.
        floor: Share that they end at.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant" or steps is None:
        return 1.0
    done = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    left = 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return floor + (1 - floor) * left


def _moment(value: object, parameter: Tensor) -> object:
    same = isinstance(value, Tensor) and value.shape == parameter.shape
    return spread(value, parameter) if same else value
