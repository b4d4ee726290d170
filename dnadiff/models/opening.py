r"""Attention between causal and full: what a model of next tokens is shown on its way to one that looks around.

Ahead(r)            everything to the left and r positions to the right     r = 0 is causal, r = n is everything
Scattered(p, seed)  everything to the left and a share p of what lies right  p = 0 is causal, p = 1 is everything
"""

from dataclasses import dataclass

from torch import Tensor

from dnadiff.models.attention import Pattern


@dataclass(frozen=True)
class Ahead(Pattern):
    """Everything to the left, and as many as ``reach`` positions to the right."""

    reach: int

    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """True where the key is at most ``reach`` ahead."""
        return key <= query + self.reach


@dataclass(frozen=True)
class Scattered(Pattern):
    """Everything to the left, and of what lies right a random share, the same of every row, head and layer.

    Gong et al., Scaling diffusion language models via adaptation from autoregressive models, 2024, arXiv:2410.17891.

    Args:
        share: Of the pairs that causal attention hides, in [0, 1].
        seed: Another one, in [0, 2^31), shows other pairs.
    """

    share: float
    seed: int

    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """True where the key is not ahead, or the pair is one of those drawn."""
        return (key <= query) | (_mixed(_mixed(query + self.seed) ^ key) < self.share * (1 << 32))


def _mixed(x: Tensor) -> Tensor:
    """Numbers in [0, 2^32) that look random, of whole numbers of 0 or more (the 32-bit finaliser of MurmurHash3)."""
    x = x & 0xFFFFFFFF
    for multiplier, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        x = ((x ^ (x >> shift)) * multiplier) & 0xFFFFFFFF
    return x ^ (x >> 16)
