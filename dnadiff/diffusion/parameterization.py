r"""From a backbone's logits to log p(x_0 | x_t).

SUBS (Sahoo et al. 2024, section 3.2.3) substitutes what is known about the answer:

    zero masking probabilities   x_0 is never the mask; here, never anything outside ``allowed``
    carry-over unmasking         a token that is not masked is what it is, with probability 1

so the network is only asked about masked positions, and only about tokens that can be there.

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
    """What turns logits into log-probabilities of the clean tokens. Pure: its inputs are never written to."""

    @abc.abstractmethod
    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V), from logits (B, L, V) and their tokens, (B, L)."""


class Subs(Parameterization):
    """SUBS over a set of tokens: masked positions are normalised over ``allowed``, others are copied.

    Args:
        mask_id: Token id of the mask.
        allowed: Ids a masked position can turn out to be, such as those of A, C, G and T; the mask is none of them.
    """

    def __init__(self, mask_id: int, allowed: tuple[int, ...]) -> None:
        super().__init__()
        if not allowed or mask_id in allowed:
            raise InputError(f"allowed={allowed}: needs one id or more and not the mask ({mask_id})")
        self.mask_id = mask_id
        self.allowed = tuple(sorted(set(allowed)))
        self.register_buffer("_ids", torch.tensor(self.allowed), persistent=False)

    def allowed_mask(self, vocab_size: int) -> Tensor:
        """Which ids of a vocabulary can be there, (V,) bool."""
        return torch.zeros(vocab_size, dtype=torch.bool, device=self._ids.device).index_fill(0, self._ids, True)

    def forward(self, logits: Tensor, xt: Tensor) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V): rows sum to 1 in probability, ``FLOOR`` marks the impossible.

        Args:
            logits: Anything finite, (B, L, V).
            xt: Tokens the logits belong to, (B, L) int64.
        """
        outside = ~self.allowed_mask(logits.shape[-1])
        log_p = logits.masked_fill(outside, -torch.inf).log_softmax(-1).masked_fill(outside, FLOOR)
        copied = torch.full_like(log_p, FLOOR).scatter(-1, xt[..., None], 0.0)
        return torch.where((xt == self.mask_id)[..., None], log_p, copied)
