"""The clock of a run and its progress bar: loss, tokens per second, time left."""

import math
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dnadiff.training import ranks


class Clock:
    """Training time, over interruptions too.

    Args:
        minutes: Length of the run; None for no limit.
        spent: Seconds that earlier parts of the run took.
        worked: Seconds of processor that they took; None if that is not known.
    """

    def __init__(self, minutes: float | None, spent: float = 0.0, worked: float | None = 0.0) -> None:
        self.limit, self.spent, self._worked = None if minutes is None else 60 * minutes, spent, worked
        self._start: float | None = None
        self._processor = 0.0

    def start(self) -> None:
        """Time runs from now on."""
        self._start, self._processor = time.monotonic(), time.process_time()

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.spent + (0.0 if self._start is None else time.monotonic() - self._start)

    @property
    def processor_seconds(self) -> float | None:
        """What all threads of this process worked so far; None if an earlier part of the run did not record its own."""
        if self._worked is None or self._start is None:
            return self._worked
        return self._worked + time.process_time() - self._processor

    @property
    def over(self) -> bool:
        """Whether the time is used up."""
        return self.limit is not None and self.seconds >= self.limit


class Bar:
    """The progress bar of the first rank, on stderr if that is a terminal.

    Args:
        tokens: Tokens of a step.
        first: Step the run continues from.
        steps: Last step, or None.
        clock: Time spent and its limit.
        quiet: Show nothing.
        unit: What losses are in.
    """

    def __init__(
        self, tokens: int, first: int, steps: int | None, clock: Clock, quiet: bool, unit: str = "bits/base"
    ) -> None:
        self.tokens, self.first, self.steps, self.clock, self.unit = tokens, first, steps, clock, unit
        self._loss, self._held_out = math.nan, ""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        silent = quiet or ranks.rank() != 0 or not sys.stderr.isatty()
        self._progress = Progress(*columns, console=Console(stderr=True), disable=silent)
        self._task = self._progress.add_task("training", total=1.0)

    def start(self) -> None:
        """Shows the bar."""
        self._progress.start()

    def stop(self) -> None:
        """Leaves the terminal as it was."""
        self._progress.stop()

    def move(self, step: int, loss: float | None, held_out: float | None) -> None:
        """Moves the bar to a step; figures that are None stay as they were."""
        self._loss = self._loss if loss is None else loss
        self._held_out = self._held_out if held_out is None else f" (held out {held_out:.3f})"
        seconds = self.clock.seconds
        shares = [seconds / self.clock.limit] if self.clock.limit else []
        shares += [step / self.steps] if self.steps else []
        speed = (step - self.first) * self.tokens / max(seconds - self.clock.spent, 1e-9)
        text = f"step {step}  {self._loss:.3f} {self.unit}{self._held_out}  {speed:,.0f} tokens/s"
        self._progress.update(self._task, completed=min(1.0, max(shares, default=0.0)), description=text)
