"""Keys and values of the tokens a sampler has finished, so that they are never computed again."""

import torch
from torch import Tensor


class KVCache:
    """Rotated keys and values of a prefix, one pair a layer; owned by the sampler.

    A forward pass reads the prefix and stages the keys and values of its own tokens; nothing is kept until the sampler
    says how many of them are final with ``commit``.
    """

    def __init__(self) -> None:
        self.length = 0
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._staged: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the prefix and the new tokens, (B, H, length + N, K) each; the new ones are staged."""
        self._staged[layer] = (k, v)
        if layer not in self._kept:
            return k, v
        old_k, old_v = self._kept[layer]
        return torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)

    def commit(self, n: int) -> None:
        """Keep the first n of the tokens of the last forward pass as part of the prefix."""
        for layer, (k, v) in self._staged.items():
            new = (k[:, :, :n], v[:, :, :n])
            old = self._kept.get(layer)
            self._kept[layer] = (
                new if old is None else tuple(torch.cat(pair, dim=2) for pair in zip(old, new, strict=True))
            )
        self._staged = {}
        self.length += n
