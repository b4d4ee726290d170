"""Every window two times running, for objectives that hide in the one what they show in the other."""

from collections.abc import Sequence

import numpy as np

from dnadiff.data.dataset import Dataset


class Twice(Dataset):
    """The windows of a data set, of which samples 2i and 2i + 1 are both what sample i was.

    Args:
        windows: What to repeat.
    """

    def __init__(self, windows: Dataset) -> None:
        self.inner = windows
        self.tokenizer, self.length, self.windows = windows.tokenizer, windows.length, windows.windows

    @property
    def source(self) -> tuple[str, str]:
        """That of the windows."""
        return self.inner.source

    def __len__(self) -> int:
        return 2 * len(self.inner)

    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch as of the windows, under its own numbers.

        Raises:
            IndexError: A number is out of range.
        """
        item_ids = np.asarray(numbers, dtype=np.int64)
        return self.inner.__getitems__((item_ids // 2).tolist()) | {"item_ids": item_ids}
