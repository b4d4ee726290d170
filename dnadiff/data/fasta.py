"""Reading FASTA text of any size in bounded memory.

A record is a line ``>name description`` and the lines of letters up to the next one (Pearson and Lipman, 1988). Files
in the wild differ in everything else, and a reader that is silent about it trains a model on something that is not the
genome. What is understood without loss is normalised and counted: line ends of any kind, a byte-order mark, lines of
any length, blank lines, blanks within lines, ``;`` comment lines of the original format, U for T, IUPAC codes for N,
empty records. What could be a mistake is refused with file, line and column: gaps, digits, proteins, other formats.

The work is done on whole chunks by table look-ups; no Python code runs per line or per base. A record's letters arrive
as several pieces, so a chromosome on a single line is no heavier than one folded at 60.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.formats import recognise
from dnadiff.data.stream import ByteSource
from dnadiff.errors import InputError

_HEAD = 1024  # bytes that tell what a file is
_MAX_HEADER = 1 << 16
_BLANK_OR_END = alphabet.IS_BLANK | (np.arange(256) == 10)
_STRANGE = ~(alphabet.IS_BASE | alphabet.IS_GAP | _BLANK_OR_END)
_KINDS = np.stack(
    [_STRANGE, alphabet.IS_GAP, alphabet.IS_BLANK, alphabet.IS_BASE, alphabet.IS_URACIL, alphabet.IS_AMBIGUOUS], axis=1
).astype(np.int64)
_UPPER = 0xDF  # of a letter's byte, the bits that both cases share
_WORKS = "A C G T U N and IUPAC codes would work"


@dataclass(frozen=True)
class Header:
    """The beginning of a record that has bases: its name, the rest of the line, and where it stands (line from 1)."""

    name: str
    description: str
    line: int


@dataclass(frozen=True)
class Piece:
    """Some consecutive bases of the record begun by the last Header.

    Attributes:
        bases: Stored bytes, one a base (see ``alphabet``).
        letters: The same as upper-case letters of the source, IUPAC codes and U kept.
        counts: How often each letter of the source occurred, (256,) int64 by its byte; they add up to the bases.
    """

    bases: bytes
    letters: bytes
    counts: np.ndarray


@dataclass(frozen=True)
class Record:
    """A whole record: its name, the rest of the header line, and its upper-case A C G T N."""

    name: str
    description: str
    sequence: str


def read_fasta(path: str | Path, *, drop_gaps: bool = False) -> Iterator[Record]:
    """Whole records, one at a time, in the order of the file; names may repeat.

    Args:
        path: FASTA, plain or gzip, or ``-`` for standard input.
        drop_gaps: Remove ``-``, ``.`` and ``*`` instead of refusing them.

    Raises:
        InputError: The file cannot be read as FASTA.
    """
    for header, bases in whole_records(FastaReader(path, drop_gaps=drop_gaps)):
        yield Record(header.name, header.description, alphabet.decode(np.frombuffer(bases, dtype=np.uint8)))


def read_codes(path: str | Path) -> Iterator[np.ndarray]:
    """The records of a FASTA file as codes in A 0, C 1, G 2, T 3, N 4, (length,) uint8 each, a byte a base.

    Raises:
        InputError: The file cannot be read as FASTA.
    """
    for _, bases in whole_records(FastaReader(path)):
        codes = np.frombuffer(bases, dtype=np.uint8)
        codes &= alphabet.CODE_BITS  # in place: a chromosome is held once
        yield codes


def whole_records(reader: "FastaReader") -> Iterator[tuple[Header, bytearray]]:
    """The records of a reader, each with all its stored bytes.

    Raises:
        InputError: The file cannot be read as FASTA.
    """
    header, bases = None, bytearray()
    for event in reader:
        if isinstance(event, Piece):
            bases += event.bases
            continue
        if header is not None:
            yield header, bases
        header, bases = event, bytearray()
    if header is not None:
        yield header, bases


class FastaReader:
    """Headers and pieces of a FASTA source, read once.

    Args:
        path: The file, plain or gzip, or ``-`` for standard input.
        drop_gaps: Remove ``-``, ``.`` and ``*`` instead of refusing them.
        allow_truncated: Accept BGZF data without the end marker.
        pattern: The letters say what may be there, not what is: any share of ambiguity codes will do, and a record
            without letters is refused.

    Attributes:
        source: The bytes below, with their hash.
        notes: What was normalised and how often: byte_order_mark, crlf_line_ends, cr_line_ends, comment_lines, blanks,
            gaps_dropped, uracil_to_t, ambiguous_to_n, empty_records, missing_bgzf_end.
    """

    def __init__(
        self, path: str | Path, *, drop_gaps: bool = False, allow_truncated: bool = False, pattern: bool = False
    ) -> None:
        self.source = ByteSource(path, allow_truncated=allow_truncated)
        self.notes: Counter[str] = Counter()
        self._drop_gaps = drop_gaps
        self._pattern = pattern
        self._line, self._column = 1, 0  # of the next byte: lines from 1, columns from 0
        self._unfinished: bytes | None = None  # a header or comment line whose end is in a later chunk
        self._header: Header | None = None
        self._announced = False
        self._bases = self._ambiguous = 0  # letters of the record under way

    def __iter__(self) -> Iterator[Header | Piece]:
        records = 0
        for chunk in self._unix_chunks():
            for event in self._parse(chunk):
                records += isinstance(event, Header)
                yield event
        if self._unfinished is not None:
            self._marked_line(self._unfinished)
        self._end_record()
        if not records:
            empty = "every record is empty" if self.notes["empty_records"] else "the file is empty"
            raise InputError(
                f"{self.source.name}: found no sequence ({empty}); FASTA with at least one base would work"
            )
        if self.source.missing_end:
            self.notes["missing_bgzf_end"] += 1

    def _unix_chunks(self) -> Iterator[bytes]:
        r"""The text with every line end as \n and without a byte-order mark, its beginning checked to be FASTA."""
        held, beginning = b"", True
        for chunk in self.source.chunks():
            chunk = held + chunk
            held = b""
            if beginning:
                if len(chunk) < _HEAD:
                    held = chunk  # too little to tell what it is
                    continue
                chunk, beginning = self._begin(chunk), False
            if chunk.endswith(b"\r"):
                chunk, held = chunk[:-1], b"\r"  # a \n may follow
            if chunk:
                yield self._unix(chunk)
        if beginning:
            held = self._begin(held)
        if held:
            yield self._unix(held)

    def _unix(self, chunk: bytes) -> bytes:
        if b"\r" not in chunk:
            return chunk
        returns = chunk.count(b"\r")
        pairs = chunk.count(b"\r\n")
        self.notes["crlf_line_ends"] += pairs
        self.notes["cr_line_ends"] += returns - pairs
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _begin(self, chunk: bytes) -> bytes:
        if chunk.startswith(b"\xef\xbb\xbf"):
            self.notes["byte_order_mark"] += 1
            chunk = chunk[3:]
        first = chunk.lstrip(b" \t\r\n")[:1]
        if first not in (b">", b";", b"") and (what := recognise(chunk[:_HEAD])):
            raise InputError(f"{self.source.name}: looks like {what}")
        return chunk

    def _parse(self, chunk: bytes) -> Iterator[Header | Piece]:
        position = 0
        if self._unfinished is not None:
            position = self._finish_line(chunk, 0, self._unfinished)
        if self._unfinished is None:
            for start in self._marks(chunk, position):
                yield from self._sequence(chunk[position:start])
                position = self._finish_line(chunk, start, b"")
            if self._unfinished is None:
                yield from self._sequence(chunk[position:])

    def _marks(self, chunk: bytes, position: int) -> list[int]:
        """Where lines that begin with ``>`` or ``;`` begin, from ``position`` on."""
        if b">" not in chunk and b";" not in chunk:
            return []
        array = np.frombuffer(chunk, dtype=np.uint8)
        found = np.flatnonzero((array == ord(">")) | (array == ord(";")))
        begins = array[found - 1] == 10  # the last byte stands before the first, which is looked at next
        if len(found) and found[0] == 0:
            begins[0] = self._column == 0
        return [int(start) for start in found[begins] if start >= position]

    def _finish_line(self, chunk: bytes, start: int, before: bytes) -> int:
        """Takes in the header or comment line from ``start``; returns where it ends."""
        end = chunk.find(b"\n", start)
        stop = len(chunk) if end < 0 else end
        line = before + chunk[start:stop]
        if len(line) > _MAX_HEADER:
            self._refuse(f"found a header of more than {_MAX_HEADER} bytes; one line of text would work")
        if end >= 0:
            self._marked_line(line)
        self._unfinished = line if end < 0 else None
        self._advance(chunk[start:stop])
        return stop

    def _marked_line(self, line: bytes) -> None:
        if line.startswith(b";"):
            self.notes["comment_lines"] += 1
            return
        self._end_record()
        text = line[1:].decode("utf-8", errors="replace").rstrip()
        name = text.split(maxsplit=1)[0] if text.strip() and not text[0].isspace() else ""
        if not name:
            self._refuse("found a header without a name right after '>'; '>name description' would work")
        if not (name.isascii() and name.isprintable()) or any(c < " " and c != "\t" for c in text):
            self._refuse(f"found header {text[:40]!a}; a name of printable ASCII characters would work")
        self._header = Header(name, text[len(name) :].strip(), self._line)
        self._announced = False

    def _end_record(self) -> None:
        if self._header is None:
            return
        if not self._announced:
            if self._pattern:
                place = f"{self.source.name}:{self._header.line}"
                raise InputError(f"{place}: found no letters in record '{self._header.name}'; at least one would work")
            self.notes["empty_records"] += 1
        if not self._pattern and self._bases >= 20 and 2 * self._ambiguous > self._bases:
            share = 100 * self._ambiguous // self._bases
            raise InputError(
                f"{self.source.name}:{self._header.line}: found {share} % ambiguity codes in record "
                f"'{self._header.name}', which looks like protein; DNA or RNA would work"
            )
        self._bases = self._ambiguous = 0

    def _sequence(self, text: bytes) -> Iterator[Header | Piece]:
        """Announces the record if these are its first bases, then hands them on."""
        if not text:
            return
        counts = _byte_counts(text)
        strange, gaps, blanks, bases, uracils, ambiguous = (counts @ _KINDS).tolist()
        if strange or (gaps and not self._drop_gaps) or (self._header is None and gaps + bases):
            self._refuse_letter(text)
        self._advance(text, ends=int(counts[ord("\n")]))
        self.notes["blanks"] += blanks
        self.notes["gaps_dropped"] += gaps
        if not bases:
            return
        self.notes["uracil_to_t"] += uracils
        self.notes["ambiguous_to_n"] += ambiguous
        self._bases += bases
        self._ambiguous += ambiguous
        text = text.replace(b"\n", b"")
        if blanks or gaps:
            text = text.translate(None, alphabet.BLANKS + alphabet.GAPS)
        if not self._announced:
            self._announced = True
            yield self._header
        upper = np.frombuffer(text, dtype=np.uint8) & _UPPER
        yield Piece(text.translate(alphabet.CODES), upper.tobytes(), np.where(alphabet.IS_BASE, counts, 0))

    def _advance(self, text: bytes, ends: int | None = None) -> None:
        """Moves behind a text, which has so many line ends; None counts them."""
        ends = text.count(b"\n") if ends is None else ends
        self._line += ends
        self._column = len(text) - text.rfind(b"\n") - 1 if ends else self._column + len(text)

    def _refuse_letter(self, text: bytes) -> None:
        array = np.frombuffer(text, dtype=np.uint8)
        wrong = _STRANGE[array] if self._drop_gaps else (_STRANGE | alphabet.IS_GAP)[array]
        if self._header is None:
            wrong |= ~_BLANK_OR_END[array]
        first = int(np.argmax(wrong))
        byte = text[first]
        self._advance(text[:first])
        self._refuse(self._reason(byte), column=True)

    def _reason(self, byte: int) -> str:
        what = alphabet.describe(byte)
        if self._header is None:
            return f"found {what} before the first header; a line '>name' above the sequence would work"
        if alphabet.IS_GAP[byte]:
            works = "N for any base would work" if self._pattern else "--drop-gaps would work (it shifts coordinates)"
            return f"found gap {what} in record '{self._header.name}'; {works}"
        if byte in b"+@":
            return f"found {what} in record '{self._header.name}', as in FASTQ; {_WORKS}"
        if byte == ord(">"):
            return "found '>' within a line; a header on a line of its own would work"
        return f"found {what} in record '{self._header.name}'; {_WORKS}"

    def _refuse(self, reason: str, *, column: bool = False) -> None:
        place = f"{self.source.name}:{self._line}" + (f":{self._column + 1}" if column else "")
        raise InputError(f"{place}: {reason}")


def _byte_counts(text: bytes) -> np.ndarray:
    """How often each byte occurs, (256,) int64."""
    if len(text) < 1 << 17:
        return np.bincount(np.frombuffer(text, dtype=np.uint8), minlength=256)
    even = len(text) & ~1  # pairs of bytes halve the work on long texts
    pairs = np.bincount(np.frombuffer(text, dtype=np.uint16, count=even // 2), minlength=1 << 16).reshape(256, 256)
    counts = pairs.sum(0) + pairs.sum(1)
    counts[list(text[even:])] += 1
    return counts
