"""What training is judged by as it goes on: of a denoiser, the bits per base that ``evaluate`` would report."""

import abc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np
import torch

from dnadiff.data.dataset import Dataset
from dnadiff.diffusion import Clip, Denoiser, NoiseSearch, Objective
from dnadiff.evaluation.likelihood import Scores, joined, score
from dnadiff.random import Draws, key64
from dnadiff.training import ranks
from dnadiff.training.module import DiffusionModule, as_batch
from dnadiff.training.network import Training

S = TypeVar("S")
M = TypeVar("M", bound=Training)


class Validation(abc.ABC, Generic[M, S]):
    """Scores what was held out, with the averaged weights, and what follows from the scores."""

    @abc.abstractmethod
    def score(self, module: M) -> S:
        """How the averaged weights do; every rank gets the same."""

    @abc.abstractmethod
    def figures(self, module: M, scores: S) -> dict[str, float]:
        """What the log says of the scores, by column; the first is what the progress bar shows."""

    @abc.abstractmethod
    def adapt(self, module: M) -> None:
        """Changes how training goes on after a regular validation, if anything."""

    @abc.abstractmethod
    def enough(self, module: M) -> bool:
        """Whether training may end by what was scored so far."""


class HeldOut(Validation[DiffusionModule, Scores]):
    """Some held-out windows, evenly spaced over all there are, under the same noise every time.

    Args:
        dataset: Windows of a fixed grid.
        n: How many to score at most.
        batch_size: Windows at once; changes no figure.
        seed: Of the noise.
        objective: The bound.
        search: Chooses the noise levels to train on from the same windows; None leaves them.
        token: What a token is called.
    """

    def __init__(
        self, dataset: Dataset, n: int, batch_size: int, seed: int, objective: Objective,
        search: NoiseSearch | None = None, token: str = "base",
    ) -> None:  # fmt: skip
        n = min(n, len(dataset))
        numbers = np.arange(n, dtype=np.int64) * len(dataset) // n
        self.dataset, self.seed, self.objective, self.search, self.token = dataset, seed, objective, search, token
        self.batches = [numbers[start : start + batch_size] for start in range(0, n, batch_size)]

    def score(self, module: DiffusionModule) -> Scores:
        """What the averaged weights pay for the windows, in fp32; the ranks share the work and all get the result."""
        with _averaged(module) as (denoiser, device):
            windows = (self.dataset.__getitems__(numbers) for numbers, _ in self._mine())
            part = score(denoiser, self.objective, windows, seed=self.seed, device=device)
        return joined(ranks.gathered(part))

    def figures(self, module: DiffusionModule, scores: Scores) -> dict[str, float]:
        """Bits per base, their standard error, and the noise levels that training goes on with."""
        figures = {f"valid_bits_per_{self.token}": scores.bits_per_base, "valid_standard_error": scores.standard_error}
        return figures | ({"clip_low": module.clip.low, "clip_high": module.clip.high} if module.clip else {})

    def adapt(self, module: DiffusionModule) -> None:
        """Trains on the noise levels that the search chooses."""
        if clip := self.clip(module):
            module.train_on(clip)

    def enough(self, module: DiffusionModule) -> bool:
        """Never: a denoiser trains until its time is over."""
        return False

    def clip(self, module: DiffusionModule) -> Clip | None:
        """The noise levels to train on, by the averaged weights' losses; None if nobody asked for a search."""
        if self.search is None:
            return None
        figures = []
        with _averaged(module) as (denoiser, device), torch.inference_mode():
            for numbers, counts in self._mine():
                rows = {name: torch.from_numpy(x).to(device) for name, x in self.dataset.__getitems__(numbers).items()}
                draws = Draws(key64("noise search", self.seed), numbers)
                figures.append(counts * self.search.measure(denoiser, as_batch(rows), draws))
        mine = torch.stack(figures).sum(0)
        total = torch.tensor(ranks.total(mine.flatten().tolist()), dtype=torch.float64)
        return self.search.choose(total.view_as(mine))

    def _mine(self) -> list[tuple[np.ndarray, bool]]:
        """This rank's share of the batches, and whether one is its to count.

        Everybody makes the same number of calls: with sharded weights each call needs all ranks.
        """
        world, count = ranks.world(), len(self.batches)
        return [(self.batches[i % count], i < count) for i in range(ranks.rank(), -(-count // world) * world, world)]


@contextmanager
def _averaged(module: DiffusionModule) -> Iterator[tuple[Denoiser, torch.device]]:
    """The denoiser with its averaged weights in evaluation mode, and where it is."""
    denoiser = module.denoiser
    with module.ema.applied():
        denoiser.eval()
        yield denoiser, next(denoiser.parameters()).device
        denoiser.train()
