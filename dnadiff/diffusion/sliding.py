r"""Sequences longer than the window a model was trained on: a window slides along, a stride at a time.

The first window is sampled whole. Each further one keeps the last tokens of the one before as given and samples a
stride of new ones (MDLM's semi-autoregressive decoding, Sahoo et al. 2024, section 3.4). So the network never sees more
than its window, and a token knows of at most a window's length to its left.

Within a window any sampler that reveals from masks may walk. The law is

    p(x_1..x_W) prod_r p(new stride r | the W - stride tokens before it)

which is the model's p(x) only as far as tokens farther away than the window do not matter. Given bases are kept; they
are seen by the tokens of the windows that contain them.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dnadiff.diffusion.parameterization import Parameterization
from dnadiff.diffusion.sampler import Conditions, Sampler
from dnadiff.errors import InputError
from dnadiff.random import Draws


class Sliding(Sampler):
    """A sampler applied window by window.

    Args:
        sampler: Walks each window.
        window: Tokens the network sees, 1 or more.
        stride: New tokens of a further window, 1 or more and at most window - lead. The last window may have fewer.
        lead: Tokens at the start, such as [BOS], with which every window begins.

    Raises:
        InputError: The sizes do not fit together.
    """

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (Parameterization,)  # the sampler within has checked

    def __init__(self, sampler: Sampler, window: int, stride: int, *, lead: int = 0) -> None:
        if not 1 <= stride <= window - lead:
            raise InputError(f"stride={stride}: a window of {window - lead} takes 1 to {window - lead}")
        super().__init__(sampler.denoiser, truncation=sampler.truncation, rows_per_call=sampler.rows_per_call)
        self.sampler, self.window, self.stride, self.lead = sampler, window, stride, lead

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced, window by window."""
        x, length, width = x.clone(), x.shape[1], self.window - self.lead
        lead = torch.arange(min(self.lead, length), device=x.device)
        for end in [*range(min(self.window, length), length, self.stride), length]:
            start = min(max(self.lead, end - width), end)
            at = torch.cat([lead, torch.arange(start, end, device=x.device)])
            x[:, at] = self.sampler.walk(x[:, at], draws.after(start - len(lead)), conditions.positions(at))
        return x
