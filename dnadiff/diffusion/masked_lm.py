r"""Masked language modelling, BERT's way: a share of the tokens is hidden or falsified and must be told.

Of every row, 15 % of the tokens are chosen. Of these, 80 % become the mask, 10 % a random token and 10 % stay what they
are, so that a network does not learn to trust tokens (Devlin et al., BERT, 2019, arXiv:1810.04805; Caduceus and the DNA
recipe of MDLM pre-train so). It is no bound on -log p(x_0); the likelihood of a model trained so is that of the masked
diffusion model it also is, see ``MaskedNELBO``.
"""

import torch

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Noised, Objective, TokenLoss, chosen, numbers, spread_out
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.errors import InputError
from dnadiff.random import Draws

MASKED, REPLACED = 0.8, 0.1  # of the chosen tokens; the rest stays


class MaskedLM(Objective):
    """Cross-entropy of chosen tokens, for denoisers that predict every position (``Subs(..., carry_over=False)``).

    Args:
        process: Names the mask.
        replacements: Ids that falsify a token, such as those of A, C, G and T.
        rate: Share of the tokens that is chosen, in (0, 1]; each token independently.
        only_masked: As of ``MaskedNELBO``.
    """

    def __init__(
        self, process: AbsorbingProcess, replacements: tuple[int, ...], rate: float = 0.15, only_masked: bool = False
    ) -> None:
        if not 0 < rate <= 1 or not replacements:
            raise InputError(f"rate={rate}, replacements={replacements}: needs a share in (0, 1] and one id or more")
        self.process, self.replacements, self.rate = process, tuple(replacements), rate
        self.only_masked = only_masked

    def noise(self, batch: Batch, draws: Draws) -> Noised:
        """The batch with the chosen tokens masked, replaced or kept; 1 / rate is the weight of each, others have 0."""
        u, how, which = (
            draws.uniform(stream, 0, batch.x0.shape[1]).to(batch.x0.device) for stream in ("mask", "how", "which")
        )
        chosen = batch.maskable & (u < self.rate)
        ids = torch.tensor(self.replacements, device=batch.x0.device)
        other = ids[(which * len(ids)).long().clamp(max=len(ids) - 1)]
        false = torch.where(how < MASKED, self.process.mask_id, other)
        xt = torch.where(chosen & (how < MASKED + REPLACED), false, batch.x0)
        return Noised(xt, torch.zeros(len(xt), dtype=torch.float64, device=xt.device), chosen.double() / self.rate)

    def loss(self, denoiser: Denoiser, batch: Batch, noised: Noised) -> TokenLoss:
        """Nats of every token from one call of the denoiser; 0 where none was chosen."""
        at = numbers(noised.weight > 0) if self.only_masked else None
        log_p = denoiser(noised.xt, noised.t, valid=batch.visible, labels=batch.labels, at=at)
        x0, weight = chosen(at, batch.x0, noised.weight.to(log_p.dtype))
        log_p_x0 = log_p.gather(-1, x0[..., None])[..., 0]
        nll = torch.where(weight > 0, -weight * log_p_x0, 0.0)
        return TokenLoss(spread_out(at, nll, batch.x0), batch.maskable)
