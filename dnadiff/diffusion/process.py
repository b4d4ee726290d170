r"""How tokens are corrupted: what x_t looks like given x_0, and what an earlier x_s looks like given x_t.

*Absorbing*: every token waits a random time and then becomes the mask, for good.

    q(x_t | x_0) = alpha_t [x_0] + (1 - alpha_t) [mask]                                  (MDLM, eq. 3 with pi = mask)
    q(x_s | x_t, x_0), s < t:  an unmasked token stays what it is; a masked one
        stays masked with probability (1 - alpha_s) / (1 - alpha_t), else becomes x_0     (MDLM, eq. 5)

*Uniform*: every token is replaced, again and again, by one drawn evenly from K tokens.

    q(x_t | x_0) = alpha_t [x_0] + (1 - alpha_t) / K                                     (UDLM, eq. 3 with pi = 1 / K)
    q(x_s | x_t, x_0) = q(x_t | x_s) q(x_s | x_0) / q(x_t | x_0)                          (UDLM, eq. 15)

(MDLM: Sahoo et al. 2024, arXiv:2406.07524. UDLM: Schiff et al., Simple Guidance Mechanisms for Discrete Diffusion
Models, 2024, arXiv:2412.10193.) Randomness enters as uniforms, so the same uniforms give the same tokens on every
machine and in every batch.
"""

import abc
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.diffusion.schedule import NoiseSchedule
from dnadiff.errors import InputError


@dataclass(frozen=True)
class Process(abc.ABC):
    """Corruption at the pace of a schedule.

    Attributes:
        schedule: How likely a token is still itself at time t.
        mask_id: Token id of the mask; where a sampler finds it, a token is wanted.
    """

    schedule: NoiseSchedule
    mask_id: int

    def prior(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """What a sampler starts from, ``shape`` int64: masks, which stand for the tokens that are wanted."""
        return torch.full(shape, self.mask_id, dtype=torch.int64, device=device)

    @abc.abstractmethod
    def corrupt(self, x0: Tensor, move_chance: Tensor, u: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), (B, L) int64: a token whose uniform lies below its move chance is replaced.

        Args:
            x0: Tokens, (B, L) int64.
            move_chance: 1 - alpha_t in [0, 1], (B,) for whole rows or (B, L).
            u: Uniforms in [0, 1), (B, L).
        """

    @abc.abstractmethod
    def posterior(self, p_x0: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """q(x_s | x_t) with x_0 ~ ``p_x0``, (B, L, V): rows sum to 1.

        Args:
            p_x0: Probabilities of the clean token, (B, L, V).
            xt: Tokens at time t, (B, L) int64.
            t: Time of ``xt`` in (0, 1], (B,) or (B, L).
            s: Earlier time in [0, t), same shape.
        """

    @abc.abstractmethod
    def clean(self, p_x0: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """Law of x_0 given x_t with x_0 ~ ``p_x0`` before x_t's own token is seen, (B, L, V): rows sum to 1, no mask.

        Args:
            p_x0: Probabilities of the clean token up to a factor, (B, L, V).
            xt: Tokens at time t, (B, L) int64.
            t: Time of ``xt``, (B,) or (B, L).
        """


@dataclass(frozen=True)
class AbsorbingProcess(Process):
    """Masking. What a denoiser gives the mask itself (D3PM) counts as staying masked."""

    def corrupt(self, x0: Tensor, move_chance: Tensor, u: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), (B, L) int64; see ``Process.corrupt``."""
        return torch.where(u < _per_token(move_chance), self.mask_id, x0)

    def posterior(self, p_x0: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """q(x_s | x_t), (B, L, V); see ``Process.posterior``.

        With p_m on the mask, a masked token becomes y with probability (alpha_s - alpha_t) p_y / (1 - alpha_t + alpha_t
        p_m), and stays masked with what is left.
        """
        masked = _per_token(self.schedule.move_chance(t))[..., None]
        earlier = _per_token(self.schedule.move_chance(s))[..., None]
        p_mask = p_x0[..., self.mask_id : self.mask_id + 1]
        at_t = masked + (1 - masked) * p_mask
        mask = F.one_hot(torch.tensor(self.mask_id, device=xt.device), p_x0.shape[-1])
        reveal = p_x0 * (1 - mask) * ((masked - earlier) / at_t)
        stay = mask * ((earlier + (1 - earlier) * p_mask) / at_t)
        return torch.where((xt == self.mask_id)[..., None], reveal + stay, F.one_hot(xt, p_x0.shape[-1]).to(p_x0.dtype))

    def clean(self, p_x0: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """Law of x_0 given x_t, (B, L, V): ``p_x0`` without the mask where x_t is masked. See ``Process.clean``."""
        p = p_x0 * (torch.arange(p_x0.shape[-1], device=xt.device) != self.mask_id)
        shown = F.one_hot(xt, p.shape[-1]).to(p.dtype)
        return torch.where((xt == self.mask_id)[..., None], p / p.sum(-1, keepdim=True), shown)


@dataclass(frozen=True)
class UniformProcess(Process):
    """Replacement by tokens drawn evenly.

    Attributes:
        tokens: The K ids that replace and are replaced, such as those of A, C, G and T; the mask is none of them.
    """

    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(sorted(set(self.tokens))))
        if len(self.tokens) < 2 or self.mask_id in self.tokens:
            raise InputError(f"tokens={self.tokens}: needs two ids or more and not the mask ({self.mask_id})")

    def noise(self, u: Tensor) -> Tensor:
        """Evenly drawn tokens, the state at t = 1, int64 of the shape of the uniforms ``u`` in [0, 1)."""
        k = len(self.tokens)
        ids = torch.tensor(self.tokens, device=u.device)
        return ids[(u * k).long().clamp(max=k - 1)]

    def corrupt(self, x0: Tensor, move_chance: Tensor, u: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), (B, L) int64; see ``Process.corrupt``. A replacement may be the token itself."""
        move_chance = _per_token(move_chance)
        moved = u < move_chance
        return torch.where(moved, self.noise(torch.where(moved, u / move_chance, 0.0)), x0)

    def posterior(self, p_x0: Tensor, xt: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """q(x_s | x_t), (B, L, V); see ``Process.posterior``. ``xt`` holds none but ``tokens``."""
        k, ids = len(self.tokens), torch.tensor(self.tokens, device=xt.device)
        alpha_t, alpha_s = (_per_token(self.schedule.alpha(time))[..., None] for time in (t, s))
        alpha_ts = alpha_t / alpha_s
        here = F.one_hot(xt, p_x0.shape[-1]).to(p_x0.dtype)[..., ids]
        joint = (alpha_ts * here + (1 - alpha_ts) / k) * (alpha_s * p_x0[..., ids] + (1 - alpha_s) / k)
        return torch.zeros_like(p_x0).index_copy(-1, ids, (joint / joint.sum(-1, keepdim=True)).to(p_x0.dtype))

    def clean(self, p_x0: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """Law of x_0 given x_t, (B, L, V): ``p_x0`` times q(x_t | x_0). See ``Process.clean``."""
        k, ids = len(self.tokens), torch.tensor(self.tokens, device=xt.device)
        alpha = _per_token(self.schedule.alpha(t))[..., None]
        here = F.one_hot(xt, p_x0.shape[-1]).to(p_x0.dtype)[..., ids]
        joint = (alpha * here + (1 - alpha) / k) * p_x0[..., ids]
        return torch.zeros_like(p_x0).index_copy(-1, ids, (joint / joint.sum(-1, keepdim=True)).to(p_x0.dtype))


def _per_token(value: Tensor) -> Tensor:
    """(B,) made (B, 1); (B, L) as it is."""
    return value[:, None] if value.ndim == 1 else value
