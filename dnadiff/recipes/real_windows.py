"""Real sequence to compare shuffles with: windows of a run's held-out split, a genome, or whole short sequences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.folder import model_folder, read_provenance
from dnadiff.data import alphabet
from dnadiff.data.genome import Store
from dnadiff.data.intervals import Interval
from dnadiff.data.labelled import read_sequences
from dnadiff.errors import InputError
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.recipes.windows_to_score import USUAL, genome_of

LEAST_KNOWN = 0.9
"""Least share of A, C, G and T in a window, as in training."""


@dataclass(frozen=True)
class Pieces:
    """What windows are cut from.

    Attributes:
        lengths: Bases of each stretch, (S,) int64.
        read: The codes of a stretch from its number, first base and last base but one.
        what: In words.
        digests: SHA-256 of what was read, by name.
        notes: What the reader should be warned of.
    """

    lengths: np.ndarray
    read: Callable[[int, int, int], np.ndarray]
    what: str
    digests: Mapping[str, str]
    notes: Sequence[str]


def windows_of(pieces: Pieces, window: int, n: int) -> list[np.ndarray]:
    """At most n windows, codes (length,) uint8 each, evenly spaced over all there are.

    There are the adjacent ones of every stretch; its rest is one too if it is half a window or all there is. Those
    chosen that have too many N are left out.

    Args:
        pieces: What they are cut from.
        window: Bases of a window.
        n: How many are chosen.

    Raises:
        InputError: None is left.
    """
    whole, rest = np.divmod(pieces.lengths, window)
    counts = whole + ((2 * rest >= window) | ((whole == 0) & (rest > 0)))
    ends, total = np.cumsum(counts), int(counts.sum())
    wanted = np.arange(min(n, total), dtype=np.int64) * total // max(1, min(n, total))
    found = []
    for number, stretch in zip(wanted.tolist(), np.searchsorted(ends, wanted, side="right").tolist(), strict=True):
        start = (number - int(ends[stretch] - counts[stretch])) * window
        codes = pieces.read(stretch, start, min(start + window, int(pieces.lengths[stretch])))
        if (codes != alphabet.N).mean() >= LEAST_KNOWN:
            found.append(codes)
    if not found:
        raise InputError(f"{pieces.what}: found no sequence with {LEAST_KNOWN:.0%} of A, C, G and T; others would work")
    return found


def pieces_of(model: str, spec: Mapping[str, Any], data: str | None) -> Pieces:
    """The stretches of sequence to cut windows from.

    Args:
        model: Run folder or model folder.
        spec: Of the model.
        data: FASTA, a table of sequences, or a genome store; None is the held-out test split of the run.

    Raises:
        InputError: The data cannot be read, or there is no split.
    """
    trained = read_provenance(model).get("inputs", {})
    classes = spec.get("classes", [])
    notes = ["the model was trained with classes and is told none"] if classes else []
    if data is None:
        if model_folder(model) == Path(model):
            raise InputError(f"{model}: is a model folder, which has no split; sequences to score would work")
        config, parts = run_config(model), run_split(model)
        store = genome_of(config, parts, model)
        if not parts[USUAL]:
            raise InputError(f"{model}: held out nothing to test on; sequences to score would work")
        return _of_store(store, parts[USUAL], f"the run's {USUAL} split", notes)
    if Path(data).is_dir():
        store = Store.open(data)
        seen = _warned(data, store.source_sha256, trained)
        return _of_store(store, [Interval(name, 0, size) for name, size in store.sizes.items()], data, [*notes, *seen])
    examples, digests = read_sequences(data)
    codes = [example.codes for example in examples]
    notes += [note for digest in digests.values() for note in _warned(data, digest, trained)]
    lengths = np.array([len(one) for one in codes], dtype=np.int64)
    return Pieces(lengths, lambda i, start, end: codes[i][start:end], data, digests, notes)


def _of_store(store: Store, intervals: Sequence[Interval], what: str, notes: Sequence[str]) -> Pieces:
    def read(i: int, start: int, end: int) -> np.ndarray:
        within = intervals[i]
        return store.codes(Interval(within.chrom, within.start + start, within.start + end))

    lengths = np.array([len(one) for one in intervals], dtype=np.int64)
    return Pieces(lengths, read, what, {str(store.path): store.source_sha256}, notes)


def _warned(data: str, digest: str, trained: object) -> list[str]:
    seen = isinstance(trained, dict) and digest in trained.values()
    return [f"{data}: the model was trained on parts of it; without it a run scores its held-out split"] if seen else []
