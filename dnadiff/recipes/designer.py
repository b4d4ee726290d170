"""Sequences that fit a template and keep to constraints: drawn within what can still be completed, then repaired.

Drawing. Fixed bases are given to the sampler. A position with a choice is drawn from p(base | bases so far) restricted
to the bases of its template letter from which the constraints can still be met, as far as ``data.lookahead`` can tell.

Repair. Bases drawn together do not know of each other, and words and GC are looked ahead separately, so a draw may
break a constraint. Then the open positions of every stretch that does are masked and drawn again, one at a time, given
the rest. Each round masks four times as far around the stretch as the one before, and the last masks every open
position. What still breaks a constraint then is rejected.

Whatever comes out was passed by ``violations`` and ``departures``, which share no code with the drawing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnadiff.data.constraints import Constraints, Violation, departures, violations
from dnadiff.data.lookahead import Lookahead
from dnadiff.data.template import Template
from dnadiff.random import Draws, key64
from dnadiff.recipes.model import Model
from dnadiff.recipes.walk import Walk, sampler_for

ROUNDS = 8
"""Rounds of repair before a design is rejected."""


@dataclass(frozen=True)
class Design:
    """One drawn sequence.

    Attributes:
        number: Of the design within its template, from 1.
        sequence: Its bases; None if it was rejected.
        rounds: Rounds of repair.
        resampled: Bases drawn again, summed over the rounds.
        broken: What the first draw broke, if anything; of a rejected design, what the last one broke.
    """

    number: int
    sequence: str | None
    rounds: int
    resampled: int
    broken: tuple[Violation, ...]


class Designer:
    """Draws designs of templates from a model under constraints.

    Args:
        model: Of masked diffusion or of blocks; one of blocks sees fixed bases in a block and to its left.
        walk: The sampler and its settings; repairs reveal one base at a time.
        constraints: What every design must keep to.
        seed: With the template's name, the design's number and the round it decides every draw.
    """

    def __init__(self, model: Model, walk: Walk, constraints: Constraints, seed: int) -> None:
        self.model, self.walk, self.constraints, self.seed = model, walk, constraints, seed
        self.lookahead = Lookahead(constraints)

    def draw(self, template: Template, numbers: Sequence[int], progress: Callable[[int], None]) -> list[Design]:
        """The designs of some numbers (from 1), of which each is the same whatever the others.

        Args:
            template: What they must look like.
            numbers: Which to draw.
            progress: Called with the number of bases that were drawn for the first time.
        """
        start = self._start(template, len(numbers))
        x = list(self._walk(template, self.walk, start, numbers, 0, progress))
        first = [self._broken(template, row) for row in x]
        broken, rounds, resampled = list(first), [0] * len(first), [0] * len(first)
        for round_ in range(1, ROUNDS + 1):
            rows = [row for row, wrong in enumerate(broken) if wrong]
            if not rows:
                break
            again = torch.stack([self._masked(template, start[row], x[row], broken[row], round_) for row in rows])
            one_at_a_time = Walk(**self.walk.given("temperature", "nucleus", "top_k", "block_size"))
            drawn = self._walk(template, one_at_a_time, again, [numbers[row] for row in rows], round_, lambda _: None)
            for i, row in enumerate(rows):
                x[row] = drawn[i]
                rounds[row] += 1
                resampled[row] += int((again[i] == self.model.tokenizer.mask_id).sum())
                broken[row] = self._broken(template, drawn[i])
        return [
            Design(number, None if last else self._letters(row), again, bases, tuple(last or before))
            for number, row, again, bases, last, before in zip(
                numbers, x, rounds, resampled, broken, first, strict=True
            )
        ]

    def _start(self, template: Template, n: int) -> Tensor:
        """Fixed bases and masks, (n, length) int64, with [BOS] before them if the model wants it."""
        tokenizer, ids = self.model.tokenizer, np.asarray(self.model.tokenizer.base_ids)
        fixed = ids[np.log2(template.sets).astype(int)]
        row = torch.from_numpy(np.where(template.open, tokenizer.mask_id, fixed))
        bos = torch.full((int(self.model.bos),), tokenizer.bos_id)
        device = next(self.model.denoiser.parameters()).device
        return torch.cat([bos, row]).to(device).repeat(n, 1)

    def _walk(
        self,
        template: Template,
        walk: Walk,
        x: Tensor,
        numbers: Sequence[int],
        round_: int,
        progress: Callable[[int], None],
    ) -> Tensor:
        """The rows with every mask replaced."""
        rule = (lambda tokens, at: self._fitting(template, tokens, at)) if self.constraints else None
        draws = Draws(key64("design", self.seed, template.name, round_), list(numbers))
        sampler = sampler_for(self.model, walk, x.shape[1], rule)
        return sampler(x, draws, allowed=self._sets(template), progress=progress)

    def _sets(self, template: Template) -> Tensor:
        """Tokens that each position may become, (length, V) bool; [BOS] is given, so anything will do there."""
        sets = np.concatenate([np.full(int(self.model.bos), 15, dtype=np.uint8), template.sets])
        return self._tokens(sets)

    def _tokens(self, sets: np.ndarray) -> Tensor:
        """Sets of bases (...,) as tokens, (..., V) bool."""
        tokens = np.zeros((*sets.shape, self.model.denoiser.backbone.vocab_size), dtype=bool)
        for bit, token in enumerate(self.model.tokenizer.base_ids):
            tokens[..., token] = sets >> bit & 1
        return torch.from_numpy(tokens)

    def _fitting(self, template: Template, tokens: Tensor, at: Tensor) -> Tensor:
        """The rule of the constraints: what leaves a completion, (B, M, V) bool, of tokens (B, L) at (B, M)."""
        bos = int(self.model.bos)
        out = []
        for row, positions in zip(tokens[:, bos:].cpu().numpy(), (at - bos).cpu().tolist(), strict=True):
            known = np.select([row == token for token in self.model.tokenizer.base_ids], [1, 2, 4, 8])
            sets = np.where(known > 0, known, template.sets).tolist()
            out.append(self.lookahead.fitting(sets, positions))
        return self._tokens(np.array(out))

    def _masked(self, template: Template, start: Tensor, x: Tensor, broken: Sequence[Violation], round_: int) -> Tensor:
        """A row with the open positions around what is broken masked again; with all of them in the last round."""
        margin = len(template) if round_ == ROUNDS else 4 ** (round_ - 1) - 1
        near = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        bos = int(self.model.bos)
        for violation in broken:
            near[max(0, violation.start - margin + bos) : violation.end + margin + bos] = True
        return torch.where(near, start, x)

    def _letters(self, row: Tensor) -> str:
        return self.model.tokenizer.decode(row[int(self.model.bos) :].cpu().numpy())

    def _broken(self, template: Template, row: Tensor) -> list[Violation]:
        sequence = self._letters(row)
        return departures(sequence, template) + violations(sequence, self.constraints)
