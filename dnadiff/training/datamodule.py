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

from dnadiff.data.dataset import Dataset
from dnadiff.data.example_batches import ExampleDataset
from dnadiff.errors import InputError
from dnadiff.training import ranks
from dnadiff.training.signals import unheard


def micro_batch(batch_size: int, accumulate: int, world: int) -> int:
    """Windows of one rank's micro-batch.

    Args:
        batch_size: Windows of an optimiser step over all ranks and micro-batches.
        accumulate: Micro-batches of a step.
        world: Number of processes.

    Raises:
        InputError: The batch cannot be cut into equal micro-batches.
    """
    parts = accumulate * world
    if batch_size % parts:
        raise InputError(
            f"optim.batch_size={batch_size}: cannot be shared by {world} processes with optim.accumulate={accumulate}; "
            f"a multiple of {parts} would work"
        )
    return batch_size // parts


class SampleNumbers:
    """The global sample numbers of one rank's micro-batches, without end.

    Args:
        batch_size: Samples of an optimiser step over all ranks and micro-batches.
        accumulate: Micro-batches of a step.
        rank: This process.
        world: Number of processes.
        first_step: Optimiser step to begin with.

    Raises:
        InputError: The batch cannot be cut into equal micro-batches.
    """

    def __init__(self, batch_size: int, accumulate: int, rank: int, world: int, first_step: int) -> None:
        self.micro = micro_batch(batch_size, accumulate, world)
        self.batch_size, self.accumulate, self.rank, self.world = batch_size, accumulate, rank, world
        self.first_step = first_step

    def __iter__(self) -> Iterator[list[int]]:
        begin = self.first_step * self.batch_size + self.rank * self.micro
        while True:
            for part in range(self.accumulate):
                first = begin + part * self.micro * self.world
                yield list(range(first, first + self.micro))
            begin += self.batch_size


def to_tensors(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The arrays of a window batch as tensors, without copies."""
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def _start_worker(number: int) -> None:
    """What a data worker does first."""
    unheard()


class Windows(pl.LightningDataModule):
    """Training windows of a genome or of text, or labelled examples.

    Args:
        train: The windows or examples, in random or shuffled order.
        batch_size: Windows of an optimiser step, over all ranks and micro-batches.
        accumulate: Micro-batches a step.
        workers: Processes that read windows.
    """

    def __init__(self, train: Dataset | ExampleDataset, *, batch_size: int, accumulate: int, workers: int = 0) -> None:
        super().__init__()
        self.train, self.batch_size, self.accumulate, self.workers = train, batch_size, accumulate, workers
        self.first_step = 0

    @property
    def tokens(self) -> int:
        """Tokens of an optimiser step."""
        return self.batch_size * self.train.length

    def train_dataloader(self) -> DataLoader:
        """Micro-batches of this rank from ``first_step`` on, without end."""
        numbers = SampleNumbers(self.batch_size, self.accumulate, ranks.rank(), ranks.world(), self.first_step)
        return DataLoader(
            self.train, batch_sampler=numbers, collate_fn=to_tensors, num_workers=self.workers,
            worker_init_fn=_start_worker, pin_memory=torch.cuda.is_available(),
        )  # fmt: skip
