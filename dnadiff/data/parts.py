r"""Parts of a labelled data set, and how one is drawn out of another.

Each sequence has a number that its bases and a seed decide. Of each class the lowest share leaves, or every N-th in the
order of the numbers. Equal sequences, and a sequence and its reverse complement, have the same number, so they never
end up on both sides. Nor do equal texts.
"""

from dataclasses import dataclass, replace

import numpy as np

from dnadiff.data import alphabet
from dnadiff.errors import InputError
from dnadiff.random import key64, keyed_uniform


@dataclass(frozen=True)
class Part:
    """Some examples with their targets.

    Attributes:
        names: Of the sequences, (n,).
        codes: Their bases, A 0, C 1, G 2, T 3, N 4, a uint8 array each, of any lengths; of text the token ids, int64.
        targets: As ``Meaning.targets`` gives them, n rows; of labels a base, n arrays.
        drawn: Whether the data did not name this part.
        texts: Of text, each one's sentence or pair of sentences; empty of nucleotides.
    """

    names: tuple[str, ...]
    codes: tuple[np.ndarray, ...]
    targets: np.ndarray
    drawn: bool = False
    texts: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def per_base(self) -> bool:
        """Whether the targets are labels of bases."""
        return self.targets.dtype == object

    @property
    def longest(self) -> int:
        """Bases of the longest sequence."""
        return max(len(codes) for codes in self.codes)

    @property
    def identities(self) -> list[bytes]:
        """What is the same of two examples that are equal: ``canonical`` of nucleotides, the sentences of text."""
        if self.texts:
            return ["\0".join(sentences).encode() for sentences in self.texts]
        return [canonical(codes) for codes in self.codes]


def joined(*parts: Part) -> Part:
    """All examples of some parts."""
    names = tuple(name for part in parts for name in part.names)
    codes = tuple(codes for part in parts for codes in part.codes)
    texts = tuple(text for part in parts for text in part.texts)
    return Part(names, codes, np.concatenate([part.targets for part in parts]), texts=texts)


def canonical(codes: np.ndarray) -> bytes:
    """The lesser of a sequence and its reverse complement, byte by byte: the same of both.

    Args:
        codes: Its bases.
    """
    return min(codes.tobytes(), alphabet.reverse_complement(codes).tobytes())


def at_most(part: Part, count: int, *key: object) -> Part:
    """So many examples of a part, in their order; all of them if there are no more.

    Args:
        part: The examples.
        count: How many.
        *key: Decides which ones, such as a name and a seed.
    """
    chosen = np.zeros(len(part), dtype=bool)
    chosen[keyed_uniform(np.arange(len(part)), *key).argsort()[:count]] = True
    return _rows(part, chosen)


def shared(part: Part, *others: Part) -> int:
    """How many examples of a part are in others too, on either strand."""
    known = {identity for other in others for identity in other.identities}
    return sum(identity in known for identity in part.identities)


def different(part: Part) -> int:
    """How many different sequences a part has; one and its reverse complement count once."""
    return len(set(part.identities))


def drawn(part: Part, share: float, key: tuple[object, ...], where: str) -> tuple[Part, Part]:
    """What stays and what leaves: of each class a share.

    Args:
        part: The examples.
        share: Of different sequences, in (0, 1).
        key: Decides which ones, such as a name and a seed.
        where: What asked for it, for the message.

    Raises:
        InputError: Nothing stays, or nothing leaves.
    """
    keys = _keys(part)
    leaves = leaving(keys, _classes(part), share, key)
    return _cut(part, np.isin(keys, keys[leaves]), f"{where}={share:g}")


def leaving(keys: np.ndarray, classes: np.ndarray, share: float, key: tuple[object, ...]) -> np.ndarray:
    """Which examples leave, of each class a share of the different ones, (n,) bool.

    Args:
        keys: A number of each example, the same of equal ones, (n,) int64.
        classes: Its class, (n,).
        share: In (0, 1).
        key: Decides which ones, such as a name and a seed.
    """
    numbers = keyed_uniform(keys, "drawn", *key)
    leaves = np.zeros(len(keys), dtype=bool)
    for one in np.unique(classes).tolist():
        rows = classes == one
        different = np.unique(numbers[rows])
        leaves |= rows & np.isin(numbers, different[: round(share * len(different))])
    return leaves


def fold(part: Part, number: int, count: int, seed: int) -> tuple[Part, Part]:
    """What is trained on and what is tested in one of several folds, each with its share of every class.

    Args:
        part: All examples.
        number: The fold, from 1.
        count: Folds; as many as there are different sequences leave one out each.
        seed: Decides which example is in which fold.

    Raises:
        InputError: There are more folds than different sequences.
    """
    keys, first = np.unique(_keys(part), return_index=True)
    if count > len(keys):
        raise InputError(f"data.fold={number}/{count}: found {len(keys)} different sequences; as many folds would work")
    order = np.lexsort((keyed_uniform(keys, "fold", seed), _classes(part)[first]))
    tested = keys[order[number - 1 :: count]]
    return _cut(part, np.isin(_keys(part), tested), f"data.fold={number}/{count}")


def _cut(part: Part, leaves: np.ndarray, where: str) -> tuple[Part, Part]:
    if not leaves.any() or leaves.all():
        raise InputError(f"{where}: leaves a part of {len(part)} examples empty; another share would work")
    return _rows(part, ~leaves), replace(_rows(part, leaves), drawn=True)


def _rows(part: Part, wanted: np.ndarray) -> Part:
    numbers = np.flatnonzero(wanted).tolist()
    names, codes = tuple(part.names[i] for i in numbers), tuple(part.codes[i] for i in numbers)
    texts = tuple(part.texts[i] for i in numbers) if part.texts else ()
    return Part(names, codes, part.targets[wanted], part.drawn, texts)


def _keys(part: Part) -> np.ndarray:
    return np.array([key64(identity) >> 1 for identity in part.identities], dtype=np.int64)


def _classes(part: Part) -> np.ndarray:
    """The class of each example; 0 where there are none."""
    return part.targets if part.targets.dtype == np.int64 else np.zeros(len(part), dtype=np.int64)
