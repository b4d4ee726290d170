"""Tables of results on a terminal, as TSV and as JSON: what evaluate and compare print and write."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dnadiff.checkpoints.provenance import write_provenance
from dnadiff.data import atomic
from dnadiff.errors import InputError, printable


class Column(NamedTuple):
    """A column: its title, the key of its value, the key of the value's standard error if it has one, its format."""

    title: str
    key: str
    error: str | None = None
    style: str = ".4f"


def check_out(out: str | None) -> None:
    """Refuses an output that could not be written, before any work is done.

    Raises:
        InputError: It exists, its folder does not, or its suffix is neither .json nor .tsv.
    """
    if out is None:
        return
    atomic.check_file(out)
    if not atomic.is_stream(out) and Path(out).suffix not in (".json", ".tsv"):
        raise InputError(f"{out}: reports are JSON or TSV; a name that ends in .json or .tsv, or -, would work")


def publish(
    out: str | None, report: Mapping[str, Any], columns: Sequence[Column], provenance: Mapping[str, Any], quiet: bool
) -> None:
    """Prints a report and writes it to a file with its provenance beside.

    Standard output gets a table if it is a terminal and TSV otherwise; nothing if ``quiet`` and a file is written.

    Args:
        out: ``.json``, ``.tsv``, ``-`` for TSV on standard output, a device or pipe, which gets TSV too, or None for
            standard output only.
        report: ``protocol`` (lines of text), ``rows`` (mappings) and whatever else belongs into the JSON.
        columns: Those of the table; TSV and JSON have every key.
        provenance: How the report came about.
        quiet: Print nothing if a file is written.
    """
    if out not in (None, "-"):
        path = Path(out)
        text = json.dumps(report, indent=1) + "\n" if path.suffix == ".json" else tsv(report)
        write_whole(path, text.encode())
        if not atomic.is_stream(path):
            write_provenance(path, provenance)
        if quiet:
            return
    if out != "-" and sys.stdout.isatty():
        _print_table(report, columns)
    else:
        sys.stdout.write(tsv(report))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; a device or pipe as it is.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with atomic.disk_errors(path):
        if atomic.is_stream(path):
            path.write_bytes(content)
            return
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def tsv(report: Mapping[str, Any]) -> str:
    """A report as TSV: the protocol as comment lines, then every key of the rows."""
    keys = list(dict.fromkeys(key for row in report["rows"] for key in row))
    lines = [f"# {printable(line)}" for line in report["protocol"]]
    lines += ["\t".join(keys), *("\t".join(_plain(row.get(key)) for key in keys) for row in report["rows"])]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _print_table(report: Mapping[str, Any], columns: Sequence[Column]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    rows = [[_cell(row, column) for column in columns] for row in report["rows"]]
    for i, column in enumerate(columns):
        whole = column.title.split() + [row[i] for row in rows]  # a figure is never cut, however narrow the terminal
        least = max(map(cell_len, whole), default=0)
        table.add_column(column.title, justify="left" if column.key == "name" else "right", min_width=least)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table, crop=False)
    for line in report["protocol"]:
        console.print(printable(line), style="dim")


def _cell(row: Mapping[str, Any], column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    error = row.get(column.error) if column.error else None
    return format(value, column.style) + ("" if error is None else f" ± {format(error, column.style)}")
