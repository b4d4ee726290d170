r"""Which tokens are asked about: the ``at`` of every backbone and denoiser, from x (B, N, D) of all tokens.

    None             all                                                       (B, N, D)
    a slice          of step 1, the same of every row                          (B, M, D)
    (B, M) int64     positions, as many of every row                           (B, M, D)
    (T,) int64       numbers b * N + i of tokens, any number of them a row     (T, D)

The last is for training, where rows have different numbers of masked tokens: what follows the last attention is
computed for those alone, without pads.

Shapes: B batch, N tokens, M positions of a row, T tokens of the batch, D width, C width of the conditioning vector.
"""

from torch import Tensor


def pick(x: Tensor, at: Tensor | slice | None) -> Tensor:
    """The tokens ``at`` of x (B, N, D): (B, M, D), or (T, D) by number; all for None."""
    if at is None:
        return x
    if isinstance(at, slice):
        return x[:, at]
    if at.ndim == 1:
        return x.flatten(0, 1).index_select(0, at)
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))


def by_number(at: Tensor | slice | None) -> bool:
    """Whether tokens are chosen by their numbers (T,) in the batch instead of by positions in each row."""
    return isinstance(at, Tensor) and at.ndim == 1


def pick_condition(c: Tensor, at: Tensor | slice | None, n: int) -> Tensor:
    """The conditioning (B, 1 | N, C) of the tokens ``at``; one that the n tokens of a row share stays (B, 1, C).

    For numbers of tokens in the batch it is (T, C).
    """
    if by_number(at) and c.shape[1] == 1:
        return c[:, 0].index_select(0, at // n)
    return c if c.shape[1] == 1 else pick(c, at)
