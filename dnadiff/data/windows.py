"""Windows of a genome as batches of token ids, fast and the same on every machine.

Sample number j decides everything about a sample: which window, at which offset, on which strand. They come from keyed
numbers, not from a generator with a state, so batches, workers, ranks and interruptions change nothing: a run is
resumed by remembering one integer.

- ``tiling``: a fixed grid of adjacent windows from the start of each interval on. The rest at its end is a window too
  if it fills at least half (the remainder is padding), otherwise it is left out. Without shuffling, sample j is window
  j of the grid, as evaluation wants it; with shuffling, each epoch visits every window once in another order.
- ``random``: each start at which a whole window fits is equally likely. An epoch is as many samples as tile the genome.

A window never crosses the end of a contig or of an interval, and one whose share of A, C, G and T is below
``min_valid`` is left out. The windows are kept as ranges of starts, so a billion of them cost no memory.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnadiff.data import admissible, alphabet
from dnadiff.data.dataset import Dataset, window_of
from dnadiff.data.genome import Store
from dnadiff.data.intervals import Interval, check_interval, total_bp
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.random import keyed_uniform

_ABSENT = 5  # a code that no base has
_COMPLEMENT = 3  # an exclusive-or with it swaps A with T and C with G, and turns N into 7


class Locations(NamedTuple):
    """Where samples lie: contig names, 0-based half-open starts and ends, and strands ``+`` or ``-``, an entry each."""

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray


class WindowDataset(Dataset):
    """Samples of some intervals of a genome. Cheap to pickle; safe in forked and spawned workers.

    ``len(dataset)`` is the number of windows of one epoch.

    Args:
        store: The genome.
        intervals: Where the windows may lie.
        tokenizer: Numbers the bases.
        length: Tokens of a window, at least 4.
        seed: Chooses order, offsets and strands.
        mode: ``tiling`` or ``random``.
        shuffle: In tiling mode, another order each epoch and sample numbers without bound. Random mode is always so.
        reverse_complement: Chance that a sample is read on the other strand, in [0, 1].
        n_policy: What becomes of N: ``pad`` ([PAD], not valid) or ``token`` (its own token, valid).
        min_valid: Least share of A, C, G and T among the bases of a window, in [0, 1].
        repeat_weight: Weight of soft-masked bases; others have 1.
        bos: Begin each window with [BOS], which leaves room for one base less.
        ends: Put [SEP] after the last base of a contig. A window may then begin or end there, on either strand.
        labels: Class of every contig, (contigs,) int64; None if there are no classes.

    Raises:
        InputError: An option or interval cannot be used, or no window is left.

    Attributes:
        windows: Different windows there are: of the grid, or starts in random mode.
    """

    def __init__(
        self,
        store: Store,
        intervals: Sequence[Interval],
        tokenizer: NucleotideTokenizer,
        length: int,
        *,
        seed: int,
        mode: str = "tiling",
        shuffle: bool = False,
        reverse_complement: float = 0.0,
        n_policy: str = "pad",
        min_valid: float = 0.9,
        repeat_weight: float = 1.0,
        bos: bool = False,
        ends: bool = False,
        labels: np.ndarray | None = None,
    ) -> None:
        _check_options(length, mode, reverse_complement, n_policy, min_valid)
        self.store = store
        self.tokenizer = tokenizer
        self.length = length
        self.seed = seed
        self.mode = mode
        self.shuffle = shuffle or mode == "random"
        self.reverse_complement = reverse_complement
        self.repeat_weight = np.float32(repeat_weight)
        self.bos = bos
        self.labels = labels
        self._span = length - bos
        self._place(intervals, min_valid, ends)
        if not self.windows:
            raise InputError(
                f"{store.source_name}: no window of {length} tokens with {100 * min_valid:g} % of A, C, G, T fits into "
                f"{_named(intervals)}; shorter windows or a lower min_valid would work"
            )
        self._tokens = _token_table(tokenizer, n_policy)

    def _place(self, intervals: Sequence[Interval], min_valid: float, ends: bool) -> None:
        """Lists the admissible windows as arithmetic progressions of starts, one interval after another."""
        span = self._span
        self._step = span if self.mode == "tiling" else 1
        sizes = self.store.sizes
        parts = []  # interval, first start, how many, span
        for number, interval in enumerate(intervals):
            check_interval(interval, sizes, self.store.source_name)
            begin = int(self.store.offsets[self.store.number(interval.chrom)]) + interval.start
            runs = admissible.n_runs(self.store.bases, begin, len(interval)) + interval.start
            stop = interval.end + (ends and interval.end == sizes[interval.chrom])
            ranges = admissible.start_ranges(runs, interval.start, stop, span, _most_n(span, min_valid))
            if self.mode == "random":
                parts += [(number, low, high - low, span) for low, high in ranges.tolist()]
                continue
            grid = admissible.on_grid(ranges, interval.start, span)
            parts += [(number, first, count, span) for first, count in grid.tolist()]
            rest = (stop - interval.start) % span
            n_count = int(admissible.count_n(runs, np.int64(stop - rest), np.int64(stop)))
            if 2 * rest >= span and n_count <= _most_n(rest, min_valid):
                parts.append((number, stop - rest, 1, rest))
        table = np.array(parts, dtype=np.int64).reshape(-1, 4)
        self._part_interval, self._part_first, counts, self._part_span = table.T.copy()
        self._part_begin = np.concatenate([[0], np.cumsum(counts)])
        self.windows = int(self._part_begin[-1])
        self._chroms = np.array([self.store.number(i.chrom) for i in intervals], dtype=np.int64)
        self._starts = np.array([i.start for i in intervals], dtype=np.int64)
        self._stops = np.array([i.end for i in intervals], dtype=np.int64)
        self._minus = np.array([i.strand == "-" for i in intervals], dtype=bool)
        at_end = self._stops == self.store.lengths[self._chroms]
        self._before = (ends & (self._starts == 0)).astype(np.int64)  # room for [SEP] on the minus strand
        self._behind = (ends & at_end).astype(np.int64)  # and on the plus strand

    @property
    def source(self) -> tuple[str, str]:
        """The store's folder and the SHA-256 of the genome it was made from."""
        return str(self.store.path), self.store.source_sha256

    def __len__(self) -> int:
        return self.windows if self.mode == "tiling" else math.ceil(self.windows / self._span)

    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch.

        Args:
            numbers: Global sample numbers, 0 or more; without shuffling, less than ``len(self)``.

        Returns:
            ``tokens`` (B, L) int64; ``valid`` (B, L) bool, False where there is padding or a padded N; ``given`` (B, L)
            bool, True at [BOS]; ``weight`` (B, L) float32; ``item_ids`` (B,) int64, the numbers; with classes
            ``labels`` (B,) int64.

        Raises:
            IndexError: A number is out of range.
        """
        item_ids = np.asarray(numbers, dtype=np.int64)
        stored, count, end_mark = self._read(item_ids)
        ids = self._numbered(stored & alphabet.CODE_BITS)
        shape = (len(item_ids), self.length)
        tokens, valid = np.empty(shape, dtype=np.int64), np.ones(shape, dtype=bool)
        given, weight = np.zeros(shape, dtype=bool), np.ones(shape, dtype=np.float32)
        tokens[:, self.bos :] = ids
        valid[:, self.bos :] = ids != self.tokenizer.pad_id
        if self.repeat_weight != 1:
            weight[:, self.bos :][stored >= alphabet.SOFT_MASKED] = self.repeat_weight
        rows = np.flatnonzero(end_mark)
        tokens[rows, count[rows] + self.bos] = self.tokenizer.sep_id
        valid[rows, count[rows] + self.bos] = True
        if self.bos:
            tokens[:, 0], given[:, 0] = self.tokenizer.bos_id, True
        batch = {"tokens": tokens, "valid": valid, "given": given, "weight": weight, "item_ids": item_ids}
        return batch if self.labels is None else batch | {"labels": self.labels[self._spans(item_ids)[0]]}

    def _numbered(self, codes: np.ndarray) -> np.ndarray:
        """Tokens of codes of either strand, (B, P) uint8; an addition, which takes a quarter of a table's time."""
        ids = codes + self._tokens[alphabet.A]
        if codes.max(initial=0) > alphabet.T:
            other = codes > alphabet.T
            ids[other] = self._tokens[codes[other]]
        return ids

    def _read(self, item_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stored bytes on each sample's strand, (B, P), 5 where no base is; number of bases and end mark, (B,)."""
        contig, low, high, minus, end_mark = self._spans(item_ids)
        bases, begin, count, span = self.store.bases, self.store.offsets[contig] + low, high - low, self._span
        # Every window of the genome as a row that overlaps the next: one index copies a batch without a loop.
        windows = np.ndarray((max(0, len(bases) - span + 1), span), np.uint8, bases, strides=(1, 1))
        whole = count == span
        if whole.all():
            stored = windows[begin]
        else:
            stored = np.full((len(item_ids), span), _ABSENT, dtype=np.uint8)
            stored[whole] = windows[begin[whole]]
            for row in np.flatnonzero(~whole).tolist():
                piece = bases[begin[row] : begin[row] + count[row]]
                stored[row, : count[row]] = piece[::-1] ^ _COMPLEMENT if minus[row] else piece
        turned = np.flatnonzero(minus & whole)
        stored[turned] = stored[turned, ::-1] ^ _COMPLEMENT
        return stored, count, end_mark

    def locations(self, numbers: Sequence[int]) -> Locations:
        """Where samples lie, without reading them.

        Args:
            numbers: Sample numbers as for ``__getitems__``.
        """
        contig, low, high, minus, _ = self._spans(np.asarray(numbers, dtype=np.int64))
        return Locations(np.array(self.store.names)[contig], low, high, np.where(minus, "-", "+"))

    def _spans(self, item_ids: np.ndarray) -> tuple[np.ndarray, ...]:
        """Contig, first base, base after the last, whether on the minus strand, whether [SEP] follows; each (B,)."""
        window = window_of(item_ids, self.windows, mode=self.mode, shuffle=self.shuffle, seed=self.seed)
        part = np.searchsorted(self._part_begin, window, side="right") - 1
        interval = self._part_interval[part]
        start = self._part_first[part] + (window - self._part_begin[part]) * self._step
        minus = self._minus[interval]
        if self.reverse_complement:
            minus = minus ^ (keyed_uniform(item_ids, "strand", self.seed) < self.reverse_complement)
        # With [SEP] a contig has one place more: behind its end, or on the minus strand before its start.
        start = start - minus * self._before[interval]
        stop = np.minimum(start + self._part_span[part], self._stops[interval] + ~minus * self._behind[interval])
        low, high = np.maximum(start, self._starts[interval]), np.minimum(stop, self._stops[interval])
        return self._chroms[interval], low, high, minus, (start < low) | (stop > high)


def _named(intervals: Sequence[Interval]) -> str:
    """The size of some intervals, and where they begin."""
    where = f", from {intervals[0]} on" if intervals else ""
    return f"{total_bp(intervals):,} bp of intervals{where}"


def _most_n(span: int, min_valid: float) -> int:
    """The largest number of N that leaves a share of min_valid."""
    return span - math.ceil(min_valid * span - 1e-9)


def _token_table(tokenizer: NucleotideTokenizer, n_policy: str) -> np.ndarray:
    """Token of each code of either strand, (8,) uint8; those of A, C, G and T follow one another."""
    n_id = tokenizer.n_id if n_policy == "token" else tokenizer.pad_id
    absent = tokenizer.pad_id
    # N of the other strand is the last code.
    return np.array([*tokenizer.base_ids, n_id, absent, absent, n_id], dtype=np.uint8)


def _check_options(length: int, mode: str, reverse_complement: float, n_policy: str, min_valid: float) -> None:
    if length < 4:
        raise InputError(f"windows: found length {length}; 4 or more would work")
    for what, value, table in (("mode", mode, ("tiling", "random")), ("n_policy", n_policy, ("pad", "token"))):
        if value not in table:
            raise InputError(f"windows: found {what} '{value}'; {' or '.join(table)} would work")
    for what, share in (("reverse_complement", reverse_complement), ("min_valid", min_valid)):
        if not 0 <= share <= 1:
            raise InputError(f"windows: found {what} {share}; 0 to 1 would work")
