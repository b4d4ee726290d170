r"""Noise schedules of absorbing-state (masked) diffusion.

A schedule says how likely a token is still there at time t, which runs from 0 (data) to 1 (all masked):

    alpha_t       = P(x_t = x_0), decreasing, alpha_0 ~ 1, alpha_1 ~ 0
    move chance   = 1 - alpha_t                  probability that the token is masked
    sigma_t       = -log alpha_t                 total noise, what a time-conditioned backbone reads
    weight        = -alpha'_t / (1 - alpha_t)    of a masked token's cross-entropy in the continuous-time NELBO

(Sahoo et al., Simple and Effective Masked Diffusion Language Models, 2024, arXiv:2406.07524, section 3.) With exact
conditionals the bound does not depend on the schedule apart from its end points, only the variance of its estimate
does.

``alpha`` keeps its relative accuracy near t = 1 and ``move_chance`` near t = 0, where the other one is 1 minus a tiny
number; ``sigma`` takes whichever is accurate. Every method keeps the shape and the floating type of its argument.
"""

import abc
import math

import torch
from torch import Tensor

from dnadiff.errors import InputError


class NoiseSchedule(abc.ABC):
    """What every schedule answers. Times lie in [0, 1], any shape."""

    @abc.abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Probability that a token is still unmasked at time t, in (0, 1]."""

    @abc.abstractmethod
    def move_chance(self, t: Tensor) -> Tensor:
        """Probability that a token is masked at time t, in [0, 1): 1 - alpha without cancellation."""

    @abc.abstractmethod
    def dalpha(self, t: Tensor) -> Tensor:
        """Derivative of alpha with respect to t, at most 0."""

    @abc.abstractmethod
    def inverse(self, alpha: Tensor) -> Tensor:
        """Time at which the survival probability is ``alpha``; outside [0, 1] where the schedule never reaches it."""

    def sigma(self, t: Tensor) -> Tensor:
        """Total noise -log alpha(t) in nats, at least 0."""
        move_chance = self.move_chance(t)
        return torch.where(move_chance < 0.5, -torch.log1p(-move_chance), -torch.log(self.alpha(t)))

    def weight(self, t: Tensor) -> Tensor:
        """Weight of a masked token in the NELBO, -alpha'(t) / (1 - alpha(t)), in 1/time; may diverge at t = 0."""
        return -self.dalpha(t) / self.move_chance(t)


class LogLinear(NoiseSchedule):
    """alpha = 1 - (1 - eps) t: the masked share grows linearly, the weight is exactly 1/t. MDLM's and BD3-LM's default.

    Args:
        eps: Survival probability at t = 1, in [0, 1). MDLM uses 1e-3, BD3-LM 0.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = _share(eps)

    def alpha(self, t: Tensor) -> Tensor:
        """(1 - t) + eps t."""
        return (1 - t) + self.eps * t

    def move_chance(self, t: Tensor) -> Tensor:
        """(1 - eps) t."""
        return (1 - self.eps) * t

    def dalpha(self, t: Tensor) -> Tensor:
        """-(1 - eps), constant."""
        return torch.full_like(t, -(1 - self.eps))

    def inverse(self, alpha: Tensor) -> Tensor:
        """(1 - alpha) / (1 - eps)."""
        return (1 - alpha) / (1 - self.eps)


class Cosine(NoiseSchedule):
    """alpha = eps + (1 - eps) cos(pi t / 2): slow to begin with, fast at the end.

    Args:
        eps: Survival probability at t = 1, in (0, 1).
    """

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = _share(eps)

    def alpha(self, t: Tensor) -> Tensor:
        """Eps + (1 - eps) cos(pi t / 2)."""
        return self.eps + (1 - self.eps) * torch.cos(t * (math.pi / 2))

    def move_chance(self, t: Tensor) -> Tensor:
        """(1 - eps) (1 - cos(pi t / 2)), written 2 (1 - eps) sin^2(pi t / 4)."""
        return 2 * (1 - self.eps) * torch.sin(t * (math.pi / 4)) ** 2

    def dalpha(self, t: Tensor) -> Tensor:
        """-(1 - eps) (pi / 2) sin(pi t / 2)."""
        return -(1 - self.eps) * (math.pi / 2) * torch.sin(t * (math.pi / 2))

    def inverse(self, alpha: Tensor) -> Tensor:
        """(4 / pi) asin sqrt((1 - alpha) / (2 (1 - eps)))."""
        return torch.asin(torch.sqrt((1 - alpha) / (2 * (1 - self.eps)))) * (4 / math.pi)


class CosineSquared(NoiseSchedule):
    """alpha = eps + (1 - eps) cos^2(pi t / 2): slow at both ends.

    Args:
        eps: Survival probability at t = 1, in (0, 1).
    """

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = _share(eps)

    def alpha(self, t: Tensor) -> Tensor:
        """Eps + (1 - eps) cos^2(pi t / 2)."""
        return self.eps + (1 - self.eps) * torch.cos(t * (math.pi / 2)) ** 2

    def move_chance(self, t: Tensor) -> Tensor:
        """(1 - eps) sin^2(pi t / 2)."""
        return (1 - self.eps) * torch.sin(t * (math.pi / 2)) ** 2

    def dalpha(self, t: Tensor) -> Tensor:
        """-(1 - eps) (pi / 2) sin(pi t)."""
        return -(1 - self.eps) * (math.pi / 2) * torch.sin(t * math.pi)

    def inverse(self, alpha: Tensor) -> Tensor:
        """(2 / pi) asin sqrt((1 - alpha) / (1 - eps)), of values the schedule reaches."""
        return torch.asin(torch.sqrt(((1 - alpha) / (1 - self.eps)).clamp(max=1))) * (2 / math.pi)


class Linear(NoiseSchedule):
    """alpha = exp(-sigma) with sigma growing linearly from ``sigma_min`` to ``sigma_max``.

    Args:
        sigma_min: Total noise at t = 0 in nats; a share 1 - exp(-sigma_min) of the tokens is masked there already.
        sigma_max: Total noise at t = 1 in nats; a share exp(-sigma_max) of the tokens is left there.
    """

    def __init__(self, sigma_min: float = 1e-3, sigma_max: float = 7.0) -> None:
        self.sigma_min, self.sigma_max = _rising(sigma_min, sigma_max, from_zero=True)

    def alpha(self, t: Tensor) -> Tensor:
        """exp(-(sigma_min + t (sigma_max - sigma_min)))."""
        return torch.exp(-self._sigma(t))

    def move_chance(self, t: Tensor) -> Tensor:
        """-expm1(-sigma)."""
        return -torch.expm1(-self._sigma(t))

    def dalpha(self, t: Tensor) -> Tensor:
        """-(sigma_max - sigma_min) alpha."""
        return -(self.sigma_max - self.sigma_min) * self.alpha(t)

    def inverse(self, alpha: Tensor) -> Tensor:
        """(-log alpha - sigma_min) / (sigma_max - sigma_min)."""
        return (-torch.log(alpha) - self.sigma_min) / (self.sigma_max - self.sigma_min)

    def _sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min + t * (self.sigma_max - self.sigma_min)


class Geometric(NoiseSchedule):
    """alpha = exp(-sigma) with sigma growing geometrically, sigma = sigma_min^(1 - t) sigma_max^t.

    Args:
        sigma_min: Total noise at t = 0 in nats, above 0.
        sigma_max: Total noise at t = 1 in nats.
    """

    def __init__(self, sigma_min: float = 1e-3, sigma_max: float = 20.0) -> None:
        self.sigma_min, self.sigma_max = _rising(sigma_min, sigma_max)

    def alpha(self, t: Tensor) -> Tensor:
        """exp(-sigma_min^(1 - t) sigma_max^t)."""
        return torch.exp(-self._sigma(t))

    def move_chance(self, t: Tensor) -> Tensor:
        """-expm1(-sigma)."""
        return -torch.expm1(-self._sigma(t))

    def dalpha(self, t: Tensor) -> Tensor:
        """-log(sigma_max / sigma_min) sigma alpha."""
        sigma = self._sigma(t)
        return -math.log(self.sigma_max / self.sigma_min) * sigma * torch.exp(-sigma)

    def inverse(self, alpha: Tensor) -> Tensor:
        """log(-log(alpha) / sigma_min) / log(sigma_max / sigma_min)."""
        return torch.log(-torch.log(alpha) / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)

    def _sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(t * math.log(self.sigma_max / self.sigma_min))


class Square(NoiseSchedule):
    """alpha = 1 - (1 - eps) t^2: few masks for long (BD3-LM's ``square``, which has eps = 0).

    Args:
        eps: Survival probability at t = 1, in [0, 1).
    """

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = _share(eps)

    def alpha(self, t: Tensor) -> Tensor:
        """(1 - t) (1 + t) + eps t^2."""
        return (1 - t) * (1 + t) + self.eps * t**2

    def move_chance(self, t: Tensor) -> Tensor:
        """(1 - eps) t^2."""
        return (1 - self.eps) * t**2

    def dalpha(self, t: Tensor) -> Tensor:
        """-2 (1 - eps) t."""
        return -2 * (1 - self.eps) * t

    def inverse(self, alpha: Tensor) -> Tensor:
        """sqrt((1 - alpha) / (1 - eps))."""
        return torch.sqrt((1 - alpha) / (1 - self.eps))


class SquareRoot(NoiseSchedule):
    """alpha = 1 - (1 - eps) sqrt(t): many masks early (BD3-LM's ``square_root``, which has eps = 0).

    Args:
        eps: Survival probability at t = 1, in [0, 1).
    """

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = _share(eps)

    def alpha(self, t: Tensor) -> Tensor:
        """1 - sqrt(t), written (1 - t) / (1 + sqrt(t)), plus eps sqrt(t)."""
        root = torch.sqrt(t)
        return (1 - t) / (1 + root) + self.eps * root

    def move_chance(self, t: Tensor) -> Tensor:
        """(1 - eps) sqrt(t)."""
        return (1 - self.eps) * torch.sqrt(t)

    def dalpha(self, t: Tensor) -> Tensor:
        """-(1 - eps) / (2 sqrt(t)); minus infinity at t = 0."""
        return -(1 - self.eps) / (2 * torch.sqrt(t))

    def inverse(self, alpha: Tensor) -> Tensor:
        """((1 - alpha) / (1 - eps))^2."""
        return ((1 - alpha) / (1 - self.eps)) ** 2


class Log(NoiseSchedule):
    """alpha = 1 - (1 - eps) log2(1 + t): a little faster at the beginning (BD3-LM's ``log``, which has eps = 0).

    Args:
        eps: Survival probability at t = 1, in [0, 1).
    """

    def __init__(self, eps: float = 1e-3) -> None:
        self.eps = _share(eps)

    def alpha(self, t: Tensor) -> Tensor:
        """1 - log2(1 + t), written -log1p((t - 1) / 2) / log 2, plus eps log2(1 + t)."""
        return (self.eps * torch.log1p(t) - torch.log1p((t - 1) / 2)) / math.log(2)

    def move_chance(self, t: Tensor) -> Tensor:
        """(1 - eps) log2(1 + t)."""
        return (1 - self.eps) * torch.log1p(t) / math.log(2)

    def dalpha(self, t: Tensor) -> Tensor:
        """-(1 - eps) / ((1 + t) log 2)."""
        return -(1 - self.eps) / ((1 + t) * math.log(2))

    def inverse(self, alpha: Tensor) -> Tensor:
        """2^((1 - alpha) / (1 - eps)) - 1."""
        return torch.expm1((1 - alpha) / (1 - self.eps) * math.log(2))


class LogUniform(NoiseSchedule):
    """1 - alpha grows geometrically from m_0 to m_1, so the weight is the constant log(m_1 / m_0).

    The clock that MDLM's ``change_of_variables`` puts in place of t: all move chances of equal logarithmic size are
    equally likely.

    Args:
        sigma_min: Total noise at t = 0 in nats, above 0: m_0 = 1 - exp(-sigma_min).
        sigma_max: Total noise at t = 1 in nats: m_1 = 1 - exp(-sigma_max).
    """

    def __init__(self, sigma_min: float = 1e-3, sigma_max: float = -math.log(1e-3)) -> None:
        self.sigma_min, self.sigma_max = _rising(sigma_min, sigma_max)
        self._low, self._high = math.log(-math.expm1(-sigma_min)), math.log(-math.expm1(-sigma_max))

    def alpha(self, t: Tensor) -> Tensor:
        """-expm1(log m_0 + t log(m_1 / m_0))."""
        return -torch.expm1(self._log_move_chance(t))

    def move_chance(self, t: Tensor) -> Tensor:
        """m_0^(1 - t) m_1^t."""
        return torch.exp(self._log_move_chance(t))

    def dalpha(self, t: Tensor) -> Tensor:
        """-log(m_1 / m_0) (1 - alpha)."""
        return -(self._high - self._low) * self.move_chance(t)

    def inverse(self, alpha: Tensor) -> Tensor:
        """(log(1 - alpha) - log m_0) / log(m_1 / m_0)."""
        return (torch.log1p(-alpha) - self._low) / (self._high - self._low)

    def _log_move_chance(self, t: Tensor) -> Tensor:
        return self._low + t * (self._high - self._low)


def _share(eps: float) -> float:
    if not 0 <= eps < 1:
        raise InputError(f"eps={eps}: is a probability; 0 or more and less than 1 would work")
    return eps


def _rising(sigma_min: float, sigma_max: float, *, from_zero: bool = False) -> tuple[float, float]:
    if not 0 <= sigma_min < sigma_max < math.inf or (sigma_min == 0 and not from_zero):
        low = "0 or more" if from_zero else "above 0"
        raise InputError(
            f"sigma_min={sigma_min}, sigma_max={sigma_max}: sigma_min {low} and below sigma_max would work"
        )
    return sigma_min, sigma_max


SCHEDULES: dict[str, type[NoiseSchedule]] = {
    "loglinear": LogLinear,
    "cosine": Cosine,
    "cosine_squared": CosineSquared,
    "linear": Linear,
    "geometric": Geometric,
    "square": Square,
    "square_root": SquareRoot,
    "log": Log,
    "log_uniform": LogUniform,
}
"""The schedules a configuration may name."""
