"""The mask's place in a model that was trained without one: a row behind the vocabulary, and how it begins.

No id that the model knows is given another meaning. The new embedding is the mean of the ordinary ones with a little
noise, so that the network, which has never met it, reads something between all tokens. The head's row for it does not
matter: no parameterization gives the mask a probability.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

NOISE = 0.02  # standard deviation of the noise, in standard deviations of the ordinary embeddings


def mask_row(embedding: Tensor, ordinary: Sequence[int], generator: torch.Generator) -> Tensor:
    """A new embedding, (D,): the mean of some rows of an embedding (V, D), and normal noise.

    Args:
        embedding: Of the whole vocabulary.
        ordinary: Ids of the tokens that a clean sequence can hold.
        generator: Of the noise.
    """
    rows = embedding.detach()[torch.tensor(ordinary)]
    noise = torch.randn(rows.shape[1], generator=generator, dtype=rows.dtype)
    return rows.mean(0) + NOISE * rows.std() * noise


def with_mask_row(weight: Tensor, *, head: bool = False) -> Tensor:
    """An embedding or, with ``head``, a head's weight (V, D) with a row for the mask behind the last, (V + 1, D)."""
    if head:
        return torch.cat([weight, torch.zeros_like(weight[:1])])
    new = mask_row(weight, range(len(weight)), torch.Generator().manual_seed(0))
    return torch.cat([weight, new[None]])
