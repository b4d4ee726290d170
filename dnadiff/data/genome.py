"""The genome store: a checked copy of a FASTA file that many processes read without loading it.

A folder of two files. ``bases.u8`` holds one byte a base, all contigs one after another: bits 0-2 are the code (A 0, C
1, G 2, T 3, N 4), bit 7 says soft-masked. ``index.json`` holds the names, the lengths, the MD5 of each contig's
upper-case letters as in the ``M5`` field of SAM and CRAM headers (SAM specification, section 1.3.2), counts, the
SHA-256 of the source and what was normalised how often. It keeps facts only: what to do with N, which strand and which
part to train on is asked later.

The bases are read through a memory map: opening costs nothing whatever the size, and forked or spawned workers share
the pages. A store is built in a temporary folder and renamed, so what has the name is whole.
"""

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.data import alphabet, atomic
from dnadiff.data.intervals import Interval, check_interval
from dnadiff.data.plain_json import read_json
from dnadiff.data.store_writer import BASES, FORMAT, INDEX, KIND, NOTES, index_checksum, write_store
from dnadiff.data.stream import sha256_of
from dnadiff.errors import InputError

_MOST_INDEX = 1 << 30  # bytes; a million contigs take a quarter of it
_COUNTS = ("length", *alphabet.LETTERS, "soft_masked")
_CONTIG = {"name": str, "md5": str, **dict.fromkeys(_COUNTS, int)}


class Store:
    """An opened genome store. Read-only; pickles as its path, so it can be sent to worker processes.

    Attributes:
        path: The folder.
        index: The contents of ``index.json``.
        names: Contig names in the order of the source.
        lengths: Their lengths in bp, (contigs,) int64.
        offsets: Where each begins in ``bases``, (contigs,) int64.
        bases: Stored bytes of the whole genome, a read-only memory map (total bp,) uint8.
        sizes: Length in bp of each contig by name.
    """

    def __init__(self, path: Path, index: dict[str, Any], bases: np.ndarray) -> None:
        """Use ``Store.open``, which checks what it finds."""
        self.path = path
        self.index = index
        self.bases = bases
        self.names: list[str] = [contig["name"] for contig in index["contigs"]]
        self.lengths = np.array([contig["length"] for contig in index["contigs"]], dtype=np.int64)
        self.offsets = np.cumsum(self.lengths) - self.lengths
        self.sizes: Mapping[str, int] = dict(zip(self.names, self.lengths.tolist(), strict=True))
        self._number = {name: number for number, name in enumerate(self.names)}

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False) -> "Store":
        """The store in a folder.

        Args:
            path: The folder.
            verify: Also read all the bases and compare their checksum, which notices a single flipped bit.

        Raises:
            InputError: There is no store, it is of another version, or it is damaged.
        """
        path = Path(path)
        index = _read_index(path)
        total = sum(contig["length"] for contig in index["contigs"])
        atomic.check_inside(path, (BASES, INDEX))
        try:
            size = (path / BASES).stat().st_size
        except OSError as error:
            raise InputError(f"{path}: the genome store has no {BASES}; preparing it again would work") from error
        if size != total:
            raise InputError(f"{path}: {BASES} has {size} bytes where {total} are due; preparing it again would work")
        store = cls(path.absolute(), index, np.memmap(path / BASES, dtype=np.uint8, mode="r"))
        if verify and _checksum(path / BASES) != index["bases_crc32"]:
            raise InputError(f"{path}: {BASES} is damaged (checksum); preparing it again would work")
        return store

    @property
    def source_sha256(self) -> str:
        """SHA-256 of the file that the store was made from."""
        return self.index["source"]["sha256"]

    @property
    def source_name(self) -> str:
        """Name of that file, without its folder."""
        return self.index["source"]["name"]

    def number(self, chrom: str) -> int:
        """Where a contig stands in ``names``, ``lengths`` and ``offsets``.

        Raises:
            KeyError: There is no such contig.
        """
        return self._number[chrom]

    def codes(self, interval: Interval) -> np.ndarray:
        """Codes of an interval, (length,) uint8 in A 0, C 1, G 2, T 3, N 4, read 5' to 3' on its strand.

        Raises:
            InputError: It is not within a contig.
        """
        check_interval(interval, self.sizes, str(self.path))
        begin = int(self.offsets[self.number(interval.chrom)])
        codes = np.asarray(self.bases[begin + interval.start : begin + interval.end]) & alphabet.CODE_BITS
        return alphabet.reverse_complement(codes) if interval.strand == "-" else codes

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.path), self.index["sha256"])


def build_store(
    source: str | Path,
    out: str | Path,
    *,
    drop_gaps: bool = False,
    rename_duplicates: bool = False,
    allow_truncated: bool = False,
    force: bool = False,
) -> Store:
    """The store made from a FASTA source, in memory that does not depend on its size.

    Args:
        source: FASTA, plain, gzip or BGZF, or ``-`` for standard input.
        out: The folder to make.
        drop_gaps: Remove ``-``, ``.`` and ``*`` instead of refusing them. Shifts the coordinates behind them.
        rename_duplicates: Call the second ``chr1`` ``chr1_2`` instead of refusing it.
        allow_truncated: Accept a BGZF file without its end marker.
        force: Replace a store that is already there.

    Raises:
        InputError: The source cannot be read as FASTA, or ``out`` exists.
        ResourceError: The disk is full.
    """
    atomic.check_folder(out)
    out = Path(out)
    with atomic.lock(out):
        _refuse_existing(out, force)
        with atomic.new_folder(out, replace=force) as folder:
            write_store(
                source,
                folder,
                drop_gaps=drop_gaps,
                rename_duplicates=rename_duplicates,
                allow_truncated=allow_truncated,
            )
        return Store.open(out)


def cached_store(fasta: str | Path, *, rebuild: bool = False) -> Store:
    """The store of a FASTA file, made on first use and kept in the cache.

    The cache is ``$DNADIFF_CACHE``, else ``~/.cache/dnadiff``; the folder is named by the first 16 digits of the file's
    SHA-256, so a changed file gets a new store. Nothing optional is done to the sequence: a file with gaps or repeated
    names wants ``build_store``.

    Args:
        fasta: The file.
        rebuild: Replace what the cache holds of it.

    Raises:
        InputError: The file cannot be read as FASTA, or what the cache holds is damaged.
    """
    if str(fasta) == "-":
        raise InputError("stdin: a stream cannot be cached; 'dna-diff prepare - -o STORE' and then STORE would work")
    if atomic.is_stream(fasta):  # it is read twice
        raise InputError(f"{fasta}: is a device or pipe; 'dna-diff prepare {fasta} -o STORE' and then STORE would work")
    digest = sha256_of(fasta)
    out = cache_folder() / digest[:16]
    with atomic.lock(out):
        if rebuild or not out.exists():
            with atomic.new_folder(out, replace=rebuild) as folder:
                write_store(fasta, folder)
        store = Store.open(out)
    if store.source_sha256 != digest:
        raise InputError(f"{out}: holds the store of another file than {fasta}; removing that folder would work")
    return store


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$DNADIFF_CACHE``, else ``~/.cache/dnadiff``; it need not exist."""
    return Path(os.environ.get("DNADIFF_CACHE") or Path.home() / ".cache" / "dnadiff")


def open_genome(path: str | Path) -> Store:
    """The store in a folder, or the cached store of a FASTA file.

    Raises:
        InputError: It is neither.
    """
    return Store.open(path) if Path(path).is_dir() else cached_store(path)


def _read_index(path: Path) -> dict[str, Any]:
    remedy = "one made by 'dna-diff prepare genome.fa -o STORE' would work"
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; {remedy}")
    if not (path / INDEX).exists():
        raise InputError(f"{path}: is no genome store (no {INDEX}); {remedy}")
    index = read_json(path / INDEX, "preparing it again would work", most=_MOST_INDEX)
    if index.get("kind") != KIND:
        raise InputError(f"{path}: {INDEX} is not that of a genome store; {remedy}")
    if index.get("format") != FORMAT:
        raise InputError(
            f"{path}: has format {index.get('format')}, this version reads {FORMAT}; preparing it again would work"
        )
    if index.get("sha256") != index_checksum(index):
        raise InputError(f"{path}: {INDEX} was changed or damaged (checksum); preparing it again would work")
    if not _is_index(index):
        raise InputError(f"{path}: {INDEX} lacks facts or has impossible ones; preparing it again would work")
    return index


def _is_index(index: dict[str, Any]) -> bool:
    """Whether everything is there that is read later, of its type: a stranger can make a checksum fit."""
    source, notes, contigs = (index.get(key) for key in ("source", "normalised", "contigs"))
    facts = {"name": str, "sha256": str, "bytes": int}
    return (
        _has(source, facts)
        and isinstance(notes, dict)
        and notes.keys() <= NOTES.keys()
        and all(type(count) is int for count in notes.values())
        and type(index.get("bases_crc32")) is int
        and isinstance(contigs, list)
        and all(_has(contig, _CONTIG) and min(contig[key] for key in _COUNTS) >= 0 for contig in contigs)
        and len({contig["name"] for contig in contigs}) == len(contigs) > 0
    )


def _has(value: object, facts: Mapping[str, type]) -> bool:
    return isinstance(value, dict) and all(type(value.get(key)) is kind for key, kind in facts.items())


def _refuse_existing(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not force:
        raise InputError(f"{out}: exists; another name would work, or --force to replace it")
    if out.name in ("", ".."):
        raise InputError(f"{out}: cannot be replaced under this name; that of a folder, such as STORE, would work")
    if not out.is_dir() or (any(out.iterdir()) and not (out / INDEX).exists()):
        raise InputError(f"{out}: exists and is no genome store, so it is not replaced; another name would work")


def _checksum(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            value = zlib.crc32(chunk, value)
    return value


def _reopen(path: str, sha256: str) -> Store:
    store = Store.open(path)
    if store.index["sha256"] != sha256:
        raise InputError(f"{path}: the store was replaced while it was in use; starting again would work")
    return store
