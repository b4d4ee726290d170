r"""The bound in T steps: what the sampler that takes T steps pays.

With grid times t_j = j / T, m the move chance relative to that at t = 1 and alpha = 1 - m, the NELBO of the chain is

    sum_j E_q KL( q(x_s | x_t, x_0) || p(x_s | x_t) ) + E_q [ -log p(x_0 | x_0) ],      t = t_j, s = t_{j-1}

(Austin et al. 2021, eq. 1; MDLM, eq. 9). A token that is not masked costs nothing in the sum. A masked one, to which
the denoiser gives p(x_0), and p_m of which lies on the mask itself, costs

    a log( A_t / p(x_0) ) + (1 - a) log( A_t / A_s )       a = (m_t - m_s) / m_t,   A_t = 1 + alpha_t p_m / m_t

which is -a log p(x_0) with zero masking. The last term is the *reconstruction*: shown tokens must be reproduced; with
carry-over it is nothing. The chain starts from nothing but masks (m_1 = 1) and ends with none (m_0 = 0), whatever the
schedule has at its ends, as the sampler does. With ideal conditionals the bound exceeds the entropy of p by an amount
that halves as T doubles: tokens revealed together are drawn independently.
"""

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Noised, Objective, TokenLoss, reconstruction
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.diffusion.timesteps import draw_steps
from dnadiff.errors import InputError
from dnadiff.random import Draws


class DiscreteNELBO(Objective):
    """NELBO of masked diffusion in T steps, estimated from one of them: D3PM's, and MDLM's with finite T.

    Args:
        process: The corruption.
        T: Number of steps, 1 or more.
        reconstruction: Whether the denoiser does not carry over shown tokens and must pay for reproducing them.
    """

    def __init__(self, process: AbsorbingProcess, T: int, *, reconstruction: bool = False) -> None:
        if T < 1:
            raise InputError(f"T={T}: the number of steps is 1 or more")
        self.process, self.T, self.reconstruction = process, T, reconstruction

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch at t = j / T with j uniform on 1..T; pads and given tokens are never masked."""
        t = draw_steps(draws, self.T).to(batch.x0.device).double() / self.T
        u = draws.uniform("mask", 0, batch.x0.shape[1]).to(batch.x0.device)
        masked = batch.maskable & (self.process.corrupt(batch.x0, self._masked_share(t), u) == self.process.mask_id)
        xt = torch.where(masked, self.process.mask_id, batch.x0)
        return Noised(xt, t, masked.double() * self.T, batch.x0 if self.reconstruction else None)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every token; 0 where the token was not masked, but for its reconstruction."""
        log_p = denoiser(noised.xt, noised.t, valid=batch.visible, labels=batch.labels)
        log_p_x0 = log_p.gather(-1, batch.x0[..., None])[..., 0].double()
        p_mask = log_p[..., self.process.mask_id].double().exp()
        m_t = self._masked_share(noised.t)[:, None]
        m_s = self._masked_share((noised.t - 1 / self.T).clamp(min=0))[:, None]
        reveal = (m_t - m_s) / m_t
        stay_t, stay_s = (torch.log1p((1 - m) * p_mask / m.clamp(min=1e-12)) for m in (m_t, m_s))
        cost = stay_t - reveal * log_p_x0 - (1 - reveal) * stay_s
        nll = torch.where(noised.weight > 0, noised.weight * cost, 0.0).to(log_p.dtype)
        if noised.start is not None:
            nll = nll + reconstruction(denoiser, batch, noised.start, torch.zeros_like(noised.t))
        return TokenLoss(nll, batch.maskable)

    def _masked_share(self, t: Tensor) -> Tensor:
        """m(t) / m(1), and 0 before the first step, where rounding may leave a time of 1e-17."""
        schedule = self.process.schedule
        share = schedule.move_chance(t) / schedule.move_chance(torch.ones_like(t))
        return torch.where(t < 0.5 / self.T, 0.0, share)
