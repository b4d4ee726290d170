r"""What the labels of examples mean: classes, sets of labels, or numbers.

    class        one of K names, a target is its number            one column or word
    multilabel   any of K names, a target is K zeros and ones      K columns of 0 and 1, or one, names joined by ``;``
    regression   T numbers                                         T columns
    tokens       one of K names for every base                     a column or word of letters, one a base

Classes are numbered in the order of their names (as text), whatever the order of the file, and only the training part
says which there are. ``auto`` takes what the labels look like: several columns of 0 and 1 are labels, numbers that are
not all whole are regression, all else is a class; integers that are meant as numbers need to be called regression, and
letters that are meant one a base, tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnadiff.data.examples import Example
from dnadiff.errors import InputError, did_you_mean

KINDS = ("class", "multilabel", "regression", "tokens")
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Meaning:
    """How the texts of labels become targets.

    Attributes:
        kind: One of ``KINDS``.
        keys: The columns or words that hold the labels.
        names: Of the classes, of the labels, or of the numbers (the keys).
    """

    kind: str
    keys: tuple[str, ...]
    names: tuple[str, ...]

    def targets(self, examples: Sequence[Example]) -> np.ndarray:
        """(n,) int64 of classes, (n, K) float32 of zeros and ones, or (n, T) float32 of numbers.

        Of labels a base (n,) of int64 arrays, each as long as its sequence.

        Raises:
            InputError: A label is missing, unknown or no number; with its place.
        """
        if self.kind == "class":
            number = {name: place for place, name in enumerate(self.names)}
            return np.array([number[self._known(example, example.labels[0])] for example in examples], dtype=np.int64)
        if self.kind == "tokens":
            found = np.empty(len(examples), dtype=object)
            for place, example in enumerate(examples):
                found[place] = self._of_bases(example)
            return found
        rows = [self._labels(example) if self.kind == "multilabel" else self._numbers(example) for example in examples]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(self.names))

    def texts(self, target: np.ndarray) -> list[str]:
        """The texts that a target was made of, one a key.

        Args:
            target: A row of what ``targets`` gives.
        """
        if self.kind == "class":
            return [self.names[int(target)]]
        if self.kind == "tokens":
            return ["".join(self.names[number] for number in target)]
        if self.kind == "regression":
            return [str(number) for number in target]
        if len(self.keys) > 1:
            return [str(int(there)) for there in target]
        return [";".join(name for name, there in zip(self.names, target, strict=True) if there)]

    def _known(self, example: Example, name: str) -> str:
        if not name:
            raise InputError(f"{example.place}: has no {self.keys[0]}; {did_you_mean('', self.names)}")
        if name not in self.names:
            raise InputError(f"{example.place}: found {self.keys[0]}={name}; {did_you_mean(name, self.names)}")
        return name

    def _labels(self, example: Example) -> list[float]:
        if len(self.keys) > 1:
            return [_bit(example, key, text) for key, text in zip(self.keys, example.labels, strict=True)]
        there = {self._known(example, name) for name in _parts(example.labels[0])}
        return [float(name in there) for name in self.names]

    def _of_bases(self, example: Example) -> np.ndarray:
        letters, length = example.labels[0], len(example.codes)
        if len(letters) != length:
            found = f"found {len(letters):,} letters of {self.keys[0]} for {length:,} bases"
            raise InputError(f"{example.place}: {found}; one a base would work")
        for letter in sorted(set(letters)):
            self._known(example, letter)
        number = {name: place for place, name in enumerate(self.names)}
        return np.array([number[letter] for letter in letters], dtype=np.int64)

    def _numbers(self, example: Example) -> list[float]:
        return [_number(example, key, text) for key, text in zip(self.keys, example.labels, strict=True)]


def meaning_of(examples: Sequence[Example], keys: Sequence[str], kind: str = "auto") -> Meaning:
    """What the labels of the training part mean.

    Args:
        examples: The training part, one or more.
        keys: The columns or words they were read from.
        kind: One of ``KINDS``, or ``auto``, which is never tokens.

    Raises:
        InputError: They cannot be of that kind, or there is nothing to tell apart.
    """
    kind = _detected(examples) if kind == "auto" else kind
    keys = tuple(keys)
    if kind == "class":
        return Meaning(kind, keys, _class_names(examples, keys))
    if kind == "tokens":
        return Meaning(kind, keys, _letters(examples, keys))
    if kind == "regression":
        meaning = Meaning(kind, keys, keys)
        for key, column in zip(keys, meaning.targets(examples).T, strict=True):
            if (column == column[0]).all():
                raise InputError(f"{_file(examples)}: every {key} is {column[0]:g}; two values or more would work")
        return meaning
    names = keys if len(keys) > 1 else tuple(sorted({name for e in examples for name in _parts(e.labels[0])}))
    if not names:
        raise InputError(f"{_file(examples)}: no example has a {keys[0]}; names joined by ';' would work")
    return Meaning(kind, keys, names)


def _class_names(examples: Sequence[Example], keys: tuple[str, ...]) -> tuple[str, ...]:
    if len(keys) > 1:
        raise InputError(f"{', '.join(keys)}: a class has one label; one key, or kind=multilabel, would work")
    bare = next((example for example in examples if not example.labels[0]), None)
    if bare is not None:
        raise InputError(f"{bare.place}: has no {keys[0]}; the name of a class would work")
    names = tuple(sorted({example.labels[0] for example in examples}))
    if len(names) < 2:
        raise InputError(f"{_file(examples)}: every example has {keys[0]}={names[0]}; two classes or more would work")
    if len(names) > _MOST_CLASSES or 2 * len(names) > max(len(examples), 4):
        found = f"{len(names):,} different values of {keys[0]} in {len(examples):,} examples"
        raise InputError(f"{_file(examples)}: found {found}; another label, or kind=regression or tokens, would work")
    return names


def _letters(examples: Sequence[Example], keys: tuple[str, ...]) -> tuple[str, ...]:
    if len(keys) > 1:
        raise InputError(f"{', '.join(keys)}: a base has one label; one key would work")
    names = tuple(sorted({letter for example in examples for letter in example.labels[0]}))
    if len(names) < 2:
        found = f"every base has {keys[0]}={names[0]}" if names else f"no example has a {keys[0]}"
        raise InputError(f"{_file(examples)}: {found}; two letters or more would work")
    return names


def _detected(examples: Sequence[Example]) -> str:
    if len(examples[0].labels) > 1:
        return "multilabel" if all(text in ("0", "1") for e in examples for text in e.labels) else "regression"
    values = [_float(example.labels[0]) for example in examples]
    numbers = [value for value in values if value is not None]
    whole = all(value.is_integer() for value in numbers)
    return "regression" if len(numbers) == len(values) and not whole else "class"


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(example: Example, key: str, text: str) -> float:
    value = _float(text)
    if value is None or not math.isfinite(value) or abs(value) > np.finfo(np.float32).max:
        raise InputError(f"{example.place}: found {key}={text or 'nothing'}; a finite number would work")
    return value


def _bit(example: Example, key: str, text: str) -> float:
    if text not in ("0", "1"):
        raise InputError(f"{example.place}: found {key}={text or 'nothing'}; 0 or 1 would work")
    return float(text)


def _parts(text: str) -> list[str]:
    return [name.strip() for name in text.split(";") if name.strip()]


def _file(examples: Sequence[Example]) -> str:
    return examples[0].place.rpartition(":")[0]
