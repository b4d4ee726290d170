"""Writing a labelled data set as tables: ``train.csv.gz``, ``valid.csv.gz`` and ``test.csv.gz``, those there are.

The columns are ``name``, ``sequence`` and those of the labels, so that ``labelled.read_labelled`` reads it back. Bases
are upper case, and what was an ambiguity code is N.
"""

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.data.targets import Meaning


def write_labelled(folder: Path, data: Labelled, kept: np.ndarray) -> None:
    """Writes a data set into a folder, without some of its test examples.

    Args:
        folder: It exists and is empty.
        data: What to write.
        kept: Which test examples, (n,) bool.
    """
    for name, part in data.parts.items():
        wanted = kept if name == "test" else np.ones(len(part), dtype=bool)
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(_table(part, wanted, data.meaning).encode(), mtime=0))


def _table(part: Part, wanted: np.ndarray, meaning: Meaning) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "sequence", *meaning.keys])
    for number in np.flatnonzero(wanted).tolist():
        bases = alphabet.decode(part.codes[number])
        rows.writerow([part.names[number], bases, *meaning.texts(part.targets[number])])
    return text.getvalue()
