"""Bits per base of held-out windows during training, as ``dna-diff evaluate`` would score them."""

import numpy as np

from dnadiff.data.windows import WindowDataset
from dnadiff.diffusion import Objective
from dnadiff.evaluation.likelihood import Scores, joined, score
from dnadiff.training import ranks
from dnadiff.training.module import DiffusionModule


class HeldOut:
    """Some held-out windows, evenly spaced over all there are, under the same noise every time.

    Args:
        dataset: Windows of a fixed grid.
        n: How many to score at most.
        batch_size: Windows at once; changes no figure.
        seed: Of the noise.
        objective: The bound.
    """

    def __init__(self, dataset: WindowDataset, n: int, batch_size: int, seed: int, objective: Objective) -> None:
        n = min(n, len(dataset))
        numbers = np.arange(n, dtype=np.int64) * len(dataset) // n
        self.dataset, self.seed, self.objective = dataset, seed, objective
        self.batches = [numbers[start : start + batch_size] for start in range(0, n, batch_size)]

    def score(self, module: DiffusionModule) -> Scores:
        """What the averaged weights pay for the windows, in fp32; the ranks share the work and all get the result."""
        world, count = ranks.world(), len(self.batches)
        # Everybody makes the same number of calls: with sharded weights each call needs all ranks.
        mine = [self.batches[i % count] for i in range(ranks.rank(), -(-count // world) * world, world)]
        denoiser = module.denoiser
        device = next(denoiser.parameters()).device
        with module.ema.applied():
            denoiser.eval()
            windows = (self.dataset.__getitems__(numbers) for numbers in mine)
            part = score(denoiser, self.objective, windows, seed=self.seed, device=device)
            denoiser.train()
        return joined(ranks.gathered(part))
