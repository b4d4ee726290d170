"""Checkpoints that are whole or absent: written beside their place, hashed, flushed, renamed.

``checkpoints/step-N/`` holds ``state.pt`` (weights, averaged weights, optimiser and counters: tensors and plain values,
so it loads with ``weights_only=True``) and ``MANIFEST.sha256``, because PyTorch loads a file with a flipped bit without
complaint. A newer checkpoint is on the disk before an older one is removed, and a killed writer leaves only a temporary
name, which the next start sweeps. There is no generator state and no position in the data: the step is both.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dnadiff.checkpoints import manifest
from dnadiff.data import atomic
from dnadiff.errors import InputError, ResourceError, printable

STATE = "state.pt"
FORMAT = 1
_NETWORKS = ("denoiser", "predictor")  # a checkpoint holds the weights of one of them
_PARTS = {
    "step": int, "ema": dict, "optimizer": dict, "seed": int, "running": dict, "seconds": float,
    "log_bytes": int,
}  # fmt: skip


def write_checkpoint(folder: Path, state: dict[str, Any], keep: int) -> None:
    """Writes ``folder/step-N`` and then removes all but the newest ``keep``.

    Args:
        folder: ``RUN/checkpoints``.
        state: Tensors and plain values, ``step`` among them.
        keep: Checkpoints kept, 1 or more.

    Raises:
        ResourceError: The disk is full, or has too little room to begin with; what was there is still there.
    """
    check_space(folder, sum(tensor.nbytes for tensor in _tensors(state)))
    with atomic.new_folder(folder / f"step-{state['step']}", replace=True) as new:
        _save({**state, "format": FORMAT}, new / STATE)
        (new / manifest.NAME).write_text(manifest.manifest_of(new), encoding="utf-8")
        for path in new.iterdir():
            atomic.sync(path)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def newest_state(folder: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The state of the newest checkpoint that is whole; None if the run has not written any.

    Args:
        folder: ``RUN/checkpoints``.
        say: Told, in one line, of each checkpoint that was refused before a whole one was found.

    Raises:
        InputError: There are checkpoints and none of them is whole.
    """
    found, refused = checkpoints(folder), []
    for path in reversed(found):
        try:
            state = read_checkpoint(path)
        except InputError as error:
            refused.append(error)
            continue
        for error in refused:
            say(f"refused      {printable(str(error))}")
        return state
    if refused:
        raise InputError(
            f"{folder}: none of the {len(found)} checkpoints can be read (the newest: {refused[0]}); "
            "a copy of one would work"
        )
    return None


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The state that a checkpoint holds, on the CPU.

    Raises:
        InputError: A file is missing, is not the one that was written, or is of another version.
    """
    manifest.verify(folder, (STATE,))
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes the unpickler do
        raise InputError(f"{folder}: {STATE} cannot be read; tensors and plain values alone would work") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"{folder}: {STATE} is of another version; one of format {FORMAT} would work")
    networks = [state[name] for name in _NETWORKS if name in state]
    whole = all(isinstance(state.get(key), kind) for key, kind in _PARTS.items())
    weights = len(networks) == 1 and isinstance(networks[0], dict)
    if not (whole and weights) or state["step"] != _step(folder):
        raise InputError(f"{folder}: {STATE} lacks parts of a checkpoint of this step; the one that was written works")
    return state


@contextmanager
def of_this_model(step: int, folder: Path) -> Iterator[None]:
    """Turns whatever fails while a checkpoint is taken over into one line.

    Args:
        step: That of the checkpoint, for the message.
        folder: Run folder, likewise.

    Raises:
        InputError: The block failed: the checkpoint does not fit the model.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: the checkpoint of step {step} is of another model ({str(error).splitlines()[0]}); "
            "the config.json that it was trained with would work"
        ) from error


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(found, key=_step)


def clean(run: Path, step: int) -> None:
    """Removes what an interrupted run left: temporary names, and checkpoints after the step it continues from."""
    for leftover in [*run.glob(".*.tmp*"), *run.glob("checkpoints/.*.tmp*")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for path in checkpoints(run / "checkpoints"):
        if _step(path) > step:
            shutil.rmtree(path)


def check_space(folder: Path, needed: int) -> None:
    """Refuses to begin what would not fit.

    Args:
        folder: Where it will be written; need not exist.
        needed: Bytes.

    Raises:
        ResourceError: There is less room than that.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise ResourceError(
            f"{folder}: {needed / 2**20:,.1f} MiB are needed and {free / 2**20:,.1f} MiB are free; "
            "free some space or write elsewhere"
        )


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _save(state: dict[str, Any], path: Path) -> None:
    """Like ``torch.save``, which hides behind a RuntimeError why a file could not be written."""
    with path.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
