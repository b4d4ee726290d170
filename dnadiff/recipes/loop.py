"""What the verbs that train share: what they say, the state they go on from, the arguments of the optimiser."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnadiff.errors import InputError, printable
from dnadiff.recipes import run_folder
from dnadiff.schema import OptimConfig
from dnadiff.training import ranks

Say = Callable[[str], None]
State = dict[str, Any] | None


def teller(quiet: bool) -> Say:
    """What prints lines to standard error: on the first rank, and not if ``quiet``."""

    def say(text: str) -> None:
        print(*map(printable, text.split("\n")), sep="\n", file=sys.stderr)

    return (lambda _: None) if quiet or ranks.rank() != 0 else say


def newest(folder: Path, end: tuple[str, int | None], say: Say) -> State:
    """The state to go on from; None begins again.

    Args:
        folder: Run folder.
        end: What was asked for, in words, and the last step that it means; None has no last step.
        say: Told of damaged checkpoints.

    Raises:
        InputError: No checkpoint is whole, or the run is beyond its end already.
    """
    from dnadiff.training.writer import newest_state

    state, (words, steps) = newest_state(folder / "checkpoints", say), end
    if state and steps is not None and steps < state["step"]:
        raise InputError(f"{words}: {folder} is after step {state['step']} already; a later end would work")
    return state


def go_on(folder: Path, state: State, argv: list[str], say: Say) -> None:
    """Removes what lies beyond the state to go on from, and notes the resumption."""
    from dnadiff.training.writer import clean

    step = state["step"] if state else 0
    ranks.wait()  # nobody may still be reading what is removed now
    if ranks.rank() == 0:
        clean(folder, step)
        run_folder.note_resumption(folder, argv, step)
    say(f"resumed      after step {step:,}")


def optimising(optim: OptimConfig, steps: int | None) -> dict[str, Any]:
    """The keyword arguments ``optimizer``, ``schedule`` and ``ema_decay`` of ``training.network.Training``.

    Args:
        optim: The settings.
        steps: Last step of the run, where a cosine ends; None if only time ends it.
    """
    return {
        "optimizer": {
            "name": optim.name, "lr": optim.lr, "betas": (optim.betas[0], optim.betas[1]), "eps": optim.eps,
            "weight_decay": optim.weight_decay,
        },
        "schedule": {
            "schedule": optim.schedule, "warmup_steps": optim.warmup_steps, "steps": steps,
            "floor": optim.lr_min / optim.lr,
        },
        "ema_decay": optim.ema,
    }  # fmt: skip
