"""From the data layer's numpy batches to tensors. The only module of the data layer that imports torch."""

import numpy as np
import torch
from torch import Tensor


def collate(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The same batch as tensors that share its memory; the ``collate_fn`` of a DataLoader over a ``WindowDataset``."""
    return {key: torch.from_numpy(value) for key, value in batch.items()}
