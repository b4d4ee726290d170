"""What happens around every optimiser step, in this order.

Before it: the ranks agree whether the loss and the gradient are finite, what the step cost, and whether anybody was
told to stop. A step that is not finite is never taken. After it: log, validation, checkpoint and published model, stop.
The log is written before the checkpoint that notes its length, and the checkpoint before the process may leave.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.distributed.tensor import DTensor

from dnadiff.errors import DivergedError
from dnadiff.training import ranks
from dnadiff.training.log import Log
from dnadiff.training.network import Publish, Running, Training
from dnadiff.training.optim import spread_optimizer
from dnadiff.training.progress import Bar, Clock
from dnadiff.training.sharding import whole
from dnadiff.training.signals import Signals
from dnadiff.training.validation import Validation
from dnadiff.training.writer import of_this_model, write_checkpoint


@dataclass(frozen=True)
class Pace:
    """How long to train and what to do how often, in optimiser steps.

    Attributes:
        steps: Last step; None for no limit.
        minutes: Length of the run, validations included; None for no limit.
        log: Between lines of the log.
        validate: Between validations.
        checkpoint: Between checkpoints; one more comes at the end.
        keep: Checkpoints kept.
    """

    steps: int | None
    minutes: float | None
    log: int
    validate: int
    checkpoint: int
    keep: int


class Steps(pl.Callback):
    """Guards, logs, validates, saves and stops.

    Args:
        pace: How often.
        clip: Largest norm of the gradient; 0 for no clipping.
        windows: Windows of a step.
        tokens: Tokens of a step.
        folder: Run folder.
        log: Where the first rank writes; None on the others.
        held_out: What to validate on; None for nothing.
        clock: Training time.
        bar: The progress bar.
        signals: What this process was told.
        publish: Called on the first rank with the step and the weights that are worth keeping.
        state: The checkpoint to continue from; None begins.

    Attributes:
        held_out_scores: Those of the last validation, if it followed the last step.
        code: Exit code 130 or 143 if a signal is ending the run.
        saved: The last step is on the disk.
    """

    def __init__(
        self, pace: Pace, *, clip: float, windows: int, tokens: int, folder: Path, log: Log | None,
        held_out: Validation | None, clock: Clock, bar: Bar, signals: Signals, publish: Publish,
        state: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        self.pace, self.clip, self.windows, self.tokens, self.folder = pace, clip, windows, tokens, folder
        self.journal, self.held_out, self.clock, self.bar = log, held_out, clock, bar
        self.signals, self.publish = signals, publish
        self.held_out_scores: Any = None
        self.code: int | None = None
        self.saved = False
        self._optimizer = state and state["optimizer"]
        self._running = Running()
        if state:
            with of_this_model(state["step"], folder):
                sums = state["running"]
                self._running = Running(float(sums["nats"]), int(sums["count"]), int(sums["empty"]))
        self._norm, self._over = 0.0, False

    def on_train_start(self, trainer: pl.Trainer, module: Training) -> None:
        """Restores what Lightning has made by now, and takes the signals back that it has taken."""
        module.ema.follow()
        if self._optimizer is not None:
            optimizer = trainer.optimizers[0]
            with of_this_model(module.step, self.folder):
                optimizer.load_state_dict(spread_optimizer(self._optimizer, optimizer))
            self._optimizer = None
        self.signals.listen()
        self.clock.start()
        self.bar.start()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Training, optimizer: torch.optim.Optimizer) -> None:
        """Refuses a step that is not finite, on all ranks; clips the gradient."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        # The one time in a step that the host waits for the device.
        nats, count, empty, self._norm = torch.cat([module.tally.sums, norm.double().view(1)]).tolist()
        bad = not (math.isfinite(nats) and math.isfinite(self._norm))
        votes = (bad, self.clock.over, self.signals.interrupted, self.signals.terminated)
        nats, count, empty, *votes = ranks.total([nats, count, empty, *map(float, votes)])
        bad, self._over, interrupted, terminated = (vote > 0 for vote in votes)
        if bad:
            raise DivergedError(self._diverged(module))
        self._running.nats += nats
        self._running.count += int(count)
        self._running.empty += int(empty)
        self.code = 143 if terminated else 130 if interrupted else None
        self.signals.obeyed = self.code is not None
        if self.clip:
            torch.nn.utils.clip_grads_with_norm_(module.parameters(), self.clip, norm)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Training, *args: object) -> None:
        """Everything that follows a step."""
        if module.micro:
            return
        last = self._over or module.step == self.pace.steps
        self.held_out_scores = None
        if self.held_out and (last or module.step % self.pace.validate == 0):
            self.held_out_scores = self.held_out.score(module)
        if self.held_out and module.step % self.pace.validate == 0:
            self.held_out.adapt(module)
        last = last or (self.held_out is not None and self.held_out.enough(module))
        self._report(trainer, module)
        leaving = last or self.code is not None
        if leaving or module.step % self.pace.checkpoint == 0:
            self._save(trainer, module)
        trainer.should_stop = self.saved = leaving

    def on_exception(self, trainer: pl.Trainer, module: Training, error: BaseException) -> None:
        """Leaves the terminal as it was."""
        self.bar.stop()

    def on_train_end(self, trainer: pl.Trainer, module: Training) -> None:
        """Leaves the terminal as it was."""
        self.bar.stop()

    def _report(self, trainer: pl.Trainer, module: Training) -> None:
        step, figures, held_out = module.step, module.figures(self._running), {}
        values: dict[str, float] = {}
        if step % self.pace.log == 0:
            values |= {"lr": trainer.optimizers[0].param_groups[0]["lr"], "grad_norm": self._norm, **figures}
            self._running = Running()
        if self.held_out and self.held_out_scores is not None:
            held_out = self.held_out.figures(module, self.held_out_scores)
            values |= held_out
        if values and self.journal:
            counters = {"step": step, "samples": step * self.windows, "tokens": step * self.tokens}
            self.journal.write(counters | {"seconds": self.clock.seconds} | values)
        shown = next(iter(figures.values()))
        self.bar.move(step, None if math.isnan(shown) else shown, next(iter(held_out.values()), None))

    def _save(self, trainer: pl.Trainer, module: Training) -> None:
        state = whole(module.state(trainer.optimizers[0]))
        if self.journal:
            state |= {
                "seed": module.seed, "running": asdict(self._running), "seconds": self.clock.seconds,
                "processor_seconds": self.clock.processor_seconds, "log_bytes": self.journal.size,
            }  # fmt: skip
            write_checkpoint(self.folder / "checkpoints", state, self.pace.keep)
        module.publish(self.publish)
        ranks.wait()

    def _diverged(self, module: Training) -> str:
        numbers = sorted(number for part in ranks.gathered(module.tally.bad) for number in part)
        first = module.step * self.windows
        what, samples = f"the gradient (norm {self._norm})", f"{first} to {first + self.windows - 1}"
        if numbers:
            what, samples = "the loss", ", ".join(map(str, numbers[:5])) + " ..." * (len(numbers) > 5)
        return (
            f"step {module.step + 1}: {what} is not finite, samples {samples}; no weight was changed and the last "
            "checkpoint was kept; a smaller optim.lr or a longer optim.warmup_steps would work"
        )
