r"""Sampling that takes back: revealed tokens are masked again with probability sigma_t and drawn anew (ReMDM).

With a = alpha_t, b = alpha_s and s < t (Wang et al., Remasking discrete diffusion models with inference-time scaling,
2025, arXiv:2503.00307, eq. 6):

    a revealed token   is masked again with probability sigma_t, else stays
    a masked token     becomes x_0 ~ p(x_0 | x_t) with probability (b - (1 - sigma_t) a) / (1 - a), else stays masked

so that for every sigma_t in [0, sigma_max], sigma_max = min(1, (1 - b) / a), a token is masked at time t as often as
without remasking, and a trained denoiser serves as it is. sigma_t = 0 is ancestral sampling.

    cap       sigma_t = min(eta, sigma_max)
    rescale   sigma_t = eta sigma_max
    conf      sigma_t of position l = eta sigma_max softmax_l(-psi), over the revealed positions of the row, psi the
              probability the token had when it was drawn. It is 0 at masked ones, so there are somewhat more masks than
              the schedule has, and the last step reveals them
    loop      ancestral steps until alpha_on of the tokens are there (t_on), then steps that keep alpha = alpha_on and
              remask with sigma = min(eta, sigma_max), and ancestral steps for the rest from t_off on

Positions of one step are independent given x_t, so the law comes near the model's p(x) as steps grow only if eta falls
like 1 / steps. The use of remasking is another one: mistakes of steps that reveal much at once can be mended, which the
paper finds to help together with a nucleus. Given bases are never masked. The network is called for a row when
something is revealed in it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.sampler import Conditions, Sampler, positions
from dnadiff.diffusion.truncation import Truncation
from dnadiff.errors import InputError, did_you_mean
from dnadiff.random import Draws

ETAS = {"cap": 0.008, "rescale": 0.015, "conf": 1.0, "loop": 0.02}
"""The strategies and the strengths of the paper's experiments."""


@dataclass(frozen=True)
class Loop:
    """When the strategy ``loop`` stays where it is.

    Attributes:
        t_on: Time at which alpha reaches ``alpha_on`` and remasking begins.
        t_off: Time at which it ends, above 0 and below ``t_on``, which is below 1.
        alpha_on: Share of the tokens that is there meanwhile, in (0, 1).

    Raises:
        InputError: The times or the share lie outside these ranges.
    """

    t_on: float = 0.55
    t_off: float = 0.05
    alpha_on: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.t_off < self.t_on < 1:
            raise InputError(f"t_on={self.t_on}, t_off={self.t_off}: needs 0 < t_off < t_on < 1")
        if not 0 < self.alpha_on < 1:
            raise InputError(f"alpha_on={self.alpha_on}: needs a number above 0 and below 1")

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the tokens that is there at time t: linear up to t_on, constant, linear from t_off."""
        rising = ((1 - t) * self.alpha_on / (1 - self.t_on)).clamp(max=self.alpha_on)
        return torch.where(t <= self.t_off, 1 - t * (1 - self.alpha_on) / self.t_off, rising)


class ReMDM(Sampler):
    """At most ``steps`` network calls, fewer where a step reveals nothing.

    Args:
        denoiser: Gives log p(x_0 | x_t).
        steps: Number of intervals of an even grid of times, 1 or more.
        remask: ``cap``, ``rescale``, ``conf`` or ``loop``.
        eta: Strength in [0, 1]; None is the paper's for the strategy.
        loop: The times of ``loop``.
        truncation: As in ``Sampler``; psi is the probability before it.
        rows_per_call: As in ``Sampler``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        steps: int,
        *,
        remask: str = "cap",
        eta: float | None = None,
        loop: Loop = Loop(),
        truncation: Truncation = Truncation(),
        rows_per_call: int | None = None,
    ) -> None:
        super().__init__(denoiser, truncation=truncation, rows_per_call=rows_per_call)
        if steps < 1:
            raise InputError(f"steps={steps}: needs 1 or more")
        if remask not in ETAS:
            raise InputError(f"remask={remask}: {did_you_mean(remask, ETAS)}")
        if eta is not None and not 0 <= eta <= 1:
            raise InputError(f"eta={eta}: needs a number from 0 to 1")
        self.steps, self.remask, self.loop = steps, remask, loop
        self.eta = ETAS[remask] if eta is None else eta

    def path(self) -> tuple[Tensor, Tensor, Tensor]:
        """Time the network is told in each step (T,), alpha at the T + 1 grid points, sigma of each step (T,); float64.

        The last alpha is 1: whatever is masked is revealed, also with schedules that mask something at t = 0.
        """
        grid, schedule = 1 - torch.arange(self.steps + 1, dtype=torch.float64) / self.steps, self.process.schedule
        alpha = self.loop.alpha(grid) if self.remask == "loop" else schedule.alpha(grid)
        alpha[-1] = 1
        time = schedule.inverse(alpha[:-1]).clamp(0, 1) if self.remask == "loop" else grid[:-1]
        a, b = alpha[:-1], alpha[1:]
        highest = torch.where(a > 1 - b, (1 - b) / a, 1.0)
        sigma = highest.clamp(max=self.eta) if self.remask in ("cap", "loop") else self.eta * highest
        if self.remask == "loop":
            sigma = torch.where((grid[:-1] > self.loop.t_off) & (grid[:-1] <= self.loop.t_on), sigma, 0.0)
        return time, alpha, sigma

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced, some of them several times."""
        given, psi = x != self.process.mask_id, torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        left, (times, alpha, sigmas) = int((~given).sum()), self.path()
        for step in range(self.steps):
            u, token = (draws.uniform(stream, step, x.shape[1]).to(x.device) for stream in ("remask", "redraw"))
            a, b, masked = float(alpha[step]), float(alpha[step + 1]), x == self.process.mask_id
            sigma = self._sigma(float(sigmas[step]), ~masked & ~given, psi)
            reveal = masked & (u < (b - (1 - sigma) * a) / (1 - a))
            back = ~masked & ~given & (u < sigma)
            before, x = x, x.masked_fill(back, self.process.mask_id)
            if (rows := reveal.any(-1).nonzero()[:, 0]).numel():
                at, of_rows = positions(reveal[rows]), conditions.rows(rows)
                log_p = self.denoiser(before[rows], times[step].expand(len(rows)), labels=of_rows.labels, at=at)
                drawn = self.draw(log_p, token[rows].gather(1, at), of_rows.allowed_at(at))
                x = x.index_put((rows[:, None], at), drawn)
                psi = psi.index_put((rows[:, None], at), log_p.double().exp().gather(-1, drawn[..., None])[..., 0])
                now = int((x == self.process.mask_id).sum())
                conditions.progress(left - now)
                left = now
        return x

    def _sigma(self, sigma: float, revealed: Tensor, psi: Tensor) -> Tensor:
        """Chance of each position to be masked again, (B, L) float64."""
        return sigma * by_confidence(psi, revealed) if self.remask == "conf" else torch.full_like(psi, sigma)


def by_confidence(psi: Tensor, revealed: Tensor) -> Tensor:
    """Shares softmax(-psi) over each row's revealed positions, (B, L) float64; 0 elsewhere.

    Args:
        psi: Probability each token had when it was drawn, (B, L) float64.
        revealed: Positions that can be masked again, (B, L) bool.
    """
    share = (-psi).masked_fill(~revealed, -torch.inf).softmax(-1)
    return torch.where(revealed, share, 0.0)
