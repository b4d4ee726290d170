r"""What Lightning drives in training a denoiser: one objective on it.

A micro-batch of B windows of L tokens gives the loss  sum(weight * nll) / (B * L),  a fixed normaliser; Lightning
averages over micro-batches and ranks, so the gradient is that of the sum over the global batch divided by a constant,
however the batch is cut. Noise is keyed by the sample's global number.

A batch is corrupted on the host, where the draws are made, and only then moved: what follows runs on the device and
asks it nothing, so the host runs ahead until the step's sums are read.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from dnadiff.diffusion import Batch, BlockNELBO, Clip, Denoiser, Noised, Objective
from dnadiff.random import Draws
from dnadiff.training.log import columns_of
from dnadiff.training.network import Publish, Running, Training, publish_average

Record = TypeVar("Record", Batch, Noised)


class DiffusionModule(Training):
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
        token: What a token is called.
    """

    part = "denoiser"

    def __init__(
        self, denoiser: Denoiser, objective: Objective, *, seed: int, optimizer: dict, schedule: dict,
        ema_decay: float, compiled: bool, label_dropout: float = 0.0, token: str = "base",
    ) -> None:  # fmt: skip
        super().__init__(denoiser, seed=seed, optimizer=optimizer, schedule=schedule, ema_decay=ema_decay)
        self.objective, self._label_dropout = objective, label_dropout
        self.token, self.unit = token, f"bits/{token}"
        self._call: Callable = torch.compile(denoiser.forward, dynamic=False) if compiled else denoiser

    @property
    def denoiser(self) -> Denoiser:
        """What is trained."""
        return self.network

    @property
    def clip(self) -> Clip | None:
        """The noise levels that a model of blocks is trained on; None for other models."""
        return self.objective.clip if isinstance(self.objective, BlockNELBO) else None

    def train_on(self, clip: Clip) -> None:
        """Trains a model of blocks on these noise levels from the next step on."""
        self.objective.clip = clip

    @property
    def columns(self) -> Mapping[str, str]:
        """Those of ``log``."""
        return columns_of(self.token)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Loss of one micro-batch, whose tensors are on the host."""
        draws = Draws(self.seed, batch["item_ids"].numpy())
        objective = self.objective.for_step(self.seed, self.step)
        clean = self._partly_labelled(as_batch(batch), draws)
        noised = moved(objective.noise(clean, draws), self.device)
        loss = objective.loss(self._call, moved(clean, self.device), noised)
        rows = torch.where(loss.valid, loss.nll.detach(), 0.0).double().sum(-1)
        counts = sent(batch["counted"], self.device) if "counted" in batch else loss.valid.sum(-1)
        self.tally.add(batch["item_ids"], rows, counts)
        return torch.where(loss.valid, loss.nll * sent(batch["weight"], self.device), 0.0).sum() / loss.nll.numel()

    def transfer_batch_to_device(self, batch: dict[str, Tensor], *_: object) -> dict[str, Tensor]:
        """The batch where it is: ``loss`` moves it."""
        return batch

    def _partly_labelled(self, batch: Batch, draws: Draws) -> Batch:
        """The batch with some of its classes hidden, always the same ones of a sample."""
        if batch.labels is None:
            return batch
        hidden = draws.uniform("label", 0).to(batch.labels.device) < self._label_dropout
        return replace(batch, labels=batch.labels.masked_fill(hidden, self.denoiser.backbone.n_classes))

    def figures(self, running: Running) -> dict[str, float]:
        """Bits per base, NaN if no base was scored, and windows without one."""
        bits = math.nan if running.mean is None else running.mean / math.log(2)
        return {f"train_bits_per_{self.token}": bits, "empty_windows": running.empty}

    def publish(self, publish: Publish) -> None:
        """Publishes the averaged weights."""
        publish_average(self, publish)

    def more(self) -> dict[str, Any]:
        """The noise levels it is trained on."""
        return {"clip": list(self.clip or ())}

    def take(self, state: dict[str, Any]) -> None:
        """Takes the noise levels over."""
        if state["clip"]:
            self.train_on(Clip(*map(float, state["clip"])))


def sent(value: Tensor, device: torch.device) -> Tensor:
    """A host's tensor on the device, without waiting for it."""
    return value.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else value.to(device)


def moved(record: Record, device: torch.device) -> Record:
    """A batch or noise with its tensors on the device, without waiting for it."""
    tensors = {name: sent(value, device) for name, value in vars(record).items() if value is not None}
    return replace(record, **tensors)


def as_batch(batch: dict[str, Tensor]) -> Batch:
    """The windows as the objective takes them; attention sees real tokens and given ones."""
    shown = batch["valid"] | batch["given"]
    visible = None if bool(shown.all()) else shown
    return Batch(batch["tokens"], batch["valid"], batch["given"], visible, batch.get("labels"))
