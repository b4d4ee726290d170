r"""Back-off Markov chains: the floors every likelihood is read against.

A chain of order k predicts a base from the k bases on its left. Counts of both strands are pooled, so the chain knows
no orientation of the genome. Smoothing is a Dirichlet prior whose mean is the chain one order below (MacKay and Peto,
A hierarchical Dirichlet language model, 1995)::

    p_k(x | c) = (n(c x) + a p_{k-1}(x | c')) / (n(c) + a)        c' = c without its oldest base,  p_{-1} = 1/4

with concentration a = 20 pseudo-counts. A context never seen in training falls back to the order below exactly; one
seen thousands of times is nearly a relative frequency. "Order k" therefore means "at most k bases of left context": a
position with fewer usable bases on its left (the start of a window, the base after an N) is predicted by the order
that fits.

One flat array holds the cells of all orders, those of order d beginning at (4**(d + 1) - 4) / 3, and within an order
the word of d + 1 bases is read as a number to base 4, oldest base first. Each training position is counted once, in the
cell of the longest context it has; the counts of shorter contexts are sums over the oldest base. Sizes: order 9 has 1.4
million cells, order 11 has 22 million.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.errors import InputError

CONCENTRATION = 20.0
HIGHEST_ORDER = 12
_CHUNK = 1 << 21  # bases counted at once: bounds the memory of a genome of any size
_LONG = 1 << 16  # bases from which on a stretch is counted by itself
_UNKNOWN = np.array([4], dtype=np.uint8)
_WORKS = "a baseline.npz written by train would work"
NO_COUNTS = (
    EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What a foreign archive makes ``zipfile`` and ``numpy`` raise."""


class MarkovChain:
    """Back-off chains of orders 0 to ``order``, from one table of counts.

    Args:
        counts: Positions by their longest context, all orders one after another, ((4**(order + 2) - 4) / 3,) integers.
        order: The highest order, 0 to 12.
        concentration: Weight of the order below, in pseudo-counts, above 0.
    """

    def __init__(self, counts: np.ndarray, order: int, concentration: float = CONCENTRATION) -> None:
        self.order = order
        self.concentration = concentration
        self._raw = counts
        self._bits = np.concatenate([-np.log2(p) for p in _probabilities(self.counts, concentration)])

    @classmethod
    def fit(cls, codes: Iterable[np.ndarray], order: int, concentration: float = CONCENTRATION) -> "MarkovChain":
        """The chain counted on both strands of some stretches of genome.

        Context restarts at the beginning of every stretch and after every base that is not A, C, G or T. Memory does
        not grow with the length of a stretch.

        Args:
            codes: Stretches of store codes, (n,) uint8 each: A0 C1 G2 T3, anything above 3 is unknown.
            order: The highest order, 0 to 12.
            concentration: Weight of the order below, in pseudo-counts.

        Raises:
            InputError: The order is out of range, or no stretch has a known base.
        """
        if not 0 <= order <= HIGHEST_ORDER:
            raise InputError(f"Markov order: found {order}; 0 to {HIGHEST_ORDER} would work")
        counts = np.zeros(_offset(order + 1), dtype=np.int64)
        for stretches in _together(codes):
            for cells in _both_strands(stretches, order):
                counts += np.bincount(cells, minlength=len(counts))
        if not counts.any():
            raise InputError("Markov floors: found no A, C, G or T to count; a stretch with known bases would work")
        return cls(counts, order, concentration)

    @property
    def counts(self) -> list[np.ndarray]:
        """How often each word was seen on the two strands, order by order: (4**(d + 1),) for d = 0 to ``order``."""
        tables = [self._raw[_offset(d) : _offset(d + 1)].astype(np.int64) for d in range(self.order + 1)]
        for d in reversed(range(self.order)):
            tables[d] += tables[d + 1].reshape(4, -1).sum(0)
        return tables

    def bits(self, codes: np.ndarray, valid: np.ndarray | None = None, *, order: int | None = None) -> np.ndarray:
        """What each base costs, (B, L) float64 bits; zero where a base is unknown or not valid.

        Context restarts at the left edge of every row and after every position that is not scored.

        Args:
            codes: Store codes, (B, L) or (L,).
            valid: Positions to score, same shape; None scores every A, C, G and T.
            order: Bases of context at most, 0 to ``self.order``; None for all.
        """
        depth = self.order if order is None else order
        if not 0 <= depth <= self.order:
            raise InputError(f"Markov order: found {depth}; 0 to {self.order} would work, as the chain was counted")
        known = codes < 4 if valid is None else valid & (codes < 4)
        cells = _cells(codes, known, depth)
        return np.where(known, self._bits[cells], 0.0)

    def probabilities(self, order: int) -> np.ndarray:
        """p(base | context) of one order, (4**order, 4): rows are contexts as numbers to base 4, oldest base first."""
        return np.exp2(-self._bits[_offset(order) : _offset(order + 1)]).reshape(-1, 4)

    def save(self, path: str | Path) -> None:
        """Writes the counts to an ``.npz`` file, whole or not at all."""
        target = Path(path)
        smallest = np.min_scalar_type(int(self._raw.max()))
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial.npz")
        try:
            np.savez_compressed(
                partial, counts=self._raw.astype(smallest), order=self.order, concentration=self.concentration
            )
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "MarkovChain":
        """The chain that :meth:`save` wrote.

        Raises:
            InputError: The file is missing, damaged or something else.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                order = int(array_of(archive, "order", 1))
                concentration = float(array_of(archive, "concentration", 1))
                if not 0 <= order <= HIGHEST_ORDER or not 0 < concentration < np.inf:
                    raise ValueError(f"order {order}, concentration {concentration}")
                counts = array_of(archive, "counts", _offset(order + 1))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); {_WORKS}") from error
        except NO_COUNTS as error:
            raise InputError(f"{path}: found no Markov counts ({error}); {_WORKS}") from error
        if counts.shape != (_offset(order + 1),) or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise InputError(f"{path}: found {counts.size} counts for order {order} ({counts.dtype}); {_WORKS}")
        return cls(counts, order, concentration)


def array_of(archive: zipfile.ZipFile, name: str, cells: int) -> np.ndarray:
    """One array of an ``.npz``, unpacked only if it is no larger than so many cells of 8 bytes and a header."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > 8 * cells + 1024:
        raise ValueError(f"{name} has {member.file_size:,} bytes")
    return np.lib.format.read_array(io.BytesIO(archive.read(member)), allow_pickle=False)


def order_for(bases: int) -> int:
    """The highest order worth counting on so many training bases: one below log4(bases), 0 to 11.

    The best order of E. coli (4 million bases) is 7, that of yeast and of 9 Mb of human is 9; log4 of their sizes is 11
    to 11.6, so the best is always among those counted. The cap bounds the table to 180 MB.
    """
    return min(11, max(0, (max(bases, 1).bit_length() - 1) // 2 - 1))


def _offset(order: int) -> int:
    """Where the cells of an order begin."""
    return (4 ** (order + 1) - 4) // 3


def _cells(codes: np.ndarray, known: np.ndarray, order: int) -> np.ndarray:
    """The cell of each position in the flat table, (..., L) int64; meaningless where not known."""
    digits = np.where(known, codes, 0).astype(np.int64)
    word = digits.copy()
    for back in range(1, order + 1):
        word[..., back:] += digits[..., :-back] << (2 * back)
    place = np.arange(codes.shape[-1])
    last_unknown = np.maximum.accumulate(np.where(known, -1, place), axis=-1)
    depth = np.clip(place - last_unknown - 1, 0, order)
    span = np.int64(4) << (2 * depth)
    return (word & (span - 1)) + (span - 4) // 3


def _together(stretches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The stretches; short ones joined by an unknown base, as each call of what counts them has its price."""
    held: list[np.ndarray] = []
    size = 0
    for stretch in stretches:
        if len(stretch) >= _LONG:
            yield stretch
            continue
        held += [stretch, _UNKNOWN]
        size += len(stretch)
        if size >= _LONG:
            yield np.concatenate(held)
            held, size = [], 0
    if held:
        yield np.concatenate(held)


def _both_strands(stretch: np.ndarray, order: int) -> Iterator[np.ndarray]:
    """The cells of the known positions of both strands, in chunks that overlap by the context they need."""
    size = len(stretch)
    for start in range(0, size, _CHUNK):
        end = min(size, start + _CHUNK)
        before, after = min(order, start), min(order, size - end)
        forward = stretch[start - before : end]
        backward = alphabet.reverse_complement(stretch[start : end + after])
        for codes, context in ((forward, before), (backward, after)):
            known = codes < 4
            yield _cells(codes, known, order)[context:][known[context:]]


def _probabilities(counts: list[np.ndarray], concentration: float) -> list[np.ndarray]:
    """The smoothed chains, order by order, each (4**(d + 1),)."""
    below, out = np.full(4, 0.25), []
    for d, table in enumerate(counts):
        prior = np.tile(below, 4) if d else below
        seen = table.reshape(-1, 4)
        total = seen.sum(1, keepdims=True)
        below = ((seen + concentration * prior.reshape(-1, 4)) / (total + concentration)).reshape(-1)
        out.append(below)
    return out
