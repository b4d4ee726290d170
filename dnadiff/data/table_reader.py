"""Reading sequences from CSV and TSV tables: one a row, as benchmarks of classification come.

The first row names the columns. ``sequence`` holds the bases and ``name``, if there is one, the record's name (else
``row_N``, N from 1). Every other column is kept in the record's description as ``column=value``, where ``data.label``
finds classes; one whose name or value has blanks in it would be read back as other words and is left out. A table is
only another way of writing FASTA records, so the events and the rules for letters are those of ``fasta``; a row of a
table lies in memory whole.
"""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.fasta import Header, Piece
from dnadiff.data.stream import ByteSource
from dnadiff.errors import InputError

SUFFIXES = {".csv": ",", ".tsv": "\t"}
"""Ends of a table's file name, before any ``.gz``, and what separates its columns."""
_LONGEST_LINE = 1 << 24
_SEQUENCE, _NAME = "sequence", "name"

csv.field_size_limit(_LONGEST_LINE)  # of the whole process; csv itself stops at 128 KiB, a short contig


def separator_of(path: str | Path) -> str | None:
    """What separates the columns of a file with this name; None if the name is not a table's."""
    return SUFFIXES.get(Path(str(path).removesuffix(".gz")).suffix.lower())


class TableReader:
    """Headers and pieces of a table, read once.

    Args:
        path: A file that ``separator_of`` knows, plain or gzip.
        letters: Names that the column of the bases may have; the first that is there is taken.

    Attributes:
        source: The bytes below, with their hash.
        notes: What was normalised and how often: uracil_to_t, ambiguous_to_n, blanks, empty_records.
    """

    def __init__(self, path: str | Path, letters: tuple[str, ...] = (_SEQUENCE,)) -> None:
        self.source = ByteSource(path)
        self.notes: Counter[str] = Counter()
        self._separator, self._letters = separator_of(path) or ",", letters

    def __iter__(self) -> Iterator[Header | Piece]:
        for number, (line, values) in enumerate(self.rows(), 1):
            yield from self._record(values, number, line)

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The line of each row in the file and its values by column, the bases under ``sequence``.

        Raises:
            InputError: The file is no table of sequences, or has no row.
        """
        rows = csv.reader(self._lines(), delimiter=self._separator, strict=True)
        number = 0
        try:
            columns = self._checked([name.strip() for name in next(rows, [])])
            for row in rows:
                if row:
                    number += 1
                    yield rows.line_num, dict(self._paired(columns, row, rows.line_num))
        except csv.Error as error:
            raise InputError(f"{self.source.name}:{rows.line_num}: is no table row ({error})") from error
        if not number:
            raise InputError(f"{self.source.name}: found no row below the column names; one sequence would work")

    def _lines(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        held = ""
        try:
            for chunk in self.source.chunks():
                *lines, held = (held + decoder.decode(chunk)).split("\n")
                yield from (line + "\n" for line in lines)
                if len(held) > _LONGEST_LINE:
                    raise InputError(
                        f"{self.source.name}: found a row of more than 16 MiB; a record of FASTA would work"
                    )
            yield held + decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise InputError(f"{self.source.name}: is not UTF-8 text; a plain table would work") from error

    def _checked(self, columns: list[str]) -> list[str]:
        """The names of the columns, that of the bases replaced by ``sequence``."""
        letters = next((name for name in self._letters if name in columns), None)
        if letters is None:
            found = ", ".join(columns[:6]) or "nothing"
            raise InputError(f"{self.source.name}:1: found the columns {found}; one named {_SEQUENCE} would work")
        columns = [_SEQUENCE if name == letters else name for name in columns]
        twice = [name for name, count in Counter(columns).items() if count > 1]
        if twice:
            raise InputError(f"{self.source.name}:1: found two columns named {twice[0]}; different names would work")
        return columns

    def _paired(self, columns: list[str], row: list[str], line: int) -> Iterator[tuple[str, str]]:
        if len(row) != len(columns):
            raise InputError(
                f"{self.source.name}:{line}: found {len(row)} values; {len(columns)} would work, as line 1 has columns"
            )
        return zip(columns, (value.strip() for value in row), strict=True)

    def _record(self, values: dict[str, str], number: int, line: int) -> Iterator[Header | Piece]:
        letters = values.pop(_SEQUENCE)
        name = values.pop(_NAME, "") or f"row_{number}"
        if not (name.isascii() and name.isprintable()) or " " in name:
            raise InputError(f"{self.source.name}:{line}: found name {name[:40]!a}; printable ASCII would work")
        if not letters:
            self.notes["empty_records"] += 1
            return
        facts = (f"{key}={value}" for key, value in values.items() if _is_word(key) and _is_word(value))
        yield Header(name, " ".join(facts), line)
        yield self.piece(letters, line)

    def piece(self, letters: str, line: int) -> Piece:
        """The bases of a row.

        Args:
            letters: Nucleotide letters of either case.
            line: Where they stand, for the message.

        Raises:
            InputError: A letter is no nucleotide.
        """
        text = letters.encode("ascii", errors="replace")
        array = np.frombuffer(text, dtype=np.uint8)
        wrong = ~alphabet.IS_BASE[array]
        if wrong.any():
            place = int(np.argmax(wrong))
            raise InputError(
                f"{self.source.name}:{line}: found {alphabet.describe(text[place])} at base {place + 1} of the "
                "sequence; A C G T U N and IUPAC codes would work"
            )
        counts = np.bincount(array, minlength=256)
        self.notes["uracil_to_t"] += int(counts[alphabet.IS_URACIL].sum())
        self.notes["ambiguous_to_n"] += int(counts[alphabet.IS_AMBIGUOUS].sum())
        return Piece(text.translate(alphabet.CODES), text.upper(), counts)


def _is_word(text: str) -> bool:
    """Whether a text is read back as it is from words that blanks separate."""
    return text.split() == [text]
