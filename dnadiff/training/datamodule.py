"""Batches for the loop: global sample numbers in, tensors out.

Sample number j decides window, strand and noise, so a batch is just a range of numbers: optimiser step s reads
[s * batch_size, (s + 1) * batch_size), its micro-batches and ranks take contiguous slices. The stream never ends, needs
no shuffling state, and starts anywhere.
"""

from collections.abc import Iterator

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dnadiff.data.windows import WindowDataset


class SampleNumbers:
    """The global sample numbers of one rank's micro-batches, without end.

    Args:
        batch_size: Samples of an optimiser step over all ranks and micro-batches; must divide evenly.
        accumulate: Micro-batches of a step.
        rank: This process.
        world: Number of processes.
        first_step: Optimiser step to begin with.
    """

    def __init__(self, batch_size: int, accumulate: int, rank: int, world: int, first_step: int) -> None:
        self.batch_size, self.accumulate, self.rank, self.world = batch_size, accumulate, rank, world
        self.first_step = first_step
        self.micro = batch_size // (accumulate * world)

    def __iter__(self) -> Iterator[list[int]]:
        begin = self.first_step * self.batch_size + self.rank * self.micro
        while True:
            for part in range(self.accumulate):
                first = begin + part * self.micro * self.world
                yield list(range(first, first + self.micro))
            begin += self.batch_size


class HeldOutNumbers:
    """One rank's share of windows 0..n-1 in batches: rank r takes every ``world``-th batch."""

    def __init__(self, n: int, batch_size: int, rank: int, world: int) -> None:
        self.batches = [range(i, min(i + batch_size, n)) for i in range(0, n, batch_size)][rank::world]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (list(batch) for batch in self.batches)


def to_tensors(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The arrays of a window batch as tensors, without copies."""
    return {name: torch.from_numpy(array) for name, array in batch.items()}


class Windows(pl.LightningDataModule):
    """Training and validation windows of a genome.

    Args:
        train: Training windows, in random or shuffled order.
        valid: Held-out windows of a fixed grid, or None.
        batch_size: Windows of an optimiser step, over all ranks and micro-batches.
        accumulate: Micro-batches a step.
        valid_windows: How many held-out windows to validate on at most; they are spread over all there are.
        workers: Processes that read windows.
        first_step: Optimiser step to begin with.
    """

    def __init__(
        self, train: WindowDataset, valid: WindowDataset | None, *, batch_size: int, accumulate: int,
        valid_windows: int, workers: int = 0, first_step: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.train, self.valid = train, valid
        self.batch_size, self.accumulate, self.workers = batch_size, accumulate, workers
        self.valid_windows, self.first_step = valid_windows, first_step

    def train_dataloader(self) -> DataLoader:
        """Micro-batches of this rank from ``first_step`` on, without end."""
        numbers = SampleNumbers(
            self.batch_size, self.accumulate, self.trainer.global_rank, self.trainer.world_size, self.first_step
        )
        return self._loader(self.train, numbers)

    def val_dataloader(self) -> DataLoader | list:
        """This rank's held-out windows, evenly spaced over the held-out part."""
        if self.valid is None:
            return []
        total = len(self.valid)
        n = min(self.valid_windows, total)
        picked = _Picked(self.valid, np.arange(n) * total // n)
        batch = self.batch_size // (self.accumulate * self.trainer.world_size)
        return self._loader(picked, HeldOutNumbers(n, batch, self.trainer.global_rank, self.trainer.world_size))

    def _loader(self, dataset: object, numbers: object) -> DataLoader:
        return DataLoader(
            dataset, batch_sampler=numbers, collate_fn=to_tensors, num_workers=self.workers,
            persistent_workers=self.workers > 0, pin_memory=torch.cuda.is_available(),
        )  # fmt: skip


class _Picked:
    """Some windows of a data set, renumbered from 0."""

    def __init__(self, dataset: WindowDataset, numbers: np.ndarray) -> None:
        self.dataset, self.numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitems__(self, index: list[int]) -> dict[str, np.ndarray]:
        return self.dataset.__getitems__(self.numbers[index].tolist())
