"""What ``bench run`` has to do: the tasks of a suite that a folder holds, read once, and the record of them.

The record of a model, ``OUT/NAME/bench.json``, says what its figures came from: weights, protocol, and for every task
the data and the settings. Whoever goes on must ask for the same, and all models of one table must have seen the same
data; only tasks and seeds may be added.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.config import compose_finetune
from dnadiff.data.labelled import Labelled
from dnadiff.data.plain_json import read_json
from dnadiff.errors import InputError, did_you_mean
from dnadiff.evaluation.metrics import BEST
from dnadiff.evaluation.suites import OWN, SUITES, Suite, Task, own_places, place_of
from dnadiff.recipes.finetune import examples_of
from dnadiff.recipes.finetune_task import reading
from dnadiff.recipes.protocols import planned

RECORD = "bench.json"
_OF_ONE = ("accuracy", "loss")  # metrics that are means over examples
_DECIDED = {
    "start": "--model", "data.path": "--data", "seed": "--seeds", "data.redraw": "--protocol",
    "data.fold": "--protocol",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A task whose data are there.

    Attributes:
        name: Of the task.
        path: Where its data are.
        metric: What its figures are in.
        settings: Of every fine-tuning.
        digest: SHA-256 of all files of the data, wherever they lie.
        sizes: Examples by part; a part that the data do not name has a name that ends in ``drawn``.
        lengths: Of the shortest sequence or text, the one in the middle, and the longest.
        shared: Test examples that are in the other parts too, of nucleotides on either strand.
        unit: What lengths count.
    """

    name: str
    path: str
    metric: str
    settings: tuple[str, ...]
    digest: str
    sizes: dict[str, int]
    lengths: tuple[int, int, int]
    shared: int
    unit: str


def suite_of(name: str, data: Path) -> Suite:
    """The suite of a name; of one's own data, what a folder may hold.

    Raises:
        InputError: There is no such suite or no such folder.
    """
    if name not in (*SUITES, OWN):
        raise InputError(f"{name}: is no suite; {did_you_mean(name, (*SUITES, OWN))}")
    if not data.exists() or (name != OWN and not data.is_dir()):
        raise InputError(f"--data {data}: no such folder; one that holds the tasks of {name} would work")
    if name != OWN:
        return SUITES[name]
    return Suite(OWN, tuple(Task(task) for task in own_places(data)), "fixed", (1, 2, 3))


def jobs_of(
    suite: Suite, data: Path, words: Sequence[str], overrides: Sequence[str], start: str, protocol: str, folds: int
) -> tuple[list[Job], dict[str, str]]:
    """The tasks to run, and why each other entry of a folder of one's own data is no task.

    Args:
        suite: Of ``suite_of``.
        data: The folder.
        words: Tasks asked for by name, which must be there; none is every task that is.
        overrides: Settings of every fine-tuning.
        start: What each begins with, which decides what its examples are read as.
        protocol: One of ``protocols.PROTOCOLS``; of folds the parts are those of the first.
        folds: How many, for ``folds``.

    Raises:
        InputError: Data of a task are missing or cannot be used, or a setting cannot be.
    """
    for word in overrides:
        flag = _DECIDED.get(word.partition("=")[0])
        if flag is not None:
            raise InputError(f"{word}: contradicts {flag}, which decides it for every run; leave it out")
    compose_finetune(list(overrides))  # a mistake in them is no task's
    tasks = list(dict.fromkeys(suite.task(word) for word in words)) if words else suite.tasks
    own = own_places(data) if suite.name == OWN else {}
    places = {task: own[task.name] if own else place_of(task, data) for task in tasks}
    jobs, left_out = [], {}
    for task, place in places.items():
        try:
            if place is not None:
                jobs.append(_job(task, place, overrides, start, protocol, folds))
            elif words:
                raise InputError(f"--data {data}: holds nothing called {task.name}; the data of that task would work")
        except InputError as error:
            if words or suite.name != OWN:
                raise
            left_out[task.name] = str(error)
    if not jobs:
        example = "train.csv and test.csv in a folder" if suite.name == OWN else f"a folder {suite.tasks[0].name}"
        why = next(iter(left_out.values()), f"{example}, for one, would work")
        raise InputError(f"--data {data}: holds no task of {suite.name}; {why}")
    return jobs, left_out


def _job(task: Task, place: Path, overrides: Sequence[str], start: str, protocol: str, folds: int) -> Job:
    given = {word.partition("=")[0] for word in overrides}
    preset = [f"train.metric={task.metric}"] if task.metric != "auto" else []
    settings = [word for word in (*preset, *task.settings) if word.partition("=")[0] not in given]
    every = [*settings, *overrides, f"start={start}", "seed=1"]
    first = planned(protocol, str(place), every, seeds=(1,), folds=folds)[0]
    cut = [word for word in first.settings if word.startswith("data.fold=")]
    config = compose_finetune([*every, f"data.path={place}", *cut])
    read = reading(config)
    data = examples_of(read.config, read.of_text)
    chosen = config.train.chosen(data.meaning.kind, BEST[data.meaning.kind])
    metric = chosen if task.metric == "auto" else task.metric
    if data.test is None:
        raise InputError(f"{place}: has no test part to judge by; data.test_fraction above 0 would work")
    lengths = np.sort([len(codes) for part in data.parts.values() for codes in part.codes])
    return Job(
        task.name, str(place), metric, (*settings, *overrides), _digest(data, place),
        {f"{name}{', drawn' if part.drawn else ''}": len(part) for name, part in data.parts.items()},
        (int(lengths[0]), int(lengths[len(lengths) // 2]), int(lengths[-1])), data.shared,
        "bp" if read.of_text is None else "tokens",
    )  # fmt: skip


def _digest(data: Labelled, place: Path) -> str:
    """One hash of all files under the names that they have in the data set."""
    files = sorted((os.path.relpath(path, place), digest) for path, digest in data.digests.items())
    return hashlib.sha256("\n".join("\t".join(file) for file in files).encode()).hexdigest()


def check_protocol(protocol: str, jobs: Sequence[Job]) -> None:
    """Refuses to judge single examples by what needs many.

    Raises:
        InputError: One is left out at a time, and the metric of a task is no mean over examples.
    """
    job = next((job for job in jobs if job.metric not in _OF_ONE), None)
    if protocol == "leave_one_out" and job is not None:
        raise InputError(
            f"--protocol leave_one_out: judges one example a run, which has no {job.metric} ({job.name}); "
            "train.metric=accuracy, or loss, would work"
        )


def record_of(folder: Path) -> dict[str, Any] | None:
    """What a model's figures in a folder came from; None if it has none.

    Raises:
        InputError: The file cannot be read.
    """
    path = folder / RECORD
    return read_json(path, "a folder that dna-diff bench run wrote would work") if path.exists() else None


def joined_record(out: Path, folder: Path, new: Mapping[str, Any], jobs: Sequence[Job]) -> dict[str, Any]:
    """The record of a model with these tasks added to those it has.

    Args:
        out: Folder of the table.
        folder: That of the model in it.
        new: What holds of all tasks: suite, name, model and protocol, among others.
        jobs: The tasks.

    Raises:
        InputError: Something differs from what is recorded there, of this model or of the data of another.
    """
    tasks = {job.name: asdict(job) for job in jobs}
    for other in records(out):
        if other["suite"] != new["suite"]:
            raise InputError(f"{out}: holds a table of {other['suite']}; another -o would work for {new['suite']}")
        for name in (name for name in tasks if name in other["tasks"]):
            if tasks[name]["digest"] != other["tasks"][name]["digest"]:
                raise InputError(
                    f"{tasks[name]['path']}: is not what {other['name']} was run on in {out}; another -o would work"
                )
    old = record_of(folder)
    if old is None:
        return {**new, "tasks": tasks}
    for key in ("name", "model", "protocol", "folds"):
        if old[key] != new[key]:
            raise InputError(
                f"{folder}: was begun with {key} {old[key]}, not {new[key]}; another --name or -o would work"
            )
    for name in (name for name in tasks if name in old["tasks"]):
        before, now = (" ".join(one["tasks"][name]["settings"]) for one in (old, {"tasks": tasks}))
        if before != now:
            raise InputError(
                f"{folder}: {name} was begun with '{before}', not '{now}'; another --name or -o would work"
            )
    return {**old, "tasks": old["tasks"] | tasks}


def records(out: Path) -> list[dict[str, Any]]:
    """The records of all models of a table, by the names of their folders.

    Raises:
        InputError: One cannot be read.
    """
    found = {path.parent.name: record_of(path.parent) for path in sorted(out.glob(f"*/{RECORD}"))}
    return [record | {"folder": folder} for folder, record in found.items() if record is not None]
