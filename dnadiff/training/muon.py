r"""Muon: steps along the orthogonalised momentum of a matrix's gradient.

    B <- mu B + G,    O = orthogonal factor of (G + mu B),    W <- W - lr * 0.2 sqrt(max(rows, columns)) * O

Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; the scale makes the step as large as one
of AdamW (Liu et al., Muon is scalable for LLM training, 2025, eq. 4). The factor comes from five Newton-Schulz
iterations with Jordan's quintic, whose singular values end between about 0.7 and 1.2.

``torch.optim.Muon`` does the same in bfloat16, one matrix at a time; a processor without bf16 units spends longer on
that than on the training step itself. Here matrices of one shape are iterated together, in bfloat16 on a GPU and
float32 on a CPU.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from dnadiff.training.sharding import spread

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon for matrices.

    Args:
        params: Parameters of two dimensions.
        lr: Learning rate, on AdamW's scale.
        momentum: Decay mu of the momentum, in [0, 1).
        weight_decay: Decoupled weight decay, 0 or more.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step of every matrix that has a gradient; what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, matrices in by_shape.items():
                ahead = [self._ahead(p, group["momentum"]) for p in matrices]
                updates = orthogonalised(torch.stack([g.full_tensor() if isinstance(g, DTensor) else g for g in ahead]))
                slices = [spread(u, p) for u, p in zip(updates.to(matrices[0].dtype), matrices, strict=True)]
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, slices, alpha=-group["lr"] * _scale(shape))
        return loss

    def _ahead(self, p: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's look ahead along the momentum, which is updated."""
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].mul_(momentum).add_(p.grad)
        return p.grad.add(state["momentum"], alpha=momentum)


def orthogonalised(matrices: Tensor) -> Tensor:
    """About the nearest matrices with orthonormal rows (or columns, whichever are fewer), (n, R, C) like the input."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x.bfloat16() if x.is_cuda else x.float()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


def _scale(shape: torch.Size) -> float:
    return 0.2 * max(shape) ** 0.5
