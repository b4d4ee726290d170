r"""Sampling: from masks to sequences by walking the reverse process.

In the reverse of the absorbing process every masked position has a time at which it is revealed. These times depend
neither on the network nor on the tokens: m(tau) / m(1) is uniform on [0, 1) for each position, independently, where m
is the schedule's move chance. So a sampler draws all of them beforehand and is nothing but a *plan*: which positions it
reveals in which call of the network. Everything else is one loop, shared by all that only reveal.

    FirstHitting  reveals positions in the order of their times, k a call. One a call is the exact reverse process in at
                  most L calls (Zheng et al., Masked Diffusion Models are Secretly Time-Agnostic Masked Models, 2024,
                  arXiv:2409.02908)
    Ancestral     reveals together what falls between two points of a time grid: the law of drawing every step from
                  q(x_s | x_t) with x_0 ~ p(x_0 | x_t) (MDLM, eq. 7)

A row is forwarded when one of its positions is revealed and at no other time, so a row that has not changed is never
computed again, with time conditioning or without. (MDLM's ddpm_cache keeps the last answer while no row of the batch
changes, and only without time conditioning.)

Other files hold the samplers that do something else: take revealed tokens back (remasking.py), choose among completions
by a score (score_guidance.py), go from left to right (next_token_sampler.py), slide a window (sliding.py).

Tokens come from the inverse of the cumulative distribution in float64: float32 Gumbel noise cuts the tail off.

*Given bases.* Positions that are not the mask are given and never change. With one token a call and the ideal denoiser
the result is an exact draw of p(x | given), wherever the given bases lie.

*Allowed tokens.* ``allowed`` restricts each position's distribution and renormalises it when that position is drawn.
Earlier draws do not know what later positions are restricted to, so the result is not p(x | every position in its set),
except where the positions are independent. A base that is known should be given, not allowed.
"""

import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.parameterization import FLOOR, Parameterization, Subs
from dnadiff.diffusion.truncation import Truncation
from dnadiff.errors import InputError
from dnadiff.random import Draws

DONE = torch.iinfo(torch.int64).max
"""The step of a position that needs none."""


@dataclass(frozen=True)
class Conditions:
    """What is asked of the rows that are walked together.

    Attributes:
        allowed: Tokens each position may become, (B, L, V) bool; None restricts nothing.
        labels: Class of each row, (B,) int64.
        progress: Told after every network call by how many the masked positions have become fewer.
    """

    allowed: Tensor | None
    labels: Tensor | None
    progress: Callable[[int], None]

    def rows(self, index: slice | Tensor) -> "Conditions":
        """Those of some rows."""
        allowed, labels = (None if value is None else value[index] for value in (self.allowed, self.labels))
        return Conditions(allowed, labels, self.progress)

    def positions(self, index: Tensor) -> "Conditions":
        """Those of some positions (N,) of all rows."""
        return Conditions(None if self.allowed is None else self.allowed[:, index], self.labels, self.progress)

    def allowed_at(self, at: Tensor) -> Tensor | None:
        """The allowed tokens (B, M, V) of each row's positions (B, M)."""
        return None if self.allowed is None else self.allowed[torch.arange(len(at), device=at.device)[:, None], at]


class Sampler(abc.ABC):
    """What all samplers share: rows are walked one after another, tokens are drawn in float64.

    Args:
        denoiser: Gives log p(x_0 | x_t); put it in evaluation mode first.
        truncation: What is done to each distribution before a token is drawn.
        rows_per_call: Rows the network sees at a time. None: one on a CPU, all elsewhere. One makes a row's sample the
            same to the last bit whatever batch it is in (matrix products of other shapes round differently); on a CPU
            it costs no speed from some 200 positions on.

    Raises:
        InputError: The denoiser is not of a kind that the sampler ``works_with``.
    """

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (Subs,)

    def __init__(
        self, denoiser: Denoiser, *, truncation: Truncation = Truncation(), rows_per_call: int | None = None
    ) -> None:
        found = type(denoiser.parameterization)
        if not issubclass(found, self.works_with):
            wanted = " or ".join(kind.__name__ for kind in self.works_with)
            raise InputError(f"{type(self).__name__}: found a denoiser with {found.__name__}; one with {wanted} works")
        self.denoiser, self.process = denoiser, denoiser.process
        self.truncation, self.rows_per_call = truncation, rows_per_call

    @abc.abstractmethod
    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced; ``x`` is not written to."""

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
                positions revealed, less those masked again.

        Raises:
            InputError: ``allowed`` leaves a position nothing that the model can produce, or a row begins with a mask
                and the model speaks of tokens at the position before them.
        """
        out = x.clone()
        for rows, conditions in self.calls(x, allowed, labels, progress):
            out[rows] = self.walk(x[rows], draws.rows(rows), conditions)
        return out

    def calls(
        self, x: Tensor, allowed: Tensor | None, labels: Tensor | None, progress: Callable[[int], None] | None
    ) -> Iterator[tuple[slice, Conditions]]:
        """The rows that are walked together and what is asked of them, call by call."""
        if self.denoiser.shift and (x[:, :1] == self.process.mask_id).any():
            raise InputError(
                "position 0 is masked; a model with shift continues what is given: [BOS] or a prompt works"
            )
        if allowed is not None:
            allowed = allowed.to(x.device).expand(*x.shape, allowed.shape[-1])
        labels = None if labels is None else labels.to(x.device)
        conditions = Conditions(allowed, labels, progress or (lambda _: None))
        size = self.rows_per_call or (1 if x.device.type == "cpu" else max(1, len(x)))
        for start in range(0, len(x), size):
            rows = slice(start, min(start + size, len(x)))
            yield rows, conditions.rows(rows)

    def draw(self, log_p: Tensor, u: Tensor, allowed: Tensor | None) -> Tensor:
        """Tokens (B, M) int64 from log-probabilities (B, M, V), uniforms (B, M) and allowed tokens (B, M, V)."""
        return inverse_cdf(self.distribution(log_p, allowed), u)

    def distribution(self, log_p: Tensor, allowed: Tensor | None) -> Tensor:
        """What tokens are drawn from, (B, M, V) float64 up to a constant, of what the denoiser says and what may be."""
        log_p = log_p.double()
        mask = torch.arange(log_p.shape[-1], device=log_p.device) == self.process.mask_id  # ablated models give it some
        log_p = log_p.masked_fill((log_p <= FLOOR / 2) | mask, -torch.inf)
        if allowed is not None:
            log_p = log_p.masked_fill(~allowed, -torch.inf)
            if torch.isneginf(log_p).all(-1).any():
                raise InputError(
                    "allowed: a position is left without any token the model can produce; allow one of them"
                )
        return self.truncation(log_p)


@dataclass(frozen=True)
class Plan:
    """When each masked position is revealed; entries of positions that are not masked mean nothing.

    Attributes:
        step: Positions of a row with equal step are revealed together, lower steps first, (B, L) int64.
        time: Time the network is told in that call, in [0, 1], (B, L) float64.
    """

    step: Tensor
    time: Tensor

    def calls(self, masked: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The network calls in order; call j holds the j-th of every row that has so many.

        Each is its rows, (R,) int64, which of their positions are revealed, (R, L) bool, and the time, (R,) float64.

        Args:
            masked: Positions to reveal, (B, L) bool.
        """
        ranks = _dense_ranks(self.step.masked_fill(~masked, DONE)).masked_fill(~masked, -1)
        for call in range(int(ranks.max()) + 1 if ranks.numel() else 0):
            found = ranks == call
            rows = found.any(-1).nonzero()[:, 0]
            reveal = found[rows]
            yield rows, reveal, self.time[rows].gather(1, reveal.to(torch.int8).argmax(-1, keepdim=True))[:, 0]


def _dense_ranks(step: Tensor) -> Tensor:
    """How many different values of its row are below each, (B, L) int64."""
    ordered, order = step.sort(dim=-1)
    grows = torch.zeros_like(step)
    grows[:, 1:] = ordered[:, 1:] > ordered[:, :-1]
    return torch.empty_like(step).scatter_(-1, order, grows.cumsum(-1))


class Revealing(Sampler):
    """A sampler that only reveals, and therefore has a plan. Arguments as of ``Sampler``."""

    @abc.abstractmethod
    def plan(self, masked: Tensor, u: Tensor) -> Plan:
        """When to reveal which position.

        Args:
            masked: Positions to reveal, (B, L) bool.
            u: m(tau) / m(1) of each position's reveal time tau, uniform in [0, 1), (B, L) float64.
        """

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced, as planned."""
        masked = x == self.process.mask_id
        order, token = (draws.uniform(stream, 0, x.shape[1]).to(x.device) for stream in ("reveal", "token"))
        for rows, reveal, time in self.plan(masked, order).calls(masked):
            at, of_rows = positions(reveal), conditions.rows(rows)
            log_p = self.denoiser(x[rows], time, labels=of_rows.labels, at=at)
            tokens = self.draw(log_p, token[rows].gather(1, at), of_rows.allowed_at(at))
            x = x.index_put((rows[:, None], at), tokens)
            conditions.progress(int(reveal.sum()))
        return x


class FirstHitting(Revealing):
    """One network call for every ``tokens_per_step`` tokens of a row; exact with one, an approximation with more.

    Args:
        denoiser: Gives log p(x_0 | x_t).
        tokens_per_step: Positions revealed together, independently of each other given the rest, 1 or more.
        truncation: As in ``Sampler``.
        rows_per_call: As in ``Sampler``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        tokens_per_step: int = 1,
        *,
        truncation: Truncation = Truncation(),
        rows_per_call: int | None = None,
    ) -> None:
        super().__init__(denoiser, truncation=truncation, rows_per_call=rows_per_call)
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


class Ancestral(Revealing):
    """At most ``steps`` network calls, one for each interval of an even grid of times in which something is revealed.

    Converges to the exact reverse process as ``steps`` grows. At the last step, which ends at t = 0, whatever is masked
    is revealed, also with schedules whose move chance at 0 is not 0.

    Args:
        denoiser: Gives log p(x_0 | x_t).
        steps: Number of intervals, 1 or more.
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

    def plan(self, masked: Tensor, u: Tensor) -> Plan:
        """Interval j leads from t = 1 - j / steps to s = 1 - (j + 1) / steps and holds the times in [s, t)."""
        grid = torch.arange(self.steps + 1, dtype=u.dtype, device=u.device) / self.steps
        edges = self.process.schedule.move_chance(grid)
        below = torch.searchsorted(edges[1:-1].contiguous(), u * edges[-1], right=True)
        step = self.steps - 1 - below
        return Plan(step, 1 - step / self.steps)


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


def positions(reveal: Tensor) -> Tensor:
    """Positions that are True, (B, M) int64, M the most of any row; a row with fewer repeats its first one.

    A row with none repeats position 0.
    """
    at = reveal.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[:, : int(reveal.sum(-1).max())]
    return torch.where(reveal.gather(1, at), at, at[:, :1])
