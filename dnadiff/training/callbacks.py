"""What happens around the steps: the averaged weights at validation, the clock, the progress bar, the log."""

import csv
import math
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dnadiff.training.module import DiffusionModule

LOG_COLUMNS = (
    "step", "samples", "tokens", "seconds", "lr", "grad_norm",
    "train_bits_per_base", "valid_bits_per_base", "valid_standard_error",
)  # fmt: skip


class ValidateAverage(pl.Callback):
    """Validation sees the averaged weights."""

    def on_validation_start(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Puts the average in."""
        self._context = module.ema.applied()
        self._context.__enter__()

    def on_validation_end(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Puts the raw weights back."""
        self._context.__exit__(None, None, None)


class Clock(pl.Callback):
    """Counts training time, over interruptions too, and ends the run when it is used up.

    Args:
        minutes: Length of the run; None for no limit.
        spent: Seconds that earlier parts of the run took.
    """

    def __init__(self, minutes: float | None, spent: float = 0.0) -> None:
        self.limit, self.spent = None if minutes is None else 60 * minutes, spent
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.spent + time.monotonic() - self._start

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts counting."""
        self._start = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *args: object) -> None:
        """Stops all ranks together once one of them is over the limit."""
        over = self.limit is not None and self.seconds >= self.limit
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(trainer.should_stop or over, all=False)


class LogWriter(pl.Callback):
    """``log.csv``: one line every ``every`` steps and one at every validation; units in docs, columns in LOG_COLUMNS.

    Lines of steps after the one a run resumes from are dropped, so a resumed log equals an uninterrupted one.

    Args:
        path: The file.
        every: Optimiser steps between lines.
        batch_size: Windows of a step.
        length: Tokens of a window.
        clock: Gives the seconds.
    """

    def __init__(self, path: Path, every: int, batch_size: int, length: int, clock: Clock) -> None:
        self.path, self.every, self.clock = path, every, clock
        self.batch_size, self.length = batch_size, length
        self._logged = -1

    def on_train_start(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Begins the file, or cuts it back to the step the run resumes from."""
        if not trainer.is_global_zero:
            return
        kept: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) <= trainer.global_step]
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def on_train_batch_end(self, trainer: pl.Trainer, module: DiffusionModule, *args: object) -> None:
        """Writes a line after every ``every``-th step."""
        step = trainer.global_step
        if step != self._logged and step % self.every == 0 and step > 0:
            self._logged = step
            self._write(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Writes the validation."""
        self._write(trainer, module, *(module.validated or ()))

    def _write(self, trainer: pl.Trainer, module: DiffusionModule, *validated: float) -> None:
        step, rate = trainer.global_step, trainer.optimizers[0].param_groups[0]["lr"]
        train = module.loss_sum / module.loss_count / math.log(2) if module.loss_count else math.nan
        values = dict(zip(LOG_COLUMNS, (
            step, step * self.batch_size, step * self.batch_size * self.length, f"{self.clock.seconds:.1f}",
            f"{rate:.3e}", f"{module.grad_norm:.4f}", "" if validated else f"{train:.5f}",
            *(f"{value:.5f}" for value in validated),
        ), strict=False))  # fmt: skip
        if not validated:
            module.loss_sum, module.loss_count = 0.0, 0
            for logger in trainer.loggers:
                logger.log_metrics({"train_bits_per_base": train, "lr": rate, "grad_norm": module.grad_norm}, step)
        if trainer.is_global_zero:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, LOG_COLUMNS).writerow(values)


class ProgressBar(pl.Callback):
    """Bits per base, tokens per second and the time left, on stderr when it is a terminal.

    Args:
        batch_tokens: Tokens of a step.
        steps: Last step, or None.
        clock: Time spent and its limit.
    """

    def __init__(self, batch_tokens: int, steps: int | None, clock: Clock) -> None:
        self.batch_tokens, self.steps, self.clock = batch_tokens, steps, clock
        self._bits, self._valid = math.nan, ""

    def on_train_start(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Shows the bar on the first rank."""
        from rich.console import Console

        self._first = trainer.global_step
        if trainer.is_global_zero:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self.progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
            self.task = self.progress.add_task("training", total=1.0)
            self.progress.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: DiffusionModule, *args: object) -> None:
        """Moves the bar."""
        if not trainer.is_global_zero:
            return
        step, seconds = trainer.global_step, self.clock.seconds
        if module.loss_count:
            self._bits = module.loss_sum / module.loss_count / math.log(2)
        shares = [seconds / self.clock.limit] if self.clock.limit else []
        shares += [step / self.steps] if self.steps else []
        speed = (step - self._first) * self.batch_tokens / max(seconds - self.clock.spent, 1e-9)
        text = f"step {step}  {self._bits:.3f} bits/base{self._valid}  {speed:,.0f} tokens/s"
        self.progress.update(self.task, completed=min(1.0, max(shares, default=0.0)), description=text)

    def on_validation_end(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """Notes the held-out figure."""
        if module.validated:
            self._valid = f" (held out {module.validated[0]:.3f})"

    def teardown(self, trainer: pl.Trainer, module: DiffusionModule, stage: str) -> None:
        """Leaves the terminal as it was."""
        if trainer.is_global_zero:
            self.progress.stop()
