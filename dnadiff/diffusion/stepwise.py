r"""Sampling where every step draws every position: for models in which what happens next cannot be planned ahead.

A sampler of masked diffusion draws beforehand when each position is revealed (see sampler.py). That fails where the
chance of a change depends on what the network says, so here the steps from t = 1 down to 0 are walked one by one, and
each draws x_s from a law over all tokens, with one call of the network:

    Posterior   q(x_s | x_t) with x_0 ~ p(x_0 | x_t): UDLM, whose bases change again and again, and D3PM, whose network
                may vote for staying masked
    Analytic    SEDD's (Lou et al. 2023, section 4.2): the exact reversal of a step if the ratios s_y at time t are
                right. A masked token becomes y with probability (exp(sigma_t - sigma_s) - 1) s_y, which with s_y = q_y
                / (exp(sigma_t) - 1) is

                    q_y (alpha_s - alpha_t) / (1 - alpha_t)

                so that a sum of q below 1 reveals later than the schedule, above 1 sooner

The last step ends at x_0: it draws from p(x_0 | x_t), the mask excluded. Given tokens never change. ``truncation`` and
``allowed`` act on the network's distribution of x_0, before the law of the step is formed from it.
"""

import abc
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.parameterization import D3PM, Parameterization, Sedd
from dnadiff.diffusion.process import AbsorbingProcess, UniformProcess
from dnadiff.diffusion.sampler import Conditions, Sampler, inverse_cdf
from dnadiff.diffusion.truncation import Truncation
from dnadiff.errors import InputError
from dnadiff.random import Draws


class Stepwise(Sampler):
    """At most ``steps`` network calls a row, one a step; none once a row has nothing left to change.

    Args:
        denoiser: Gives log p(x_0 | x_t).
        steps: Number of intervals of an even grid of times, 1 or more.
        truncation: As in ``Sampler``.
        rows_per_call: As in ``Sampler``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        steps: int,
        *,
        truncation: Truncation = Truncation(),
        rows_per_call: int | None = None,
    ) -> None:
        super().__init__(denoiser, truncation=truncation, rows_per_call=rows_per_call)
        if steps < 1:
            raise InputError(f"steps={steps}: needs 1 or more")
        self.steps = steps
        self._revises = isinstance(self.process, UniformProcess)  # else tokens are revealed, once

    @abc.abstractmethod
    def law(self, log_p: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Probabilities of x_s given x_t, (B, L, V) float64, summing to 1; no mask if s = 0.

        Args:
            log_p: What the denoiser said of x_0, truncated, (B, L, V) float64, -inf for the impossible.
            xt: Tokens at time t, (B, L) int64.
            t: Time in (0, 1], (B,) float64.
            s: Time in [0, t), (B,) float64.
        """

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced; ``x`` is not written to."""
        wanted = x == self.process.mask_id
        x = self._begun(x, wanted, draws)
        for step in range(self.steps):
            rows = self._moving(x, wanted).nonzero()[:, 0]
            if not len(rows):
                break
            u = draws.uniform("step", step, x.shape[1]).to(x.device)[rows]
            t, s = (torch.full((len(rows),), 1 - j / self.steps, dtype=torch.float64) for j in (step, step + 1))
            told, before, of_rows = t.to(x.device), x[rows], conditions.rows(rows)
            log_p = self.denoiser(before, told, labels=of_rows.labels)
            law = self.law(self._truncated(log_p, of_rows.allowed, wanted[rows]), before, told, s.to(x.device))
            after = torch.where(wanted[rows], inverse_cdf(law.log(), u), before)
            x = x.index_put((rows,), after)
            conditions.progress(self._settled(before, after, wanted[rows], step))
        return x

    def _begun(self, x: Tensor, wanted: Tensor, draws: Draws) -> Tensor:
        """The state at t = 1."""
        if not self._revises:
            return x
        return torch.where(wanted, self.process.noise(draws.uniform("prior", 0, x.shape[1]).to(x.device)), x)

    def _moving(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Rows in which something can still change, (B,) bool."""
        return (wanted if self._revises else x == self.process.mask_id).any(-1)

    def _settled(self, before: Tensor, after: Tensor, wanted: Tensor, step: int) -> int:
        """Positions to report as done: those revealed, or this step's share of those that change to the end."""
        if self._revises:
            n = int(wanted.sum())
            return n * (step + 1) // self.steps - n * step // self.steps
        return int((before != after).sum())

    def _truncated(self, log_p: Tensor, allowed: Tensor | None, wanted: Tensor) -> Tensor:
        """Log-probabilities (B, L, V) with the mass they had, restricted and sharpened within the clean tokens."""
        log_p = log_p.double()
        clean = self.denoiser.parameterization.allowed_mask(log_p.shape[-1])
        possible = clean.expand_as(log_p) if allowed is None else clean & allowed
        if not possible.any(-1)[wanted].all():
            raise InputError("allowed: a position is left without any token the model can produce; allow one of them")
        mass = log_p.masked_fill(~clean, -torch.inf).logsumexp(-1, keepdim=True)
        inside = self.truncation(log_p.masked_fill(~possible, -torch.inf)).log_softmax(-1) + mass
        return torch.where(wanted[..., None] & clean, inside, log_p)


class Posterior(Stepwise):
    """Draws from q(x_s | x_t, x_0) averaged over the denoiser's x_0: UDLM's sampler, and D3PM's. Arguments as above."""

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (D3PM,)

    def law(self, log_p: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """The process's posterior; at s = 0 that of x_0. See ``Stepwise.law``."""
        p = log_p.exp()
        return self.process.clean(p, xt, t) if float(s[0]) == 0 else self.process.posterior(p, xt, t, s)


class Analytic(Stepwise):
    """SEDD's sampler. Arguments as above."""

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (Sedd,)

    def law(self, log_p: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Reveals by the ratios; at s = 0 everything, in proportion to them. See ``Stepwise.law``."""
        q = log_p.exp()
        return self.process.clean(q, xt, t) if float(s[0]) == 0 else analytic_law(self.process, q, xt, t, s)


def analytic_law(process: AbsorbingProcess, q: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Probabilities of x_s given x_t, (B, L, V), from ratios q that need not sum to 1; rows sum to 1.

    Where the ratios would reveal with a probability above 1, the token is revealed for certain.

    Args:
        process: The corruption.
        q: The ratios times exp(sigma_t) - 1, at least 0, (B, L, V).
        xt: Tokens at time t, (B, L) int64.
        t: Time in (0, 1], (B,).
        s: Earlier time, (B,).
    """
    m_t, m_s = process.schedule.move_chance(t), process.schedule.move_chance(s)
    mask = F.one_hot(torch.tensor(process.mask_id, device=xt.device), q.shape[-1])
    reveal = q * (1 - mask) * ((m_t - m_s) / m_t)[:, None, None]
    total = reveal.sum(-1, keepdim=True)
    law = reveal / total.clamp(min=1) + mask * (1 - total).clamp(min=0)
    return torch.where((xt == process.mask_id)[..., None], law, F.one_hot(xt, q.shape[-1]).to(q.dtype))
