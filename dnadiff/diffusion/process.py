r"""The absorbing process: every token waits a random time and then becomes the mask, for good.

    q(x_t | x_0) = alpha_t [x_0] + (1 - alpha_t) [mask]                                  (MDLM, eq. 3 with pi = mask)
    q(x_s | x_t, x_0), s < t:  an unmasked token stays what it is; a masked one
        stays masked with probability (1 - alpha_s) / (1 - alpha_t), else becomes x_0     (MDLM, eq. 5)

Randomness enters as uniforms, so the same uniforms give the same tokens on every machine and in every batch.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class AbsorbingProcess:
    """Masking at the pace of a schedule.

    Attributes:
        schedule: How likely a token is still there at time t.
        mask_id: Token id of the mask.
    """

    schedule: NoiseSchedule
    mask_id: int

    def prior(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """The state at t = 1, ``shape`` int64: nothing but masks."""
        return torch.full(shape, self.mask_id, dtype=torch.int64, device=device)

    def corrupt(self, x0: Tensor, move_chance: Tensor, u: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), (B, L) int64: a token whose uniform lies below its move chance is masked.

        Args:
            x0: Tokens, (B, L) int64.
            move_chance: Probability of a mask in [0, 1], (B,) for whole rows or (B, L).
            u: Uniforms in [0, 1), (B, L).
        """
        return torch.where(u < _per_token(move_chance), self.mask_id, x0)

    def posterior(self, p_x0: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """q(x_s | x_t) with x_0 ~ ``p_x0``, (B, L, V): rows sum to 1.

        Args:
            p_x0: Probabilities of the clean token, none on the mask, (B, L, V).
            xt: Tokens at time t, (B, L) int64.
            t: Time of ``xt`` in (0, 1], (B,) or (B, L).
            s: Earlier time in [0, t), same shape.
        """
        stay = _per_token(self.schedule.move_chance(s) / self.schedule.move_chance(t))[..., None]
        mask = F.one_hot(torch.tensor(self.mask_id, device=xt.device), p_x0.shape[-1])
        return torch.where(
            (xt == self.mask_id)[..., None],
            p_x0 * (1 - stay) + mask * stay,
            F.one_hot(xt, p_x0.shape[-1]).to(p_x0.dtype),
        )


def _per_token(value: Tensor) -> Tensor:
    """(B,) made (B, 1); (B, L) as it is."""
    return value[:, None] if value.ndim == 1 else value
