"""The documents of a text file: plain text, JSON lines or Parquet, the first two also as gzip.

What a document of plain text is, is a rule:

    blank       lines up to the next blank line
    line        every line that is not blank
    endoftext   what lies between lines that read ``<|endoftext|>``, as ``dna-diff sample`` writes its texts
    whole       the file
    pieces      the file, cut every million characters, for one text without a division such as text8
    auto        endoftext if the file has such a line, else blank

A JSON line holds a document under ``text``, and a Parquet file in the column of that name. Documents without a
character but blanks are left out; nothing else is changed.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dnadiff.data.plain_json import check_letters
from dnadiff.data.stream import ByteSource, text_lines
from dnadiff.errors import InputError

RULES = ("auto", "blank", "line", "endoftext", "whole", "pieces")
END = "<|endoftext|>"
KEY = "text"
PIECE = 1_000_000
"""Characters of a document of the rule ``pieces``."""

_PLAIN = (".txt", ".text", ".tokens", ".raw")
_LONGEST = 64 << 20
_KINDS = "a file that ends in .txt, .jsonl or .parquet would work"


def documents(path: str | Path, rule: str = "auto") -> Iterator[str]:
    """The documents of a file, in order.

    Args:
        path: The file; its suffix says what it is.
        rule: What a document of plain text is; other files have records and take ``auto`` only.

    Raises:
        InputError: The file cannot be read, is of another kind, or holds something else than texts.
    """
    suffix = Path(str(path).lower().removesuffix(".gz")).suffix
    if rule not in RULES:
        raise InputError(f"text.documents={rule}: is unknown; {', '.join(RULES)} would work")
    if suffix in _PLAIN:
        found = _plain(path, rule)
    elif rule != "auto":
        raise InputError(f"text.documents={rule}: divides plain text, and {path} has records; leave it out")
    elif suffix == ".jsonl":
        found = _json_lines(path)
    elif suffix == ".parquet":
        found = _parquet(path)
    else:
        raise InputError(f"{path}: is no kind of text that is read here; {_KINDS}")
    return (document for document in found if document.strip())


def has_records(path: str | Path) -> bool:
    """Whether a file's name says that its documents are records, so that no rule divides it."""
    return str(path).lower().removesuffix(".gz").endswith((".jsonl", ".parquet"))


def _plain(path: str | Path, rule: str) -> Iterator[str]:
    if rule in ("whole", "pieces"):
        text = _text(path)
        size = max(1, len(text)) if rule == "whole" else PIECE
        return (text[start : start + size] for start in range(0, len(text), size))
    if rule == "auto":
        rule = "endoftext" if any(line == END for line in _lines(path)) else "blank"
    if rule == "line":
        return _lines(path)
    return _between(
        _lines(path), (lambda line: line == END) if rule == "endoftext" else (lambda line: not line.strip())
    )


def _lines(path: str | Path) -> Iterator[str]:
    return (line for _, line in text_lines(path, _LONGEST))


def _between(lines: Iterable[str], divides: Callable[[str], bool]) -> Iterator[str]:
    held: list[str] = []
    for line in lines:
        if divides(line):
            yield "\n".join(held)
            held = []
        else:
            held.append(line)
    yield "\n".join(held).removesuffix("\n")  # of the last line of the file


def _text(path: str | Path) -> str:
    source = ByteSource(path)
    try:
        return b"".join(source.chunks()).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        found = f"found byte 0x{error.object[error.start]:02X} at {error.start:,}, which is not UTF-8"
        raise InputError(f"{source.name}: {found}; plain UTF-8 text would work") from error


def _json_lines(path: str | Path) -> Iterator[str]:
    works = f'{{"{KEY}": "..."}} on every line would work'
    for number, line in text_lines(path, _LONGEST):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: is not JSON ({error}); {works}") from error
        text = value.get(KEY) if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise InputError(f"{path}:{number}: found no text under '{KEY}'; {works}")
        yield check_letters(text, f"{path}:{number}")


def _parquet(path: str | Path) -> Iterator[str]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"{path}: Parquet is read by pyarrow, which is not installed; pip install 'dnadiff[text]', or a .jsonl "
            "file, would work"
        ) from error
    try:
        file = ParquetFile(path)
        if KEY not in file.schema_arrow.names:
            found = ", ".join(file.schema_arrow.names)
            raise InputError(f"{path}: found the columns {found}; one named '{KEY}' would work")
        for batch in file.iter_batches(columns=[KEY]):
            yield from (text for text in batch.column(0).to_pylist() if isinstance(text, str))
    except (OSError, ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}); a fresh copy would work") from error
