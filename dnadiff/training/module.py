r"""What Lightning drives: one objective on one denoiser.

A micro-batch of B windows of L tokens gives the loss  sum(weight * nll) / (B * L),  a fixed normaliser; Lightning
averages over micro-batches and ranks, so the gradient is that of the sum over the global batch divided by a constant,
however the batch is cut. The reported value is sum(nll) / sum(valid) in bits per base. Noise is keyed by the sample's
global number; dropout by (seed, step, rank, micro-batch).
"""

import math
from collections.abc import Callable

import lightning.pytorch as pl
import torch
from torch import Tensor

from dnadiff.diffusion import Batch, Denoiser, Objective, TokenLoss
from dnadiff.errors import DivergedError
from dnadiff.random import Draws, key64
from dnadiff.training.ema import EMA
from dnadiff.training.optim import optimizer_of, rate_at


class DiffusionModule(pl.LightningModule):
    """Trains a denoiser with an objective.

    Args:
        denoiser: What to train.
        objective: The bound.
        seed: The run's seed.
        optimizer: Keyword arguments of ``optim.optimizer_of``.
        schedule: Keyword arguments of ``optim.rate_at``.
        ema_decay: Decay of the averaged weights.
        compiled: Whether to compile the denoiser's forward and backward pass.
    """

    def __init__(
        self, denoiser: Denoiser, objective: Objective, *, seed: int, optimizer: dict, schedule: dict,
        ema_decay: float, compiled: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.denoiser, self.objective, self.seed = denoiser, objective, seed
        self._optimizer, self._schedule = optimizer, schedule
        self.ema = EMA(denoiser, ema_decay)
        self._call: Callable = torch.compile(denoiser, dynamic=False).forward if compiled else denoiser
        self.loss_sum, self.loss_count, self.grad_norm = 0.0, 0, 0.0  # since the last step that was logged
        self.empty_batches = 0
        self.valid_bits: list[Tensor] = []
        self.validated: tuple[float, float] | None = None  # bits per base and standard error of the last validation

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one micro-batch."""
        torch.manual_seed(key64("dropout", self.seed, self.global_step, self.global_rank, batch_idx) >> 1)
        loss = self._losses(batch, self.seed)
        weighted = torch.where(loss.valid, loss.nll * batch["weight"], 0.0).sum() / loss.nll.numel()
        count = int(loss.count)
        self.empty_batches += count == 0
        self.loss_sum += float(loss.total.detach())
        self.loss_count += count
        return weighted

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuses to step on a gradient that is not finite; notes its norm before clipping."""
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        self.grad_norm = float(torch.nn.utils.get_total_norm(grads))
        if not math.isfinite(self.grad_norm) or not math.isfinite(self.loss_sum):
            raise DivergedError(
                f"step {self.global_step + 1}: loss or gradient is not finite (gradient norm {self.grad_norm}); "
                "a smaller optim.lr or a longer optim.warmup_steps would work; the last checkpoint was kept"
            )

    def optimizer_step(self, *args: object, **kwargs: object) -> None:
        """One step of the optimiser, then of the average."""
        super().optimizer_step(*args, **kwargs)
        self.ema.update()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Bits per base of each window; the same noise at every validation."""
        loss = self._losses(batch, key64("validation", self.seed))
        bits = torch.where(loss.valid, loss.nll, 0.0).sum(-1) / math.log(2)
        self.valid_bits.append(torch.stack([bits, loss.valid.sum(-1).to(bits)], dim=-1))

    def on_validation_epoch_end(self) -> None:
        """Mean and standard error over the windows of all ranks."""
        bits, count = self._gathered(torch.cat(self.valid_bits)).unbind(-1)
        self.valid_bits = []
        mean = bits.sum() / count.sum().clamp(min=1)
        error = (bits / count.clamp(min=1))[count > 0].std() / max(1, int((count > 0).sum())) ** 0.5
        self.validated = float(mean), float(error)
        self.log("valid_bits_per_base", mean, rank_zero_only=True)

    def configure_optimizers(self) -> dict:
        """The optimiser and its rate."""
        optimizer = optimizer_of(self.denoiser, **self._optimizer)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, **self._schedule))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def _losses(self, batch: dict[str, Tensor], seed: int) -> TokenLoss:
        shown = batch["valid"] | batch["given"]
        items = Batch(batch["tokens"], batch["valid"], batch["given"], None if bool(shown.all()) else shown)
        return self.objective(self._call, items, Draws(seed, batch["item_ids"].cpu().numpy()))

    def _gathered(self, rows: Tensor) -> Tensor:
        """The rows of all ranks, which may hold different numbers of them."""
        if self.trainer.world_size == 1:
            return rows
        parts: list = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, rows.cpu())
        return torch.cat(parts)
