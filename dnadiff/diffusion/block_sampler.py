r"""Sampling block by block: sequences of any length at a constant price a token.

Blocks are generated from left to right, each by the steps of an ordinary sampler, given the blocks before it:

    x^b ~ p(x^b | x^{<b})     with the plan of ``FirstHitting`` (1 or more tokens a call) or ``Ancestral`` for a block

(Arriola et al., Block Diffusion, 2025, algorithm 2.) With blocks of 1 this is autoregressive sampling.

*Cache.* A finished block is fed once; its rotated keys and values are kept. That needs no pass of its own: the block
goes in front of the next one, [clean b-1 ; noisy b], and block-causal attention lets the noisy tokens see the clean
ones but not the other way round, so one pass stores the one and takes the first step of the other. A block of k tokens
costs k calls instead of k + 1.

*Window.* A block sees at most ``window`` positions together with itself, as in training; older keys are forgotten, so
memory and time a token stay constant. Positions go on counting: rotary attention depends on differences alone, so this
is the same as counting from the window's edge, and no key is rotated twice. Keys of deeper layers were computed when
older tokens were still in sight and carry them along, as in every sliding window.

*Shift.* A denoiser with ``shift`` speaks of a block's first token at the last token before the block. That one stays
out of the cache and is read again in every call: k + 1 tokens instead of k.

*Draws* are addressed by the row and the block, so a sample depends neither on its batch nor on how far it is to go:
shorter samples are the beginnings of longer ones up to the last whole block.

*Given tokens* may lie anywhere. A block sees the given tokens in it and to its left, not those in later blocks. A rule
sees them all: it is asked about whole rows, while the network is shown no more than a block at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.diffusion.restricted import Rule
from dnadiff.diffusion.sampler import DONE, Conditions, Revealing, Sampler, positions
from dnadiff.diffusion.stopping import GO_ON, Stop
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal
from dnadiff.models.cache import KVCache
from dnadiff.random import Draws

PREFILL = 1024  # given tokens that are fed at once: bounds the memory a long prompt takes


@dataclass(frozen=True)
class Piece:
    """A finished block of rows that are walked together.

    Attributes:
        rows: Which.
        start: Position of its first token.
        tokens: (B, N) int64; rows that have ended hold the sampler's ``fill``.
        ended: Rows that ended here or before, (B,) bool.
    """

    rows: slice
    start: int
    tokens: Tensor
    ended: Tensor


class BlockSampler(Sampler):
    """Samples a model of block diffusion; called like any sampler, or read block by block from ``pieces``.

    Args:
        steps: How a block is walked: its plan, truncation and ``rows_per_call`` are used; the rows of a call share a
            cache.
        block_size: Tokens of a block, as in training.
        window: Positions a block may see with its own, a multiple of the block size; None: everything before it.
        stop: Rules that end a row early.
        fill: Token that follows the end of a row; needed with ``stop``.
        rule: What may come, given the row as it stands; asked at every call, besides what is ``allowed``.

    Raises:
        InputError: Impossible sizes, or ``stop`` without ``fill``.
    """

    def __init__(
        self,
        steps: Revealing,
        block_size: int,
        *,
        window: int | None = None,
        stop: Sequence[Stop] = (),
        fill: int | None = None,
        rule: Rule | None = None,
    ) -> None:
        super().__init__(steps.denoiser, truncation=steps.truncation, rows_per_call=steps.rows_per_call)
        if stop and fill is None:
            raise InputError("stop rules need fill, the token that follows the end of a row")
        self.steps, self.block_size, self.window = steps, block_size, window
        self.stop, self.fill, self.rule = tuple(stop), fill, rule
        self.pattern = BlockCausal(block_size, window)

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced, block by block; what follows the end of a row is ``fill``."""
        out = x.clone() if self.fill is None else torch.full_like(x, self.fill)
        for start, tokens, _ in _Rows(self, draws, conditions).walk(x, x.shape[1]):
            out[:, start : start + tokens.shape[1]] = tokens
        return out

    @torch.inference_mode()
    def pieces(
        self,
        x: Tensor,
        draws: Draws,
        *,
        length: int | None = None,
        allowed: Tensor | None = None,
        labels: Tensor | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Piece]:
        """The blocks as they are finished: those of the rows of a call from left to right, then those of the next.

        Once all rows of a call have ended, their other blocks are not there. No tensor is longer than ``x``, a window
        or a prefill, so with a window the memory it takes does not depend on ``length``. Other arguments and errors as
        of ``Sampler``.

        Args:
            x: How the rows begin, (B, L) int64, L at least 1.
            draws: Randomness of the rows.
            length: Tokens of a row, L or more; those behind ``x`` are masked, and allowed what the last of ``x`` is.
                None is L.
            allowed: Tokens each position of ``x`` may become, bool, broadcastable to (B, L, V).
            labels: Class of each row, (B,) int64.
            progress: As of ``Sampler``.

        Raises:
            InputError: ``length`` is less than L, L is 0, or there is a rule and ``length`` is more than L.
        """
        length = x.shape[1] if length is None else length
        if not 1 <= x.shape[1] <= length:
            raise InputError(
                f"length={length}: the rows begin with {x.shape[1]} tokens; 1 to {length} of them would do"
            )
        if self.rule is not None and length > x.shape[1]:
            raise InputError(f"length={length}: a rule is asked about whole rows; x of this length would do")
        for rows, conditions in self.calls(x, allowed, labels, progress):
            for start, tokens, ended in _Rows(self, draws.rows(rows), conditions).walk(x[rows], length):
                yield Piece(rows, start, tokens, ended)


class _Rows:
    """The rows of one call: their cache, and what is yet to be put into it."""

    def __init__(self, sampler: BlockSampler, draws: Draws, conditions: Conditions) -> None:
        self.sampler, self.draws, self.conditions = sampler, draws, conditions
        self.again = int(sampler.denoiser.shift)  # tokens before a block that are read in all of its calls
        own = 0 if self.again else sampler.block_size  # what is read again sees as much as it saw at first
        self.cache = KVCache(None if sampler.window is None else sampler.window - own)
        self.pending: Tensor
        self.row: Tensor

    def walk(self, x: Tensor, length: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Start, tokens and ended rows of each block of rows that begin with x (B, L), until all have ended."""
        size, fill, mask_id = self.sampler.block_size, self.sampler.fill, self.sampler.process.mask_id
        self.row = x
        ended = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        recent, made = x[:, :0], ended[:, None][:, :0]
        self.pending = x[:, :0]
        for start in range(0, length, size):
            tokens = x[:, start : start + size]
            tokens = F.pad(tokens, (0, min(size, length - start) - tokens.shape[1]), value=mask_id)
            if self.sampler.stop:
                tokens = torch.where(ended[:, None], fill, tokens)
            masked = tokens == mask_id
            tokens = self._fill(tokens, masked, start)
            self.row = self.row if self.sampler.rule is None else self._with(tokens, start)
            self._store(tokens)
            if self.sampler.stop:
                recent, made = torch.cat([recent, tokens], dim=1), torch.cat([made, masked], dim=1)
                kept, now = self._kept(recent, made, tokens.shape[1])
                kept, ended = kept.masked_fill(ended, 0), ended | now
                tokens = torch.where(torch.arange(tokens.shape[1], device=x.device) < kept[:, None], tokens, fill)
                span = max(rule.span for rule in self.sampler.stop)
                recent, made = recent[:, -span:], made[:, -span:]
            yield start, tokens, ended
            if ended.all():
                return

    def _kept(self, recent: Tensor, made: Tensor, new: int) -> tuple[Tensor, Tensor]:
        """How many of the new tokens stay, (B,) int64, and whether the row ends there, (B,) bool."""
        kept = recent.new_full((len(recent),), new)
        now = torch.zeros_like(kept, dtype=torch.bool)
        for rule in self.sampler.stop:
            end = rule.end(recent, made, new)
            kept = torch.where(end == GO_ON, kept, torch.minimum(kept, end))
            now = now | (end != GO_ON)
        return kept, now

    def _fill(self, tokens: Tensor, masked: Tensor, start: int) -> Tensor:
        """The block (B, N) with every mask replaced."""
        if not masked.any():
            return tokens
        sampler, size, block = self.sampler, tokens.shape[1], start // self.sampler.block_size
        u, v = (self.draws.uniform(name, block, size).to(tokens.device) for name in ("reveal", "token"))
        plan = sampler.steps.plan(masked, u)
        left = plan.step.masked_fill(~masked, DONE)
        while (left < DONE).any():
            now = left.min(-1, keepdim=True)
            reveal = (left == now.values) & (left < DONE)
            at = positions(reveal)
            here = reveal.gather(1, at)  # rows that are done ask about a token they have
            log_p = self._ask(tokens, plan.time.gather(1, now.indices), at)
            allowed = self._allowed(tokens, start, at)
            drawn = sampler.draw(log_p, v.gather(1, at), None if allowed is None else allowed | ~here[..., None])
            tokens = tokens.scatter(1, at, torch.where(here, drawn, tokens.gather(1, at)))
            left = left.masked_fill(reveal, DONE)
            self.conditions.progress(int(reveal.sum()))
        return tokens

    def _allowed(self, tokens: Tensor, start: int, at: Tensor) -> Tensor | None:
        """What may come at some positions of the block, (B, M, V) bool; None restricts nothing."""
        allowed = self.conditions.allowed_at((start + at).clamp(max=self.row.shape[1] - 1))
        if self.sampler.rule is None:
            return allowed
        fits = self.sampler.rule(self._with(tokens, start), start + at).to(at.device)
        return fits if allowed is None else allowed & fits

    def _with(self, tokens: Tensor, start: int) -> Tensor:
        """The whole rows (B, L) with the tokens of a block in their place."""
        return torch.cat([self.row[:, :start], tokens, self.row[:, start + tokens.shape[1] :]], dim=1)

    def _ask(self, tokens: Tensor, time: Tensor, at: Tensor) -> Tensor:
        """log p(x_0 | x_t) at some positions of the block, (B, M, V); pending tokens go in front and are stored."""
        n = self.pending.shape[1]
        t = torch.cat([time.new_zeros(self.pending.shape), time.expand(tokens.shape)], dim=1)
        return self._feed(torch.cat([self.pending, tokens], dim=1), t, n + at)

    def _store(self, tokens: Tensor) -> None:
        """Queue a finished block; a long queue (of given blocks) is fed by itself."""
        self.pending = torch.cat([self.pending, tokens], dim=1)
        if self.pending.shape[1] >= max(PREFILL, 2 * self.sampler.block_size):
            one = slice(0, 1)  # no logits are wanted; one position is the least to ask about
            self._feed(self.pending, torch.zeros(self.pending.shape, device=tokens.device).double(), one)

    def _feed(self, tokens: Tensor, t: Tensor, at: Tensor | slice) -> Tensor:
        """The denoiser's answer; of the tokens those that were pending are in the cache from now on."""
        sampler = self.sampler
        out = sampler.denoiser(
            tokens, t, pattern=sampler.pattern, labels=self.conditions.labels, cache=self.cache, at=at
        )
        kept = min(self.again, self.pending.shape[1])
        self.cache.commit(self.pending.shape[1] - kept)
        self.pending = self.pending[:, self.pending.shape[1] - kept :]
        return out
