"""``dna-diff bench audit``: what labelled data sets give away without a model."""

import gzip
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.provenance import provenance
from dnadiff.data import atomic
from dnadiff.data.coordinates import CoordinateSet, class_files, read_coordinates
from dnadiff.data.stream import sha256_of, text_lines
from dnadiff.errors import InputError
from dnadiff.evaluation.audit import Overlap, by_length, by_look_up, by_strand, majority, overlaps
from dnadiff.recipes.tables import Column, check_out, publish

COLUMNS = (
    Column("", "name"),
    Column("train", "train", style=",d"),
    Column("test", "test", style=",d"),
    Column("majority", "majority", style=".3f"),
    Column("length", "length", style=".3f"),
    Column("strand", "strand", style=".3f"),
    Column("look-up", "look_up", style=".3f"),
    Column("test overlaps train", "overlapping", style=".1%"),
    Column("copies", "copies", style=",d"),
)
PROTOCOL = (
    "accuracy on the test part of rules that read no base: the commonest class, a decision tree on the length, the "
    "commonest class of the strand, the class of the training stretch that overlaps most",
    "test overlaps train: test stretches that share a base with a training stretch, on either strand; copies: the very "
    "same stretch; a model's accuracy means something above the highest of these only",
)


def audit(
    folders: list[str],
    out: str | None = None,
    *,
    clean: str | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol`` and one row a data set.

    Args:
        folders: Of coordinates, as ``data.coordinates`` reads them.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        clean: Folder to write the data set to without the test stretches that share a base with a training stretch;
            goes with a single data set.
        quiet: Print nothing but results.
        argv: The command line, for the provenance.

    Raises:
        InputError: A folder holds no such data set, or an output cannot be written.
    """
    check_out(out)
    if clean is not None:
        _check_clean(clean, folders)
    rows, inputs = [], {}
    for folder in folders:
        data = read_coordinates(folder)
        found = overlaps(data.train, data.test)
        rows.append({"name": Path(folder).resolve().name, **_figures(data, found)})
        inputs |= {str(path): sha256_of(path) for path in _files(Path(folder))}
        if clean is not None:
            print(f"dna-diff: note: {_left(data, found)} in {clean}", file=sys.stderr)
            _write_clean(Path(folder), Path(clean), data, found)
    report = {"protocol": list(PROTOCOL), "rows": rows}
    publish(out, report, COLUMNS, provenance(argv or [], None, inputs), quiet)
    return report


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


def _left(data: CoordinateSet, found: Overlap) -> str:
    """What cleaning leaves of the test part, in words.

    Raises:
        InputError: It leaves nothing of a class.
    """
    kept = np.bincount(data.test.label[~found.found], minlength=len(data.classes))
    if not kept.all():
        name = data.classes[int(kept.argmin())]
        raise InputError(f"--clean: every test stretch of class {name} overlaps the training part; leave it out")
    classes = ", ".join(f"{count:,} {name}" for name, count in zip(data.classes, kept, strict=True))
    return f"{found.found.sum():,} of {len(data.test):,} test stretches are left out, {classes} remain"


def _files(folder: Path) -> list[Path]:
    return [path for split in ("train", "test") for path in class_files(folder, split).values()]


def _check_clean(clean: str, folders: list[str]) -> None:
    if len(folders) > 1:
        raise InputError(f"--clean {clean}: holds one data set, and {len(folders)} are audited; give one")
    if Path(clean).exists():
        raise InputError(f"--clean {clean}: exists; another name would work")
    atomic.check_folder(clean)


def _write_clean(folder: Path, clean: Path, data: CoordinateSet, found: Overlap) -> None:
    """The data set with every line as it was, but for those left out."""
    temporary = clean.with_name(f".{clean.name}.tmp")
    with atomic.disk_errors(clean):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            shutil.copytree(folder / "train", temporary / "train")
            (temporary / "test").mkdir()
            for label, path in enumerate(class_files(folder, "test").values()):
                kept = ~found.found[data.test.label == label]
                lines = [line for _, line in text_lines(path) if line]
                chosen = [lines[0], *(line for line, keep in zip(lines[1:], kept, strict=True) if keep)]
                text = ("\n".join(chosen) + "\n").encode()
                whole = gzip.compress(text, mtime=0) if path.suffix == ".gz" else text
                (temporary / "test" / path.name).write_bytes(whole)
            temporary.rename(clean)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
