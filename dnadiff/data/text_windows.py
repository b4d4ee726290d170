"""Windows of text as batches of token ids.

*Wrapped* (as GPT-2, MDLM and BD3-LM are trained): the documents of a part stand one behind the other, each ended by the
end token, and the stream is cut into windows of equal length; the rest at its end is a window with padding. *Padded*:
each document is a window of its own, cut where it is too long.

With ``bos`` a window begins with the beginning token, which is given and never scored, as models that read from the
left need it. With ``window_ends`` every window begins with the beginning token and ends with the end token, wherever it
was cut, as in MDLM: both are scored like other tokens (a given beginning is not).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnadiff.data.dataset import Dataset, window_of
from dnadiff.data.token_store import TokenStore
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError


class Part(NamedTuple):
    """Some documents of a store: those from ``first`` to before ``last``."""

    store: TokenStore
    first: int
    last: int

    @property
    def bounds(self) -> tuple[int, int]:
        """Where its tokens begin and end in the store."""
        return int(self.store.offsets[self.first]), int(self.store.offsets[self.last])

    @property
    def tokens(self) -> int:
        """How many tokens it has, end tokens included."""
        return self.bounds[1] - self.bounds[0]


class TextWindows(Dataset):
    """Windows of some documents. Safe in forked and spawned workers.

    Args:
        part: The documents, at least one.
        tokenizer: What they were numbered by.
        length: Tokens of a window, at least 4.
        seed: Chooses order and places.
        mode: ``tiling``: a grid of adjacent windows, or each document; ``random``: a window may begin at any token.
        shuffle: In tiling mode, another order each epoch and sample numbers without bound. Random mode is always so.
        wrap: One stream of all documents; else a window is a document.
        bos: Begin each window with [BOS], given.
        window_ends: Begin each window with [BOS] and end it with [EOS].

    Raises:
        InputError: The length is too short.
    """

    tokenizer: TextTokenizer

    def __init__(
        self, part: Part, tokenizer: TextTokenizer, length: int, *, seed: int, mode: str = "tiling",
        shuffle: bool = False, wrap: bool = True, bos: bool = False, window_ends: bool = False,
    ) -> None:  # fmt: skip
        if length < 4:
            raise InputError(f"windows: found length {length}; 4 or more would work")
        self.part, self.tokenizer, self.length, self.seed = part, tokenizer, length, seed
        self.mode, self.shuffle, self.wrap, self.bos, self.window_ends = mode, shuffle, wrap, bos, window_ends
        self._lead = int(bos or window_ends)
        self._span = length - self._lead - window_ends
        self._size = -(-part.tokens // self._span) if wrap else part.last - part.first
        self.windows = max(1, part.tokens - self._span + 1) if wrap and mode == "random" else self._size

    @property
    def source(self) -> tuple[str, str]:
        """The text and its SHA-256."""
        return self.part.store.source

    def __len__(self) -> int:
        return self._size

    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch, with ``characters`` (B,) int64: what the tokens of each window stand for.

        Args:
            numbers: Global sample numbers, 0 or more; without shuffling, less than ``len(self)``.

        Raises:
            IndexError: A number is out of range.
        """
        item_ids = np.asarray(numbers, dtype=np.int64)
        window = window_of(item_ids, self.windows, mode=self.mode, shuffle=self.shuffle, seed=self.seed)
        shape = (len(item_ids), self.length)
        tokens, valid = np.full(shape, self.tokenizer.filler, dtype=np.int64), np.zeros(shape, dtype=bool)
        given, characters = np.zeros(shape, dtype=bool), np.zeros(len(item_ids), dtype=np.int64)
        if self._lead:
            tokens[:, 0], valid[:, 0], given[:, 0] = self.tokenizer.bos_id, True, self.bos
        store = self.part.store
        for row, (start, end) in enumerate(map(self._place, window.tolist())):
            stop = self._lead + end - start
            tokens[row, self._lead : stop] = store.tokens[start:end]
            characters[row] = int(store.characters[start:end].sum(dtype=np.int64))
            if self.window_ends:
                tokens[row, stop] = self.tokenizer.sep_id
                stop += 1
            valid[row, self._lead : stop] = True
        weight = np.ones(shape, dtype=np.float32)
        return {
            "tokens": tokens, "valid": valid, "given": given, "weight": weight, "item_ids": item_ids,
            "characters": characters,
        }  # fmt: skip

    def _place(self, window: int) -> tuple[int, int]:
        """Where the text of a window begins and ends in the store."""
        if self.wrap:
            begin, stop = self.part.bounds
            start = begin + window * (1 if self.mode == "random" else self._span)
            return start, min(start + self._span, stop)
        offsets = self.part.store.offsets
        start, stop = (int(offsets[self.part.first + window + step]) for step in (0, 1))
        return start, min(start + self._span, stop - self.window_ends)  # its own end is that of the window
