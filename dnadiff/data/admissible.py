"""Where windows may begin: arithmetic on runs of N instead of on bases.

The count of N in a window of P bases that starts at s is C(s + P) - C(s), with C the count up to a position. C is
piecewise linear with corners at the ends of the runs, so the count is piecewise linear in s with corners there and P
before, and the starts at which it stays below a limit form a few ranges, found exactly without looking at each start. A
genome of a billion bases with a thousand gaps costs a thousand numbers.
"""

import numpy as np

_CHUNK = 1 << 22


def n_runs(bases: np.ndarray, begin: int, length: int) -> np.ndarray:
    """Runs of N as [start, end) from ``begin``, (runs, 2) int64, sorted and disjoint.

    Args:
        bases: Stored bytes of a genome (a memory map is read chunk by chunk).
        begin: First position in ``bases``.
        length: Number of bases.
    """
    edges, before = [], False
    for offset in range(0, length, _CHUNK):
        chunk = np.asarray(bases[begin + offset : begin + min(offset + _CHUNK, length)])
        is_n = (chunk & 7) == 4
        flips = np.flatnonzero(is_n[1:] != is_n[:-1]) + 1
        if is_n[0] != before:
            flips = np.concatenate([[0], flips])
        edges.append(flips + offset)
        before = bool(is_n[-1])
    if before:
        edges.append(np.array([length]))
    return np.concatenate(edges).astype(np.int64).reshape(-1, 2) if edges else np.empty((0, 2), dtype=np.int64)


def count_n(runs: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many N lie in each [start, end), int64 of their shape.

    Args:
        runs: Runs of N, (runs, 2), sorted and disjoint.
        start: Positions.
        end: Positions, not before ``start``.
    """
    if not len(runs):
        return np.zeros(np.shape(start), dtype=np.int64)
    corners = runs.ravel()
    lengths = np.cumsum(runs[:, 1] - runs[:, 0])
    heights = np.stack([lengths - (runs[:, 1] - runs[:, 0]), lengths], axis=1).ravel()
    return (np.interp(end, corners, heights) - np.interp(start, corners, heights)).astype(np.int64)


def start_ranges(runs: np.ndarray, a: int, b: int, span: int, most_n: int) -> np.ndarray:
    """Starts of windows within [a, b) that hold at most ``most_n`` N, as ranges [first, past), (ranges, 2) int64.

    Args:
        runs: Runs of N, (runs, 2), sorted and disjoint.
        a: First position allowed.
        b: Position after the last allowed.
        span: Bases of a window.
        most_n: Largest number of N.
    """
    stop = b - span + 1
    if stop <= a:
        return np.empty((0, 2), dtype=np.int64)
    corners = runs.ravel()
    breaks = np.unique(np.clip(np.concatenate([[a, stop], corners, corners - span]), a, stop))
    count = count_n(runs, breaks, breaks + span)
    low, high, first, last = breaks[:-1], breaks[1:], count[:-1], count[1:]
    low = np.where(last < first, low + np.maximum(first - most_n, 0), low)
    high = np.where(last > first, np.minimum(high, low + most_n - first + 1), high)
    keep = (low < high) & ((last != first) | (first <= most_n))
    return _joined(low[keep], high[keep])


def on_grid(ranges: np.ndarray, a: int, step: int) -> np.ndarray:
    """The parts of ranges that lie on the grid a, a + step, ..., as (first position, how many), (parts, 2) int64."""
    first = -((a - ranges[:, 0]) // step)  # divided upwards
    past = -((a - ranges[:, 1]) // step)
    keep = first < past
    return np.stack([a + first[keep] * step, (past - first)[keep]], axis=1)


def _joined(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Adjacent ranges as one."""
    if not len(low):
        return np.empty((0, 2), dtype=np.int64)
    apart = np.flatnonzero(high[:-1] < low[1:])
    return np.stack([low[np.append(0, apart + 1)], high[np.append(apart, len(high) - 1)]], axis=1)
