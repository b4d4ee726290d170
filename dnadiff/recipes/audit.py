"""``dna-diff bench audit``: what labelled data sets give away without a model."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.provenance import provenance
from dnadiff.data.coordinates import SPLITS, CoordinateSet, class_files, is_coordinates, read_coordinates
from dnadiff.data.labelled import Labelled, read_labelled
from dnadiff.data.stream import sha256_of
from dnadiff.errors import InputError
from dnadiff.evaluation.audit import Overlap, by_length, by_look_up, by_strand, majority, overlaps
from dnadiff.evaluation.near import Leaks
from dnadiff.evaluation.sequence_audit import audit_sequences, leaks_of
from dnadiff.recipes.audit_clean import check_clean, clean_coordinates, clean_sequences
from dnadiff.recipes.tables import Column, check_out, publish

COLUMNS = (
    Column("", "name"),
    Column("train", "train", style=",d"),
    Column("test", "test", style=",d"),
    Column("majority", "majority", style=".3f"),
    Column("length", "length", style=".3f"),
    Column("strand", "strand", style=".3f"),
    Column("composition", "composition", style=".3f"),
    Column("k-mers", "words", style=".3f"),
    Column("look-up", "look_up", style=".3f"),
    Column("test overlaps train", "overlapping", style=".1%"),
    Column("copies", "copies", style=",d"),
    Column("nearly", "near", style=",d"),
    Column("repeated", "repeated", style=",d"),
    Column("conflicts", "conflicts", style=",d"),
)
PROTOCOL = (
    "accuracy on the test part of rules that read no base: the commonest class, a decision tree on the length, the "
    "commonest class of the strand, the class of the training stretch that overlaps most",
    "test overlaps train: test stretches that share a base with a training stretch, on either strand; copies: the very "
    "same stretch; a model's accuracy means something above the highest of these only",
)
OF_SEQUENCES = (
    "sequences: accuracy (of numbers R2) on the test part of the commonest class, a tree on the length, linear "
    "models on composition and on k-mers and positions, the class of the training sequence with most of the words",
    "copies: test sequences that the training part holds, on either strand; nearly: those of which a training sequence "
    "holds four fifths of the 16-mers; repeated: training sequences that were there before; conflicts: sequences with "
    "another label elsewhere",
)


def audit(
    paths: list[str],
    out: str | None = None,
    *,
    clean: str | None = None,
    genome: Sequence[str] = (),
    label: Sequence[str] = ("label",),
    kind: str = "auto",
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol`` and a row a data set; of coordinates with a genome a row each for them and the bases.

    Args:
        paths: Labelled data, as ``data.labelled`` reads them, or folders of coordinates as ``data.coordinates`` does.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        clean: Folder to write the data set to without the test examples that the training part holds: stretches that
            share a base with a training stretch, sequences that are there as they are or nearly; goes with a single
            data set.
        genome: FASTA files or stores with the bases of coordinates.
        label: Columns or words that hold the labels of sequences.
        kind: What they mean, as ``data.labelled.read_labelled`` takes it.
        quiet: Print nothing but results.
        argv: The command line, for the provenance.

    Raises:
        InputError: There is no such data set, or an output cannot be written.
    """
    check_out(out)
    if clean is not None:
        check_clean(clean, paths)
    rows, inputs, protocol = [], {}, []
    for path in paths:
        name, places, sequences = Path(path).resolve().name, None, None
        if is_coordinates(path):
            if kind not in ("auto", "class"):
                raise InputError(f"--kind {kind}: {path} has a file for each class; leave it out")
            places = _located(path)
            rows.append({"name": name, **_figures(*places)})
            inputs |= {str(file): sha256_of(file) for file in _files(Path(path))}
            protocol += PROTOCOL
        if places is None or genome:
            data = read_labelled(path, label, kind="class" if places else kind, genome=genome, valid_fraction=0)
            sequences = data, leaks_of(data)
            rows.append({"name": f"{name} (sequences)" if places else name, **audit_sequences(*sequences)})
            inputs |= data.digests
            protocol += OF_SEQUENCES
        if clean is not None:
            gone = _gone(places, sequences)
            told = (
                clean_coordinates(Path(path), Path(clean), places[0], gone) if places
                else clean_sequences(Path(clean), sequences[0], gone)
            )  # fmt: skip
            print(f"dna-diff: note: {told}", file=sys.stderr)
    report = {"protocol": list(dict.fromkeys(protocol)), "rows": rows}
    publish(out, report, COLUMNS, provenance(argv or [], None, inputs), quiet)
    return report


def _located(folder: str) -> tuple[CoordinateSet, Overlap]:
    data = read_coordinates(folder)
    return data, overlaps(data.train, data.test)


def _figures(data: CoordinateSet, found: Overlap) -> dict[str, Any]:
    truth = data.test.label

    def accuracy(guess: np.ndarray | int) -> float:
        return float((guess == truth).mean())

    right = data.train.label[found.nearest[found.found]] == truth[found.found]
    return {
        "train": len(data.train),
        "test": len(data.test),
        "majority": accuracy(majority(data.train)),
        "length": accuracy(by_length(data.train, data.test)),
        "strand": accuracy(by_strand(data.train, data.test)),
        "look_up": accuracy(by_look_up(data.train, found)),
        "overlapping": float(found.found.mean()),
        "copies": int(found.copy.sum()),
        "overlapping_right": float(right.mean()) if len(right) else None,
        **{f"overlapping_{name}": float(found.found[truth == i].mean()) for i, name in enumerate(data.classes)},
    }


def _files(folder: Path) -> list[Path]:
    return [path for split in SPLITS for path in class_files(folder, split).values()]


def _gone(places: tuple[CoordinateSet, Overlap] | None, sequences: tuple[Labelled, Leaks] | None) -> np.ndarray:
    """Test examples that the training part holds, by their place, by their bases, or by either."""
    if places is None:
        return sequences[1].found if sequences else np.zeros(0, dtype=bool)
    data, gone = places[0], places[1].found.copy()
    if sequences and sequences[0].test:
        for label in range(len(data.classes)):  # the files of a class are read in the same order, those of all are not
            gone[data.test.label == label] |= sequences[1].found[sequences[0].test.targets == label]
    return gone
