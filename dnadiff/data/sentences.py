r"""Reading labelled text, a sentence or a pair of them an example, from tables and from the files of GLUE as they are.

    table    CSV, TSV, Parquet   a column ``sentence`` or ``text``, or two of a pair; labels, also ``name``, ``split``
    lines    .jsonl              the same: an object on every line, all with the keys of the first
    CoLA     .tsv                no names of columns: source, label, the author's mark, sentence
    MRPC     .txt                Quality, which is the label, #1 ID, #2 ID, #1 String, #2 String

Only CSV has quotes: between tabs a quotation mark is part of the sentence, as GLUE has it. Blanks at the ends of a
value are left out. Nothing is skipped: an empty sentence and a row without a label are refused with file and line.

A. Wang et al., GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding, ICLR 2019.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from dnadiff.data.examples import PARQUET, Example, suffix_of
from dnadiff.data.parquet_reader import read_parquet
from dnadiff.data.plain_json import check_letters
from dnadiff.data.stream import sha256_of, text_lines
from dnadiff.data.text_frame import numbered
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError, did_you_mean

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
"""Ends of a table's file name, before any ``.gz``, and what separates its columns."""

JSON_LINES = ".jsonl"
SINGLES = ("sentence", "text")
PAIRS = (
    ("sentence1", "sentence2"), ("#1 String", "#2 String"), ("question1", "question2"), ("premise", "hypothesis"),
    ("question", "sentence"),
)  # fmt: skip
"""Names that the columns of a pair may have."""

_COLA = ("source", "label", "mark", "sentence")
_LONGEST = 16 << 20
_WORKS = "a table with the columns sentence and label would work"

Row = tuple[str, dict[str, str]]


def is_sentences(path: Path) -> bool:
    """Whether a file is one by its name that labelled text is read from."""
    return suffix_of(path) in (PARQUET, JSON_LINES, *SEPARATORS)


def rows_of(path: Path, works: str = _WORKS) -> list[Row]:
    """The place of each row of a table, and its values by column without blanks at their ends.

    Args:
        path: CSV, TSV, JSON lines or Parquet, by its suffix; the first two and JSON lines also as gzip.
        works: What to say would work in place of a file of another kind.

    Raises:
        InputError: The file cannot be read, is of another kind, or has no row.
    """
    if path.is_dir() or not is_sentences(path):
        raise InputError(f"{path}: is no table of text, which this model reads; {works}")
    read = {PARQUET: _parquet, JSON_LINES: _json_lines}.get(suffix_of(path), _table)
    rows = list(read(path))
    if not rows:
        raise InputError(f"{path}: found no row; one sentence would work")
    return rows


def read_sentences(
    path: str | Path, keys: Sequence[str], tokenizer: TextTokenizer, digests: dict[str, str]
) -> list[Example]:
    """The examples of a file, in its order.

    Args:
        path: A table, by its suffix.
        keys: The columns that are the labels; none reads sentences alone.
        tokenizer: Numbers them.
        digests: Gets the SHA-256 of the file under its path.

    Raises:
        InputError: The file cannot be read, or an example lacks its sentence or a label.
    """
    path = Path(path)
    rows = rows_of(path)
    place, values = rows[0]
    names = _names(place, tuple(values))
    _check_labels(place, tuple(values), names, keys)
    texts = [_sentences(place, values, names) for place, values in rows]
    examples = [
        Example(place, values.get("name") or f"row_{number}", ids, tuple(values[key] for key in keys),
                values.get("split") or None, sentences)
        for number, ((place, values), sentences, ids) in enumerate(
            zip(rows, texts, numbered(texts, tokenizer), strict=True), 1)
    ]  # fmt: skip
    empty = next((example for example in examples if not len(example.codes)), None)
    if empty is not None:
        raise InputError(f"{empty.place}: found a sentence without a token of {tokenizer.name}; letters would work")
    digests[str(path)] = sha256_of(path)
    return examples


def _table(path: Path) -> Iterator[Row]:
    """Place and values by column of each row; the first place is that of the second line, or of CoLA's first."""
    lines = _rows(path)
    _, columns = next(lines, (1, []))
    columns = [name.strip() for name in columns]
    if _is_cola(columns):
        lines, columns = _rows(path), list(_COLA)
    columns = ["label" if name == "Quality" and "label" not in columns else name for name in columns]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}:1: found two columns named {twice}; different names would work")
    for line, row in lines:
        if len(row) != len(columns):
            raise InputError(f"{path}:{line}: found {len(row)} values; {len(columns)} would work, as line 1 has")
        yield f"{path}:{line}", {name: value.strip() for name, value in zip(columns, row, strict=True)}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The last line of each row that is not blank, and its values."""
    separator, lines = SEPARATORS[suffix_of(path)], text_lines(path, _LONGEST)
    if separator == "\t":
        yield from ((number, line.split(separator)) for number, line in lines if line.strip())
        return
    rows = csv.reader((f"{line}\n" for _, line in lines), strict=True)
    try:
        yield from ((rows.line_num, row) for row in rows if any(map(str.strip, row)))
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: is no table row ({error}); {_WORKS}") from error


def _parquet(path: Path) -> Iterator[Row]:
    for number, values in enumerate(read_parquet(path).rows, 1):
        yield f"{path}:{number}", {name: value.strip() for name, value in values.items()}


def _json_lines(path: Path) -> Iterator[Row]:
    keys: list[str] | None = None
    for number, line in text_lines(path, _LONGEST):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: is not JSON ({error}); an object on every line would work") from error
        if not isinstance(values, dict) or sorted(values) != sorted(keys or values):
            wanted = "an object" if keys is None else f"an object with the keys {', '.join(keys)}"
            raise InputError(f"{path}:{number}: found {line.strip()[:40]}; {wanted} on every line would work")
        keys = keys or list(values)
        place = f"{path}:{number}"
        yield place, {name: check_letters(_value(values[name]), place) for name in keys}


def _value(value: object) -> str:
    """A value of JSON as a table has it, empty where it is missing."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _is_cola(row: Sequence[str]) -> bool:
    """Whether the first row of a table is one of CoLA's and names no columns."""
    return len(row) == len(_COLA) and row[1] in ("0", "1") and row[2] in ("", "*")


def _names(place: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of the sentences."""
    pair = next((pair for pair in PAIRS if set(pair) <= set(columns)), None)
    single = next((name for name in SINGLES if name in columns), None)
    if pair is None and single is None:
        found = ", ".join(columns[:6])
        raise InputError(
            f"{place.rpartition(':')[0]}: found the columns {found}; one named sentence or text, or sentence1 and "
            "sentence2, would work"
        )
    return pair or (str(single),)


def _check_labels(place: str, columns: tuple[str, ...], names: tuple[str, ...], keys: Sequence[str]) -> None:
    file = place.rpartition(":")[0]
    for key in keys:
        if key not in columns:
            others = [name for name in columns if name not in (*names, "name", "split", "index", "idx")]
            remedy = (
                did_you_mean(key, others) if others else "with GLUE's test part, which has none, left out, dev is it"
            )
            raise InputError(f"{file}: found no column {key}; {remedy}")


def _sentences(place: str, values: dict[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not values[name]:
            raise InputError(f"{place}: found an empty {name}; one word or more would work")
    return tuple(values[name] for name in names)
