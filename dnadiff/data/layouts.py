r"""Which files of a labelled data set hold what: found by name, never guessed.

    x.csv, x.fa                        one file; a column or word ``split`` may say train, valid or test
    train.csv dev.csv test.csv         a file for each part, as GUE has them; .tsv, .parquet and FASTA too, .gz or not
    train/promoter/*.txt test/...      a folder for each part and one in it for each class (Genomic Benchmarks)
    train/promoter.fa test/...         a folder for each part, in it a FASTA file for each class
    promoter.fa background.fa          a FASTA file for each class
    promoter/*.txt background/*.txt    a folder for each class
    train-00000-of-00002.parquet ...   numbered pieces of a part, as data sets on hubs have them

Where the bases are in a genome, the same files hold coordinates instead: a table or BED where FASTA stands above, and a
file for each class may be a table, as in train/promoter.csv.gz (Genomic Benchmarks).

A part may be called ``train``, ``valid``, ``val``, ``dev``, ``validation`` or ``test``. A folder that is two of these
at once, or none, is refused.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dnadiff.data.examples import FASTA_SUFFIXES, is_sequences, stem_of, suffix_of
from dnadiff.data.located import is_located
from dnadiff.errors import InputError

PARTS = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "validation": "valid", "test": "test"}
"""What each part may be called."""

_PIECE = re.compile(r"(?P<part>[a-z]+)-\d+-of-\d+(-[0-9a-f]+)?")
_WORKS = "train.csv and test.csv, a FASTA file a class, or a folder of .txt files a class, would work"


@dataclass(frozen=True)
class Source:
    """A file, or a folder of text files, of a data set.

    Attributes:
        path: Where it is.
        part: ``train``, ``valid`` or ``test``; None if the examples say it themselves, or nobody does.
        label: The class of everything in it; None if the examples say theirs.
    """

    path: Path
    part: str | None = None
    label: str | None = None


def sources_of(path: str | Path, *, located: bool = False) -> list[Source]:
    """The files of a data set, in the order of their names.

    Args:
        path: A file, or a folder in one of the layouts above.
        located: Whether they hold coordinates, whose bases are in a genome.

    Raises:
        InputError: The folder has none of the layouts, two at once, or no part to train on.
    """
    path = Path(path)
    if not path.is_dir():
        return [Source(path)]
    entries = _entries(path, located)
    parts = [entry for entry in entries if _part(entry) is not None]
    if not parts:
        return _classes(path, None, located)
    others = [entry for entry in entries if _part(entry) is None]
    if others:
        raise InputError(f"{path}: found {others[0].name} beside {parts[0].name}; parts alone, or classes alone, works")
    seen: dict[str, Path] = {}
    for entry in parts:
        other = seen.setdefault(str(_part(entry)), entry)
        if other != entry and not (_is_piece(other) and _is_piece(entry)):
            raise InputError(f"{path}: found both {other.name} and {entry.name}; one of them would work")
    if "train" not in seen:
        raise InputError(f"{path}: found {parts[0].name} and nothing to train on; train.csv beside it would work")
    return [source for entry in parts for source in _part_sources(entry, located)]


def _entries(folder: Path, located: bool) -> list[Path]:
    """The files that hold sequences, or coordinates, and the folders, by name; no hidden ones, and nothing else."""
    holds = is_located if located else is_sequences
    shown = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [entry for entry in shown if entry.is_dir() or holds(entry)]


def _part(entry: Path) -> str | None:
    name = (entry.name if entry.is_dir() else stem_of(entry)).lower()
    piece = _PIECE.fullmatch(name)
    return PARTS.get(piece["part"] if piece else name)


def _is_piece(entry: Path) -> bool:
    """Whether a file is one of the numbered pieces of a part."""
    return not entry.is_dir() and _PIECE.fullmatch(stem_of(entry).lower()) is not None


def _part_sources(entry: Path, located: bool) -> list[Source]:
    part = _part(entry)
    return _classes(entry, part, located) if entry.is_dir() else [Source(entry, part)]


def _classes(folder: Path, part: str | None, located: bool) -> list[Source]:
    """A file or folder for each class."""
    entries = _entries(folder, located)
    folders = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    if folders and files:
        raise InputError(f"{folder}: found the file {files[0].name} beside the folder {folders[0].name}; {_WORKS}")
    foreign = next((entry for entry in files if suffix_of(entry) not in FASTA_SUFFIXES), None)
    if foreign is not None and not located:
        genome = "; of coordinates, their genome too" if is_located(foreign) else ""
        raise InputError(
            f"{folder}: found {foreign.name}, which names no part and is no FASTA of a class; {_WORKS}{genome}"
        )
    if not entries:
        raise InputError(f"{folder}: holds no labelled sequences; {_WORKS}")
    found: dict[str, Source] = {}
    for entry in entries:
        label = entry.name if entry.is_dir() else stem_of(entry)
        if label in found:
            raise InputError(f"{folder}: found {found[label].path.name} and {entry.name}; one file a class would work")
        found[label] = Source(entry, part, label)
    return list(found.values())
