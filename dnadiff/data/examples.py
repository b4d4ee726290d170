r"""Reading labelled sequences, one example at a time, from every form that benchmarks of DNA come in.

    table      CSV, TSV, Parquet   a column ``sequence`` (or ``seq``), columns of labels, perhaps ``name`` and ``split``
    words      FASTA               ``>name label=promoter split=test``: words of the description, the key before ``=``
    bar        FASTA               ``>name|1``: what follows the last bar, as in the Nucleotide Transformer's tasks
    class      FASTA, .txt         the file, or the folder of one-sequence text files, holds a single class

Nothing is skipped: a sequence without bases, a row without a label and a letter that is no nucleotide are refused with
file and line. Labels are read as text here; what they mean is decided in ``targets``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.fasta import FastaReader, Header, whole_records
from dnadiff.data.stream import ByteSource, text_lines
from dnadiff.data.table_reader import TableReader, separator_of
from dnadiff.errors import InputError, did_you_mean

FASTA_SUFFIXES = (".fa", ".fasta", ".fna", ".fas")
PARQUET = ".parquet"
_LETTERS = ("sequence", "seq")
_ONE = "one base or more would work"


@dataclass(frozen=True)
class Example:
    """A sequence and what is said of it.

    Attributes:
        place: File and line, for messages.
        name: The record's name, ``row_N`` in a table without names, the file's in a folder of text files.
        codes: Its bases, A 0, C 1, G 2, T 3, N 4, (length,) uint8, one or more.
        labels: The text of each label asked for; empty text only if the file has it empty.
        split: What the file says of its part, as it says it; None if it says nothing.
    """

    place: str
    name: str
    codes: np.ndarray
    labels: tuple[str, ...]
    split: str | None = None


def suffix_of(path: Path) -> str:
    """The end of a file's name in lower case, without ``.gz``: ``.csv`` of ``train.csv.gz``."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def stem_of(path: Path) -> str:
    """The name of a file without its end: ``train`` of ``train.csv.gz``."""
    return Path(path.name.removesuffix(".gz")).stem


def is_sequences(path: Path) -> bool:
    """Whether a file is one by its name that sequences are read from: a table, Parquet or FASTA."""
    return separator_of(path) is not None or suffix_of(path) in (PARQUET, *FASTA_SUFFIXES)


def read_examples(path: str | Path, keys: Sequence[str], digests: dict[str, str]) -> Iterator[Example]:
    """The examples of a file that has their labels, in its order.

    Args:
        path: A table, Parquet by its suffix, or else FASTA.
        keys: The columns, or words of the descriptions, that are the labels; none reads sequences alone.
        digests: Gets the SHA-256 of the file under its path, once all is read.

    Raises:
        InputError: The file cannot be read, or an example lacks its bases or a label.
    """
    path = Path(path)
    if suffix_of(path) == PARQUET:
        yield from _parquet(path, keys, digests)
    elif separator_of(path) is not None:
        yield from _table(path, keys, digests)
    else:
        yield from _fasta(path, keys, digests)


def read_class(path: Path, label: str, digests: dict[str, str]) -> Iterator[Example]:
    """The examples of a file or folder that holds one class.

    Args:
        path: FASTA, or a folder of .txt files with a sequence each.
        label: The class.
        digests: Gets the SHA-256 of the file, or of the names and sums of the folder's files.

    Raises:
        InputError: A file cannot be read or has no bases.
    """
    if path.is_dir():
        yield from _texts(path, label, digests)
        return
    for header, codes, place in _records(path, digests):
        yield Example(place, header.name, codes, (label,))


def _table(path: Path, keys: Sequence[str], digests: dict[str, str]) -> Iterator[Example]:
    reader = TableReader(path, _LETTERS)
    for number, (line, values) in enumerate(reader.rows(), 1):
        place = f"{reader.source.name}:{line}"
        if number == 1:
            check_columns(f"{reader.source.name}:1", values, keys)
        letters, name = values["sequence"], values.get("name") or f"row_{number}"
        if not letters:
            raise InputError(f"{place}: found an empty sequence; {_ONE}")
        codes = np.frombuffer(reader.piece(letters, line).bases, dtype=np.uint8) & alphabet.CODE_BITS
        yield Example(place, name, codes, tuple(values[key] for key in keys), values.get("split") or None)
    digests[str(path)] = reader.source.sha256


def _parquet(path: Path, keys: Sequence[str], digests: dict[str, str]) -> Iterator[Example]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: needs a package that is missing; pip install 'dnadiff[text]' works") from error
    source = ByteSource(path)
    for _ in source.chunks():  # only to be hashed
        pass
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: is no Parquet ({str(error).splitlines()[0]}); a table of CSV would work") from error
    letters = next((name for name in _LETTERS if name in table.column_names), None)
    if letters is None:
        found = ", ".join(table.column_names[:6])
        raise InputError(f"{path}: found the columns {found}; one named sequence would work")
    check_columns(str(path), dict.fromkeys(table.column_names, ""), keys)
    for number, row in enumerate((row for batch in table.to_batches(1024) for row in batch.to_pylist()), 1):
        texts = {key: "" if value is None else str(value) for key, value in row.items()}
        place = f"{path}:{number}"
        if not texts[letters]:
            raise InputError(f"{place}: found an empty sequence; {_ONE}")
        labels = tuple(texts[key] for key in keys)
        yield Example(place, texts.get("name") or f"row_{number}", _encoded(texts[letters], place), labels,
                      texts.get("split") or None)  # fmt: skip
    digests[str(path)] = source.sha256


def _fasta(path: Path, keys: Sequence[str], digests: dict[str, str]) -> Iterator[Example]:
    for header, codes, place in _records(path, digests):
        words = dict(word.split("=", 1) for word in header.description.split() if "=" in word)
        bar = f"{header.name} {header.description}".rpartition("|")[2].strip()
        if len(keys) == 1 and keys[0] not in words and "|" in header.name + header.description:
            words = {**words, keys[0]: bar}
        missing = next((key for key in keys if key not in words), None)
        if missing is not None:
            remedy = did_you_mean(missing, words) if words else f"'>{header.name} {missing}=1' would work"
            raise InputError(f"{place}: record '{header.name}' has no {missing}=; {remedy}")
        yield Example(place, header.name, codes, tuple(words[key] for key in keys), words.get("split"))


def _records(path: Path, digests: dict[str, str]) -> Iterator[tuple[Header, np.ndarray, str]]:
    """Header, codes and place of each record; one without bases is refused."""
    reader = FastaReader(path, pattern=True)
    for header, bases in whole_records(reader):
        yield header, _codes(bases), f"{reader.source.name}:{header.line}"
    digests[str(path)] = reader.source.sha256


def _texts(folder: Path, label: str, digests: dict[str, str]) -> Iterator[Example]:
    import hashlib

    total = hashlib.sha256()
    files = sorted(folder.glob("*.txt"))
    for path in files:
        letters = "".join(line.strip() for _, line in text_lines(path))
        if not letters:
            raise InputError(f"{path}: found an empty sequence; {_ONE}")
        total.update(f"{path.name} {letters}\n".encode())
        yield Example(f"{path}:1", path.stem, _encoded(letters, f"{path}:1"), (label,))
    if not files:
        raise InputError(f"{folder}: holds no .txt file; one of them a sequence would work")
    digests[str(folder)] = total.hexdigest()


def check_columns(place: str, values: Mapping[str, str], keys: Sequence[str]) -> None:
    """Returns nothing if a table has the columns of the labels.

    Args:
        place: The line of its column names, for the message.
        values: Something by the name of each column.
        keys: The columns of the labels.

    Raises:
        InputError: One is missing.
    """
    for key in keys:
        if key not in values:
            names = [name for name in values if name not in (*_LETTERS, "name", "split")]
            remedy = did_you_mean(key, names) if names else f"a column {key} would work"
            raise InputError(f"{place}: found no column {key}; {remedy}")


def _encoded(letters: str, place: str) -> np.ndarray:
    try:
        return alphabet.encode(letters) & alphabet.CODE_BITS
    except ValueError as error:
        raise InputError(f"{place}: {error}") from error


def _codes(bases: bytearray) -> np.ndarray:
    return np.frombuffer(bytes(bases), dtype=np.uint8) & alphabet.CODE_BITS
