"""Copies of labelled data sets without the test examples that the training part holds: ``bench audit --clean``."""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dnadiff.data import atomic
from dnadiff.data.coordinates import CoordinateSet, class_files
from dnadiff.data.labelled import Labelled
from dnadiff.data.labelled_writer import write_labelled
from dnadiff.data.layouts import PARTS
from dnadiff.data.stream import text_lines
from dnadiff.errors import InputError


def check_clean(clean: str, paths: Sequence[str]) -> None:
    """Refuses a copy that could not be written, before any work is done for it.

    Raises:
        InputError: There are several data sets, or the folder exists or has an impossible name.
    """
    if len(paths) > 1:
        raise InputError(f"--clean {clean}: holds one data set, and {len(paths)} are audited; give one")
    if Path(clean).exists():
        raise InputError(f"--clean {clean}: exists; another name would work")
    atomic.check_folder(clean)


def clean_coordinates(folder: Path, clean: Path, data: CoordinateSet, gone: np.ndarray) -> str:
    """What was left out, in words, of a copy with every other line as it was.

    Args:
        folder: The data set.
        clean: The folder to make.
        data: What is in the data set.
        gone: Test stretches to leave out, (N,) bool.

    Raises:
        InputError: Nothing is left of a class.
        ResourceError: The disk is full.
    """
    told = _told(data.classes, data.test.label, gone, "stretches")
    with atomic.lock(clean), atomic.new_folder(clean) as new:
        for part in PARTS:
            if part != "test" and (folder / part).is_dir():
                shutil.copytree(folder / part, new / part)
        (new / "test").mkdir()
        for label, path in enumerate(class_files(folder, "test").values()):
            kept = ~gone[data.test.label == label]
            lines = [line for _, line in text_lines(path) if line]
            chosen = [lines[0], *(line for line, keep in zip(lines[1:], kept, strict=True) if keep)]
            text = ("\n".join(chosen) + "\n").encode()
            whole = gzip.compress(text, mtime=0) if path.suffix == ".gz" else text
            (new / "test" / path.name).write_bytes(whole)
    return f"{told} in {clean}"


def clean_sequences(clean: Path, data: Labelled, gone: np.ndarray) -> str:
    """What was left out, in words, of a copy as tables.

    Args:
        clean: The folder to make.
        data: The data set.
        gone: Test sequences to leave out, (N,) bool.

    Raises:
        InputError: The data set names no test part, or nothing is left of it, or of a class.
        ResourceError: The disk is full.
    """
    if data.test is None or data.test.drawn:
        raise InputError(f"--clean: {data.path} names no test part to leave anything out of; test.csv would work")
    classes = data.meaning.kind == "class"
    labels = data.test.targets if classes else np.zeros(len(data.test), dtype=np.int64)
    told = _told(data.meaning.names if classes else ("sequences",), labels, gone, "sequences")
    with atomic.lock(clean), atomic.new_folder(clean) as new:
        write_labelled(new, data, ~gone)
    return f"{told} in {clean}"


def _told(names: Sequence[str], labels: np.ndarray, gone: np.ndarray, what: str) -> str:
    """What cleaning leaves of the test part, in words.

    Raises:
        InputError: It leaves nothing of a class.
    """
    kept = np.bincount(labels[~gone], minlength=len(names))
    empty = (kept == 0) & (np.bincount(labels, minlength=len(names)) > 0)
    if empty.any():
        name = names[int(empty.argmax())]
        raise InputError(f"--clean: the training part holds every test example of {name}; leave --clean out")
    left = ", ".join(f"{count:,} of {name}" for name, count in zip(names, kept, strict=True))
    return f"{gone.sum():,} of {len(gone):,} test {what} are left out, {left} remain"
