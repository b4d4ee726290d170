r"""Sampling: from masks to sequences by walking the reverse process.

In the reverse of the absorbing process every masked position has a time at which it is revealed. These times depend
neither on the network nor on the tokens: m(tau) / m(1) is uniform on [0, 1) for each position, independently, where m
is the schedule's move chance. So a sampler draws all of them beforehand and is nothing but a *plan*: which positions it
reveals in which call of the network. Everything else is one loop, shared by all.

    FirstHitting  reveals positions in the order of their times, k a call. One a call is the exact reverse process in at
                  most L calls (Zheng et al., Masked Diffusion Models are Secretly Time-Agnostic Masked Models, 2024,
                  arXiv:2409.02908)
    Ancestral     reveals together what falls between two points of a time grid: the law of drawing every step from
                  q(x_s | x_t) with x_0 ~ p(x_0 | x_t) (MDLM, eq. 7); calls in which nothing is revealed are not made

Tokens come from the inverse of the cumulative distribution in float64: float32 Gumbel noise cuts the tail off.

*Given bases.* Positions that are not the mask are given and never change. With one token a call and the ideal denoiser
the result is an exact draw of p(x | given), wherever the given bases lie.

*Allowed tokens.* ``allowed`` restricts each position's distribution and renormalises it when that position is drawn.
Earlier draws do not know what later positions are restricted to, so the result is not p(x | every position in its set),
except where the positions are independent. A base that is known should be given, not allowed.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.parameterization import FLOOR
from dnadiff.diffusion.truncation import nucleus, tempered
from dnadiff.errors import InputError
from dnadiff.random import Draws

DONE = torch.iinfo(torch.int64).max
"""The step of a position that needs none."""


@dataclass(frozen=True)
class Plan:
    """When each masked position is revealed; entries of positions that are not masked mean nothing.

    Attributes:
        step: Positions of a row with equal step are revealed together, lower steps first, (B, L) int64.
        time: Time the network is told in that call, in [0, 1], (B, L) float64.
    """

    step: Tensor
    time: Tensor


class Sampler(abc.ABC):
    """The loop of all samplers.

    Args:
        denoiser: Gives log p(x_0 | x_t); put it in evaluation mode first.
        temperature: Above 0; 1 leaves the model's distribution alone.
        nucleus_p: In (0, 1]; 1 cuts nothing off.
        rows_per_call: Rows the network sees at a time. None: one on a CPU, all elsewhere. One makes a row's sample the
            same to the last bit whatever batch it is in (matrix products of other shapes round differently); on a CPU
            it costs no speed from some 200 positions on.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        temperature: float = 1.0,
        nucleus_p: float = 1.0,
        rows_per_call: int | None = None,
    ) -> None:
        if not temperature > 0:
            raise InputError(f"temperature={temperature}: needs a number above 0")
        if not 0 < nucleus_p <= 1:
            raise InputError(f"nucleus={nucleus_p}: needs a number above 0, at most 1")
        self.denoiser, self.process = denoiser, denoiser.process
        self.temperature, self.nucleus_p, self.rows_per_call = temperature, nucleus_p, rows_per_call

    @abc.abstractmethod
    def plan(self, masked: Tensor, u: Tensor) -> Plan:
        """When to reveal which position.

        Args:
            masked: Positions to reveal, (B, L) bool.
            u: m(tau) / m(1) of each position's reveal time tau, uniform in [0, 1), (B, L) float64.
        """

    @torch.inference_mode()
    def __call__(
        self,
        x: Tensor,
        draws: Draws,
        *,
        allowed: Tensor | None = None,
        labels: Tensor | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Sequences without masks, (B, L) int64; row b depends on the arguments' row b and ``draws.item_ids[b]`` alone.

        Args:
            x: Start, (B, L) int64: masks where a token is wanted, given tokens elsewhere. Rows may differ in both.
            draws: Randomness of the rows.
            allowed: Tokens each position may become, bool, broadcastable to (B, L, V); None restricts nothing.
            labels: Class of each row, (B,) int64.
            progress: Called after every network call (so as often as the network was asked) with the number of
                positions revealed.

        Raises:
            InputError: ``allowed`` leaves a position nothing that the model can produce.
        """
        length = x.shape[1]
        order = draws.uniform("reveal", 0, length).to(x.device)
        token = draws.uniform("token", 0, length).to(x.device)
        if allowed is not None:
            allowed = allowed.to(x.device).expand(*x.shape, allowed.shape[-1])
        size = self.rows_per_call or (1 if x.device.type == "cpu" else max(1, len(x)))
        out = x.clone()
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            part = _Part(
                order[rows],
                token[rows],
                allowed if allowed is None else allowed[rows],
                labels if labels is None else labels[rows],
            )
            out[rows] = self._walk(x[rows], part, progress)
        return out

    def _walk(self, x: Tensor, part: "_Part", progress: Callable[[int], None] | None) -> Tensor:
        """Rows (B, L) with every mask replaced."""
        masked = x == self.process.mask_id
        plan = self.plan(masked, part.order)
        left = plan.step.masked_fill(~masked, DONE)
        while (rows := (left < DONE).any(-1).nonzero()[:, 0]).numel():
            now = left[rows].min(-1, keepdim=True)
            reveal = left[rows] == now.values
            at = positions_of(reveal)
            log_p = self.denoiser(
                x[rows],
                plan.time[rows].gather(1, now.indices)[:, 0],
                labels=part.labels if part.labels is None else part.labels[rows],
                at=at,
            )
            tokens = self.draw(log_p, part.token[rows].gather(1, at), part.allowed_at(rows, at))
            x = x.index_put((rows[:, None], at), tokens)
            left = left.index_put((rows[:, None], at), torch.tensor(DONE, device=left.device))
            if progress is not None:
                progress(int(reveal.sum()))
        return x

    def draw(self, log_p: Tensor, u: Tensor, allowed: Tensor | None) -> Tensor:
        """Tokens (B, M) int64 from the tempered and truncated distribution.

        Args:
            log_p: The denoiser's answer, (B, M, V).
            u: Uniforms in [0, 1), (B, M) float64.
            allowed: Tokens that may come out, (B, M, V) bool; None: all.

        Raises:
            InputError: ``allowed`` leaves a position nothing that the model can produce.
        """
        log_p = log_p.double()
        log_p = log_p.masked_fill(log_p <= FLOOR / 2, -torch.inf)
        if allowed is not None:
            log_p = log_p.masked_fill(~allowed, -torch.inf)
            if torch.isneginf(log_p).all(-1).any():
                raise InputError(
                    "allowed: a position is left without any token the model can produce; allow one of them"
                )
        if self.temperature != 1:
            log_p = tempered(log_p, self.temperature)
        if self.nucleus_p != 1:
            log_p = nucleus(log_p, self.nucleus_p)
        return inverse_cdf(log_p, u)


@dataclass(frozen=True)
class _Part:
    """What belongs to the rows the network sees together."""

    order: Tensor
    token: Tensor
    allowed: Tensor | None
    labels: Tensor | None

    def allowed_at(self, rows: Tensor, at: Tensor) -> Tensor | None:
        """The allowed tokens (B, M, V) of some positions (B, M) of some rows (B,)."""
        return None if self.allowed is None else self.allowed[rows[:, None], at]


class FirstHitting(Sampler):
    """One network call for every ``tokens_per_step`` tokens of a row; exact with one, an approximation with more.

    Args:
        denoiser: Gives log p(x_0 | x_t).
        tokens_per_step: Positions revealed together, independently of each other given the rest, 1 or more.
        temperature: As in ``Sampler``.
        nucleus_p: As in ``Sampler``.
        rows_per_call: As in ``Sampler``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        tokens_per_step: int = 1,
        *,
        temperature: float = 1.0,
        nucleus_p: float = 1.0,
        rows_per_call: int | None = None,
    ) -> None:
        super().__init__(denoiser, temperature=temperature, nucleus_p=nucleus_p, rows_per_call=rows_per_call)
        if tokens_per_step < 1:
            raise InputError(f"tokens_per_step={tokens_per_step}: needs 1 or more")
        self.tokens_per_step = tokens_per_step

    def plan(self, masked: Tensor, u: Tensor) -> Plan:
        """Latest times first, ``tokens_per_step`` at a time; the network is told the latest time of the group."""
        schedule = self.process.schedule
        ordered, order = u.masked_fill(~masked, -1).sort(dim=-1, descending=True)
        step = order.argsort(dim=-1) // self.tokens_per_step
        first = ordered.gather(1, step * self.tokens_per_step).clamp(min=0)
        time = schedule.inverse(1 - first * schedule.move_chance(u.new_ones(())))
        return Plan(step, time.clamp(0, 1))


class Ancestral(Sampler):
    """At most ``steps`` network calls, one for each interval of an even grid of times in which something is revealed.

    Converges to the exact reverse process as ``steps`` grows. At the last step, which ends at t = 0, whatever is masked
    is revealed, also with schedules whose move chance at 0 is not 0.

    Args:
        denoiser: Gives log p(x_0 | x_t).
        steps: Number of intervals, 1 or more.
        temperature: As in ``Sampler``.
        nucleus_p: As in ``Sampler``.
        rows_per_call: As in ``Sampler``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        steps: int,
        *,
        temperature: float = 1.0,
        nucleus_p: float = 1.0,
        rows_per_call: int | None = None,
    ) -> None:
        super().__init__(denoiser, temperature=temperature, nucleus_p=nucleus_p, rows_per_call=rows_per_call)
        if steps < 1:
            raise InputError(f"steps={steps}: needs 1 or more")
        self.steps = steps

    def plan(self, masked: Tensor, u: Tensor) -> Plan:
        """Interval j leads from t = 1 - j / steps to s = 1 - (j + 1) / steps and holds the times in [s, t)."""
        grid = torch.arange(self.steps + 1, dtype=u.dtype, device=u.device) / self.steps
        edges = self.process.schedule.move_chance(grid)
        below = torch.searchsorted(edges[1:-1].contiguous(), u * edges[-1], right=True)
        step = self.steps - 1 - below
        return Plan(step, 1 - step / self.steps)


SAMPLERS: dict[str, type[Sampler]] = {"first_hitting": FirstHitting, "ancestral": Ancestral}
"""The samplers a configuration may name."""


def inverse_cdf(log_p: Tensor, u: Tensor) -> Tensor:
    """Tokens (...,) int64: the first whose cumulative probability exceeds u; tokens of probability 0 never come out.

    Args:
        log_p: Log-probabilities up to a constant, (..., V) float64, -inf for impossible tokens but not for all.
        u: Uniforms in [0, 1), (...,) float64.
    """
    cdf = (log_p - log_p.amax(-1, keepdim=True)).exp().cumsum(-1)
    total = cdf[..., -1]
    target = torch.minimum(
        u * total, torch.nextafter(total, torch.zeros_like(total))
    )  # u * total may round up to total
    return (cdf <= target[..., None]).sum(-1)


def positions_of(reveal: Tensor) -> Tensor:
    """Positions that are True, (B, M) int64, M the most of any row; a row with fewer repeats its first one.

    A row with none repeats position 0.
    """
    at = reveal.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[:, : int(reveal.sum(-1).max())]
    return torch.where(reveal.gather(1, at), at, at[:, :1])
