"""Labelled examples whose bases are in a genome: coordinates say where, a FASTA file or a store says what.

    table    CSV, TSV   columns region or chrom, start, end, strand; those of the labels; perhaps name and split
    BED      .bed       chrom, start, end, label, score, strand: the fourth column is the label
    class    either     the file holds a single class, as Genomic Benchmarks publishes them: train/CLASS.csv.gz

Positions are 0-based and half-open, and the minus strand is read as its reverse complement. Several genomes may be
given, such as one a species, as long as no name of a contig is in two of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dnadiff.data.examples import Example, check_columns, suffix_of
from dnadiff.data.genome import Store, open_genome
from dnadiff.data.intervals import Interval, check_interval, read_bed
from dnadiff.data.stream import sha256_of
from dnadiff.data.stretches import read_stretches
from dnadiff.data.table_reader import separator_of
from dnadiff.errors import InputError

BED = ".bed"


def is_located(path: Path) -> bool:
    """Whether a file is one by its name that stretches are read from: a table or BED."""
    return separator_of(path) is not None or suffix_of(path) == BED


class Contigs:
    """The contigs of one or more genomes.

    Args:
        paths: FASTA files, whose stores are made in the cache on first use, or stores.

    Attributes:
        sizes: Length in bp of each contig by name.
        digests: SHA-256 of each genome's source by its path.

    Raises:
        InputError: One cannot be read, or a name is in two of them.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._stores: dict[str, Store] = {}
        self.digests: dict[str, str] = {}
        for path in paths:
            store = open_genome(path)
            self.digests[str(path)] = store.source_sha256
            twice = next((name for name in store.names if name in self._stores), None)
            if twice is not None:
                raise InputError(f"{path}: has contig '{twice}', which another genome has too; different names work")
            self._stores |= dict.fromkeys(store.names, store)
        self.sizes: Mapping[str, int] = {name: store.sizes[name] for name, store in self._stores.items()}

    def example(self, place: str, name: str, interval: Interval, labels: tuple[str, ...], split: str | None) -> Example:
        """An example with the bases of an interval, read 5' to 3' on its strand.

        Args:
            place: File and line, for messages.
            name: Its name; where it lies if that is empty.
            interval: Where it lies.
            labels: The text of its labels.
            split: What the file says of its part.

        Raises:
            InputError: The interval is not within a contig.
        """
        check_interval(interval, self.sizes, place)
        return Example(place, name or str(interval), self._stores[interval.chrom].codes(interval), labels, split)


def read_located(
    path: Path, keys: Sequence[str], label: str | None, contigs: Contigs, digests: dict[str, str]
) -> Iterator[Example]:
    """The examples of a file of stretches, in its order.

    Args:
        path: A table or BED.
        keys: The columns that are the labels; of BED one, which is the fourth.
        label: The class of all of them; None if they say theirs.
        contigs: Where the bases are.
        digests: Gets the SHA-256 of the file under its path, once all is read.

    Raises:
        InputError: The file cannot be read, a stretch is not in the genome, or it has no label.
    """
    if path.is_dir() or not is_located(path):
        raise InputError(f"{path}: holds no coordinates, and a genome was given; a table or BED would work")
    own = None if label is None else (label,)
    rows = _bed if suffix_of(path) == BED else _table
    yield from rows(path, keys, own, contigs)
    digests[str(path)] = sha256_of(path)


def _table(path: Path, keys: Sequence[str], own: tuple[str, ...] | None, contigs: Contigs) -> Iterator[Example]:
    for number, stretch in enumerate(read_stretches(path)):
        values = stretch.values
        if own is None and not number:
            check_columns(f"{path}:1", values, keys)
        labels = own or tuple(values[key].strip() for key in keys)
        split = values.get("split") or None
        yield contigs.example(stretch.place, values.get("name", ""), stretch.interval, labels, split)


def _bed(path: Path, keys: Sequence[str], own: tuple[str, ...] | None, contigs: Contigs) -> Iterator[Example]:
    if own is None and len(keys) > 1:
        raise InputError(f"{path}: BED has one label, its fourth column; one key, or a table, would work")
    for row in read_bed(path, contigs.sizes):
        yield contigs.example(f"{path}:{row.line}", "", row.interval, own or (row.name or "",), None)
