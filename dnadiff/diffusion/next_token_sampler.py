r"""Autoregressive sampling: one token after the other, from left to right.

    x_i ~ p(x_i | x_0..x_{i-1})                  exact: the product of the draws is p(x) itself, whatever the length

The network reads every token once: what it computed for earlier ones is kept in a cache of keys and values.

*Given bases.* What is given at the left is a prompt, and the continuation is an exact draw of p(rest | prompt). What is
given further right is kept, and tokens right of it see it; tokens left of it do not know of it. So every drawn token
follows p(x_i | everything to its left), and the whole is not p(masked | given). For bases fixed on the right, masked
diffusion with ``FirstHitting`` draws the exact conditional.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dnadiff.diffusion.parameterization import NextToken, Parameterization
from dnadiff.diffusion.sampler import Conditions, Sampler
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal
from dnadiff.models.cache import KVCache
from dnadiff.random import Draws


class Autoregressive(Sampler):
    """One network call for every position that is masked in some row walked together, each on its new tokens alone.

    Arguments as of ``Sampler``; for denoisers with the parameterization ``NextToken``. Allowed tokens are renormalised
    position by position, as everywhere.
    """

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (NextToken,)

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced, from left to right.

        Raises:
            InputError: A row begins with a mask.
        """
        masked = x == self.process.mask_id
        if masked[:, :1].any():
            raise InputError(
                "position 0 is masked; a next-token model continues what is given: [BOS] or a prompt works"
            )
        u, t = draws.uniform("token", 0, x.shape[1]).to(x.device), torch.zeros(len(x), device=x.device)
        x, cache = x.clone(), KVCache()
        for i in masked.any(0).nonzero()[:, 0].tolist():
            new = x[:, cache.length : i]
            last = torch.full((len(x), 1), new.shape[1] - 1, device=x.device)
            log_p = self.denoiser(new, t, pattern=BlockCausal(1), labels=conditions.labels, cache=cache, at=last)
            cache.commit(new.shape[1])
            allowed = conditions.allowed_at(torch.full_like(last, i))
            here = masked[:, i, None, None]  # rows that have a token there keep it, whatever may come
            drawn = self.draw(log_p, u[:, i : i + 1], None if allowed is None else allowed | ~here)[:, 0]
            x[:, i] = torch.where(masked[:, i], drawn, x[:, i])
            conditions.progress(int(masked[:, i].sum()))
        return x
