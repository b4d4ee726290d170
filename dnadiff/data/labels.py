"""Classes of the records of a genome store, read from their descriptions.

A description such as ``class=promoter tissue=liver`` holds ``key=value`` words; the columns of a table become the same
words when it is prepared. A class is a value of one key. Classes are numbered in the order of their names, so the
numbers do not depend on the order of the file.
"""

from collections.abc import Sequence

import numpy as np

from dnadiff.data.genome import Store
from dnadiff.errors import InputError, did_you_mean


def classes_of(store: Store, key: str, names: Sequence[str] = ()) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the classes, sorted, and the class of every record, (contigs,) int64.

    Args:
        store: The sequences.
        key: The word before ``=`` in their descriptions.
        names: The classes there are, in the order of their numbers; empty takes those of the records, sorted.

    Raises:
        InputError: A record has no class or one that is not among ``names``, or all have the same.
    """
    values = [_words(contig["description"]).get(key) for contig in store.index["contigs"]]
    if None in values:
        missing = store.index["contigs"][values.index(None)]
        raise InputError(f"{store.path}: record '{missing['name']}' has no {key}=; {_remedy(store, key)}")
    names = tuple(names) or tuple(sorted(set(values)))
    if unknown := sorted(set(values) - set(names)):
        raise InputError(f"{store.path}: found {key}={unknown[0]}; {did_you_mean(unknown[0], names)}")
    if len(names) < 2:
        raise InputError(f"{store.path}: every record has {key}={names[0]}; two classes or more would work")
    number = {name: place for place, name in enumerate(names)}
    return names, np.array([number[value] for value in values], dtype=np.int64)


def _words(description: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in description.split() if "=" in word)


def _remedy(store: Store, key: str) -> str:
    known = sorted(set.union(*(set(_words(contig["description"])) for contig in store.index["contigs"])))
    return did_you_mean(key, known) if known else f"a description such as '>name {key}=promoter' would work"
