r"""From a backbone's logits to log p(x_0 | x_t), normalised over a closed set of tokens.

SUBS (Sahoo et al. 2024, section 3.2.3) substitutes what is known about the answer:

    zero masking probabilities   x_0 is never the mask; here, never anything outside ``allowed``
    carry-over unmasking         a token that is not masked is what it is, with probability 1

so the network is only asked about masked positions, and only about tokens that can be there.

NextToken is the autoregressive one: the logits at a position are about the token after it, which nobody has seen, so
there is nothing to carry over.

Outside ``allowed`` the log-probability is ``FLOOR`` = -1e6, as upstream, and not -inf: exp gives exactly 0 in every
floating type, while products such as p log p or 0 * log p stay 0 instead of NaN, and a target outside the set costs a
million nats, which nobody overlooks, instead of an infinity that spoils the sums it enters.
"""

import abc

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

    def normalised(self, logits: Tensor) -> Tensor:
        """Log-softmax over the allowed tokens, (..., V) nats; ``FLOOR`` marks the others."""
        outside = ~self.allowed_mask(logits.shape[-1])
        return logits.masked_fill(outside, -torch.inf).log_softmax(-1).masked_fill(outside, FLOOR)


class Subs(Parameterization):
    """SUBS over a set of tokens: masked positions are normalised over ``allowed``, others are copied.

    Arguments and errors as of ``Parameterization``.
    """

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V): rows sum to 1 in probability, ``FLOOR`` marks the impossible.

        Args:
            logits: Anything finite, (B, L, V).
            xt: Tokens the logits belong to, (B, L) int64.
        """
        log_p = self.normalised(logits)
        copied = torch.full_like(log_p, FLOOR).scatter(-1, xt[..., None], 0.0)
        return torch.where((xt == self.mask_id)[..., None], log_p, copied)


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
