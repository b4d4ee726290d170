"""Running the loop: one call from a module and its data to trained weights."""

import logging
import warnings
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment

from dnadiff.training import ranks
from dnadiff.training.datamodule import Windows
from dnadiff.training.log import Log
from dnadiff.training.network import Publish, Training
from dnadiff.training.progress import Bar, Clock
from dnadiff.training.sharding import is_sharded
from dnadiff.training.signals import Signals
from dnadiff.training.steps import Pace, Steps
from dnadiff.training.tracking import Tracker
from dnadiff.training.validation import Validation
from dnadiff.training.writer import of_this_model


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: Optimiser steps done.
        held_out: How the averaged weights did on what was held out; None if nothing was or a signal came.
        code: Exit code 130 or 143 if a signal ended the run, else None.
        seconds: Training time, validations included, over interruptions too.
        processor_seconds: What the threads of this process worked in it; None if a part of the run has no record of it.
    """

    step: int
    held_out: Any
    code: int | None
    seconds: float
    processor_seconds: float | None


def fit(
    module: Training,
    data: Windows,
    held_out: Validation | None,
    folder: Path,
    *,
    pace: Pace,
    clip: float,
    precision: str,
    publish: Publish,
    state: dict[str, Any] | None,
    quiet: bool,
    tracker: Tracker | None = None,
) -> Outcome:
    """How the run ended; the module then holds raw weights and its ``ema`` the averaged ones.

    Args:
        module: What to train.
        data: Its windows.
        held_out: What to validate on; None for nothing.
        folder: Run folder: ``log.csv``, ``tensorboard/`` and ``checkpoints/`` are written there.
        pace: How long, and what how often.
        clip: Largest norm of the gradient; 0 for no clipping.
        precision: ``"fp32"`` or ``"bf16"``.
        publish: Called on the first rank with the step and the weights worth keeping at every checkpoint.
        state: The checkpoint to continue from; None begins.
        quiet: No progress bar.
        tracker: Where the log goes besides the folder; closed at the end.

    Raises:
        DivergedError: Loss or gradient became NaN or infinite.
        InputError: The checkpoint does not belong to this module.
        ResourceError: The disk is full.
        KeyboardInterrupt: A second SIGINT came.
    """
    if state:
        with of_this_model(state["step"], folder):
            module.restore(state)
    first = data.first_step = module.step
    spent = (state["seconds"], state.get("processor_seconds")) if state else (0.0, 0.0)
    clock = Clock(pace.minutes, *spent)
    log = Log(folder, state["log_bytes"] if state else 0, first, tracker, module.columns) if ranks.rank() == 0 else None
    bar = Bar(data.tokens, first, pace.steps, clock, quiet, module.unit)
    with Signals() as signals, nullcontext() if log is None else closing(log):
        steps = Steps(
            pace, clip=clip, windows=data.batch_size, tokens=data.tokens, folder=folder, log=log, held_out=held_out,
            clock=clock, bar=bar, signals=signals, publish=publish, state=state,
        )  # fmt: skip
        enough = held_out is not None and held_out.enough(module)
        if not clock.over and not enough and (pace.steps is None or first < pace.steps):
            _run(module, data, steps, precision)
        else:  # the run is complete; its model may have missed the last checkpoint
            module.publish(publish)
        scores = steps.held_out_scores
        if held_out and scores is None and steps.code is None:
            scores = held_out.score(module)
    return Outcome(module.step, scores, steps.code, clock.seconds, clock.processor_seconds)


def _run(module: Training, data: Windows, steps: Steps, precision: str) -> None:
    with warnings.catch_warnings():
        _hush()
        trainer = pl.Trainer(
            **_placement(module),
            max_steps=-1,
            max_epochs=-1,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            accumulate_grad_batches=data.accumulate,
            use_distributed_sampler=False,
            callbacks=[steps],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            trainer.fit(module, data)
        except SystemExit:  # how Lightning leaves, whatever the signal
            if not steps.saved:
                raise KeyboardInterrupt from None


def _placement(module: Training) -> dict[str, Any]:
    """Where Lightning runs the module; sharded weights talk to each other by themselves, so it sees one process."""
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if ranks.world() == 1 or is_sharded(module):
        device = torch.device(ranks.device())
        return {
            "accelerator": accelerator, "plugins": [LightningEnvironment()],
            "devices": 1 if device.index is None else [device.index], "strategy": "auto",
        }  # fmt: skip
    return {
        "accelerator": accelerator, "plugins": [TorchElasticEnvironment()], "devices": ranks.local_world(),
        "num_nodes": ranks.world() // ranks.local_world(), "strategy": "ddp",
    }  # fmt: skip


def _hush() -> None:
    """Lightning's advice is for its own users; what matters here is said by dnadiff."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
