"""A FASTA output while it grows: what is finished survives a killed process.

``OUT.partial`` begins with the settings of the work and holds a mark after every few records::

    ;{"seed": 7, ...}
    >synthetic_1 seed=7
    ACGT
    ;1 1c291ca3

Texts of a model of text are lines of JSON in the same frame. A mark is the number of records above it and the CRC-32 of
their text. What stands above the last mark that is right is whole; what a killed process left below it, such as the
first million bases of a record, is cut off by the one that goes on, which begins that record again. A line that begins
with ``;`` is a comment in FASTA, so the file can be read as it is. Only whole files are put together to ``OUT``.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from dnadiff.data import atomic
from dnadiff.data.fasta_writer import FastaWriter
from dnadiff.errors import InputError, ResourceError

_BEGINNING = b";{"
_PIECE = 1 << 20
_KEPT = "what was finished is kept"


class Text(NamedTuple):
    """Some of a FASTA file.

    Attributes:
        fasta: Lines, headers included.
        records: Records that end in it. If there are any, the last one ends with it.
    """

    fasta: bytes
    records: int


class Progress(NamedTuple):
    """What a partial file holds.

    Attributes:
        settings: Of the work, as it was begun; None if the file holds nothing whole.
        records: Whole records.
        crc: CRC-32 of their text.
        size: Bytes of the file up to the last mark.
    """

    settings: dict[str, Any] | None
    records: int
    crc: int
    size: int


NOTHING = Progress(None, 0, 0, 0)


class PartialFasta:
    """The growing file, to be used in a ``with`` block; nobody else can open it meanwhile.

    A block that ends without any record done leaves no file, and neither does a disk without room for the beginning.

    Args:
        path: The partial file; made if it is missing or holds no record.
        settings: What the records depend on, plain JSON values.
        resume: Go on behind the records that are there.

    Raises:
        InputError: Another process writes it, it holds records that were not asked for, or it cannot be made.

    Attributes:
        records: How many are done.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        with atomic.disk_errors(path):
            self._file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)  # noqa: SIM115
        try:
            self._claim()
            done = progress(path)
            if done.records:
                _check(path, done, settings, resume)
            else:
                done = self._begin(settings)
            self.records, self._crc = done.records, done.crc
            self._file.truncate(done.size)
            self._file.seek(done.size)
        except BaseException:
            self._file.close()
            raise

    def add(self, text: Text) -> None:
        """Adds text; if it ends a record, waits until all is on the disk.

        Raises:
            ResourceError: The disk is full; the records that ended before are still there.
        """
        total, crc = self.records + text.records, zlib.crc32(text.fasta, self._crc)
        self._write(text.fasta + (_mark(total, crc) if text.records else b""))
        if text.records:
            self._sync()
        self.records, self._crc = total, crc

    def _claim(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.fstat(self._file.fileno()).st_ino == os.stat(self.path).st_ino
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:  # locked by another process, or removed by one that has just finished
            raise InputError(f"{self.path}: another process is writing it; waiting for its end would work")

    def _begin(self, settings: Mapping[str, Any]) -> Progress:
        check_ours(self.path)
        self._file.truncate(0)
        self._file.seek(0)
        head = f";{json.dumps(settings)}\n".encode()
        try:
            self._write(head + _mark(0, 0))
            self._sync()
        except ResourceError:
            self.path.unlink()
            raise
        return Progress(dict(settings), 0, 0, self._file.tell())

    def _write(self, text: bytes) -> None:
        with atomic.disk_errors(self.path, _KEPT):
            while text:
                text = text[self._file.write(text) :]

    def _sync(self) -> None:
        with atomic.disk_errors(self.path, _KEPT):
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.records:
            self.path.unlink(missing_ok=True)
        self._file.close()


def check_ours(path: Path) -> None:
    """Refuses a file in the place of a partial one that is none, so that nobody's work is overwritten.

    Raises:
        InputError: It is something else.
    """
    with path.open("rb") as file:
        begun = file.read(len(_BEGINNING))
    if begun != _BEGINNING[: len(begun)]:
        raise InputError(f"{path}: is in the way and was not written by dnadiff; moving it away would work")


def progress(path: Path) -> Progress:
    """What is whole in a partial file; nothing if it is missing."""
    found, crc, records, size = NOTHING, 0, 0, 0
    for line in _lines(path):
        size += len(line)
        if not line.endswith(b"\n"):
            break
        if size == len(line):
            settings = _settings(line)
        elif line.startswith(b";"):
            if line != _mark(records, crc):
                break
            found = Progress(settings, records, crc, size)
        else:
            records += line.startswith((b">", b"{"))
            crc = zlib.crc32(line, crc)
    return found


def join(parts: Sequence[Path], out: Path, form: Callable[[bytes], bytes] = bytes) -> None:
    """Writes the whole records of some partial files, one after the other, as one output.

    Args:
        parts: The partial files, in order.
        out: File to make; ``.gz`` compresses.
        form: How lines of records are written; as they are by default.

    Raises:
        InputError: ``out`` exists.
        ResourceError: The disk is full.
    """
    for leftover in out.parent.glob(f".{out.name}.tmp-*"):
        leftover.unlink()
    with FastaWriter(out) as fasta:
        for part in parts:
            for text in _texts(part):
                fasta.put(form(text))


def check_same(path: Path, found: object, wanted: Mapping[str, Any]) -> None:
    """Refuses to go on with, or to keep, what was made with other settings.

    Args:
        path: The file.
        found: The settings it was made with; more keys than ``wanted`` has do not matter.
        wanted: What was asked for now.

    Raises:
        InputError: They differ; the message names the first difference.
    """
    known = found if isinstance(found, dict) else {}
    for key, value in json.loads(json.dumps(wanted)).items():
        if key not in known or known[key] != value:
            before = json.dumps(known.get(key))
            raise InputError(
                f"{path}: was made with {key} {before}, not {json.dumps(value)}; the same settings or another -o work"
            )


def _texts(part: Path) -> Iterator[bytes]:
    """The whole records of a partial file, in pieces of about a megabyte."""
    left, piece = progress(part).size, bytearray()
    for line in _lines(part):
        left -= len(line)
        if left < 0:
            break
        if not line.startswith(b";"):
            piece += line
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file


def _mark(records: int, crc: int) -> bytes:
    return f";{records} {crc:08x}\n".encode()


def _settings(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line.removeprefix(b";"))
    except ValueError:
        return None


def _check(path: Path, done: Progress, settings: Mapping[str, Any], resume: bool) -> None:
    if not resume:
        raise InputError(f"{path}: holds {done.records:,} finished sequences; --resume, or removing it, would work")
    check_same(path, done.settings, settings)
