"""Bits per base of held-out windows during training, as ``dna-diff evaluate`` would score them."""

import numpy as np

from dnadiff.data.windows import WindowDataset
from dnadiff.diffusion import Objective
from dnadiff.evaluation.likelihood import Scores, score
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
        mine = self.batches[ranks.rank() :: ranks.world()]
        denoiser, part = module.denoiser, None
        device = next(denoiser.parameters()).device
        with module.ema.applied():
            denoiser.eval()
            if mine:
                windows = (self.dataset.__getitems__(numbers) for numbers in mine)
                part = score(denoiser, self.objective, windows, seed=self.seed, device=device)
            denoiser.train()
        return _joined([part for part in ranks.gathered(part) if part is not None])


def _joined(parts: list[Scores]) -> Scores:
    """The scores of all ranks, in the order of their windows."""
    ids = np.concatenate([part.item_ids for part in parts])
    order = np.argsort(ids)
    bits, counts = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("bits", "counts"))
    return Scores(ids[order], bits, counts)
