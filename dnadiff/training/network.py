r"""What every training has in common, whatever the network learns: steps, averages, dropout's seed, what is saved.

Lightning averages the losses of micro-batches and ranks, so a subclass's loss has a fixed normaliser and the gradient
is the same however the batch is cut. Dropout is keyed by (seed, step, rank, micro-batch). The module counts its own
steps, so that everything about step s depends on s alone and not on when the process began.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from dnadiff.random import key64
from dnadiff.training import ranks
from dnadiff.training.ema import EMA
from dnadiff.training.optim import optimizer_of, rate_at
from dnadiff.training.sharding import spread, whole

Publish = Callable[[int, Mapping[str, Tensor]], None]
"""Takes the step and the weights of the network that are worth keeping, by name."""


class Tally:
    """What the samples of a step cost, before any weighting of repeats.

    It stays on the device: adding to it waits for nothing, reading it waits for the device.

    Attributes:
        sums: Nats, tokens (or examples) that count, and windows in which none does, (3,) float64.
    """

    def __init__(self) -> None:
        self.sums: Tensor | None = None
        self._rows: list[tuple[Tensor, Tensor]] = []

    def add(self, item_ids: Tensor, nats: Tensor, counts: Tensor) -> None:
        """Adds a micro-batch.

        Args:
            item_ids: Numbers of its samples, (B,) int64.
            nats: What each cost, (B,).
            counts: Tokens of each that count, (B,) integers.
        """
        nats = nats.detach().double()
        sums = torch.stack([nats.sum(), counts.sum().double(), (counts == 0).sum().double()])
        self.sums = sums if self.sums is None else self.sums + sums
        self._rows.append((item_ids, nats))

    @property
    def bad(self) -> list[int]:
        """Numbers of the samples whose loss is not finite."""
        return [number for ids, nats in self._rows for number in ids[~nats.isfinite().to(ids.device)].tolist()]


@dataclass
class Running:
    """Sums over all ranks and the steps since the last line of the log."""

    nats: float = 0.0
    count: int = 0
    empty: int = 0

    @property
    def mean(self) -> float | None:
        """Nats of one of what was counted; None if nothing was."""
        return self.nats / self.count if self.count else None


class Training(pl.LightningModule, abc.ABC):
    """Trains a network.

    Args:
        network: What to train.
        seed: The run's seed.
        optimizer: Keyword arguments of ``optim.optimizer_of``.
        schedule: Keyword arguments of ``optim.rate_at``.
        ema_decay: Decay of the averaged weights.

    Attributes:
        part: What the network is called in a checkpoint.
        unit: What a loss is shown in.
        step: Optimiser steps done, over interruptions too.
        micro: Micro-batches since then; 0 between two steps.
        tally: What this rank's micro-batches of the step cost.
    """

    part: ClassVar[str]
    unit: str

    def __init__(self, network: nn.Module, *, seed: int, optimizer: dict, schedule: dict, ema_decay: float) -> None:
        super().__init__()
        self.network, self.seed = network, seed
        self._optimizer, self._schedule = optimizer, schedule
        self.ema = EMA(network, ema_decay)
        self.step = self.micro = 0
        self.tally = Tally()

    @abc.abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """What the gradient is taken of; adds what the samples cost to the tally."""

    @property
    @abc.abstractmethod
    def columns(self) -> Mapping[str, str]:
        """The columns of the log and how each is written."""

    @abc.abstractmethod
    def figures(self, running: Running) -> dict[str, float]:
        """What the log says of the steps since its last line, by column; the first is what the progress bar shows."""

    @abc.abstractmethod
    def publish(self, publish: Publish) -> None:
        """Hands the weights that are worth keeping to ``publish`` on the first rank; all ranks call it."""

    @abc.abstractmethod
    def more(self) -> dict[str, Any]:
        """What else a checkpoint holds, plain values and tensors by name."""

    @abc.abstractmethod
    def take(self, state: dict[str, Any]) -> None:
        """Takes over what ``more`` gave."""

    @property
    def rate(self) -> float:
        """Learning rate of the step that comes next."""
        return self._optimizer["lr"] * rate_at(self.step, **self._schedule)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one micro-batch."""
        if self.micro == 0:
            self.tally = Tally()
        # torch.manual_seed would note the stack of its caller for every kind of accelerator, at every step.
        seed = torch.cuda.manual_seed if self.device.type == "cuda" else torch.default_generator.manual_seed
        seed(key64("dropout", self.seed, self.step, ranks.rank(), self.micro) >> 1)
        self.micro += 1
        return self.loss(batch)

    def optimizer_step(self, *args: object, **kwargs: object) -> None:
        """One step of the optimiser, then of the average."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate
        super().optimizer_step(*args, **kwargs)
        self.ema.update()
        self.step, self.micro = self.step + 1, 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser; its rate is set before every step."""
        return optimizer_of(self.network, **self._optimizer)

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """All that the next step depends on besides the configuration and the data."""
        return {
            "step": self.step,
            self.part: self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": optimizer.state_dict(),
            **self.more(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave, except for the optimiser's part, which Lightning has yet to make."""
        self.step = int(state["step"])
        self.take(state)
        own = self.network.state_dict()
        given = {name: spread(value, own.get(name, value)) for name, value in state[self.part].items()}
        self.network.load_state_dict(given)
        self.ema.load_state_dict(state["ema"])


def publish_average(module: Training, publish: Publish) -> None:
    """Hands the averaged weights to ``publish`` on the first rank; all ranks call it."""
    with module.ema.applied():
        weights = whole(module.network.state_dict())
        if ranks.rank() == 0:
            publish(module.step, weights)
