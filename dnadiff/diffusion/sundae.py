r"""AR2Diff to the letter: tokens are falsified, repaired, and repaired again; no mask, no time, no bound.

    L = CE(f(x_t), x_0) + CE(f(argmax f(x_t)), x_0)         x_t: a share m ~ U[0, 1] of the tokens replaced at random

Every target counts, falsified or not. The second term shows the network its own repair, taken greedily, as sampling
will (Savinov et al., Step-unrolled denoising autoencoders, 2022, arXiv:2112.06749; Han et al., Transfer learning for
text diffusion models, 2024, arXiv:2401.17181, whose unrolled step is the argmax). What a row gives, such as the source
of a pair, is never falsified and never scored, as in a prefix language model.

*Sampling* begins with random tokens and draws all that are wanted anew in each of 10 steps, at temperature 0.2 in the
paper. Eight candidates a row are made side by side and the one that the model itself likes best is kept: the one whose
last input had the least cross-entropy under the last output.

It is no likelihood; ``UniformNELBO`` bounds that of any network that predicts clean tokens, this one included.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Noised, Objective, TokenLoss
from dnadiff.diffusion.parameterization import Parameterization, Revise
from dnadiff.diffusion.process import UniformProcess
from dnadiff.diffusion.sampler import Conditions, Sampler
from dnadiff.diffusion.truncation import Truncation
from dnadiff.errors import InputError
from dnadiff.random import Draws


class Sundae(Objective):
    """The two cross-entropies, for denoisers that predict every position (``Revise``).

    Args:
        process: The corruption.
    """

    def __init__(self, process: UniformProcess) -> None:
        self.process = process

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch with a share of its targets replaced, evenly drawn for each row; weight 1 at every target."""
        length = batch.x0.shape[1]
        share = draws.stratified("time").to(batch.x0.device)
        targets = batch.maskable
        xt = self.process.corrupt(batch.x0, share, draws.uniform("mask", 0, length).to(batch.x0.device))
        return Noised(torch.where(targets, xt, batch.x0), share, targets.double())

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of both terms at every target, from two calls of the denoiser; nothing else counts."""
        targets, options = noised.weight > 0, {"valid": batch.visible, "labels": batch.labels}
        first = denoiser(noised.xt, noised.t, **options)
        repaired = torch.where(targets, first.detach().argmax(-1), batch.x0)
        second = denoiser(repaired, noised.t, **options)
        nll = sum(-log_p.gather(-1, batch.x0[..., None])[..., 0] for log_p in (first, second))
        return TokenLoss(torch.where(targets, nll, 0.0), targets)


class Revising(Sampler):
    """Draws all wanted tokens anew in each step, and keeps the best of several candidates.

    Args:
        denoiser: Of the parameterization ``Revise``.
        steps: Network calls, 1 or more.
        candidates: Samples of each row to choose from, 1 or more.
        truncation: As in ``Sampler``; the paper's is a temperature of 0.2.
        rows_per_call: As in ``Sampler``; the candidates of a row are walked together.

    Raises:
        InputError: Arguments out of range.
    """

    works_with: ClassVar[tuple[type[Parameterization], ...]] = (Revise,)

    def __init__(
        self,
        denoiser: Denoiser,
        steps: int = 10,
        candidates: int = 8,
        *,
        truncation: Truncation = Truncation(),
        rows_per_call: int | None = None,
    ) -> None:
        super().__init__(denoiser, truncation=truncation, rows_per_call=rows_per_call)
        if steps < 1 or candidates < 1:
            raise InputError(f"steps={steps}, candidates={candidates}: need 1 or more")
        self.steps, self.candidates = steps, candidates

    def walk(self, x: Tensor, draws: Draws, conditions: Conditions) -> Tensor:
        """Rows (B, L) with every mask replaced; of the candidates of a row the one of the least cross-entropy."""
        many = self.candidates
        rows = torch.arange(len(x), device=x.device).repeat_interleave(many)
        wanted, of_rows = (x == self.process.mask_id)[rows], conditions.rows(rows)
        y = torch.where(wanted, self.process.noise(self._uniform(draws, "begin", 0, x)), x[rows])
        if of_rows.allowed is not None:  # a token that may not come must not be what the others are drawn by
            possible = of_rows.allowed & self.denoiser.parameterization.allowed_mask(of_rows.allowed.shape[-1])
            y = torch.where(possible.gather(-1, y[..., None])[..., 0] | ~wanted, y, possible.long().argmax(-1))
        t = torch.zeros(len(y), dtype=torch.float64, device=x.device)
        for step in range(self.steps):
            before, log_p = y, self.denoiser(y, t, labels=of_rows.labels)
            u = self._uniform(draws, "step", step, x)
            allowed = None if of_rows.allowed is None else of_rows.allowed | ~wanted[..., None]
            y = torch.where(wanted, self.draw(log_p, u, allowed), y)
            conditions.progress(int(wanted.sum()) // many if step == self.steps - 1 else 0)
        cost = -log_p.gather(-1, before[..., None])[..., 0].double()
        best = torch.where(wanted, cost, 0.0).sum(-1).view(len(x), many).argmin(-1)
        return y.view(len(x), many, -1)[torch.arange(len(x), device=x.device), best]

    def _uniform(self, draws: Draws, stream: str, step: int, x: Tensor) -> Tensor:
        """A uniform for every position of every candidate of the rows x (B, L), (B * candidates, L) float64."""
        u = draws.uniform(stream, step, x.shape[1], self.candidates)  # positions first: windows that slide share them
        return u.to(x.device).transpose(1, 2).flatten(0, 1)
