r"""A labelled data set: its parts, what its labels mean, and what two parts have in common.

The parts that a data set names are kept as they are. One that it does not name is drawn out of the training part: each
sequence has a number that its bases and the seed decide, and the lowest share of each class leaves. Equal sequences,
and a sequence and its reverse complement, have the same number, so they never end up on both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.examples import Example, read_class, read_examples
from dnadiff.data.layouts import PARTS, Source, sources_of
from dnadiff.data.targets import Meaning, meaning_of
from dnadiff.errors import InputError, did_you_mean
from dnadiff.random import key64, keyed_uniform


@dataclass(frozen=True)
class Part:
    """Some examples with their targets.

    Attributes:
        names: Of the sequences, (n,).
        codes: Their bases, A 0, C 1, G 2, T 3, N 4, a uint8 array each, of any lengths.
        targets: As ``Meaning.targets`` gives them, n rows.
        drawn: Whether the data did not name this part.
    """

    names: tuple[str, ...]
    codes: tuple[np.ndarray, ...]
    targets: np.ndarray
    drawn: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def longest(self) -> int:
        """Bases of the longest sequence."""
        return max(len(codes) for codes in self.codes)


@dataclass(frozen=True)
class Labelled:
    """A data set.

    Attributes:
        path: Where it was found.
        meaning: Of its labels.
        train: What is learnt from.
        valid: What the best weights are chosen on; None if none was wanted.
        test: What is scored once; None if none was wanted.
        digests: SHA-256 of each file, or folder of text files, by its path.
        shared: Examples of the test part whose sequence, on either strand, is in one of the other parts too.
    """

    path: str
    meaning: Meaning
    train: Part
    valid: Part | None
    test: Part | None
    digests: dict[str, str]
    shared: int

    @property
    def parts(self) -> dict[str, Part]:
        """The parts there are, by name."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


def read_labelled(
    path: str | Path,
    keys: Sequence[str] = ("label",),
    *,
    kind: str = "auto",
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Labelled:
    """The data set of a file or folder, see ``layouts``.

    Args:
        path: Where it is.
        keys: Columns, or words of descriptions, that hold the labels.
        kind: ``class``, ``multilabel``, ``regression`` or ``auto``.
        valid_fraction: Share of the training part to validate on if the data name no such part; 0 for none.
        test_fraction: Share of the training part to test on if the data name no such part; 0 for none.
        seed: Decides which examples these are.

    Raises:
        InputError: A file cannot be read, an example cannot be used, or a part is empty.
    """
    digests: dict[str, str] = {}
    examples = _by_part(sources_of(path), tuple(keys), digests)
    if not examples["train"]:
        raise InputError(f"{path}: no example is of split=train; those to train on would work")
    meaning = meaning_of(examples["train"], keys, kind)
    parts = {name: _part(found, meaning) for name, found in examples.items() if found}
    shares = {"test": test_fraction, "valid": valid_fraction}
    for name, share in shares.items():
        if name not in parts and share:
            parts["train"], parts[name] = _drawn(parts["train"], share, (name, seed), f"{path}: {name}_fraction")
    train, valid, test = (parts.get(name) for name in ("train", "valid", "test"))
    known = {_canonical(codes) for part in (train, valid) if part for codes in part.codes}
    shared = sum(_canonical(codes) in known for codes in test.codes) if test else 0
    return Labelled(str(path), meaning, train, valid, test, digests, shared)


def read_sequences(path: str | Path) -> tuple[list[Example], dict[str, str]]:
    """The sequences of a file, whatever labels it has, and its SHA-256 by its path.

    Raises:
        InputError: The file cannot be read, or a sequence has no bases.
    """
    digests: dict[str, str] = {}
    return list(read_examples(path, (), digests)), digests


def _by_part(sources: list[Source], keys: tuple[str, ...], digests: dict[str, str]) -> dict[str, list[Example]]:
    """All examples by the part they belong to; those that nobody assigns are for training."""
    found: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
    for source in sources:
        if source.label is None:
            examples = read_examples(source.path, keys, digests)
        else:
            _check_one_class(source, keys)
            examples = read_class(source.path, source.label, digests)
        for example in examples:
            found[source.part or _said(example)].append(example)
    return found


def _check_one_class(source: Source, keys: tuple[str, ...]) -> None:
    if len(keys) > 1:
        named = ", ".join(keys)
        raise InputError(
            f"{source.path}: holds the class {source.label}, which {named} cannot name; one key would work"
        )


def _said(example: Example) -> str:
    """The part that an example itself belongs to."""
    if example.split is None:
        return "train"
    if example.split.lower() not in PARTS:
        raise InputError(f"{example.place}: found split={example.split}; {did_you_mean(example.split, PARTS)}")
    return PARTS[example.split.lower()]


def _part(examples: list[Example], meaning: Meaning) -> Part:
    names, codes = tuple(e.name for e in examples), tuple(e.codes for e in examples)
    unknown = next((e for e in examples if (e.codes == alphabet.N).all()), None)
    if unknown is not None:
        raise InputError(f"{unknown.place}: found nothing but N; one known base or more would work")
    return Part(names, codes, meaning.targets(examples))


def _drawn(part: Part, share: float, key: tuple[object, ...], where: str) -> tuple[Part, Part]:
    """What stays and what leaves: of each class the sequences with the lowest numbers."""
    keys = np.array([key64(_canonical(codes)) >> 1 for codes in part.codes], dtype=np.int64)
    numbers = keyed_uniform(keys, "drawn", *key)
    classes = part.targets if part.targets.ndim == 1 else np.zeros(len(part), dtype=np.int64)
    leaves = np.zeros(len(part), dtype=bool)
    for one in np.unique(classes).tolist():
        rows = classes == one
        different = np.unique(numbers[rows])
        leaves |= rows & np.isin(numbers, different[: round(share * len(different))])
    leaves = np.isin(keys, keys[leaves])
    if not leaves.any() or leaves.all():
        raise InputError(f"{where}={share:g}: leaves a part of {len(part)} examples empty; another share would work")
    return _rows(part, ~leaves), replace(_rows(part, leaves), drawn=True)


def _rows(part: Part, wanted: np.ndarray) -> Part:
    numbers = np.flatnonzero(wanted).tolist()
    names, codes = tuple(part.names[i] for i in numbers), tuple(part.codes[i] for i in numbers)
    return Part(names, codes, part.targets[wanted], part.drawn)


def _canonical(codes: np.ndarray) -> bytes:
    """The same of a sequence and its reverse complement."""
    return min(codes.tobytes(), alphabet.reverse_complement(codes).tobytes())
