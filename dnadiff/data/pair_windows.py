r"""Pairs of a source and a target as rows of token ids: the tasks of prefix language models.

    [BOS] source [SEP] target [SEP] [SEP] ... [SEP]          [BOS] where the model's windows begin with it

Everything up to the first [SEP], the source, is given: never corrupted, never scored, never changed. The rest is the
target. A network that fills many places at once must learn how long a target is, so the end token fills the row behind
it and is learned like the target (Han et al., Transfer learning for text diffusion models, 2024, arXiv:2401.17181, have
padding there). What is reported of a row is divided by the length of its target; the ends behind the first one cost a
trained model next to nothing, and what they cost counts against it.

An encoder-decoder would encode ``source`` once, with ``features``, and let the rows hold the target alone: the ids of
both are kept apart up to here, in ``Pair``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnadiff.data.dataset import Dataset, window_of
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.errors import InputError


@dataclass(frozen=True)
class Pair:
    """A source and its target.

    Attributes:
        place: File and line, for messages.
        source: Letters of the source; nucleotides in upper case.
        target: Those of the target; empty where it is not known.
        source_ids: Their token ids, (n,) int64.
        target_ids: Likewise.
        split: What the file says of its part; None if it says nothing.
    """

    place: str
    source: str
    target: str
    source_ids: np.ndarray
    target_ids: np.ndarray
    split: str | None = None


class PairWindows(Dataset):
    """Rows of pairs. Cheap to pickle; safe in forked and spawned workers.

    Args:
        pairs: One or more, each with a target of one token or more.
        tokenizer: What they were numbered by.
        length: Tokens of a row.
        source: As of ``Dataset``.
        bos: Begin each row with [BOS].
        most: Tokens of a source at most, longer ones lose their beginning; None for no limit.
        seed: Of the order.
        shuffle: Another order each epoch and sample numbers without bound; else sample j is pair j.

    Raises:
        InputError: A pair is too long.
    """

    def __init__(
        self, pairs: Sequence[Pair], tokenizer: Tokenizer, length: int, *, source: tuple[str, str], bos: bool = False,
        most: int | None = None, seed: int = 0, shuffle: bool = False,
    ) -> None:  # fmt: skip
        self.pairs, self.tokenizer, self.length = tuple(pairs), tokenizer, length
        self.windows, self.bos, self.seed, self.shuffle, self._source = len(self.pairs), bos, seed, shuffle, source
        self._heads = [head_of(pair, tokenizer, length, bos=bos, most=most) for pair in self.pairs]

    @property
    def source(self) -> tuple[str, str]:
        """Where the pairs come from, and the SHA-256 of that."""
        return self._source

    def __len__(self) -> int:
        return self.windows

    def pair(self, number: int) -> Pair:
        """That of a sample of the fixed order."""
        return self.pairs[number]

    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch.

        Returns:
            What every data set has, ``given`` being True up to the end of the source, and: ``once`` (B, L) bool, the
            target and the first end behind it; ``counted`` (B,) int64, what figures are divided by, bases of the
            target or its tokens and one end; of text ``characters`` (B,) int64 of the target.

        Raises:
            IndexError: A number is out of range.
        """
        item_ids = np.asarray(numbers, dtype=np.int64)
        which = window_of(item_ids, self.windows, mode="tiling", shuffle=self.shuffle, seed=self.seed)
        shape = (len(item_ids), self.length)
        tokens = np.full(shape, self.tokenizer.sep_id, dtype=np.int64)
        given, once = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        counted, characters = np.zeros(len(item_ids), dtype=np.int64), np.zeros(len(item_ids), dtype=np.int64)
        for row, number in enumerate(which.tolist()):
            head, target = self._heads[number], self.pairs[number].target_ids
            start, end = len(head), len(head) + len(target)
            tokens[row, :start], tokens[row, start:end] = head, target
            given[row, :start], once[row, start : end + 1] = True, True
            counted[row], characters[row] = len(target), len(self.pairs[number].target)
        batch = {
            "tokens": tokens, "valid": np.ones(shape, dtype=bool), "given": given, "item_ids": item_ids,
            "weight": np.ones(shape, dtype=np.float32), "once": once, "counted": counted,
        }  # fmt: skip
        if isinstance(self.tokenizer, TextTokenizer):
            return batch | {"counted": counted + 1, "characters": characters}
        return batch


def head_of(pair: Pair, tokenizer: Tokenizer, length: int, *, bos: bool, most: int | None) -> np.ndarray:
    """What is given of a row, [BOS] source [SEP], (n,) int64; at least the target and one end fit behind it.

    Args:
        pair: The pair; an empty target is one that is not known, and has room for one token.
        tokenizer: What it was numbered by.
        length: Tokens of a row.
        bos: Whether it begins with [BOS].
        most: Tokens of the source at most; of a longer one the last are taken, whatever its target. None for no limit.

    Raises:
        InputError: It does not fit.
    """
    source = pair.source_ids if most is None else pair.source_ids[-most:]
    target = max(1, len(pair.target_ids))
    needed = bos + len(source) + 1 + target + 1
    if needed > length:
        shorter = length - needed + len(source)
        remedy = f", or data.source_length={shorter}," if shorter > 0 else ""
        raise InputError(
            f"{pair.place}: a source of {len(source)} tokens, a target of {target} and their ends have {needed} and a "
            f"row {length}; model.length={needed}{remedy} would work"
        )
    ids = [*([tokenizer.bos_id] if bos else []), *source.tolist(), tokenizer.sep_id]
    return np.array(ids, dtype=np.int64)
