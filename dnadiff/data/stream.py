"""Reading bytes: a file or standard input, plain or compressed, in chunks of bounded size.

The content decides, never the suffix. Gzip is read member by member (RFC 1952 allows any number), each checked against
its CRC; BGZF, the blocked gzip of genomics (SAM specification, section 4.1), must end with its empty marker block,
whose absence means that the file was cut at a block boundary. While the bytes pass they are counted and hashed, so that
a source is known by its SHA-256 after one reading. However well a file compresses, memory stays at a few chunks; beyond
64 MiB a file that grows 200-fold is refused, since genomes shrink to a quarter and only a bomb would fill the disk.
"""

import hashlib
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from dnadiff.data.hashing import SideHash
from dnadiff.errors import InputError

CHUNK = 1 << 20
_RAW = 1 << 19
_BOMB_RATIO, _BOMB_BYTES = 200, 64 << 20
_LONGEST_LINE = 1 << 20  # of a text file such as BED, bytes
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_REFUSED = {
    b"BZh": "bzip2; unpack it with bunzip2",
    b"\xfd7zXZ": "xz; unpack it with xz -d",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it with zstd -d",
    b"PK\x03\x04": "a zip archive; unpack it with unzip",
}


class ByteSource:
    """The uncompressed bytes of a path, or of standard input for ``-``.

    Args:
        path: The file, or ``-``.
        allow_truncated: Accept BGZF data without the end marker. Damaged or half blocks are refused all the same.

    Attributes:
        name: What messages call the source: the path as given, or ``stdin``.
        compression: ``none``, ``gzip`` or ``bgzf``, known once reading began.
        sha256: SHA-256 of the bytes as they lie on disk, complete once the chunks have come to their end.
        size: Their number.
        missing_end: Whether a BGZF file without its end marker was let through.
    """

    def __init__(self, path: str | Path, *, allow_truncated: bool = False) -> None:
        self.path = str(path)
        self.name = "stdin" if self.path == "-" else self.path
        self.allow_truncated = allow_truncated
        self.compression = "none"
        self.missing_end = False
        self.size = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of what was read so far."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Uncompressed chunks of at most 1 MiB, none of them empty.

        Raises:
            InputError: The file is missing, unreadable, cut or damaged, or packed in a way that is not read.
        """
        with open_input(self.path) as file, SideHash() as hashing:
            raw = self._raw(file, hashing)
            head = next(raw, b"")
            for magic, what in _REFUSED.items():
                if head.startswith(magic):
                    raise InputError(f"{self.name}: looks like {what}; plain text and gzip would work")
            if head.startswith(b"\x1f\x8b"):
                self.compression = "bgzf" if _is_bgzf(head) else "gzip"
                yield from self._gunzip(head, raw)
            elif head:
                yield head
                yield from raw

    def _raw(self, file: BinaryIO, hashing: SideHash) -> Iterator[bytes]:
        try:
            while data := file.read(_RAW):
                hashing.update(self._hash, data)
                self.size += len(data)
                yield data
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read ({error.strerror}); a fresh copy would work") from error

    def _gunzip(self, head: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
        decoder, inside, tail, total = zlib.decompressobj(31), False, b"", 0
        for data in chain([head], raw):
            tail = (tail + data)[-len(_BGZF_END) :]
            while data:
                if not inside:
                    data = data.lstrip(b"\0")  # some writers pad the last block with zeros
                    if not data:
                        break
                    decoder = zlib.decompressobj(31)
                text = self._inflate(decoder, data)
                inside = not decoder.eof
                data = decoder.unconsumed_tail if inside else decoder.unused_data
                total += len(text)
                if total > max(_BOMB_BYTES, _BOMB_RATIO * self.size):
                    raise InputError(
                        f"{self.name}: unpacks to more than {_BOMB_RATIO} times its size, as no genome does; "
                        "if it is one, the unpacked file would work"
                    )
                if text:
                    yield text
        if inside:
            raise InputError(f"{self.name}: the gzip data stop in the middle; a complete copy would work")
        self.missing_end = self.compression == "bgzf" and tail != _BGZF_END
        if self.missing_end and not self.allow_truncated:
            raise InputError(
                f"{self.name}: the BGZF end marker is missing, so the file may be cut; a complete copy would work, "
                "or --allow-truncated if you know that nothing is missing"
            )

    def _inflate(self, decoder: "zlib._Decompress", data: bytes) -> bytes:
        try:
            return decoder.decompress(data, CHUNK)
        except zlib.error as error:
            reason = str(error).split(": ")[-1]
            raise InputError(f"{self.name}: the gzip data are damaged ({reason}); a fresh copy would work") from error


@contextmanager
def open_input(path: str | Path) -> Iterator[BinaryIO]:
    """A file opened for reading bytes, closed at the end; ``-`` is standard input, left open.

    Raises:
        InputError: The file cannot be opened.
    """
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except FileNotFoundError as error:
            raise InputError(f"{str(path) or repr('')}: no such file; {_alike(Path(path))}") from error
        except IsADirectoryError as error:
            raise InputError(f"{path}: is a folder; a file would work") from error
        except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path}: cannot be opened ({reason}); a file you may read would work") from error
        yield file


def _alike(path: Path) -> str:
    """What to try in place of a file that is not there: one of the same folder with nearly its name, if there is."""
    try:
        names = [entry.name for entry in islice(path.parent.iterdir(), 1000)]
    except OSError:
        names = []
    near = get_close_matches(path.name, names, n=1, cutoff=0.8)
    return f"did you mean {path.with_name(near[0])}?" if near else "the path of one that exists would work"


def sha256_of(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        InputError: The file cannot be opened.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_lines(path: str | Path, longest: int = _LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a UTF-8 text file, plain or gzip, without line ends and byte-order mark.

    Args:
        path: The file.
        longest: Most bytes of a line.

    Raises:
        InputError: The file cannot be read, is no text, or has a longer line.
    """
    source, number, held = ByteSource(path), 0, b""
    for chunk in chain(source.chunks(), [b""]):
        text = held + chunk
        whole = len(text) - text.endswith(b"\r") if chunk else len(text)  # a \n may follow
        lines = text[:whole].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        held = lines.pop() + text[whole:] if chunk else b""
        for line in lines:
            number += 1
            yield number, _decoded(line, source.name, number)
        if len(held) > longest:
            found = f"found a line of more than {longest >> 20} MiB"
            raise InputError(f"{source.name}:{number + 1}: {found}; lines of text would work")


def _decoded(line: bytes, name: str, number: int) -> str:
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"found byte 0x{line[error.start]:02X}, which is not UTF-8"
        raise InputError(f"{name}:{number}: {what}; plain UTF-8 text would work") from error


def _is_bgzf(head: bytes) -> bool:
    """Whether the first gzip member carries BGZF's extra field ``BC``."""
    return len(head) >= 18 and bool(head[3] & 4) and head[12:14] == b"BC"
