"""What training, validation and scoring read: windows of token ids by number, of a genome or of text.

Sample number j decides everything about a sample. Numbers come from keyed permutations and uniforms, not from a
generator with a state, so batches, workers, ranks and interruptions change nothing.
"""

import abc
from collections.abc import Sequence

import numpy as np

from dnadiff.data.tokenizer import Tokenizer
from dnadiff.random import keyed_uniform, permuted


class Dataset(abc.ABC):
    """Windows of token ids; ``len`` is the number of samples of an epoch. Cheap to pickle.

    Attributes:
        tokenizer: Numbers the tokens.
        length: Tokens of a window.
        windows: Different windows there are.
    """

    tokenizer: Tokenizer
    length: int
    windows: int

    @property
    @abc.abstractmethod
    def source(self) -> tuple[str, str]:
        """Where the windows come from: a path and the SHA-256 of what was read."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch.

        Args:
            numbers: Global sample numbers, 0 or more; without shuffling, less than ``len(self)``.

        Returns:
            ``tokens`` (B, L) int64; ``valid`` (B, L) bool, False where nothing is; ``given`` (B, L) bool, True at
            [BOS]; ``weight`` (B, L) float32; ``item_ids`` (B,) int64, the numbers; and what else a kind of data has.

        Raises:
            IndexError: A number is out of range.
        """

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        """One sample: the row of ``__getitems__``."""
        return {key: value[0] for key, value in self.__getitems__([number]).items()}


def window_of(item_ids: np.ndarray, windows: int, *, mode: str, shuffle: bool, seed: int) -> np.ndarray:
    """Which window each sample is, (B,) int64.

    Args:
        item_ids: Sample numbers, (B,).
        windows: How many different ones there are.
        mode: ``random`` draws each by itself; ``tiling`` visits every one once an epoch.
        shuffle: In tiling mode, in another order each epoch, without bound; else sample j is window j.
        seed: Of order and draws.

    Raises:
        IndexError: A number is out of range.
    """
    bound = None if shuffle or mode == "random" else windows
    if len(item_ids) and (item_ids.min() < 0 or (bound is not None and item_ids.max() >= bound)):
        raise IndexError(f"sample numbers from {item_ids.min()} to {item_ids.max()} of {windows} windows")
    if mode == "random":
        uniform = keyed_uniform(item_ids, "window", seed)
        return np.minimum((uniform * windows).astype(np.int64), windows - 1)
    if bound is not None:
        return item_ids
    epochs, slots = np.divmod(item_ids, windows)
    window = np.empty_like(slots)
    for epoch in np.unique(epochs).tolist():
        rows = epochs == epoch
        window[rows] = permuted(slots[rows], windows, "order", seed, epoch)
    return window
