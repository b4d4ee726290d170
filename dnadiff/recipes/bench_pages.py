"""A suite's table as Markdown, as a page of HTML that needs nothing beside it, and as TSV with a line a figure."""

import re
from collections.abc import Iterator
from html import escape

from dnadiff.errors import printable
from dnadiff.recipes.bench_table import MARKS, Cell, Column, Row, Table
from dnadiff.recipes.tables import tsv

_NOTES = (
    "model and floor: mean over the runs (smallest to largest, n runs); min: minutes of training a run, of which "
    "processor minutes of all threads",
    "in train too: test examples that are in the other parts as well, sequences on either strand",
    "published figures are as the papers print them, with largest less smallest behind ± where they do; pre-training, "
    "sizes, learning rates and strands are each paper's own",
)
_MEANT = re.compile(r"[\\`*~|]|(?<!\w)_|_(?!\w)|(?<=\])\(")  # what Markdown would not show as it is
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #20242c; margin: 2rem; }
h1 { font-size: 1.3rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; vertical-align: bottom; white-space: nowrap; }
th small { display: block; font-weight: normal; color: #5b6472; white-space: normal; min-width: 8rem; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #20242c; }
tbody td { border-bottom: 1px solid #d9dde3; }
.model { background: #eef6f4; } .floor { background: #f6f6f2; }
td small { color: #5b6472; }
tr.mean td { border-top: 2px solid #20242c; }
li { color: #5b6472; font-size: .9rem; }
"""


def markdown(table: Table) -> str:
    """The table with its notes, as Markdown."""
    heads = ["<br>".join(map(_plain, head)) for head in _heads(table)]
    lines = [f"# {_plain(table.title)}", "", _md_row(heads), _md_row(["---", *["---:"] * (len(heads) - 1)])]
    lines += [_md_row([_plain(text) for text in row]) for row in _body(table)]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(table))]) + "\n"


def html_page(table: Table) -> str:
    """The table with its notes, as a page: no script, nothing that is loaded."""
    title = escape(printable(table.title))
    kinds = ["", "", "", *_kinds(table)]
    heads = "".join(
        f'<th class="{kind}">{escape(printable(name))}{"".join(map(_small, rest))}</th>'
        for kind, (name, *rest) in zip(kinds, _heads(table), strict=True)
    )
    rows = []
    body = list(_body(table))
    for number, row in enumerate(body):
        cells = "".join(
            f'<td class="{kind}">{escape(printable(text))}</td>' for kind, text in zip(kinds, row, strict=True)
        )
        last = bool(table.mean) and number == len(body) - 1
        kind = ' class="mean"' if last else ""
        rows.append(f"<tr{kind}>{cells}</tr>\n")
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(table))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        f"<div><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody></table></div>\n"
        f"<ul>{notes}</ul></body></html>\n"
    )


def _small(text: str) -> str:
    return f"<small>{escape(printable(text))}</small>"


def tsv_rows(table: Table) -> str:
    """Every figure of the table on a line, with all that is known of it."""
    lines = [_line(row, column) for row in table.rows for column in table.columns if row.name in column.cells]
    return tsv({"protocol": [table.title, *_notes(table)], "rows": lines})


def _line(row: Row, column: Column) -> dict[str, object]:
    cell = column.cells[row.name]
    return {
        "task": row.name, "metric": row.metric, "kind": column.kind, "name": column.name,
        "parameters": column.parameters, "protocol": column.protocol, "figure": cell.mean, "low": cell.low,
        "high": cell.high, "spread": cell.spread, "runs": cell.runs, "seconds": cell.seconds,
        "processor_seconds": cell.processor_seconds, "marks": cell.marks, "source": column.source,
    }  # fmt: skip


def _kinds(table: Table) -> Iterator[str]:
    for column in table.columns:
        yield column.kind
        if column.kind == "model":
            yield column.kind


def _heads(table: Table) -> Iterator[tuple[str, ...]]:
    """The lines of every header, the first of which is its name."""
    yield ("task",)
    yield ("metric",)
    yield ("train + valid / test", "in train too")
    for column in table.columns:
        size = f"{column.parameters} parameters" if column.parameters else ""
        yield tuple(filter(None, (column.name, size, column.protocol, column.source)))
        if column.kind == "model":
            yield ("min", "of which processor")


def _body(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        cells = [row.name, row.metric, _examples(row)]
        for column in table.columns:
            cell = column.cells.get(row.name)
            cells.append("-" if cell is None else _figure(cell))
            if column.kind == "model":
                cells.append("-" if cell is None else _minutes(cell))
        yield cells
    if table.mean:
        cells = [f"mean of {len(table.rows)} tasks", "", ""]
        for i, column in enumerate(table.columns):
            cells.append(f"{table.mean[i]:.4f}" if i in table.mean else "-")
            cells += [""] * (column.kind == "model")
        yield cells


def _examples(row: Row) -> str:
    test = sum(n for name, n in row.sizes.items() if name.startswith("test"))
    drawn = [name.partition(",")[0] for name in row.sizes if name.endswith("drawn")]
    notes = [f"{100 * row.shared / test:.1f} %", *([f"{' and '.join(drawn)} drawn"] if drawn else [])]
    return f"{sum(row.sizes.values()) - test:,} / {test:,} ({', '.join(notes)})"


def _figure(cell: Cell) -> str:
    text = f"{cell.mean:.4f}"
    if cell.runs is None:  # papers print three digits or four
        text = text.removesuffix("0")
    if cell.low is not None and cell.low != cell.high:
        text += f" ({cell.low:.4f} to {cell.high:.4f}, n {cell.runs})"
    elif cell.runs is not None:
        text += f" (n {cell.runs})"
    text += "" if cell.spread is None else f" ± {cell.spread:.3f}"
    return text + (f" [{','.join(cell.marks)}]" if cell.marks else "")


def _minutes(cell: Cell) -> str:
    if cell.seconds is None:
        return "-"
    worked = "-" if cell.processor_seconds is None else f"{cell.processor_seconds / 60:.2f}"
    return f"{cell.seconds / 60:.2f} ({worked})"


def _notes(table: Table) -> list[str]:
    used = {mark for column in table.columns for cell in column.cells.values() for mark in cell.marks}
    notes = [note for note in _NOTES if note is not _NOTES[2] or any(c.kind == "published" for c in table.columns)]
    return [*notes, *(f"[{mark}]: {text}" for mark, text in MARKS.items() if mark in used)]


def _plain(text: str) -> str:
    """The text as Markdown that shows it and nothing else."""
    return _MEANT.sub(r"\\\g<0>", escape(printable(text), quote=False))


def _md_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
