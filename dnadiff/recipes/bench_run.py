"""``dna-diff bench run``: a model fine-tuned on every task of a suite, and the table of its figures.

    OUT/NAME/bench.json                what the model's figures came from
    OUT/NAME/TASK/runs.jsonl           a line a fine-tuning, written when it has ended
    OUT/NAME/TASK/RUN/                 each fine-tuning, with its model and report
    OUT/table.md, table.html, table.tsv

Killed anywhere and called again, it goes on: what has a line is not run again, and a fine-tuning continues from its
last checkpoint. Called with another model and the same OUT, it adds that model to the table.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnadiff.data import atomic
from dnadiff.errors import InputError
from dnadiff.evaluation.suites import Suite
from dnadiff.recipes import run_folder
from dnadiff.recipes.bench_tasks import RECORD, Job, check_protocol, jobs_of, joined_record, suite_of
from dnadiff.recipes.loop import teller
from dnadiff.recipes.protocols import LINES, planned, read_lines, run_protocol
from dnadiff.recipes.tables import write_whole
from dnadiff.schema.finetune import SCRATCH

TESTS_ALL = ("folds", "leave_one_out")
"""Protocols that test every example once."""

TABLES = ("table.md", "table.html", "table.tsv")


@dataclass(frozen=True)
class Benchmark:
    """What is asked for.

    Attributes:
        suite: A key of ``SUITES``, or ``own``.
        model: Run or model folder to begin with, or ``scratch``.
        data: Folder that holds the tasks.
        tasks: Some of them by name; none is all that are there.
        protocol: One of ``protocols.PROTOCOLS``; None is the suite's.
        seeds: Of the fine-tunings; none is the suite's, or one if every example is tested.
        folds: How many; 0 unless ``protocol`` is ``folds``.
        name: Of the model in the table; None is that of its folder.
        settings: Of every fine-tuning, ``key=value``.
    """

    suite: str
    model: str
    data: str
    tasks: tuple[str, ...] = ()
    protocol: str | None = None
    seeds: tuple[int, ...] = ()
    folds: int = 0
    name: str | None = None
    settings: tuple[str, ...] = ()


def bench_run(
    wanted: Benchmark,
    out: str | None = None,
    *,
    dry_run: bool = False,
    quiet: bool = False,
    argv: Sequence[str] = (),
) -> Path:
    """The folder of the runs and tables.

    Args:
        wanted: What to run.
        out: The folder, which may hold what was begun there; None is ``runs/bench-SUITE``.
        dry_run: Print the plan and stop.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: The suite, a task, the model, the data or a setting cannot be used, or the folder holds figures that
            were made with others.
        DivergedError: A loss or gradient became infinite or NaN.
        ResourceError: The disk is full.
        SystemExit: A signal came; the same command goes on.
    """
    folder, say = Path(f"runs/bench-{wanted.suite}" if out is None else out), teller(quiet)
    atomic.check_folder(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a folder, or a name that is free, would work")
    suite = suite_of(wanted.suite, Path(wanted.data))
    about = _about(wanted, suite)
    home = folder / _folder_name(about["name"])
    jobs, left_out = jobs_of(
        suite, Path(wanted.data), wanted.tasks, wanted.settings, wanted.model, about["protocol"], wanted.folds
    )
    check_protocol(about["protocol"], jobs)
    record = joined_record(folder, home, about, jobs)
    seeds = tuple(dict.fromkeys(wanted.seeds)) or ((1,) if about["protocol"] in TESTS_ALL else suite.seeds)
    names = {job.name: [run.name for run in _runs(about, wanted, job, seeds)] for job in jobs}
    say(_plan(wanted, suite, about, jobs, left_out, {job.name: _done(home, job, names) for job in jobs}, names))
    if dry_run:
        return folder
    home.mkdir(parents=True, exist_ok=True)
    run_folder.put(home / RECORD, record)
    for job in jobs:
        try:
            run_protocol(
                about["protocol"], wanted.model, job.path, home / job.name, job.settings, seeds=seeds,
                folds=wanted.folds, tell=lambda line, job=job: say(_line(job, line)),
            )  # fmt: skip
        except SystemExit:
            say(f"stopped      in {job.name}; the same command goes on")
            raise
        _write_tables(folder, record, argv)
    if not quiet:
        print((folder / TABLES[0]).read_text(encoding="utf-8"), end="")
    say(f"tables       {', '.join(str(folder / name) for name in TABLES)}")
    return folder


def _about(wanted: Benchmark, suite: Suite) -> dict[str, Any]:
    """What holds of all tasks of a model."""
    from dnadiff.checkpoints.folder import model_hash, read_spec

    if wanted.model != SCRATCH:
        read_spec(wanted.model)
    named = SCRATCH if wanted.model == SCRATCH else Path(wanted.model).resolve().name
    protocol = wanted.protocol or suite.protocol
    return {
        "suite": suite.name,
        "name": named if wanted.name is None else wanted.name,
        "start": wanted.model,
        "model": SCRATCH if wanted.model == SCRATCH else model_hash(wanted.model),
        "protocol": protocol,
        "folds": wanted.folds,
    }


def _folder_name(name: str) -> str:
    """The name as one that a folder can have."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")
    if not plain:
        raise InputError(f"--name {name!r}: has no letter or digit; one that has would work")
    return plain


def _runs(about: Mapping[str, Any], wanted: Benchmark, job: Job, seeds: Sequence[int]) -> list[Any]:
    settings = [*job.settings, f"start={wanted.model}"]
    return planned(about["protocol"], job.path, settings, seeds=seeds, folds=wanted.folds)


def _done(home: Path, job: Job, names: Mapping[str, Sequence[str]]) -> int:
    ended = {line["name"] for line in read_lines(home / job.name / LINES)}
    return sum(name in ended for name in names[job.name])


def _plan(
    wanted: Benchmark, suite: Suite, about: Mapping[str, Any], jobs: Sequence[Job], left_out: Mapping[str, str],
    done: Mapping[str, int], names: Mapping[str, Sequence[str]],
) -> str:  # fmt: skip
    """Some lines for people."""
    width = max(len(job.name) for job in jobs)
    runs = sum(len(names[job.name]) for job in jobs)
    return "\n".join([
        f"suite        {suite.name}: {len(jobs)} of {len(suite.tasks)} tasks in {wanted.data}",
        f"model        {about['start']}, called {about['name']}",
        f"protocol     {about['protocol']}, {len(names[jobs[0].name])} runs a task",
        *(f"left out     {name}: {why}" for name, why in left_out.items()),
        *(f"task         {job.name:{width}}  {_about_data(job)}; {done[job.name]} of {len(names[job.name])} runs done"
          for job in jobs),
        f"runs         {runs - sum(done.values())} to do, {sum(done.values())} done",
    ])  # fmt: skip


def _about_data(job: Job) -> str:
    short, middle, long = job.lengths
    parts = ", ".join(f"{n:,} {name.partition(',')[0]}" for name, n in job.sizes.items())
    return f"{parts}; {_span(short, middle, long, job.unit)}; {job.metric}"


def _span(short: int, middle: int, long: int, unit: str) -> str:
    return f"{long} {unit}" if short == long else f"{short} to {long} {unit}, half up to {middle}"


def _line(job: Job, line: Mapping[str, Any]) -> str:
    row = next(row for row in line["rows"] if row["part"] == "test")
    figure = row[job.metric]
    shown = "not defined" if figure is None else f"{figure:.4f}"
    return f"{job.name} {line['name']}: {job.metric} {shown}, {line['seconds'] / 60:.1f} min of training"


def _write_tables(folder: Path, record: Mapping[str, Any], argv: Sequence[str]) -> None:
    from dnadiff.checkpoints.provenance import provenance, write_provenance
    from dnadiff.recipes.bench_pages import html_page, markdown, tsv_rows
    from dnadiff.recipes.bench_table import table_of

    table = table_of(folder)
    for name, text in zip(TABLES, (markdown(table), html_page(table), tsv_rows(table)), strict=True):
        write_whole(folder / name, text.encode())
    inputs = {task["path"]: task["digest"] for task in record["tasks"].values()}
    write_provenance(folder / TABLES[2], provenance(argv, None, inputs))
