"""The table of a suite: models that were run, what needs no network, and what papers print, each under its protocol.

Rows are tasks, columns are models. A model or a task that was not run is not there. A published figure stands beside
with marks that say what keeps it from being compared:

    p  the data are cut by another protocol than that of the models here
    d  the numbers of examples are not the published ones, so the data are others
    u  the published numbers of examples are not known here, so the data may be others
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnadiff.evaluation.published import published
from dnadiff.evaluation.suites import OWN, SUITES, Task
from dnadiff.recipes.bench_tasks import records
from dnadiff.recipes.protocols import LINES, read_lines, seed_of, summary

MARKS = {
    "p": "cut by another protocol than that of the models here",
    "d": "other data: the published numbers of examples differ from those here",
    "u": "perhaps other data: the published numbers of examples are not known here",
}
"""What a mark at a published figure means."""

_MODEL = "fine-tuned"


@dataclass(frozen=True)
class Cell:
    """A figure.

    Attributes:
        mean: Over the runs, or what a paper prints.
        low: The smallest; None if it is one figure, or not known.
        high: The largest.
        spread: Largest less smallest as a paper prints it; None if it does not.
        runs: How many; None of a published figure.
        marks: Letters of ``MARKS``.
        seconds: Mean training time of a run; None if unknown.
        processor_seconds: What the processor worked in it; None if unknown.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    runs: int | None = None
    marks: str = ""
    seconds: float | None = None
    processor_seconds: float | None = None


@dataclass(frozen=True)
class Column:
    """A model, or a rule.

    Attributes:
        kind: ``model`` that was run, ``floor`` that needs no network, or ``published``.
        name: What to call it.
        parameters: As text; empty if there are none or they are unknown.
        protocol: In words.
        source: The paper, or empty.
        cells: By task.
    """

    kind: str
    name: str
    parameters: str
    protocol: str
    source: str
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A task: its name, its metric, its examples by part and how many of the test part are in the others too."""

    name: str
    metric: str
    sizes: dict[str, int]
    shared: int


@dataclass(frozen=True)
class Table:
    """What the pages show.

    Attributes:
        title: The suite, and which of its tasks.
        rows: The tasks.
        columns: Models, floors and published figures, in this order.
        mean: By column, the mean over all tasks; empty unless every model has all tasks in one metric.
    """

    title: str
    rows: list[Row]
    columns: list[Column]
    mean: dict[int, float]


def table_of(out: Path) -> Table:
    """The table of everything that has been run in a folder.

    Args:
        out: That of ``bench run``.

    Raises:
        InputError: A record or a line in it cannot be read.
    """
    found = records(out)
    lines = {
        (record["folder"], task): read_lines(out / record["folder"] / task / LINES)
        for record in found
        for task in record["tasks"]
    }
    rows = _rows(found, {task for (_, task), some in lines.items() if some})
    own = [column for record in found for column in _models(record, rows, lines)]
    floors = _floors(found, rows, lines)
    cuts = {record["protocol"] for record in found}
    columns = [*own, *floors, *_published(found[0]["suite"], rows, cuts)]
    return Table(_title(found[0]["suite"], rows), rows, columns, _means(rows, columns))


def _rows(found: Sequence[Mapping[str, Any]], done: set[str]) -> list[Row]:
    """The tasks that any model has a figure of, in the order of the suite."""
    tasks = {name: task for record in found for name, task in record["tasks"].items() if name in done}
    suite = found[0]["suite"]
    order = sorted(tasks) if suite == OWN else [task.name for task in SUITES[suite].tasks if task.name in tasks]
    return [Row(name, tasks[name]["metric"], tasks[name]["sizes"], tasks[name]["shared"]) for name in order]


def _title(suite: str, rows: Sequence[Row]) -> str:
    if suite == OWN:
        return f"own data: {len(rows)} task{'s' if len(rows) != 1 else ''}"
    every = len(SUITES[suite].tasks)
    return f"{suite}: all {every} tasks" if len(rows) == every else f"{suite}: {len(rows)} of {every} tasks"


def _models(record: Mapping[str, Any], rows: Sequence[Row], lines: Mapping[tuple[str, str], Any]) -> list[Column]:
    """The column of a model; none if no run of it has ended."""
    cells, seen = {}, []
    for row in rows:
        some = lines.get((record["folder"], row.name), [])
        figures = summary(some).get(_MODEL, {}).get(row.metric)
        seen += some
        if figures:
            cells[row.name] = _cell(figures, seconds=_mean(some, "seconds"), worked=_mean(some, "processor_seconds"))
    if not cells:
        return []
    sizes = sorted({line["parameters"] for line in seen if line.get("parameters")})
    parameters = " to ".join(f"{n:,}" for n in dict.fromkeys((*sizes[:1], *sizes[-1:])))
    return [Column("model", record["name"], parameters, _protocol(record, seen), "", cells)]


def _floors(
    found: Sequence[Mapping[str, Any]], rows: Sequence[Row], lines: Mapping[tuple[str, str], Any]
) -> list[Column]:
    """What needs no network, a column for each rule and protocol; of two models that ran it the first's figures."""
    columns: dict[tuple[str, str], Column] = {}
    for record in found:
        seen = [line for row in rows for line in lines.get((record["folder"], row.name), [])]
        protocol = _protocol(record, seen)
        for row in rows:
            for name, figures in summary(lines.get((record["folder"], row.name), [])).items():
                if name != _MODEL and row.metric in figures:
                    column = columns.setdefault((name, protocol), Column("floor", name, "", protocol, ""))
                    column.cells.setdefault(row.name, _cell(figures[row.metric]))
    return list(columns.values())


def _published(suite: str, rows: Sequence[Row], cuts: set[str]) -> list[Column]:
    columns = []
    tasks = {} if suite == OWN else {task.name: task for task in SUITES[suite].tasks}
    for one in published(suite):
        protocol_mark = "" if one.like == "any" or cuts == {one.like} else "p"
        cells = {}
        for row in rows:
            if row.name in one.figures:
                figure, spread = one.figures[row.name]
                cells[row.name] = Cell(figure, spread=spread, marks=protocol_mark + _data_mark(tasks[row.name], row))
        if cells:
            columns.append(Column("published", one.model, one.parameters, one.protocol, one.source, cells))
    return columns


def _data_mark(task: Task, row: Row) -> str:
    """Whether the data are those of the papers, by their numbers of examples."""
    test = sum(n for name, n in row.sizes.items() if name.startswith("test"))
    known = {task.train: sum(row.sizes.values()) - test, task.test: test}
    known.pop(None, None)
    if any(wanted != here for wanted, here in known.items()):
        return "d"
    return "" if known else "u"


def _means(rows: Sequence[Row], columns: Sequence[Column]) -> dict[int, float]:
    whole = {i for i, column in enumerate(columns) if all(row.name in column.cells for row in rows)}
    models = {i for i, column in enumerate(columns) if column.kind == "model"}
    if len(rows) < 2 or len({row.metric for row in rows}) > 1 or not models <= whole:
        return {}
    return {i: sum(columns[i].cells[row.name].mean for row in rows) / len(rows) for i in sorted(whole)}


def _cell(figures: Mapping[str, float], seconds: float | None = None, worked: float | None = None) -> Cell:
    several = figures["runs"] > 1
    low, high = (figures["low"], figures["high"]) if several else (None, None)
    return Cell(figures["mean"], low, high, None, int(figures["runs"]), "", seconds, worked)


def _mean(lines: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """The mean over the lines; None if one of them, perhaps of an earlier version, does not know it."""
    values = [line.get(key) for line in lines]
    return None if not values or None in values else sum(values) / len(values)


def _protocol(record: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """How the figures of a model came about, in words."""
    seeds = _span(sorted({seed_of(line["name"]) for line in lines}))
    if record["protocol"] == "leave_one_out":
        return f"each example tested by a model of all others, {seeds}"
    if record["protocol"] == "folds":
        return f"{record['folds']} folds of all examples, each tested once, {seeds}"
    share = next(
        (float(word.partition("=")[2]) for task in record["tasks"].values() for word in task["settings"]
         if word.startswith("data.valid_fraction=")), 0.1,
    )  # fmt: skip
    cut = f"redrawn {100 * (1 - share):g}/{100 * share:g}" if record["protocol"] == "redrawn" else "parts as given"
    return f"{cut}, {seeds}, best validation, test once"


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
