r"""The reference side of the speed benchmarks: training as MDLM's published code does it, written anew for a CPU.

Eager float32 (its autocast does nothing there); dropout; adaLN computed every step although sigma is always told as 0;
no stem; times drawn antithetically in [0.001, 1), one a row; log-linear noise; log-softmax over the whole vocabulary,
written into the logits, with SUBS; weight dsigma / expm1(sigma), which is about 1 / t; AdamW at a constant rate after
a linear warm-up; clipping at 1; the exponential average as a loop over parameters, its decay rising as (1 + n) /
(10 + n). (Sahoo et al., Simple and effective masked diffusion language models, 2024, arXiv:2406.07524, appendix C.)
"""

import copy
from typing import Any

import torch
from torch import Tensor

from dnadiff.diffusion import AbsorbingProcess, Denoiser, LogLinear, Subs
from dnadiff.models.dit import DiT

MASK, BASES, VOCABULARY = 3, (7, 8, 9, 10), 12
EPS, FLOOR = 1e-3, -1e6


def noised(x0: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (B, L) at times that uniforms u (B,) spread, masked by uniforms v (B, L), and the weights (B, 1)."""
    n = len(x0)
    t = ((u / n + torch.arange(n, device=x0.device) / n) % 1) * (1 - EPS) + EPS
    sigma = -torch.log1p(-(1 - EPS) * t)
    xt = torch.where(v < 1 - torch.exp(-sigma)[:, None], MASK, x0)
    return xt, ((1 - EPS) / (1 - (1 - EPS) * t) / torch.expm1(sigma))[:, None]


def loss_of(logits: Tensor, xt: Tensor, x0: Tensor, weight: Tensor) -> Tensor:
    """The mean of the weighted losses of all positions, from raw logits (B, L, V)."""
    logits = logits.to(torch.float32, copy=True)
    logits[:, :, MASK] += FLOOR
    logits = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    unmasked = (xt != MASK)[..., None]
    logits = torch.where(unmasked, torch.full_like(logits, FLOOR).scatter(-1, xt[..., None], 0.0), logits)
    log_p = logits.gather(-1, x0[..., None])[..., 0]
    return (-log_p * weight).mean()


class Upstream:
    """A network in training.

    Args:
        width: Of the network, which has dropout 0.1 and adaLN.
        layers: Its blocks.
        heads: Of attention.
        cond_dim: Width of its conditioning.
        lr: Rate after the warm-up.
        warmup: Steps of the warm-up.
        decay: Limit of the average's decay.
        device: Where it trains.
        bf16: Whether the network computes in bfloat16, as upstream's autocast has it on GPUs.
    """

    def __init__(
        self, width: int, layers: int, heads: int, *, cond_dim: int = 128, lr: float = 3e-4, warmup: int = 2500,
        decay: float = 0.9999, device: str = "cpu", bf16: bool = False,
    ) -> None:  # fmt: skip
        self.model = DiT(VOCABULARY, width, layers, heads, cond_dim=cond_dim, dropout=0.1).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, weight_decay=0.0)
        self.shadow = [p.detach().clone() for p in self.model.parameters()]
        self.lr, self.warmup, self.decay, self.bf16, self.steps = lr, warmup, decay, bf16, 0

    def step(self, x0: Tensor) -> None:
        """One step on windows (B, L)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * min(1.0, (self.steps + 1) / self.warmup)
        loss = self._loss(x0)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for average, p in zip(self.shadow, self.model.parameters(), strict=True):
                average.sub_((1 - decay) * (average - p))
        self.steps += 1

    def _loss(self, x0: Tensor) -> Tensor:
        xt, weight = noised(x0, torch.rand(len(x0), device=x0.device), torch.rand(x0.shape, device=x0.device))
        with torch.autocast(x0.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model(xt, torch.zeros(len(x0), device=x0.device))
        return loss_of(logits, xt, x0, weight)

    def averaged(self) -> Denoiser:
        """A denoiser with the averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model)
        with torch.no_grad():
            for p, average in zip(model.parameters(), self.shadow, strict=True):
                p.copy_(average)
        return Denoiser(model, Subs(MASK, BASES), AbsorbingProcess(LogLinear(), MASK)).eval()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, the generator of random numbers included."""
        return {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "shadow": self.shadow,
            "steps": self.steps, "random": torch.get_rng_state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.shadow, self.steps = state["shadow"], state["steps"]
        torch.set_rng_state(state["random"])
