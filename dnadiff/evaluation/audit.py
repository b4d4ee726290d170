"""What a labelled data set gives away before any base is read: rules that a model must beat, and leaks between parts.

A rule is learned on the training part and scored by its accuracy on the test part:

    majority    the commonest class of the training part
    length      a decision tree on the length of a stretch
    strand      the commonest class of a strand
    look-up     the class of the training stretch that a test stretch shares most bases with, on either strand; where
                there is none, the commonest class

A benchmark in which one of the last three comes near to what models reach measures its own making.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from dnadiff.data.coordinates import Located

_LEAST = 20  # training examples a leaf of the tree stands for


@dataclass(frozen=True)
class Overlap:
    """Which training stretch each test stretch shares most bases with.

    Attributes:
        nearest: Its number; -1 without one, (N,) int64.
        shared: Bases shared with it, (N,) int64.
        copy: The same stretch of the same contig is in the training part, (N,) bool.
    """

    nearest: np.ndarray
    shared: np.ndarray
    copy: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Test stretches that share a base with the training part, (N,) bool."""
        return self.nearest >= 0


def overlaps(train: Located, test: Located) -> Overlap:
    """Of every test stretch; among equals the training stretch that comes first on the contig."""
    nearest = np.full(len(test), -1, dtype=np.int64)
    shared = np.zeros(len(test), dtype=np.int64)
    copy = np.zeros(len(test), dtype=bool)
    for ours, theirs in _by_contig(train, test):
        start, end = train.start[theirs], train.end[theirs]
        longest = (end - start).max()
        first = np.searchsorted(start, test.start[ours] - longest, side="right")
        last = np.searchsorted(start, test.end[ours], side="left")
        for row, i, j in zip(ours[first < last], first[first < last], last[first < last], strict=True):
            common = np.minimum(end[i:j], test.end[row]) - np.maximum(start[i:j], test.start[row])
            most = int(common.argmax())
            if common[most] > 0:
                nearest[row], shared[row] = theirs[i + most], common[most]
                copy[row] = bool(((start[i:j] == test.start[row]) & (end[i:j] == test.end[row])).any())
    return Overlap(nearest, shared, copy)


def _by_contig(train: Located, test: Located) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The numbers of the test and training stretches of every contig that has both, the latter from left to right."""
    contigs = np.unique(np.concatenate([train.chrom, test.chrom]))
    code, other = (np.searchsorted(contigs, part.chrom) for part in (train, test))
    order, others = np.lexsort((train.end, train.start, code)), other.argsort(kind="stable")
    places = np.arange(len(contigs) + 1)
    theirs, ours = np.searchsorted(code[order], places), np.searchsorted(other[others], places)
    for i in range(len(contigs)):
        if theirs[i] < theirs[i + 1] and ours[i] < ours[i + 1]:
            yield others[ours[i] : ours[i + 1]], order[theirs[i] : theirs[i + 1]]


def majority(train: Located) -> int:
    """The commonest class; among equals the first."""
    return int(np.bincount(train.label).argmax())


def by_length(train: Located, test: Located) -> np.ndarray:
    """The class of each test stretch by its length alone, (N,)."""
    tree = DecisionTreeClassifier(min_samples_leaf=min(_LEAST, len(train)), random_state=0)
    tree.fit((train.end - train.start)[:, None], train.label)
    return tree.predict((test.end - test.start)[:, None])


def by_strand(train: Located, test: Located) -> np.ndarray:
    """The class of each test stretch by its strand alone, (N,)."""
    guess = {strand: majority(train[train.strand == strand]) for strand in np.unique(train.strand)}
    return np.array([guess.get(strand, majority(train)) for strand in test.strand])


def by_look_up(train: Located, found: Overlap) -> np.ndarray:
    """The class of each test stretch by the training stretch it overlaps, (N,)."""
    return np.where(found.found, train.label[found.nearest], majority(train))
