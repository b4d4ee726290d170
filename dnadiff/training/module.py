r"""What Lightning drives: one objective on one denoiser.

A micro-batch of B windows of L tokens gives the loss  sum(weight * nll) / (B * L),  a fixed normaliser; Lightning
averages over micro-batches and ranks, so the gradient is that of the sum over the global batch divided by a constant,
however the batch is cut. Noise is keyed by the sample's global number; dropout by (seed, step, rank, micro-batch). The
module counts its own steps, so that everything about step s depends on s alone and not on when the process began.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from dnadiff.diffusion import Batch, BlockNELBO, Clip, Denoiser, Objective
from dnadiff.random import Draws, key64
from dnadiff.training import ranks
from dnadiff.training.ema import EMA
from dnadiff.training.optim import optimizer_of, rate_at
from dnadiff.training.sharding import spread


@dataclass
class Tally:
    """What training windows cost, before any weighting of repeats.

    Attributes:
        nats: Of all tokens that count.
        count: Tokens that count.
        empty: Windows in which no token counts.
        bad: Numbers of the samples whose loss is not finite.
    """

    nats: float = 0.0
    count: int = 0
    empty: int = 0
    bad: list[int] = field(default_factory=list)


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
        label_dropout: Share of the windows whose class the model is not told.

    Attributes:
        step: Optimiser steps done, over interruptions too.
        micro: Micro-batches since then; 0 between two steps.
        tally: What this rank's micro-batches of the step cost.
    """

    def __init__(
        self, denoiser: Denoiser, objective: Objective, *, seed: int, optimizer: dict, schedule: dict,
        ema_decay: float, compiled: bool, label_dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.denoiser, self.objective, self.seed = denoiser, objective, seed
        self._optimizer, self._schedule, self._label_dropout = optimizer, schedule, label_dropout
        self.ema = EMA(denoiser, ema_decay)
        self._call: Callable = torch.compile(denoiser.forward, dynamic=False) if compiled else denoiser
        self.step = self.micro = 0
        self.tally = Tally()

    @property
    def rate(self) -> float:
        """Learning rate of the step that comes next."""
        return self._optimizer["lr"] * rate_at(self.step, **self._schedule)

    @property
    def clip(self) -> Clip | None:
        """The noise levels that a model of blocks is trained on; None for other models."""
        return self.objective.clip if isinstance(self.objective, BlockNELBO) else None

    def train_on(self, clip: Clip) -> None:
        """Trains a model of blocks on these noise levels from the next step on."""
        self.objective.clip = clip

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one micro-batch."""
        if self.micro == 0:
            self.tally = Tally()
        torch.manual_seed(key64("dropout", self.seed, self.step, ranks.rank(), self.micro) >> 1)
        self.micro += 1
        draws = Draws(self.seed, batch["item_ids"].cpu().numpy())
        objective = self.objective.for_step(self.seed, self.step)
        loss = objective(self._call, self._partly_labelled(as_batch(batch), draws), draws)
        rows = torch.where(loss.valid, loss.nll.detach(), 0.0).double().sum(-1)
        counts = loss.valid.sum(-1)
        self.tally.nats += float(rows.sum())
        self.tally.count += int(counts.sum())
        self.tally.empty += int((counts == 0).sum())
        self.tally.bad += batch["item_ids"][~rows.isfinite()].tolist()
        return torch.where(loss.valid, loss.nll * batch["weight"], 0.0).sum() / loss.nll.numel()

    def _partly_labelled(self, batch: Batch, draws: Draws) -> Batch:
        """The batch with some of its classes hidden, always the same ones of a sample."""
        if batch.labels is None:
            return batch
        hidden = draws.uniform("label", 0).to(batch.labels.device) < self._label_dropout
        return replace(batch, labels=batch.labels.masked_fill(hidden, self.denoiser.backbone.n_classes))

    def optimizer_step(self, *args: object, **kwargs: object) -> None:
        """One step of the optimiser, then of the average."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate
        super().optimizer_step(*args, **kwargs)
        self.ema.update()
        self.step, self.micro = self.step + 1, 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser; its rate is set before every step."""
        return optimizer_of(self.denoiser, **self._optimizer)

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """All that the next step depends on besides the configuration and the genome."""
        return {
            "step": self.step,
            "clip": list(self.clip or ()),
            "denoiser": self.denoiser.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave, except for the optimiser's part, which Lightning has yet to make."""
        self.step = int(state["step"])
        if state["clip"]:
            self.train_on(Clip(*map(float, state["clip"])))
        own = self.denoiser.state_dict()
        given = {name: spread(value, own.get(name, value)) for name, value in state["denoiser"].items()}
        self.denoiser.load_state_dict(given)
        self.ema.load_state_dict(state["ema"])


def as_batch(batch: dict[str, Tensor]) -> Batch:
    """The windows as the objective takes them; attention sees real tokens and given ones."""
    shown = batch["valid"] | batch["given"]
    visible = None if bool(shown.all()) else shown
    return Batch(batch["tokens"], batch["valid"], batch["given"], visible, batch.get("labels"))
