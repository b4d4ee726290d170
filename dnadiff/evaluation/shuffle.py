r"""Sequences shuffled so that every pair of neighbours occurs as often as before.

A model of sequence should find the real one likelier than its shuffle. If neighbours are kept, it cannot tell them by
their composition or by what follows what: a Markov chain of order 1 gives both the very same probability. (Task 1 of
DART-Eval, Patel et al. 2024, does so with regulatory elements.)

A sequence is a walk along the edges x_i -> x_{i+1} of a graph whose vertices are the bases; its shuffles are the walks
from its first base to its last along all the same edges (Altschul and Erickson, Significance of nucleotide sequence
alignments, 1985). One is drawn evenly (Kandel, Matias, Unger and Winkler, Shuffling biological sequences, 1996):

1. Of each base but the last one x_n, which edge the walk leaves it by for the last time: these edges form a tree that
   leads to x_n. All such trees are equally likely by Wilson's walks (Generating random spanning trees more quickly than
   the cover time, 1996): from each base that is not yet on the tree, follow random edges until the tree is reached, and
   keep the last edge by which each base was left.
2. The other edges of each base in random order.

Every tree with every order is one walk; a shuffle belongs to as many of them as there are ways to exchange equal edges,
which is the same for all, so all shuffles are equally likely.
"""

import numpy as np

from dnadiff.data import alphabet


def shuffled(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sequence with the same neighbours as often, (n,) uint8: one of all there are, each equally likely.

    Every N stays at its place, and each stretch between is shuffled by itself, so its ends stay too.

    Args:
        codes: A 0, C 1, G 2, T 3, N 4, (n,) uint8.
        rng: What is drawn comes from it.
    """
    out = codes.copy()
    known = np.concatenate([[False], codes != alphabet.N, [False]])
    for start, end in np.flatnonzero(known[1:] != known[:-1]).reshape(-1, 2).tolist():
        out[start:end] = _walk(codes[start:end], rng)
    return out


def _walk(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The shuffle of a stretch of known bases."""
    followers = [codes[1:][codes[:-1] == base] for base in range(4)]
    last = _tree(followers, int(codes[-1]), rng)
    order = []
    for base, after in enumerate(followers):
        rest = after
        if base in last:
            rest = np.delete(after, np.flatnonzero(after == last[base])[0])
        order.append(iter([*rng.permutation(rest).tolist(), *([last[base]] if base in last else [])]))
    walk = [int(codes[0])]
    for _ in range(len(codes) - 1):
        walk.append(next(order[walk[-1]]))
    return np.array(walk, dtype=codes.dtype)


def _tree(followers: list[np.ndarray], root: int, rng: np.random.Generator) -> dict[int, int]:
    """Of each base that has followers, but for the root, the one that follows its last occurrence."""
    tree: dict[int, int] = {}
    for base in range(4):
        if base == root or base in tree or not len(followers[base]):
            continue
        left: dict[int, int] = {}
        at = base
        while at != root and at not in tree:
            left[at] = int(rng.choice(followers[at]))
            at = left[at]
        at = base
        while at != root and at not in tree:
            tree[at] = left[at]
            at = tree[at]
    return tree
