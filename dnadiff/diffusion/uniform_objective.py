r"""UDLM: the continuous-time bound of the uniform process.

A token jumps to each of K tokens at rate -alpha'_t / (K alpha_t). Backwards it jumps from z = x_t to j at that rate
times the ratio of the probabilities of j and z at time t. With xbar_j(x) = K alpha_t x_j + 1 - alpha_t the ratio is

    r_j = xbar_j(x_0) / xbar_z(x_0)        of the true process, given x_0
    h_j = xbar_j(p) / xbar_z(p)            of the model, with p the denoiser's probabilities

and the bound is the divergence between the two (Schiff et al. 2024, eq. 18, as one sum):

    int_0^1 E_q sum_i sum_j (-alpha'_t / (K alpha_t)) [ r_j log(r_j / h_j) - r_j + h_j ] dt

At what p is it least? The model's ratio is that of p(x_t) itself if p(x_0) is predicted from *the other* tokens of x_t:
the token's own z enters through h. A denoiser is free to learn that, and the bound is -log p(x_0) then; with the
posterior given all of x_t, z included, it lies above.

Two ends are left out, as upstream does (``zero_recon_loss``). The one at t = 1, KL(q(x_1 | x_0) || uniform), is below
(K - 1) alpha_1^2 / 2 nats a token (2e-6 for DNA and eps = 1e-3). The one below ``eps`` is -log p(x_0 | x_eps), some
0.01 nats a base for eps = 1e-3, so ``reconstruction`` adds it wherever a likelihood is reported; it takes a second
call.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Noised, Objective, TokenLoss
from dnadiff.diffusion.process import UniformProcess
from dnadiff.diffusion.timesteps import draw_times
from dnadiff.random import Draws


class UniformNELBO(Objective):
    """NELBO of diffusion with uniform noise, a draw of t a row.

    Args:
        process: The corruption.
        eps: Smallest time drawn, in (0, 1).
        reconstruction: Add -log p(x_0 | x_eps), which makes the bound whole.
    """

    def __init__(self, process: UniformProcess, eps: float = 1e-3, *, reconstruction: bool = False) -> None:
        self.process, self.eps, self.reconstruction = process, eps, reconstruction

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch, corrupted; pads and given tokens never are. Every maskable position has a weight."""
        t = draw_times(draws, self.eps).to(batch.x0.device)
        weight = torch.where(batch.maskable, 1 - self.eps, 0.0).double()
        start = self._corrupted(batch, torch.full_like(t, self.eps), draws, "start") if self.reconstruction else None
        return Noised(self._corrupted(batch, t, draws, "mask"), t, weight, start)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every maskable token, at least 0."""
        log_p = denoiser(noised.xt, noised.t, valid=batch.visible, labels=batch.labels)
        rate = self._divergence(log_p, batch.x0, noised.xt, noised.t)
        nll = torch.where(batch.maskable, noised.weight.to(log_p.dtype) * rate, 0.0)
        if noised.start is not None:
            nll = nll + self._reconstruction(denoiser, batch, noised.start)
        return TokenLoss(nll, batch.maskable)

    def _corrupted(self, batch: Batch, t: Tensor, draws: Draws, stream: str) -> Tensor:
        u = draws.uniform(stream, 0, batch.x0.shape[1]).to(batch.x0.device)
        xt = self.process.corrupt(batch.x0, self.process.schedule.move_chance(t), u)
        return torch.where(batch.maskable, xt, batch.x0)

    def _divergence(self, log_p: Tensor, x0: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """The bound's integrand at every position, nats per unit of time, (B, L); no meaning where xt is none of K."""
        schedule, k = self.process.schedule, len(self.process.tokens)
        alpha, m = (value[:, None, None].to(log_p.dtype) for value in (schedule.alpha(t), schedule.move_chance(t)))
        ids = torch.tensor(self.process.tokens, device=log_p.device)
        z, clean = (F.one_hot(x, log_p.shape[-1]).to(log_p.dtype)[..., ids] for x in (xt, x0))
        bar, bar_p = k * alpha * clean + m, k * alpha * log_p[..., ids].exp() + m
        foreign = 1 - z.sum(-1, keepdim=True)  # [BOS] and pads are none of the K: no division by 0 there
        ratio, ratio_p = (b / ((b * z).sum(-1, keepdim=True) + foreign) for b in (bar, bar_p))
        rate = (-schedule.dalpha(t) / schedule.alpha(t) / k)[:, None].to(log_p.dtype)
        return rate * (ratio * torch.log(ratio / ratio_p) - ratio + ratio_p).sum(-1)

    def _reconstruction(self, denoiser: Denoiser, batch: Batch, start: Tensor) -> Tensor:
        """-log p(x_0 | x_eps), nats (B, L): p(x_0) from the other tokens times q(z | x_0), normalised."""
        t = torch.full((len(start),), self.eps, dtype=torch.float64, device=start.device)
        log_p = denoiser(start, t, valid=batch.visible, labels=batch.labels)
        schedule, k = self.process.schedule, len(self.process.tokens)
        alpha, m = schedule.alpha(t)[:, None], schedule.move_chance(t)[:, None]
        log_p_x0, log_p_z = (log_p.gather(-1, x[..., None])[..., 0].double() for x in (batch.x0, start))
        seen = torch.log(k * alpha * (start == batch.x0) + m) - torch.log(k * alpha * log_p_z.exp() + m)
        return torch.where(batch.maskable, -(log_p_x0 + seen), 0.0).to(log_p.dtype)
