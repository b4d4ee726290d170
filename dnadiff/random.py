r"""Counter-based randomness: every random number is a function of what it is for, never of what was drawn before.

A uniform is addressed by ``(seed, item, stream, step, position)``: the run's seed, the global number of the training
sample or of the generated sequence, the name of its purpose, and a step. Philox (Salmon et al., Parallel random
numbers: as easy as 1, 2, 3, SC 2011) turns the address into the number. Batch size, rank, worker and interruption
cannot change a draw, and there is no generator state to save.

torch is imported by ``Draws`` alone, so that the data layer can use the keyed numbers without paying for it.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: multiples of it fill the circle evenly (a Kronecker sequence)
_MASK64 = (1 << 64) - 1


def key64(*parts: object) -> int:
    """A stable 64-bit key of some names and numbers, equal in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


class Draws:
    """Uniforms of the rows of one batch; row b depends on ``item_ids[b]`` alone.

    Args:
        seed: The run's seed, any integer.
        item_ids: Global numbers of the rows, (B,) integers: the sample counter in training, the sequence's number in
            generation, the window's number in scoring.
        first: Position at which the rows begin, where they are a stretch of longer ones.
    """

    def __init__(self, seed: int, item_ids: Tensor | np.ndarray | list[int], first: int = 0) -> None:
        self.seed, self.first = seed, first
        self.item_ids = np.asarray(item_ids, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.item_ids)

    def uniform(self, stream: str, step: int, *shape: int) -> Tensor:
        """Independent uniforms in [0, 1), (B, *shape) float64.

        Args:
            stream: What the numbers are for, such as ``"mask"``; different streams are independent.
            step: A counter within the stream.
            *shape: Shape of one row, positions first.
        """
        import torch

        out = np.empty((len(self.item_ids), *shape))
        skipped = self.first * math.prod(shape[1:])
        philox = np.random.Philox(key=[key64("seed", self.seed), 0], counter=[0, 0, step, key64("stream", stream)])
        generator, fresh = np.random.Generator(philox), philox.state  # made once: a generator a row takes far longer
        for row, item in zip(out.reshape(len(out), math.prod(shape)), self.item_ids, strict=True):
            fresh["state"]["key"][1] = int(item) & _MASK64
            philox.state = fresh
            row[:] = generator.random(skipped + row.size)[skipped:]
        return torch.from_numpy(out)

    def stratified(self, stream: str) -> Tensor:
        """One uniform a row in [0, 1), (B,) float64, evenly spread over consecutive item ids whatever the batches.

        ``u_j = frac(u_seed + j / golden ratio)`` in exact 64-bit arithmetic.
        """
        import torch

        start = np.uint64(key64("stratified", self.seed, stream))
        with np.errstate(over="ignore"):
            turns = start + self.item_ids.astype(np.uint64) * np.uint64(_GOLDEN)
        return torch.from_numpy((turns >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def rows(self, index: slice) -> Draws:
        """The draws of some of the rows."""
        return Draws(self.seed, self.item_ids[index], self.first)

    def after(self, n: int) -> Draws:
        """The draws of what follows the first n positions of the rows: ``uniform`` without its first n columns."""
        return Draws(self.seed, self.item_ids, self.first + n)


def permuted(index: np.ndarray, n: int, *key: object) -> np.ndarray:
    """Where a keyed permutation of range(n) sends each index: O(1) memory, whatever n.

    A four-round Feistel network on the smallest even number of bits that holds n, walked along its cycle until it lands
    below n (Black and Rogaway, Ciphers with arbitrary finite domains, 2002).

    Args:
        index: Integers in [0, n), any shape.
        n: Size of the range.
        *key: Names and numbers that choose the permutation, such as a seed and an epoch.
    """
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    low = np.uint64((1 << half) - 1)
    keys = [np.uint64(key64(*key, r)) for r in range(4)]
    out = np.array(index, dtype=np.uint64)
    flat = out.reshape(-1)
    walking = np.arange(flat.size)
    while walking.size:
        value = flat[walking]
        left, right = value >> np.uint64(half), value & low
        for k in keys:
            left, right = right, left ^ (_mix(right ^ k) & low)
        flat[walking] = (left << np.uint64(half)) | right
        walking = walking[flat[walking] >= n]
    return out.astype(np.int64)


def keyed_uniform(index: np.ndarray, *key: object) -> np.ndarray:
    """One uniform in [0, 1) for each index, float64 of the same shape: number ``index`` of the stream the key names.

    The stream is SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014), whose n-th
    output is a function of n, so a whole batch costs one vectorised expression.

    Args:
        index: Integers, any shape: the counter, such as the global sample number.
        *key: Names and numbers that choose the stream, such as a seed and a purpose.
    """
    index = np.asarray(index, dtype=np.int64)
    counter = np.uint64(key64(*key)) + index.reshape(-1).astype(np.uint64) * np.uint64(_GOLDEN)
    return ((_mix(counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(index.shape)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every output bit depends on every input bit.

    Arrays of one dimension or more: they wrap around silently, as wanted, where numpy's scalars would warn.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
