"""``log.csv``: what training measured, a line every few steps and at every validation.

TensorBoard shows the same, and Weights & Biases if asked. Of text the figures are bits per token.

    step                  optimiser steps done
    samples, tokens       windows and tokens read so far
    seconds               training time so far, over interruptions too
    lr, grad_norm         learning rate of the step, norm of its gradient before clipping
    train_bits_per_base   mean over the steps since the last line that has one; repeats weigh 1
    empty_windows         training windows without a token to score among them
    valid_bits_per_base, valid_standard_error   held-out windows under the averaged weights
    clip_low, clip_high   noise levels that blocks are trained on from here on: masked bases of a block, or times

The file only grows. A checkpoint notes how long it was, and a resumed run cuts it back to that length, so that the log
of an interrupted run is the one that it would have had, but for the seconds.
"""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from dnadiff.data import atomic
from dnadiff.errors import InputError
from dnadiff.training.tracking import Tracker

COLUMNS = {
    "step": "d", "samples": "d", "tokens": "d", "seconds": ".1f", "lr": ".3e", "grad_norm": ".4f",
    "train_bits_per_base": ".5f", "empty_windows": "d", "valid_bits_per_base": ".5f", "valid_standard_error": ".5f",
    "clip_low": "g", "clip_high": "g",
}  # fmt: skip


def columns_of(token: str) -> dict[str, str]:
    """The columns of a denoiser's log, and how each is written.

    Args:
        token: What a token is called, such as ``base``.
    """
    return {name.replace("bits_per_base", f"bits_per_{token}"): form for name, form in COLUMNS.items()}


class Log:
    """The log of a run.

    Args:
        folder: Run folder.
        size: Bytes of ``log.csv`` to keep; 0 begins a new one.
        step: Step the run continues from.
        tracker: Where else the lines go; closed with the log.
        columns: The columns and how each is written.

    Raises:
        InputError: The file is shorter than that.
        ResourceError: The disk is full.
    """

    def __init__(
        self, folder: Path, size: int = 0, step: int = 0, tracker: Tracker | None = None,
        columns: Mapping[str, str] = COLUMNS,
    ) -> None:  # fmt: skip
        self.path, self._tracker, self._columns = folder / "log.csv", tracker, columns
        found = self.path.stat().st_size if self.path.exists() else 0
        if found < size:
            raise InputError(
                f"{self.path}: has {found} bytes, fewer than the {size} it had at step {step}; "
                "the log as it was would work"
            )
        with atomic.disk_errors(self.path), self.path.open("ab") as file:
            file.truncate(size)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        if not size:
            self._append(columns)

    @property
    def size(self) -> int:
        """Bytes of the file, flushed to the disk."""
        with atomic.disk_errors(self.path):
            atomic.sync(self.path)
        return os.path.getsize(self.path)

    def write(self, values: Mapping[str, float]) -> None:
        """One line.

        Args:
            values: By column, ``step`` among them; the cells of other columns stay empty.

        Raises:
            ResourceError: The disk is full.
        """
        self._append([format(values[name], form) if name in values else "" for name, form in self._columns.items()])
        for name in values.keys() - {"step", "samples"}:
            self._board.add_scalar(name, values[name], int(values["step"]))
        if self._tracker:
            self._tracker.write(values)

    def close(self) -> None:
        """Writes what TensorBoard still holds back, and ends the tracker's run."""
        self._board.close()
        if self._tracker:
            self._tracker.close()

    def _append(self, cells: object) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        with atomic.disk_errors(self.path), self.path.open("ab") as file:
            file.write(line.getvalue().encode())
