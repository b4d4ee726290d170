r"""Reading pairs of a source and a target, one a row, of text or of nucleotides.

    pairs.csv                          columns source and target; a column split may say train, valid or test
    train.tsv valid.jsonl test.csv.gz  a file for each part, with the names that ``layouts`` knows

Files are CSV, TSV, JSON lines or Parquet, read as labelled text is (``sentences``). Parts that the data do not name are
drawn out of the training part by the *source*, so that no source is trained on and tested on. Nothing is skipped: an
empty source or target and a letter that is no nucleotide are refused with file and line.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnadiff.data.labelled import part_said
from dnadiff.data.layouts import text_sources_of
from dnadiff.data.pair_windows import Pair
from dnadiff.data.parts import leaving
from dnadiff.data.sentences import Row, rows_of
from dnadiff.data.stream import sha256_of
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.errors import InputError
from dnadiff.random import key64

SOURCE, TARGET = "source", "target"
_SPLIT_SEED = 0  # the split is the same for every seed of a run, so that runs can be compared


@dataclass(frozen=True)
class Pairs:
    """A data set of pairs.

    Attributes:
        path: Where it was found.
        parts: Pairs of ``train`` and, if there are such, ``valid`` and ``test``, in the order of the files.
        digests: SHA-256 of each file by its path.
    """

    path: str
    parts: dict[str, tuple[Pair, ...]]
    digests: dict[str, str]

    @property
    def source(self) -> tuple[str, str]:
        """Where it was found, and one SHA-256 for all files."""
        return self.path, hashlib.sha256(" ".join(self.digests.values()).encode()).hexdigest()

    def shared(self, part: str) -> int:
        """How many pairs of a part have a source that is trained on too."""
        known = {pair.source for pair in self.parts["train"]}
        return sum(pair.source in known for pair in self.parts[part])


def read_pairs(
    path: str | Path, tokenizer: Tokenizer, *, valid_fraction: float, test_fraction: float, n_known: bool = False
) -> Pairs:
    """The data set of a table, or of a folder with a table for each part.

    Args:
        path: Where it is.
        tokenizer: Numbers them: of text, or of nucleotides.
        valid_fraction: Share of the sources to validate on if the data name no such part; 0 for none.
        test_fraction: Share of the sources to test on if the data name no such part; 0 for none.
        n_known: Whether targets of nucleotides may hold N.

    Raises:
        InputError: A file cannot be read, a pair cannot be used, or a part is empty.
    """
    found: dict[str, list[Pair]] = {"train": [], "valid": [], "test": []}
    digests = {}
    for source in text_sources_of(path):
        for pair in read_file(source.path, tokenizer, n_known=n_known):
            found[source.part or part_said(pair)].append(pair)
        digests[str(source.path)] = sha256_of(source.path)
    if not found["train"]:
        raise InputError(f"{path}: no pair is of split=train; those to train on would work")
    shares = {"test": test_fraction, "valid": valid_fraction}
    for part, share in shares.items():
        if not found[part] and share:
            found["train"], found[part] = _drawn(found["train"], part, share, str(path))
    return Pairs(str(path), {name: tuple(pairs) for name, pairs in found.items() if pairs}, digests)


def read_file(path: str | Path, tokenizer: Tokenizer, *, n_known: bool = False, targets: bool = True) -> list[Pair]:
    """The pairs of one table, in its order.

    Args:
        path: The table.
        tokenizer: Numbers them.
        n_known: Whether targets of nucleotides may hold N.
        targets: Whether every source must have a target; else the column may be missing or empty.

    Raises:
        InputError: It cannot be read, or a pair cannot be used.
    """
    rows = rows_of(Path(path), "CSV, TSV, JSON lines or Parquet with the columns source and target would work")
    place, first = rows[0]
    for column in (SOURCE, *([TARGET] if targets else [])):
        if column not in first:
            file = place.rpartition(":")[0]
            raise InputError(f"{file}: found the columns {', '.join(list(first)[:6])}; source and target would work")
    sources = _numbered(rows, SOURCE, tokenizer, required=True)
    wanted = _numbered(rows, TARGET, tokenizer, required=targets)
    pairs = [
        Pair(place, _letters(values[SOURCE], ids, tokenizer), _letters(values.get(TARGET, ""), target, tokenizer),
             ids, target, values.get("split") or None)
        for (place, values), ids, target in zip(rows, sources, wanted, strict=True)
    ]  # fmt: skip
    if not (n_known or isinstance(tokenizer, TextTokenizer)):
        _check_known(pairs)
    return pairs


def _numbered(rows: Sequence[Row], column: str, tokenizer: Tokenizer, *, required: bool) -> list[np.ndarray]:
    """The token ids of a column."""
    texts = [values.get(column, "") for _, values in rows]
    try:
        if isinstance(tokenizer, TextTokenizer):
            ids = [encoded.ids.astype(np.int64) for encoded in tokenizer.encoded(texts)]
        else:
            ids = [tokenizer.encode(text) for text in texts]
    except InputError:
        _find_wrong(rows, column, tokenizer)
        raise
    for (place, _), found in zip(rows, ids, strict=True):
        if required and not len(found):
            raise InputError(f"{place}: found an empty {column}; one letter or more would work")
    return ids


def _find_wrong(rows: Sequence[Row], column: str, tokenizer: Tokenizer) -> None:
    """Raises the error of the first value that has no numbers, with its place."""
    for place, values in rows:
        try:
            tokenizer.encode(values.get(column, ""))
        except InputError as error:
            raise InputError(f"{place}: {column}: {error}") from error


def _letters(text: str, ids: np.ndarray, tokenizer: Tokenizer) -> str:
    return text if isinstance(tokenizer, TextTokenizer) else tokenizer.decode(ids)


def _check_known(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        unknown = np.flatnonzero(pair.target_ids == NUCLEOTIDES.n_id)
        if len(unknown):
            raise InputError(
                f"{pair.place}: found N at base {unknown[0] + 1} of the target; A C G T, or data.n_policy=token, "
                "would work"
            )


def _drawn(pairs: list[Pair], part: str, share: float, path: str) -> tuple[list[Pair], list[Pair]]:
    """What stays and what leaves, by a number that the source decides."""
    keys = np.array([key64(pair.source.encode()) >> 1 for pair in pairs], dtype=np.int64)
    leaves = leaving(keys, np.zeros(len(keys), dtype=np.int64), share, (part, _SPLIT_SEED))
    if not leaves.any() or leaves.all():
        raise InputError(
            f"{path}: data.{part}_fraction={share:g} of {len(pairs)} pairs is no pair or all of them; another share "
            f"would work, or data.{part}_fraction=0"
        )
    stay = [pair for pair, leaving_ in zip(pairs, leaves, strict=True) if not leaving_]
    return stay, [pair for pair, leaving_ in zip(pairs, leaves, strict=True) if leaving_]
