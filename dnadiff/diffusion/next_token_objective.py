r"""The autoregressive likelihood: a token is predicted from those to its left.

    -log p(x) = -sum_i log p(x_{i+1} | x_0..x_i)

An equality, not a bound, and no randomness: one causal pass scores every token. Nothing is masked. The logits at
position i are about token i + 1 (MDLM's AR baseline), so the first position, [BOS] of a DNA window, is read and never
scored.
"""

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Noised, Objective, TokenLoss
from dnadiff.models.attention import BlockCausal
from dnadiff.random import Draws


class NextTokenNLL(Objective):
    """Exact -log p(x_i | the tokens before it), for denoisers with the parameterization ``NextToken``.

    A token is scored if it is maskable (real, not given) and not the first of its row. Pads and unreadable bases are
    not scored but stay visible to what lies right of them, unless ``batch.visible`` hides them.
    """

    exact = True

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch as it is, at t = 0; weight 1 where a token is scored."""
        return Noised(batch.x0, batch.x0.new_zeros(len(batch.x0), dtype=torch.float64), _scored(batch).double())

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every scored token from one causal call of the denoiser; 0 elsewhere."""
        log_p = denoiser(noised.xt, noised.t, pattern=BlockCausal(1), valid=batch.visible, labels=batch.labels)
        return next_token_loss(log_p, batch)


def next_token_loss(log_p: Tensor, batch: Batch) -> TokenLoss:
    """Nats of every scored token, of log p(the token after each position), (B, L, V)."""
    log_p_next = log_p[:, :-1].gather(-1, batch.x0[:, 1:, None])[..., 0]
    scored = _scored(batch)
    nll = torch.cat([log_p_next.new_zeros(len(log_p), 1), -log_p_next], dim=1)
    return TokenLoss(torch.where(scored, nll, 0.0), scored)


def _scored(batch: Batch) -> Tensor:
    """Maskable positions but the first, (B, L) bool."""
    first = torch.arange(batch.x0.shape[1], device=batch.x0.device) == 0
    return batch.maskable & ~first
