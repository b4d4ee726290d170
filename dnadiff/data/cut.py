"""Windows cut in two: what lies left of a random place is given, what lies right of it is to be told.

A prefix language model (Raffel et al., Exploring the limits of transfer learning with a unified text-to-text
transformer, 2020, section 3.2.1) without tables of sources and targets: any genome or text is one. It is a matter of
the data alone. What is given is never corrupted and never scored, by any objective, and no sampler changes it; networks
that read both ways see all of it from everywhere, networks of blocks or next tokens see what lies left.
"""

from collections.abc import Sequence

import numpy as np

from dnadiff.data.dataset import Dataset
from dnadiff.random import keyed_uniform


class Cut(Dataset):
    """The windows of a data set with a random beginning of each given.

    The cut of sample j of a window of L tokens is floor(u L), with u uniform in [0, 1) by the seed and j: at least the
    last token is a target. In training a window is cut elsewhere each time; in evaluation always at the same place.

    Args:
        windows: What to cut.
        seed: Of the cuts.
    """

    def __init__(self, windows: Dataset, seed: int) -> None:
        self.inner, self.seed = windows, seed
        self.tokenizer, self.length, self.windows = windows.tokenizer, windows.length, windows.windows

    @property
    def source(self) -> tuple[str, str]:
        """That of the windows."""
        return self.inner.source

    def __len__(self) -> int:
        return len(self.inner)

    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch as of the windows, with more of it ``given``; ``prefix`` (B, L) bool is what the cut gives.

        Raises:
            IndexError: A number is out of range.
        """
        batch = self.inner.__getitems__(numbers)
        cut = (keyed_uniform(batch["item_ids"], "prefix", self.seed) * self.length).astype(np.int64)
        left = np.arange(self.length) < cut[:, None]
        prefix = left & batch["valid"] & ~batch["given"]
        return batch | {"given": batch["given"] | prefix, "prefix": prefix}
