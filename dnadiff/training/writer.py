"""Checkpoints that are whole or absent: written beside their place, hashed, flushed, renamed.

``checkpoints/step-N/`` holds ``state.pt`` (weights, averaged weights, optimiser, counters: tensors and plain values, so
it loads with ``weights_only=True``) and ``MANIFEST.sha256``. A newer checkpoint is complete before an older one is
removed.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from dnadiff.checkpoints import manifest
from dnadiff.data import atomic
from dnadiff.errors import InputError
from dnadiff.training.callbacks import Clock
from dnadiff.training.module import DiffusionModule


class CheckpointWriter(pl.Callback):
    """Writes a checkpoint every ``every`` optimiser steps and at the end, and keeps the newest few.

    Args:
        folder: ``RUN/checkpoints``.
        every: Steps between checkpoints.
        keep: How many to keep.
        clock: Training time, stored so that a resumed run knows what it has used.
        publish: Called with the step after a checkpoint is written, while the denoiser carries the averaged weights.
    """

    def __init__(self, folder: Path, every: int, keep: int, clock: Clock, publish: Callable[[int], None]) -> None:
        self.folder, self.every, self.keep, self.clock, self.publish = folder, every, keep, clock, publish
        self._written = -1

    def on_train_batch_end(self, trainer: pl.Trainer, module: DiffusionModule, *args: object) -> None:
        """Writes when a multiple of ``every`` steps is done."""
        if trainer.global_step and trainer.global_step % self.every == 0:
            self._write(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Writes the last step."""
        self._write(trainer, module)

    def _write(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        if trainer.global_step == self._written or not trainer.is_global_zero:
            return
        self._written = trainer.global_step
        state = {
            "step": trainer.global_step,
            "seconds": self.clock.seconds,
            "seed": module.seed,
            "denoiser": module.denoiser.state_dict(),
            "ema": module.ema.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "scheduler": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        }
        with atomic.new_folder(self.folder / f"step-{trainer.global_step}", replace=True) as folder:
            torch.save(state, folder / "state.pt")
            (folder / manifest.NAME).write_text(manifest.manifest_of(folder), encoding="utf-8")
            for path in folder.iterdir():
                atomic.sync(path)
        for old in checkpoints(self.folder)[: -self.keep]:
            shutil.rmtree(old)
        with module.ema.applied():
            self.publish(trainer.global_step)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The state a checkpoint holds.

    Raises:
        InputError: A file is missing or is not the one that was written.
    """
    manifest.verify(folder, ("state.pt",))
    try:
        return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{folder}: state.pt cannot be read ({str(error).splitlines()[0]})") from error
