"""Labelled stretches of a genome without their bases, as Genomic Benchmarks publishes its data sets.

    DATA/train/CLASS.csv.gz, DATA/test/CLASS.csv.gz     columns region, start, end, strand (0-based, half-open)

(Gresova et al., Genomic benchmarks: a collection of datasets for genomic sequence classification, 2023.) Classes are
numbered in the order of their names; published loaders number them as the disk lists them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnadiff.data.stretches import read_stretches
from dnadiff.errors import InputError

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Located:
    """Labelled stretches.

    Attributes:
        chrom: Names of contigs, (N,) of text.
        start: First base, 0-based, (N,) int64.
        end: The base after the last, (N,) int64.
        strand: ``+`` or ``-``, (N,) of text.
        label: Numbers of the classes, (N,) int64.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: np.ndarray) -> "Located":
        """Some of them, by number or by mask."""
        return Located(self.chrom[rows], self.start[rows], self.end[rows], self.strand[rows], self.label[rows])


@dataclass(frozen=True)
class CoordinateSet:
    """A data set: its classes by number, and its two parts."""

    classes: tuple[str, ...]
    train: Located
    test: Located


def read_coordinates(folder: str | Path) -> CoordinateSet:
    """The data set in a folder.

    Raises:
        InputError: It is not laid out as above, the parts have different classes, or a row cannot be read.
    """
    folder = Path(folder)
    files = {split: class_files(folder, split) for split in SPLITS}
    classes = tuple(files["train"])
    for name in sorted(set(files["test"]) ^ set(classes)):
        lacking = "test" if name in classes else "train"
        raise InputError(f"{folder}: {lacking} has no class {name}; the same classes in both would work")
    if len(classes) < 2:
        raise InputError(f"{folder}: found one class, {classes[0]}; two or more would work")
    return CoordinateSet(classes, *(_part(files[split], classes) for split in SPLITS))


def is_coordinates(path: str | Path) -> bool:
    """Whether this is a folder that ``read_coordinates`` is meant for: tables of classes in its training part."""
    return any((Path(path) / "train").glob("*.csv")) or any((Path(path) / "train").glob("*.csv.gz"))


def class_files(folder: Path, split: str) -> dict[str, Path]:
    """The files of a part by class, in the order of the classes.

    Raises:
        InputError: There is none, or a class has two.
    """
    found = sorted((folder / split).glob("*.csv")) + sorted((folder / split).glob("*.csv.gz"))
    if not found:
        raise InputError(f"{folder / split}: found no CLASS.csv or CLASS.csv.gz; a folder of coordinates would work")
    classes: dict[str, Path] = {}
    for path in found:
        other = classes.setdefault(path.name.removesuffix(".gz").removesuffix(".csv"), path)
        if other != path:
            raise InputError(f"{folder / split}: found {other.name} and {path.name}; one file a class would work")
    return dict(sorted(classes.items()))


def _part(files: dict[str, Path], classes: tuple[str, ...]) -> Located:
    found = [(one.interval, label) for label, name in enumerate(classes) for one in read_stretches(files[name])]
    rows = ((one.chrom, one.start, one.end, one.strand, label) for one, label in found)
    chrom, start, end, strand, label = zip(*rows, strict=True)
    start, end, label = (np.array(values, dtype=np.int64) for values in (start, end, label))
    return Located(np.array(chrom), start, end, np.array(strand), label)
