"""Several fine-tunings of one task that make a figure of a table: seeds, redrawn validation parts, folds.

    fixed          the parts as the data name them, a few seeds
    redrawn        a tenth of the training part drawn anew for every seed to validate on, the test part as it is: the
                   protocol of Caduceus and MDLM with seeds 1 to 5
    folds          k folds of all examples, each tested once
    leave_one_out  as many folds as there are different sequences

Each run is a line of ``runs.jsonl``, written when it has ended. Called again, what has a line is not run, and a run
that was killed goes on where it stopped.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.config import compose_finetune
from dnadiff.data.labelled import read_labelled
from dnadiff.data.parts import different, joined
from dnadiff.errors import InputError, did_you_mean
from dnadiff.recipes.finetune import finetune, resume
from dnadiff.recipes.finetune_report import REPORT
from dnadiff.recipes.finetune_task import reading
from dnadiff.recipes.run_folder import CONFIG

LINES = "runs.jsonl"
Tell = Callable[[dict[str, Any]], None]
_KEPT = ("step", "metric", "parameters", "seconds", "processor_seconds", "shared")  # of the report of a run


@dataclass(frozen=True)
class Run:
    """One of the fine-tunings: its name, and the settings that tell it from the others."""

    name: str
    settings: tuple[str, ...]


def _fixed(data: str, overrides: Sequence[str], seeds: Sequence[int], folds: int) -> Iterator[Run]:
    yield from (Run(f"seed-{seed}", (f"seed={seed}",)) for seed in seeds)


def _redrawn(data: str, overrides: Sequence[str], seeds: Sequence[int], folds: int) -> Iterator[Run]:
    yield from (Run(f"redrawn-{seed}", (f"seed={seed}", "data.redraw=true")) for seed in seeds)


def _folds(data: str, overrides: Sequence[str], seeds: Sequence[int], folds: int) -> Iterator[Run]:
    for seed in seeds:
        for number in range(1, folds + 1):
            yield Run(f"seed-{seed}-fold-{number}-of-{folds}", (f"seed={seed}", f"data.fold={number}/{folds}"))


def _leave_one_out(data: str, overrides: Sequence[str], seeds: Sequence[int], folds: int) -> Iterator[Run]:
    read = reading(compose_finetune(list(overrides)))
    wanted = read.config.data
    found = read_labelled(
        data, wanted.label, kind=wanted.kind, genome=wanted.genome, valid_fraction=0, test_fraction=0,
        tokenizer=read.of_text,
    )  # fmt: skip
    yield from _folds(data, overrides, seeds, different(joined(*found.parts.values())))


PROTOCOLS: dict[str, Callable[..., Iterator[Run]]] = {
    "fixed": _fixed, "redrawn": _redrawn, "folds": _folds, "leave_one_out": _leave_one_out,
}  # fmt: skip


def run_protocol(
    protocol: str,
    start: str,
    data: str,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    folds: int = 10,
    tell: Tell = lambda line: None,
) -> list[dict[str, Any]]:
    """The lines of all runs, in their order.

    Args:
        protocol: One of ``PROTOCOLS``.
        start: Run or model folder to begin with, or ``scratch``.
        data: Labelled data.
        out: Folder of the runs and of ``runs.jsonl``; what is done there already is not done again.
        overrides: Settings of every run, ``key=value``.
        seeds: Of the trainings, and of what is drawn.
        folds: How many, for ``folds``.
        tell: Given the line of every run that ends now.

    Raises:
        InputError: There is no such protocol, or a setting, the model or the data cannot be used.
    """
    wanted = planned(protocol, data, [*overrides, f"start={start}"], seeds=seeds, folds=folds)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LINES
    lines = {line["name"]: line for line in read_lines(path)}
    _drop_torn(path)
    for run in wanted:
        if run.name not in lines:
            settings = [*overrides, *run.settings, f"start={start}", f"data.path={data}"]
            report = _finished(folder / run.name, settings)
            lines[run.name] = {"name": run.name, "protocol": protocol, "start": start, "data": data, **report}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[run.name]) + "\n")
            tell(lines[run.name])
            shutil.rmtree(folder / run.name / "checkpoints", ignore_errors=True)
    return [lines[run.name] for run in wanted]


def planned(
    protocol: str, data: str, overrides: Sequence[str] = (), *, seeds: Sequence[int], folds: int = 10
) -> list[Run]:
    """The runs of a protocol, in their order.

    Args:
        protocol: One of ``PROTOCOLS``.
        data: Labelled data.
        overrides: Settings of every run; ``start`` decides what the data are read as.
        seeds: As ``run_protocol`` takes them.
        folds: Likewise.

    Raises:
        InputError: There is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol}: {did_you_mean(protocol, PROTOCOLS)}")
    return list(PROTOCOLS[protocol](data, overrides, seeds, folds))


def seed_of(name: str) -> int:
    """The seed of a run of ``planned``, which its name holds."""
    return int(re.sub(r"^[a-z]+-(-?\d+).*$", r"\1", name))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a ``runs.jsonl`` says of the runs that have ended; nothing if there is none.

    A last line without its end is of a run that was cut off while it was written down, and is left out.

    Raises:
        InputError: Another line is damaged.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            lines.append(json.loads(line))
        except ValueError as error:
            raise InputError(
                f"{path}:{number}: is no line of a run ({error}); without that line the run is read again, which works"
            ) from error
    return lines


def _drop_torn(path: Path) -> None:
    """Cuts off a last line that was not written whole, so that the next one does not join it."""
    if path.exists():
        whole = path.read_bytes()
        os.truncate(path, whole.rfind(b"\n") + 1)


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, smallest and largest of every figure of every row of the test part, and over how many runs.

    Args:
        lines: What ``run_protocol`` gave.

    Returns:
        By name of the row and of the metric; a metric that no run could measure is not there.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        for row in line["rows"]:
            if row["part"] == "test":
                for name in line["metrics"]:
                    if row[name] is not None:
                        found.setdefault(row["name"], {}).setdefault(name, []).append(row[name])
    return {
        row: {
            name: {"mean": float(np.mean(values)), "low": min(values), "high": max(values), "runs": len(values)}
            for name, values in figures.items()
        }
        for row, figures in found.items()
    }


def _finished(folder: Path, settings: list[str]) -> dict[str, Any]:
    """What the report of a run says, which is begun, continued or only read."""
    if not (folder / REPORT).exists():
        if (folder / CONFIG).exists():
            resume(str(folder), quiet=True)
        else:
            _clear(folder)
            finetune(compose_finetune(settings), str(folder), quiet=True)
    report = json.loads((folder / REPORT).read_text())
    rows = [{key: value for key, value in row.items() if not key.endswith(("_low", "_high"))} for row in report["rows"]]
    metrics = [key for key in rows[0] if key not in ("name", "part", "n")]
    return {**{key: report.get(key) for key in _KEPT}, "metrics": metrics, "rows": rows}


def _clear(folder: Path) -> None:
    """Removes what a run leaves that was killed before it wrote down what it was: a lock, and no figures."""
    left = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if left <= {".lock", f".{CONFIG}.tmp"}:
        shutil.rmtree(folder, ignore_errors=True)
