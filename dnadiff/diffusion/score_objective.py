r"""SEDD's score entropy for the absorbing process.

With ratios s_y at a masked position and their true value r = 1 / (exp(sigma) - 1) for y = x_0, 0 for the others, the
denoising score entropy (Lou et al. 2023, eq. 9 and 10) is

    sigma'(t) [ sum_y s_y - r log s_{x_0} + r (log r - 1) ]

With s_y = r q_y (see ``parameterization.Sedd``) and sigma'(t) r = -alpha' / (1 - alpha), the NELBO's weight, it is

    weight(t) [ -log q_{x_0} + sum_y q_y - 1 ]

MDLM's cross-entropy and what q's not being normalised costs. It is least where q = p(x_0 | x_t), and is then a bound on
-log p(x_0) of the same tightness.
"""

from typing import Literal

import torch

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, MaskedNELBO, Noised, Objective, TokenLoss
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.random import Draws


class ScoreEntropy(Objective):
    """Denoising score entropy in continuous time, for denoisers with the parameterization ``Sedd``.

    Args:
        process: The corruption.
        estimator: ``"time"``, as published, or ``"count"``, as in ``MaskedNELBO``: no end of the integral is missed.
        eps: Smallest time that ``time`` draws, in (0, 1).
    """

    def __init__(
        self, process: AbsorbingProcess, estimator: Literal["count", "time"] = "time", eps: float = 1e-3
    ) -> None:
        self.process = process
        self._masking = MaskedNELBO(process, estimator, eps)

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch, corrupted as for ``MaskedNELBO``."""
        return self._masking.noise(batch, draws)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every token from one call of the denoiser; 0 where the token was not masked."""
        log_q = denoiser(noised.xt, noised.t, valid=batch.visible, labels=batch.labels)
        log_q_x0 = log_q.gather(-1, batch.x0[..., None])[..., 0]
        weight = noised.weight.to(log_q.dtype)
        nll = torch.where(weight > 0, weight * (log_q.exp().sum(-1) - 1 - log_q_x0), 0.0)
        return TokenLoss(nll, batch.maskable)
