"""Where an output came from: the command, the seed, the inputs' hashes, the versions and the machine."""

import datetime
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from dnadiff import __version__
from dnadiff.data import atomic


def provenance(argv: Sequence[str], seed: int | None, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Plain JSON values that say how something was made; add facts of your own, such as ``step``.

    Args:
        argv: The words of the command line.
        seed: The seed that was used; None if nothing was drawn.
        inputs: SHA-256 of each input by the name it was given under.
    """
    return {
        "command": shlex.join(argv),
        "seed": seed,
        "inputs": dict(inputs),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "dnadiff": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("torch", "numpy", "safetensors")},
        },
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def write_provenance(out: Path, facts: Mapping[str, Any]) -> None:
    """Writes ``facts`` as JSON beside an output, to ``OUT.provenance.json``, whole or not at all.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full.
    """
    path = out.with_name(f"{out.name}.provenance.json")
    temporary = path.with_name(f".{path.name}.tmp")
    with atomic.disk_errors(path):
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
