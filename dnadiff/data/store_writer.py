"""Writing the two files of a genome store while the FASTA source streams by.

Memory holds one chunk of text, whatever the source. Each contig's MD5 is that of its upper-case letters as the source
has them, so it equals the ``M5`` of ``samtools dict`` also where IUPAC codes became N in the store; CRC-32 of
``bases.u8`` notices damage on the disk.
"""

import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.fasta import FastaReader, Header, Piece
from dnadiff.data.hashing import SideHash
from dnadiff.data.table_reader import TableReader, separator_of
from dnadiff.errors import InputError

BASES = "bases.u8"
INDEX = "index.json"
FORMAT = 1
KIND = "dnadiff genome store"

NOTES = {
    "ambiguous_to_n": "IUPAC codes read as N",
    "blanks": "blanks within lines removed",
    "byte_order_mark": "byte-order mark removed",
    "comment_lines": "';' comment lines skipped",
    "cr_line_ends": "CR line ends",
    "crlf_line_ends": "CRLF line ends",
    "empty_records": "records without bases skipped",
    "gaps_dropped": "gaps dropped (coordinates behind them are shifted)",
    "missing_bgzf_end": "missing BGZF end marker accepted",
    "renamed_contigs": "contigs renamed",
    "uracil_to_t": "U read as T",
}
"""What may have been normalised, by the name under which it is counted, in words."""

_LETTERS_OF_BYTES = np.eye(5, dtype=np.int64)[np.frombuffer(alphabet.CODES, dtype=np.uint8) & alphabet.CODE_BITS]


def write_store(
    source: str | Path,
    folder: Path,
    *,
    drop_gaps: bool = False,
    rename_duplicates: bool = False,
    allow_truncated: bool = False,
) -> None:
    """Writes ``bases.u8`` and ``index.json`` of FASTA or a table into an empty folder and flushes them to the disk.

    The options are those of ``genome.build_store``.

    Raises:
        InputError: The source cannot be read.
        OSError: The disk is full.
    """
    reader: FastaReader | TableReader
    if separator_of(source):
        if drop_gaps or allow_truncated:
            raise InputError(f"{source}: is a table; --drop-gaps and --allow-truncated are for FASTA")
        reader = TableReader(source)
    else:
        reader = FastaReader(source, drop_gaps=drop_gaps, allow_truncated=allow_truncated)
    checksum = 0
    with open(folder / BASES, "wb") as file, SideHash() as hashing:
        contigs = _Contigs(reader.source.name, rename_duplicates, hashing)
        for event in reader:
            if isinstance(event, Header):
                contigs.begin(event)
            else:
                contigs.add(event)
                checksum = zlib.crc32(event.bases, checksum)
                file.write(event.bases)
        contigs.end()
        file.flush()
        os.fsync(file.fileno())
    if contigs.renamed:
        reader.notes["renamed_contigs"] = contigs.renamed
    index: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "source": {
            "name": Path(reader.source.name).name,
            "sha256": reader.source.sha256,
            "bytes": reader.source.size,
            "compression": reader.source.compression,
        },
        "normalised": {what: count for what, count in sorted(reader.notes.items()) if count},
        "bases_crc32": checksum,
        "contigs": contigs.done,
    }
    index["sha256"] = index_checksum(index)
    with open(folder / INDEX, "w", encoding="utf-8") as text:
        rest = json.dumps({key: value for key, value in index.items() if key != "contigs"}, indent=1)
        text.write(rest.removesuffix("\n}") + ',\n "contigs": [')
        for number, contig in enumerate(contigs.done):  # a line each: a million of them are not held as text
            text.write(("," if number else "") + "\n  " + json.dumps(contig))
        text.write("\n ]\n}\n")
        text.flush()
        os.fsync(text.fileno())


def index_checksum(index: dict[str, Any]) -> str:
    """SHA-256 of an index without its own ``sha256`` entry."""
    rest = {key: value for key, value in index.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


class _Contigs:
    """Gathers the facts of one contig after another."""

    def __init__(self, source: str, rename_duplicates: bool, hashing: SideHash) -> None:
        self.done: list[dict[str, Any]] = []
        self.renamed = 0
        self._source = source
        self._rename = rename_duplicates
        self._hashing = hashing
        self._lines: dict[str, int] = {}
        self._header: Header | None = None

    def begin(self, header: Header) -> None:
        self.end()
        self._name = self._unique(header)
        self._header = header
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._counts = np.zeros(256, dtype=np.int64)

    def add(self, piece: Piece) -> None:
        self._hashing.update(self._md5, piece.letters)
        self._counts += piece.counts

    def end(self) -> None:
        if self._header is None:
            return
        self._hashing.wait()
        counts = self._counts
        each = (counts @ _LETTERS_OF_BYTES).tolist()
        self.done.append(
            {
                "name": self._name,
                "description": self._header.description,
                "length": int(counts.sum()),
                "md5": self._md5.hexdigest(),
                **dict(zip(alphabet.LETTERS, each, strict=True)),
                "soft_masked": int(counts[alphabet.IS_LOWER].sum()),
            }
        )
        self._header = None

    def _unique(self, header: Header) -> str:
        name = header.name
        if name in self._lines:
            if not self._rename:
                raise InputError(
                    f"{self._source}:{header.line}: found a second record '{name}' (the first is on line "
                    f"{self._lines[name]}); different names would work, or --rename-duplicates"
                )
            self.renamed += 1
            number = 2
            while f"{name}_{number}" in self._lines:
                number += 1
            name = f"{name}_{number}"
        self._lines[name] = header.line
        return name
