r"""How much of a row to mask: one time, or one number of tokens, a row.

The NELBO of a row with n maskable tokens is an integral over the move chance m or, integrating m out, a sum over the
number k of masked tokens (B is the beta function):

    int_0^1 (1/m) sum_S m^|S| (1-m)^(n-|S|) CE(S) dm  =  sum_k B(k, n-k+1) sum_{|S|=k} CE(S)
                                                      =  E_{k ~ U{1..n}} E_{S uniform, |S|=k} [ (n / k) CE(S) ]

where CE(S) is the summed cross-entropy of the masked tokens. The right side has no t, no schedule and no cut-off, and
its weights lie in [1, n]. Both kinds of draw are stratified over the global sample number, so any run of consecutive
samples covers the range evenly and no sample depends on its batch.
"""

import torch
from torch import Tensor

from dnadiff.random import Draws


def draw_times(draws: Draws, eps: float) -> Tensor:
    """Times in [eps, 1), (B,) float64, evenly spread over consecutive samples."""
    return eps + (1 - eps) * draws.stratified("time")


def draw_log_uniform(draws: Draws, low: float, high: float) -> Tensor:
    """Move chances in [low, high), (B,) float64, their logarithms evenly spread over consecutive samples."""
    return low * (high / low) ** draws.stratified("time")


def draw_steps(draws: Draws, n: int) -> Tensor:
    """Steps of a grid of n, (B,) int64, uniform on 1..n and evenly spread over consecutive samples."""
    return 1 + (draws.stratified("time") * n).long().clamp(max=n - 1)


def draw_counts(draws: Draws, n: Tensor) -> Tensor:
    """How many tokens of each row to mask, (B,) int64, uniform on 1..n; 0 where n is 0.

    Args:
        draws: Randomness of the rows.
        n: Maskable tokens of each row, (B,) int64.
    """
    k = 1 + (draws.stratified("time").to(n.device) * n).long()
    return torch.minimum(k, n)


def draw_few(draws: Draws, n: Tensor) -> tuple[Tensor, Tensor]:
    r"""As ``draw_counts``, but k with the chance \sqrt(k / n) - \sqrt((k - 1) / n), and that chance, (B,) float64.

    A row's loss is n / k times a sum over k tokens, so its variance falls about as 1 / k; drawing k in proportion to
    the root of that, about 1 / (2 \sqrt(k n)), leaves the mean loss with the least variance.

    Args:
        draws: Randomness of the rows.
        n: Maskable tokens of each row, (B,) int64.
    """
    k = torch.ceil(draws.stratified("time").to(n.device) ** 2 * n).long()
    k = torch.minimum(k.clamp(min=1), n)
    high, low = ((x.double() / n.clamp(min=1)).sqrt() for x in (k, (k - 1).clamp(min=0)))
    return k, high - low


def smallest(u: Tensor, maskable: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """A uniform k-subset of each row's maskable positions (B, L) bool, and a move chance (B,) that could have given it.

    The subset holds the k smallest uniforms; the move chance m is the largest of those. Ranks and order statistics of
    independent uniforms are independent, so m ~ Beta(k, n - k + 1) whatever the subset: the law of the move chance,
    given k masks, under the NELBO's density proportional to (1/m) m^k (1-m)^(n-k).

    Args:
        u: Uniforms in [0, 1), (B, L) float64.
        maskable: Positions to choose from, (B, L) bool.
        k: Size of each subset, at most the row's maskable positions, (B,) int64; 0 gives nothing and m = 0.
    """
    u = u.masked_fill(~maskable, torch.inf)
    kth = u.sort(dim=-1).values.gather(-1, (k - 1).clamp(min=0)[:, None])[:, 0]
    m = torch.where(k > 0, kth, 0.0)
    return maskable & (u <= m[:, None]) & (k > 0)[:, None], m
