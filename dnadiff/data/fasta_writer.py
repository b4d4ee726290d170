"""Writing FASTA that every tool reads: plain names, upper-case letters, lines of 60, and never half a file."""

import gzip
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from dnadiff.data import alphabet, atomic
from dnadiff.errors import InputError

_WIDTH = 60
_UNWRITTEN = (".bz2", ".xz", ".zst", ".zip")


class FastaWriter:
    """A FASTA output to be used in a ``with`` block.

    A file is written under a temporary name beside its place and renamed when the block ends well; if it fails, nothing
    is left. ``.gz`` at the end of the name compresses, without a time stamp, so equal records give equal bytes. ``-``
    is standard output, written record by record, as devices and pipes are; a reader that goes away raises
    BrokenPipeError.

    Args:
        path: The file, or ``-``.

    Raises:
        InputError: The file exists, cannot be made, or asks for another compression.
    """

    def __init__(self, path: str | Path) -> None:
        check_output(path)
        self._place = Path("standard output" if str(path) == "-" else path)
        self._out = None if atomic.is_stream(path) else Path(path)
        self._file: BinaryIO = sys.stdout.buffer
        if str(path) == "-":
            return
        if self._out is None:
            self._file = open(path, "wb")  # noqa: SIM115 - closed in __exit__
            return
        self._temporary = self._out.with_name(f".{self._out.name}.tmp-{os.getpid()}")
        with atomic.disk_errors(self._out):
            self._raw = open(self._temporary, "wb")  # noqa: SIM115 - closed in __exit__
        zipped = self._out.suffix == ".gz"
        self._file = gzip.GzipFile("", "wb", fileobj=self._raw, mtime=0) if zipped else self._raw

    def write(self, name: str, sequence: str, description: str = "") -> None:
        """Adds a record.

        Args:
            name: Printable ASCII without blanks.
            sequence: Nucleotide letters, at least one.
            description: The rest of the header line, of one line.

        Raises:
            ValueError: The record would not be read back as it is.
            ResourceError: The disk is full.
            BrokenPipeError: Nobody reads standard output any more.
        """
        self.put(fasta_record(name, sequence, description))

    def put(self, records: bytes) -> None:
        """Adds what :func:`fasta_record` made.

        Raises:
            ResourceError: The disk is full.
            BrokenPipeError: Nobody reads standard output any more.
        """
        with atomic.disk_errors(self._place):
            self._file.write(records)
            if self._out is None:
                self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out is None:
            if self._file is not sys.stdout.buffer:
                with atomic.disk_errors(self._place) if kind is None else suppress(OSError):
                    self._file.close()
            return
        try:
            with atomic.disk_errors(self._out):
                self._file.close()
                if kind is None and not self._raw.closed:
                    self._raw.flush()
                    os.fsync(self._raw.fileno())
                self._raw.close()
                if kind is None:
                    os.replace(self._temporary, self._out)
                    atomic.sync(self._out.parent)
        finally:
            self._raw.close()
            self._temporary.unlink(missing_ok=True)


def check_output(path: str | Path) -> None:
    """Refuses a FASTA output that could not be written, before any work is done for it.

    Raises:
        InputError: The file exists, its folder does not, or its name asks for another compression than gzip.
    """
    atomic.check_file(path)
    if Path(path).suffix in _UNWRITTEN:
        raise InputError(f"{path}: is written plain or as gzip; a name that ends in .fa or .fa.gz would work")


def fasta_record(name: str, sequence: str, description: str = "") -> bytes:
    """One record as text, in lines of 60.

    Args:
        name: Printable ASCII without blanks.
        sequence: Nucleotide letters, at least one.
        description: The rest of the header line, of one line.

    Raises:
        ValueError: The record would not be read back as it is.
    """
    wrap = LineWrap()
    return b"".join([fasta_header(name, description), wrap.add(sequence), wrap.end()])


def fasta_header(name: str, description: str = "") -> bytes:
    """The first line of a record.

    Args:
        name: Printable ASCII without blanks.
        description: The rest of the line.

    Raises:
        ValueError: The line would not be read back as it is.
    """
    if not name or not (name.isascii() and name.isprintable()) or " " in name:
        raise ValueError(f"record name {name!r}: printable ASCII without blanks would work")
    if not description.isprintable():
        raise ValueError(f"description of {name}: one line of printable characters would work")
    return f">{name} {description}".rstrip().encode() + b"\n"


class LineWrap:
    """The sequence of one record, given in pieces of any length and cut into lines of 60.

    Attributes:
        bases: How many were given.
    """

    def __init__(self) -> None:
        self.bases = 0
        self._left = ""

    def add(self, sequence: str) -> bytes:
        """The lines that some more nucleotide letters complete.

        Raises:
            ValueError: A letter is no nucleotide.
        """
        alphabet.encode(sequence)
        self.bases += len(sequence)
        letters = self._left + sequence
        whole = len(letters) // _WIDTH * _WIDTH
        self._left = letters[whole:]
        return "".join(f"{letters[i : i + _WIDTH]}\n" for i in range(0, whole, _WIDTH)).encode()

    def end(self) -> bytes:
        """The last line, if it is shorter.

        Raises:
            ValueError: There was no base.
        """
        if not self.bases:
            raise ValueError("a record has no bases")
        return f"{self._left}\n".encode() if self._left else b""
