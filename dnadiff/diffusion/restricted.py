"""A denoiser that knows which tokens may still come, given those that are there.

``allowed`` of a sampler is one set for each position, whatever the others become. What may come can depend on the
tokens that are known: a base that would complete a forbidden word with its neighbours must not be drawn. Here a rule is
asked at every call of the network, with the sequence as it stands. Logits of what it forbids become ``FLOOR``, so every
sampler draws from p(x_i | x_t) restricted to what the rule allows and renormalised; it is a backbone around a backbone,
and samplers know nothing of it. Positions revealed in one call do not know of each other: together they may break a
rule that each of them keeps, unless one is revealed at a time.

A rule is about whole sequences. Behind a cache a backbone is shown the latest tokens only, so ``BlockSampler``, which
uses one, takes the rule itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dnadiff.diffusion.denoiser import Denoiser, Wrapper
from dnadiff.diffusion.parameterization import FLOOR
from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache

Rule = Callable[[Tensor, Tensor], Tensor]
"""From tokens (B, L) and positions (B, M), int64, to the tokens allowed there, (B, M, V) bool, at least one each."""


def restricted(denoiser: Denoiser, rule: Rule) -> Denoiser:
    """The same denoiser, parameters shared, under a rule."""
    aligned = denoiser.aligned()
    return aligned.with_backbone(RestrictedBackbone(aligned.backbone, rule)).eval()


class RestrictedBackbone(Wrapper):
    """A backbone whose logits of forbidden tokens are ``FLOOR``.

    Args:
        backbone: Gives the logits.
        rule: Says what is allowed.
    """

    def __init__(self, backbone: nn.Module, rule: Rule) -> None:
        super().__init__(backbone)
        self.rule = rule

    def forward(
        self,
        tokens: Tensor,
        sigma: Tensor,
        *,
        pattern: Pattern = Full(),
        valid: Tensor | None = None,
        labels: Tensor | None = None,
        cache: KVCache | None = None,
        at: Tensor | slice | None = None,
    ) -> Tensor:
        """Logits (B, L, V), or (B, M, V) at the positions ``at``, (B, M) or a slice; others as of the backbone.

        Raises:
            InputError: There is a cache.
        """
        if cache is not None:
            raise InputError(
                "a rule is about whole sequences, of which a cache hides the beginning; BlockSampler takes it"
            )
        logits = self.backbone(tokens, sigma, pattern=pattern, valid=valid, labels=labels, at=at)
        if not isinstance(at, Tensor):
            everywhere = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
            at = everywhere if at is None else everywhere[:, at]
        return logits.masked_fill(~self.rule(tokens, at).to(logits.device), FLOOR)
