r"""Guidance by a score of finished sequences: any Python function, with no training and no gradient.

Wanted are sequences in proportion to p(x) exp(gamma score(x)). The walk that draws them reveals, at every step,

    x_s ~ p(x_s | x_t) exp(v(x_s)) / Z,      v(x_s) = log E[exp(gamma score(x_0)) | x_s]

(the optimal policy of Li et al., Derivative-free guidance in continuous and discrete diffusion models with soft
value-based decoding, 2024, arXiv:2408.08252, with gamma = 1 / alpha there). As there, K candidates are drawn from the
model and one of them is chosen in proportion to its weight; here a candidate is a whole completion and its own score
the estimate of its value:

    x_0^k ~ prod_i p(x_0^i | x_t) over the masked positions i,  k = 1..K        one call of the network
    k* ~ exp(gamma score(x_0^k)) / sum_j exp(gamma score(x_0^j))                K calls of the score
    what this step reveals is taken from x_0^{k*}, the rest is forgotten

K = 1 is the model. As K grows a step draws from q(x_s | x_t) E_q[exp(gamma score) | x_s] with q the product above,
whatever the score is. q is p(x_0 | x_t) itself where positions are independent given x_t, and always so at the last
step; there the limit is p(x) exp(gamma score(x)) / Z. Elsewhere early steps look ahead as if the masked positions knew
nothing of each other. Scores that differ by much more than 1 / gamma leave one candidate of weight, the best of K.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from dnadiff.diffusion.parameterization import Parameterization, Subs
from dnadiff.diffusion.sampler import Conditions, Revealing, Sampler, inverse_cdf, positions
from dnadiff.errors import InputError
from dnadiff.random import Draws

Score = Callable[[Tensor], Tensor]
"""From sequences without masks, (B, L) int64, to how much each is wanted, (B,), finite; higher is better."""


class ScoreGuided(Sampler):
    """Reveals as another sampler plans, choosing each time among K completions by their score.

    Args:
        steps: ``FirstHitting`` or ``Ancestral``: its denoiser, its plan, its truncation, its rows per call.
        score: Judges completions; given tokens, such as [BOS], are part of them.
        gamma: Strength, at least 0; 0 is the model.
        candidates: K, completions drawn at each step, 1 or more; 1 is the model.

    Raises:
        InputError: gamma or the candidates are out of range, or the sampler plans no reveals.
    """

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (Subs,)

    def __init__(self, steps: Revealing, score: Score, gamma: float, *, candidates: int = 32) -> None:
        if not isinstance(steps, Revealing):
            raise InputError(f"steps: found {type(steps).__name__}; FirstHitting or Ancestral would work")
        super().__init__(steps.denoiser, truncation=steps.truncation, rows_per_call=steps.rows_per_call)
        if not 0 <= gamma < math.inf:
            raise InputError(f"gamma={gamma}: needs a finite number of at least 0")
        if candidates < 1:
            raise InputError(f"candidates={candidates}: needs 1 or more")
        self.steps, self.score, self.gamma, self.candidates = steps, score, gamma, candidates

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced."""
        masked = x == self.process.mask_id
        plan = self.steps.plan(masked, draws.uniform("reveal", 0, x.shape[1]).to(x.device))
        for call, (rows, reveal, time) in enumerate(plan.calls(masked)):
            completion = draws.uniform("completion", call, x.shape[1], self.candidates).to(x.device)[rows]
            whole = self._completions(x[rows], time, completion, conditions.rows(rows))
            choice = inverse_cdf(self.gamma * self._scores(whole), draws.uniform("choice", call).to(x.device)[rows])
            chosen = whole[torch.arange(len(rows), device=x.device), choice]
            x = x.index_put((rows,), torch.where(reveal, chosen, x[rows]))
            conditions.progress(int(reveal.sum()))
        return x

    def _completions(self, x: Tensor, time: Tensor, u: Tensor, conditions: Conditions) -> Tensor:
        """K rows (B, K, L) for every row of x (B, L), each mask drawn by its own uniform of u (B, L, K)."""
        at = positions(x == self.process.mask_id)
        log_p = self.denoiser(x, time, labels=conditions.labels, at=at)
        law = self.distribution(log_p, conditions.allowed_at(at))[:, :, None]
        every = (-1, -1, self.candidates)
        at = at[..., None].expand(every)
        tokens = inverse_cdf(law.expand(*every, -1), u.gather(1, at))
        return x[..., None].expand(every).scatter(1, at, tokens).transpose(1, 2)

    def _scores(self, whole: Tensor) -> Tensor:
        """The score of each of rows (B, K, L), (B, K) float64."""
        rows = whole.shape[0] * whole.shape[1]
        scores = self.score(whole.reshape(rows, -1))
        if scores.shape != (rows,) or not scores.isfinite().all():
            found = f"shape {tuple(scores.shape)}" if scores.shape != (rows,) else "a number that is not finite"
            raise InputError(f"score: found {found} for {rows} sequences; a finite number for each would work")
        return scores.double().view(whole.shape[:2])
