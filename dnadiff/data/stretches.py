"""Tables of stretches of a genome: a contig, a start, an end and a strand a row, and whatever else is said of it.

The columns are ``region`` or ``chrom``, ``start``, ``end`` (0-based, half-open, as in BED) and ``strand``, in any
order; others, such as ``label`` and ``split``, are kept as text.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dnadiff.data.intervals import Interval
from dnadiff.data.stream import text_lines
from dnadiff.data.table_reader import separator_of
from dnadiff.errors import InputError

_CONTIG = ("region", "chrom")
_COLUMNS = ("region", "start", "end", "strand")
_MOST_DIGITS = 18  # more are beyond any genome


@dataclass(frozen=True)
class Stretch:
    """A row: its file and line, where it lies, and the text of every column."""

    place: str
    interval: Interval
    values: Mapping[str, str]


def read_stretches(path: str | Path) -> Iterator[Stretch]:
    """The rows of a table of stretches, CSV or TSV by its name, plain or gzip.

    Args:
        path: The table.

    Raises:
        InputError: It has no such columns or no row, or a row is no stretch.
    """
    reader = csv.DictReader((line for _, line in text_lines(path)), delimiter=separator_of(path) or ",")
    try:
        columns = reader.fieldnames or ()
        contig = next((name for name in _CONTIG if name in columns), "region")
        missing = [name for name in (contig, *_COLUMNS[1:]) if name not in columns]
        if missing:
            raise InputError(f"{path}:1: found no column {missing[0]}; {', '.join(_COLUMNS)} would work")
        found = False
        for row in reader:
            found, place = True, f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{place}: found more or fewer values than the {len(columns)} columns; one each works")
            yield Stretch(place, _interval(row[contig], row, place), row)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is no table row ({error})") from error
    if not found:
        raise InputError(f"{path}: found no row below the column names; one stretch would work")


def _interval(chrom: str, row: Mapping[str, str], place: str) -> Interval:
    start, end, strand = (row[name] for name in _COLUMNS[1:])
    whole = all(value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS for value in (start, end))
    if not whole or int(start) >= int(end):
        found = f"found {start:.30} to {end:.30}"
        raise InputError(f"{place}: {found}; whole numbers, the start below the end, would work")
    if not chrom or strand not in ("+", "-"):
        raise InputError(f"{place}: found contig {chrom!r}, strand {strand!r}; a name, and + or -, would work")
    return Interval(chrom, int(start), int(end), strand)
