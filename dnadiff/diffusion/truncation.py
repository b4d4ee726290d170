"""Sharpening and truncating a distribution before a token is drawn from it.

All act on log-probabilities (..., V) in nats and return normalised ones in float64, -inf marking what is cut off. Any
of them makes a sampler draw from something else than the model's p(x): less diverse, often more plausible.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dnadiff.errors import InputError


@dataclass(frozen=True)
class Truncation:
    """What is done to a distribution before a token is drawn: temperature, then top-k, then nucleus.

    Attributes:
        temperature: Above 0; 1 leaves the model's distribution alone.
        nucleus_p: In (0, 1]; 1 cuts nothing off.
        top_k: 1 or more; None cuts nothing off.

    Raises:
        InputError: A value is out of its range.
    """

    temperature: float = 1.0
    nucleus_p: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        self(torch.zeros(2, dtype=torch.float64))  # every step checks its own number

    def __call__(self, log_p: Tensor) -> Tensor:
        """Log-probabilities (..., V) after all three; as they are where nothing is asked for."""
        if self.temperature != 1:
            log_p = tempered(log_p, self.temperature)
        if self.top_k is not None:
            log_p = top_k(log_p, self.top_k)
        return log_p if self.nucleus_p == 1 else nucleus(log_p, self.nucleus_p)


def tempered(log_p: Tensor, temperature: float) -> Tensor:
    """The logarithm of p^(1 / temperature), normalised: below 1 sharper, above 1 flatter.

    Raises:
        InputError: The temperature is not above 0, or infinite.
    """
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature={temperature}: needs a finite number above 0")
    log_p = log_p.double()
    return ((log_p - log_p.amax(-1, keepdim=True)) / temperature).log_softmax(-1)  # the likeliest stays above -inf


def nucleus(log_p: Tensor, p: float) -> Tensor:
    """The smallest set of likeliest tokens whose probability reaches ``p``, normalised.

    The token that crosses p is kept, so that something is always left (Holtzman et al., The curious case of neural text
    degeneration, 2020, eq. 2). Of tokens equally likely the lower id goes first.

    Raises:
        InputError: p is not in (0, 1].
    """
    if not 0 < p <= 1:
        raise InputError(f"nucleus={p}: needs a number above 0, at most 1")
    log_p = log_p.double().log_softmax(-1)
    ordered, order = log_p.sort(dim=-1, descending=True, stable=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    cut = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, order, before >= p)
    return log_p.masked_fill(cut, -torch.inf).log_softmax(-1)


def top_k(log_p: Tensor, k: int) -> Tensor:
    """The k likeliest tokens, normalised; of tokens equally likely the lower id goes first.

    Raises:
        InputError: k is below 1.
    """
    if k < 1:
        raise InputError(f"top_k={k}: needs 1 or more")
    log_p = log_p.double()
    order = log_p.argsort(dim=-1, descending=True, stable=True)
    cut = torch.ones_like(log_p, dtype=torch.bool).scatter(-1, order[..., :k], False)
    return log_p.masked_fill(cut, -torch.inf).log_softmax(-1)
