r"""Classifier-free guidance: a class-conditional model pushed towards, or past, the class asked for.

    log p_gamma(x_0 | x_t, y) = gamma log p(x_0 | x_t, y) + (1 - gamma) log p(x_0 | x_t) + const
                              = log p(x_0 | x_t) + gamma log (p(x_0 | x_t, y) / p(x_0 | x_t)) + const

for every position, renormalised (Schiff et al., Simple guidance mechanisms for discrete diffusion models, 2024,
arXiv:2412.10193, section 3.1, for the absorbing process: the chance of staying masked is the same for both and is left
alone). gamma = 0 ignores the class, 1 is the conditional model, above 1 exaggerates. Apart from 0 and 1 the samples
follow no model's p(x), however many steps are made.

Constants of a position drop out when it is normalised, so it is enough to combine logits. Guidance is therefore a
backbone around a backbone: parameterization, samplers and caches know nothing of it.
"""

import math

import torch
from torch import Tensor, nn

from dnadiff.diffusion.denoiser import Denoiser, Wrapper
from dnadiff.diffusion.parameterization import NextToken, Subs
from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import by_number


def classifier_free(denoiser: Denoiser, gamma: float, n_classes: int) -> Denoiser:
    """The guided denoiser; it shares the weights of ``denoiser`` and must be called with labels.

    Args:
        denoiser: Trained with labels, some of them dropped, so that it also knows the unconditional distribution.
        gamma: Strength, at least 0.
        n_classes: Number of labels; label ``n_classes`` stands for "none".

    Raises:
        InputError: gamma is negative or not finite, there are no classes, or the parameterization does not normalise
            logits.
    """
    if not 0 <= gamma < math.inf:
        raise InputError(f"gamma={gamma}: needs a finite number of at least 0")
    if n_classes < 1:
        raise InputError("this model was trained without labels (n_classes=0); guidance needs one trained with them")
    if not isinstance(denoiser.parameterization, Subs | NextToken):
        found = type(denoiser.parameterization).__name__
        raise InputError(f"guidance: found a denoiser with {found}; one with Subs or NextToken works")
    return denoiser.with_backbone(GuidedBackbone(denoiser.backbone, gamma, n_classes))


class GuidedBackbone(Wrapper):
    """gamma * logits(label) + (1 - gamma) * logits(no label), both from one call with 2B rows.

    A cache given to it holds 2B rows, those with labels first.

    Args:
        backbone: Takes labels.
        gamma: Strength.
        none: The label that stands for "none".
    """

    def __init__(self, backbone: nn.Module, gamma: float, none: int) -> None:
        super().__init__(backbone)
        self.gamma, self.none = gamma, none

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
        """Logits (B, N, V), or (B, M, V) at the positions ``at``.

        Raises:
            InputError: There are no labels.
        """
        if labels is None:
            raise InputError("guidance pushes towards a class; give labels")
        conditional, free = self.backbone(
            _twice(tokens),
            _twice(sigma),
            pattern=pattern,
            valid=_twice(valid),
            labels=torch.cat([labels, torch.full_like(labels, self.none)]),
            cache=cache,
            at=torch.cat([at, at + tokens.numel()]) if by_number(at) else _twice(at),
        ).chunk(2)
        return self.gamma * conditional + (1 - self.gamma) * free


class OfClass(Wrapper):
    """A backbone that is told one class at every call, so that what calls it need not know of classes.

    Args:
        backbone: Takes labels.
        label: The class.
    """

    def __init__(self, backbone: nn.Module, label: int) -> None:
        super().__init__(backbone)
        self.label = label

    def forward(self, tokens: Tensor, sigma: Tensor, *, labels: Tensor | None = None, **options: object) -> Tensor:
        """Logits of the class; arguments as of the backbone, without labels.

        Raises:
            InputError: There are labels.
        """
        if labels is not None:
            raise InputError("this denoiser is of one class already; leave labels out")
        own = torch.full((len(tokens),), self.label, device=tokens.device)
        return self.backbone(tokens, sigma, labels=own, **options)


def of_class(denoiser: Denoiser, label: int, n_classes: int, gamma: float | None = None) -> Denoiser:
    """The denoiser of one class, guided if ``gamma`` is given; it shares the weights of ``denoiser``.

    Args:
        denoiser: Trained with labels.
        label: The class, 0 to ``n_classes`` - 1.
        n_classes: Number of classes.
        gamma: Strength of classifier-free guidance, at least 0; None does not guide, which is what 1 amounts to.

    Raises:
        InputError: As :func:`classifier_free`.
    """
    inner = denoiser if gamma is None else classifier_free(denoiser, gamma, n_classes)
    return inner.with_backbone(OfClass(inner.backbone, label))


def _twice(x: Tensor | slice | None) -> Tensor | slice | None:
    """(2B, ...) from (B, ...); what is the same of every row stays."""
    return torch.cat([x, x]) if isinstance(x, Tensor) else x
