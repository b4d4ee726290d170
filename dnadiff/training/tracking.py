"""Weights & Biases beside ``log.csv`` and TensorBoard: the same figures under the same names.

The package is an extra and imported here only. A run keeps its identity over interruptions; figures of steps that a
resumed run repeats are not overwritten there (Weights & Biases only goes forward), and they are the same ones.
"""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnadiff.errors import InputError


def check_tracking() -> None:
    """Nothing if the package is installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("wandb") is None:
        raise InputError("logger=wandb: Weights & Biases is not installed; pip install 'dnadiff[track]' would work")


class Tracker:
    """A run of Weights & Biases.

    Args:
        folder: Run folder; its ``wandb/`` holds what is not uploaded.
        project: Project.
        name: Name of the run; None is the folder's.
        offline: Upload nothing.
        config: The settings of the run, plain JSON.
        origin: What tells this run from others, plain JSON, the same when it is resumed.

    Raises:
        InputError: The package is missing, nobody is logged in, or there is no network.
    """

    def __init__(
        self, folder: Path, *, project: str, name: str | None, offline: bool, config: Mapping[str, Any],
        origin: Mapping[str, Any],
    ) -> None:  # fmt: skip
        check_tracking()
        import wandb

        identity = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]
        try:
            self._run = wandb.init(
                project=project,
                name=name or folder.name,
                id=identity,
                resume="allow",
                dir=str(folder),
                mode="offline" if offline else None,
                config=dict(config),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise InputError(f"logger=wandb: {reason}; wandb login, or wandb.offline=true, would work") from error

    def write(self, values: Mapping[str, float]) -> None:
        """Adds figures by name, ``step`` among them."""
        figures = {name: value for name, value in values.items() if name != "step"}
        self._run.log(figures, step=int(values["step"]))

    def close(self) -> None:
        """Ends the run; as failed while an exception passes."""
        self._run.finish(exit_code=int(sys.exc_info()[0] is not None))
