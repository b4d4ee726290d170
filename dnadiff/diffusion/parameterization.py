r"""From a backbone's logits to log p(x_0 | x_t) over a closed set of tokens.

SUBS (Sahoo et al. 2024, section 3.2.3) substitutes what is known about the answer:

    zero masking probabilities   x_0 is never the mask; here, never anything outside ``allowed``
    carry-over unmasking         a token that is not masked is what it is, with probability 1

so the network is only asked about masked positions, and only about tokens that can be there.

D3PM (Austin et al., Structured Denoising Diffusion Models in Discrete State-Spaces, 2021, arXiv:2107.03006) substitutes
nothing. SEDD (Lou et al., Discrete Diffusion Modeling by Estimating the Ratios of the Data Distribution, 2023,
arXiv:2310.16834) learns the ratios s_y = p_t(x with y here) / p_t(x with the mask here). For the absorbing process

    s_y = q_y / (exp(sigma) - 1)       with q_y = p(x_0 = y | x_t) at the optimum,

so what it learns is q, without its being normalised.

NextToken is the autoregressive one: the logits at a position are about the token after it, which nobody has seen, so
there is nothing to carry over.

Outside ``allowed`` the log-probability is ``FLOOR`` = -1e6, as upstream, and not -inf: exp gives exactly 0 in every
floating type, while products such as p log p or 0 * log p stay 0 instead of NaN, and a target outside the set costs a
million nats, which nobody overlooks, instead of an infinity that spoils the sums it enters.
"""

import abc
import math

import torch
from torch import Tensor, nn

from dnadiff.errors import InputError

FLOOR = -1e6
"""Log-probability of what cannot be, nats."""


class Parameterization(nn.Module, abc.ABC):
    """What turns logits into log-probabilities of the clean tokens. Pure: its inputs are never written to.

    Args:
        mask_id: Token id of the mask.
        allowed: Ids a clean token can have, such as those of A, C, G and T; the mask is none of them.

    Raises:
        InputError: The set is empty or holds the mask.
    """

    def __init__(self, mask_id: int, allowed: tuple[int, ...]) -> None:
        super().__init__()
        if not allowed or mask_id in allowed:
            raise InputError(f"allowed={allowed}: needs one id or more and not the mask ({mask_id})")
        self.mask_id = mask_id
        self.allowed = tuple(sorted(set(allowed)))
        self.register_buffer("_ids", torch.tensor(self.allowed), persistent=False)

    @abc.abstractmethod
    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V), from logits (B, L, V) and their tokens, (B, L)."""

    def allowed_mask(self, vocab_size: int) -> Tensor:
        """Which ids of a vocabulary can be there, (V,) bool."""
        return torch.zeros(vocab_size, dtype=torch.bool, device=self._ids.device).index_fill(0, self._ids, True)

    def normalised(self, logits: Tensor, *, with_mask: bool = False) -> Tensor:
        """Log-softmax over the allowed tokens, and the mask on request, (..., V) nats; ``FLOOR`` marks the others."""
        outside = ~self.allowed_mask(logits.shape[-1])
        if with_mask:
            outside = outside & (torch.arange(len(outside), device=outside.device) != self.mask_id)
        return logits.masked_fill(outside, -torch.inf).log_softmax(-1).masked_fill(outside, FLOOR)

    def carried_over(self, log_p: Tensor, xt: Tensor) -> Tensor:
        """``log_p`` (B, L, V) where xt (B, L) is the mask; elsewhere the token is what it is."""
        copied = torch.full_like(log_p, FLOOR).scatter(-1, xt[..., None], 0.0)
        return torch.where((xt == self.mask_id)[..., None], log_p, copied)


class Subs(Parameterization):
    """SUBS over a set of tokens: masked positions are normalised over ``allowed``, others are copied.

    Args:
        mask_id: As of ``Parameterization``.
        allowed: As of ``Parameterization``.
        carry_over: Copy tokens that are not masked. False, for ablations and masked language models: every position is
            predicted.
        zero_mask: Give the mask no probability. False, for ablations: it is one of the answers.
    """

    def __init__(self, mask_id: int, allowed: tuple[int, ...], carry_over: bool = True, zero_mask: bool = True) -> None:
        super().__init__(mask_id, allowed)
        self.carry_over, self.zero_mask = carry_over, zero_mask

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V): rows sum to 1 in probability, ``FLOOR`` marks the impossible.

        Args:
            logits: Anything finite, (B, L, V).
            xt: Tokens the logits belong to, (B, L) int64.
        """
        log_p = self.normalised(logits, with_mask=not self.zero_mask)
        return self.carried_over(log_p, xt) if self.carry_over else log_p


class D3PM(Parameterization):
    """Every position is predicted, and the mask is one of the answers unless SUBS' masking rules it out.

    The network of D3PM and, since the uniform process has no mask to carry over, of UDLM.

    Args:
        mask_id: As of ``Parameterization``.
        allowed: As of ``Parameterization``.
        subs_masking: Give the mask no probability (upstream's switch of this name).
    """

    def __init__(self, mask_id: int, allowed: tuple[int, ...], subs_masking: bool = False) -> None:
        super().__init__(mask_id, allowed)
        self.subs_masking = subs_masking

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V): rows sum to 1 in probability; ``xt`` changes nothing."""
        return self.normalised(logits, with_mask=not self.subs_masking)


class Sedd(Parameterization):
    """SEDD's ratios times exp(sigma) - 1: log q, which need not be normalised; tokens that are not masked are copied.

    Arguments and errors as of ``Parameterization``.
    """

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of q(x_0 | x_t), (B, L, V): logits - log K over the K ``allowed`` ids, ``FLOOR`` elsewhere.

        Logits of 0 are the uniform distribution. Upstream has V - 1 for K: all but the mask.

        Args:
            logits: Anything finite, (B, L, V).
            xt: Tokens the logits belong to, (B, L) int64.
        """
        log_q = logits - math.log(len(self.allowed))
        return self.carried_over(log_q.masked_fill(~self.allowed_mask(logits.shape[-1]), FLOOR), xt)

    @staticmethod
    def log_score(log_q: Tensor, sigma: Tensor) -> Tensor:
        """Logarithms of the ratios at masked positions, log q - log(exp(sigma) - 1), (B, L, V).

        Args:
            log_q: What ``forward`` gave, (B, L, V).
            sigma: Total noise in nats, above 0, (B,).
        """
        return log_q - torch.expm1(sigma).log()[:, None, None]


class NextToken(Parameterization):
    """Autoregression: position i holds log p(x_{i+1} | x_0..x_i), normalised over ``allowed`` wherever it stands.

    Only a causal backbone (``BlockCausal(1)``) makes that the probability of a token given those before it. Arguments
    and errors as of ``Parameterization``.
    """

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(the token after each position) in nats, (B, L, V); ``FLOOR`` marks the impossible.

        Args:
            logits: Anything finite, (B, L, V).
            xt: Tokens the logits belong to, (B, L) int64; not read, nothing is carried over.
        """
        return self.normalised(logits)


class Revise(Parameterization):
    """Every position is predicted anew from tokens that may all be wrong: nothing is carried over, and no mask is read.

    Arguments and errors as of ``Parameterization``.
    """

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V), normalised over ``allowed``; ``xt`` changes nothing."""
        return self.normalised(logits)
