r"""Training objectives: bounds on -log p(x_0), in nats a token.

An objective is cut in two. ``noise`` turns uniforms into corrupted tokens and the weight of every position; it holds
all the randomness and needs no network, so a data worker can do it. ``loss`` asks the denoiser once and is a pure
tensor function of fixed shapes, so it can be compiled. Calling the objective does both.
"""

import abc
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.diffusion.timesteps import draw_counts, draw_few, draw_log_uniform, draw_times, smallest
from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.random import Draws


@dataclass(frozen=True)
class Batch:
    """Clean sequences and what may be done with them.

    Attributes:
        x0: Tokens, (B, L) int64.
        valid: Real tokens; False for pads and unreadable bases, which are neither masked nor scored, (B, L) bool.
        given: Tokens that are always shown and never scored, such as [BOS] and prompts, (B, L) bool.
        visible: Positions attention may look at, (B, L) bool; None shows all.
        labels: Class of each row, (B,) int64.
    """

    x0: Tensor
    valid: Tensor
    given: Tensor | None = None
    visible: Tensor | None = None
    labels: Tensor | None = None

    @property
    def maskable(self) -> Tensor:
        """Positions that can be masked and are scored, (B, L) bool."""
        return self.valid if self.given is None else self.valid & ~self.given


@dataclass(frozen=True)
class TokenLoss:
    """Negative log-likelihood (or an unbiased estimate of its bound) of every token.

    Attributes:
        nll: Nats, 0 where nothing was masked, (B, L).
        valid: Tokens that count, (B, L) bool.
    """

    nll: Tensor
    valid: Tensor

    @property
    def total(self) -> Tensor:
        """Nats of all tokens that count, a scalar."""
        return torch.where(self.valid, self.nll, 0.0).sum()

    @property
    def count(self) -> Tensor:
        """Number of tokens that count, an integer scalar."""
        return self.valid.sum()

    @property
    def mean(self) -> Tensor:
        """Nats a token, a scalar; 0 if no token counts."""
        return self.total / self.count.clamp(min=1)


@dataclass(frozen=True)
class Noised:
    """A corrupted batch.

    Attributes:
        xt: Corrupted tokens, (B, L) int64.
        t: Time of each row in [0, 1], (B,) float64, or of each token, (B, L).
        weight: What a nat of each position counts for; 0 where nothing is counted, (B, L) float64.
        start: Tokens at the beginning of time, from which x_0 is reconstructed, (B, L) int64; None where a bound has no
            such term.
    """

    xt: Tensor
    t: Tensor
    weight: Tensor
    start: Tensor | None = None


class Objective(abc.ABC):
    """A bound on -log p(x_0).

    Attributes:
        exact: Whether it is -log p(x_0) itself, without any randomness.
    """

    exact: bool = False

    @abc.abstractmethod
    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch, corrupted; row b depends on ``batch`` row b and ``draws.item_ids[b]`` alone."""

    @abc.abstractmethod
    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every token from one call of the denoiser."""

    def for_step(self, seed: int, step: int) -> "Objective":
        """What the windows of an optimiser step are trained with: itself, unless steps differ."""
        return self

    def __call__(self, denoiser: Denoiser, batch: Batch, draws: Draws) -> TokenLoss:
        """``loss`` of ``noise``."""
        return self.loss(denoiser, batch, self.noise(batch, draws))


class MaskedNELBO(Objective):
    r"""The continuous-time NELBO of masked diffusion (MDLM, eq. 10), estimated once a row.

    ``count`` masks k ~ U{1..n} of the row's n maskable tokens and weighs their cross-entropy n / k: unbiased for the
    whole integral, whatever the schedule. ``time`` draws t in [eps, 1), masks each token with the schedule's move
    chance and weighs (1 - eps) times the schedule's weight: unbiased for the integral over the move chances in [m(eps),
    m(1)], so it misses what lies outside. (MDLM leaves out the factor 1 - eps.) A row without maskable tokens
    contributes nothing.

    A time-conditioned denoiser is told the t at which the schedule has the row's move chance; ``count`` draws that move
    chance from its law given k, Beta(k, n - k + 1), and keeps t within [0, 1].

    *Ablations.* A denoiser that gives the mask itself a probability p_m reveals less often than it should; the rate at
    which the posterior of eq. 5 differs (the limit of MDLM's eq. 7 in continuous time) makes a masked token cost

        weight * [ -log p(x_0) + log(1 + alpha p_m / (1 - alpha)) - p_m / (1 - alpha + alpha p_m) ]

    A denoiser that does not carry over shown tokens must reproduce them at t = 0: ``reconstruction`` adds -log p(x_0 |
    x_0), which takes a second call.

    Args:
        process: The corruption; ``count`` reads its schedule only to tell the time.
        estimator: ``"count"`` or ``"time"``.
        eps: Smallest time of the ``time`` estimator, in (0, 1).
        importance_sampling: Low noise more often, at less weight. ``time`` draws move chances evenly by their logarithm
            instead of t, so that all weights are the same log(m(1) / m(eps)) (MDLM's switch of this name); ``count``
            draws k about as 1 / sqrt(k) (``timesteps.draw_few``), still unbiased for the whole integral.
        reconstruction: Add what it costs to tell x_0 from itself at t = 0.
        pattern: Who sees whom in training; the bound itself is that of ``Full``.
        complementary: Samples 2i and 2i + 1 are the same window: ``count`` masks k tokens in the first, and in the
            second the others and one of the k, drawn evenly, which is what the uniforms 1 - u give. So every token is
            learned from, and each sample by itself is as unbiased as before.
        only_masked: Ask the denoiser about masked tokens alone, so that its last layer computes no others. The nats are
            the same up to rounding. The shapes differ from step to step and the host must know them, so it is for
            training on a CPU without compilation.
    """

    def __init__(
        self,
        process: AbsorbingProcess,
        estimator: Literal["count", "time"] = "count",
        eps: float = 1e-3,
        *,
        importance_sampling: bool = False,
        reconstruction: bool = False,
        pattern: Pattern = Full(),
        complementary: bool = False,
        only_masked: bool = False,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise InputError(f"estimator={estimator!r}: there are {', '.join(ESTIMATORS)}")
        if complementary and (estimator != "count" or importance_sampling):
            raise InputError("complementary=True: goes with even numbers of masks; estimator='count' alone would work")
        self.process, self.estimator, self.eps, self.complementary = process, estimator, eps, complementary
        self.importance_sampling, self.reconstruction, self.pattern = importance_sampling, reconstruction, pattern
        self.only_masked = only_masked

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch, corrupted; pads and given tokens never are."""
        turned = None
        if self.complementary:
            turned = torch.from_numpy(draws.item_ids % 2 == 1).to(batch.x0.device)
            draws = Draws(draws.seed, draws.item_ids // 2, draws.first)
        u = draws.uniform("mask", 0, batch.x0.shape[1]).to(batch.x0.device)
        if self.estimator == "count":
            masked, t, weight = self._by_count(draws, u, batch.maskable, turned)
        else:
            masked, t, weight = self._by_time(draws, u, batch)
        xt = torch.where(masked, self.process.mask_id, batch.x0)
        start = batch.x0 if self.reconstruction else None
        return Noised(xt, t, torch.where(masked, weight[:, None], 0.0), start)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every token; 0 where the token was not masked, but for its reconstruction."""
        at = numbers(noised.weight > 0) if self.only_masked else None
        log_p = denoiser(noised.xt, noised.t, pattern=self.pattern, valid=batch.visible, labels=batch.labels, at=at)
        x0, weight, t = chosen(at, batch.x0, noised.weight.to(log_p.dtype), noised.t[:, None].expand(batch.x0.shape))
        log_p_x0 = log_p.gather(-1, x0[..., None])[..., 0]
        cost = self._mask_cost(log_p[..., self.process.mask_id].exp(), t) - log_p_x0
        nll = spread_out(at, torch.where(weight > 0, weight * cost, 0.0), batch.x0)
        if noised.start is not None:
            nll = nll + reconstruction(denoiser, batch, noised.start, torch.zeros_like(noised.t))
        return TokenLoss(nll, batch.maskable)

    def _mask_cost(self, p_mask: Tensor, t: Tensor) -> Tensor:
        """Nats that probability on the mask adds to each masked token, at its time t; 0 without any."""
        m = self.process.schedule.move_chance(t).clamp(min=1e-12).to(p_mask.dtype)
        alpha = self.process.schedule.alpha(t).to(p_mask.dtype)
        return torch.log1p(alpha * p_mask / m) - p_mask / (m + alpha * p_mask)

    def _by_count(
        self, draws: Draws, u: Tensor, maskable: Tensor, turned: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        n = maskable.sum(-1)
        k, chance = draw_few(draws, n) if self.importance_sampling else (draw_counts(draws, n), None)
        if turned is not None:
            u, k = torch.where(turned[:, None], 1 - u, u), torch.where(turned, torch.minimum(n + 1 - k, n), k)
        masked, m = smallest(u, maskable, k)
        t = self.process.schedule.inverse(1 - m).clamp(0, 1)
        even = n / k.clamp(min=1).double()
        return masked, t, even if chance is None else even / (n * chance).masked_fill(n == 0, 1.0)

    def _by_time(self, draws: Draws, u: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        schedule = self.process.schedule
        if self.importance_sampling:
            ends = schedule.move_chance(torch.tensor([self.eps, 1.0], dtype=torch.float64))
            m = draw_log_uniform(draws, float(ends[0]), float(ends[1])).to(u.device)
            t, weight = schedule.inverse(1 - m), torch.log(ends[1] / ends[0]).to(u.device).expand(len(m))
        else:
            t = draw_times(draws, self.eps).to(u.device)
            m, weight = schedule.move_chance(t), (1 - self.eps) * schedule.weight(t)
        masked = batch.maskable & (self.process.corrupt(batch.x0, m, u) == self.process.mask_id)
        return masked, t, weight


ESTIMATORS = ("count", "time")
"""The estimators a configuration may name."""


def numbers(wanted: Tensor) -> Tensor:
    """The numbers (T,) int64 of the tokens that are wanted, (B, L) bool, counted row after row."""
    return wanted.flatten().nonzero()[:, 0]


def chosen(at: Tensor | None, *values: Tensor) -> list[Tensor]:
    """Values (B, L) of the tokens with the numbers ``at``, (T,) each; the values themselves for None."""
    return list(values) if at is None else [value.flatten()[at] for value in values]


def spread_out(at: Tensor | None, nll: Tensor, like: Tensor) -> Tensor:
    """Nats (T,) of the tokens with the numbers ``at`` where they belong, (B, L) as ``like``; 0 at the others."""
    return nll if at is None else nll.new_zeros(like.numel()).index_copy(0, at, nll).view(like.shape)


def reconstruction(denoiser: Denoiser, batch: Batch, start: Tensor, t: Tensor) -> Tensor:
    """-log p(x_0 | the tokens ``start`` at time t), nats (B, L); 0 where no token counts."""
    log_p = denoiser(start, t, valid=batch.visible, labels=batch.labels)
    log_p_x0 = log_p.gather(-1, batch.x0[..., None])[..., 0]
    return torch.where(batch.maskable, -log_p_x0, 0.0)
