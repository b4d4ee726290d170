"""Running the loop: one call from a module and its data to trained weights."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from dnadiff.training.callbacks import Clock, LogWriter, ProgressBar, ValidateAverage
from dnadiff.training.datamodule import Windows
from dnadiff.training.module import DiffusionModule
from dnadiff.training.writer import CheckpointWriter


def fit(
    module: DiffusionModule,
    data: Windows,
    folder: Path,
    *,
    steps: int | None,
    minutes: float | None,
    val_every: int,
    checkpoint_every: int,
    keep: int,
    log_every: int,
    clip: float,
    precision: str,
    publish: Callable[[int], None],
    quiet: bool,
) -> int:
    """The number of optimiser steps done; the module then holds raw weights and its ``ema`` the averaged ones.

    Args:
        module: What to train.
        data: Its windows.
        folder: Run folder: ``log.csv``, ``tensorboard/`` and ``checkpoints/`` are written there.
        steps: Stop after this many optimiser steps; None for no limit.
        minutes: Stop after this much time, validations included; None for no limit.
        val_every: Steps between validations.
        checkpoint_every: Steps between checkpoints; one more comes at the end.
        keep: Checkpoints kept.
        log_every: Steps between lines of the log.
        clip: Largest norm of the gradient; 0 for no clipping.
        precision: ``"fp32"`` or ``"bf16"``.
        publish: Called with the step at every checkpoint, while the denoiser carries the averaged weights.
        quiet: No progress bar.

    Raises:
        DivergedError: Loss or gradient became NaN or infinite.
        ResourceError: The disk is full.
    """
    clock = Clock(minutes)
    length = data.train.length
    callbacks = [
        clock,
        ValidateAverage(),
        LogWriter(folder / "log.csv", log_every, data.batch_size, length, clock),
        CheckpointWriter(folder / "checkpoints", checkpoint_every, keep, clock, publish),
    ]
    if not quiet:
        callbacks.append(ProgressBar(data.batch_size * length, steps, clock))
    with warnings.catch_warnings():
        _hush()
        trainer = pl.Trainer(
            max_steps=-1 if steps is None else steps,
            max_epochs=-1,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            accumulate_grad_batches=data.accumulate,
            gradient_clip_val=clip or None,
            val_check_interval=val_every * data.accumulate,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            logger=TensorBoardLogger(folder, name="tensorboard", version=""),
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=log_every,
        )
        trainer.fit(module, data)
    return trainer.global_step


def _hush() -> None:
    """Lightning's advice is for its own users; what matters here is said by dnadiff."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
