r"""Classifier guidance: a model that knows no classes, led to one by a classifier of half-finished sequences.

By Bayes' rule, for a masked position i and a token v, with x_t[i <- v] for x_t where i is v,

    p(x_0^i = v | x_t, y)  =  p(x_0^i = v | x_t) p(y | x_t[i <- v]) / p(y | x_t)

and with the likelihood of the class raised to gamma

    log p_gamma(x_0^i = v | x_t, y) = log p(x_0^i = v | x_t) + gamma log p(y | x_t[i <- v]) + const        (exact)

for every position, renormalised (Schiff et al., Simple guidance mechanisms for discrete diffusion models, 2024,
arXiv:2412.10193, D-CBG; Nisonoff et al., Unlocking guidance for discrete state-space diffusion and flow models, 2024,
arXiv:2406.01572). That is one question to the classifier for every token that a position may become: four a step where
one base is revealed at a time. The expansion of log p(y | .) to first order about x_t, in the one-hot rows of x_t,
answers for all positions at once with a single gradient,

    log p(y | x_t[i <- v]) ~ (d log p(y | x_t) / d onehot(x_t))[i, v] + const                        (first-order)

and is the exact one if log p(y | .) is linear in them.

When a token is revealed depends neither on the tokens nor on the class, so the chance of staying masked is left alone
(with an exact classifier and gamma = 1 it would not change anyway), and nothing need be said of the time: what a
classifier can know of y it knows from x_t. Hence gamma = 1 with an exact classifier, one token a step and an exact
denoiser draws p(x | y); gamma = 0 draws p(x); other strengths follow no model's p(x). Positions that are revealed
together are guided each on its own.

The classifier must have been trained on masked sequences. One that was not is asked about things it has never seen.
Constants of a position drop out when it is normalised, so it is enough to add to logits: a backbone around a backbone,
and samplers know nothing of it.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnadiff.diffusion.denoiser import Denoiser, Wrapper
from dnadiff.diffusion.parameterization import FLOOR, Subs
from dnadiff.errors import InputError, did_you_mean
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache

Classifier = Callable[[Tensor], Tensor]
"""log p(y | x_t) of the class wanted, nats, (B,): of tokens (B, L) int64, or of their one-hot rows (B, L, V) floating.

``exact`` asks for tokens, ``first-order`` for one-hot rows, through which it differentiates.
"""

STEPS = ("exact", "first-order")
"""How a classifier can be asked."""

_TOGETHER = 256  # sequences the classifier reads at once


def classifier_guided(denoiser: Denoiser, classifier: Classifier, gamma: float, *, steps: str = "exact") -> Denoiser:
    """The denoiser led by a classifier; it shares the weights of ``denoiser``.

    Args:
        denoiser: Of masked diffusion.
        classifier: Gives log p(y | x_t).
        gamma: Strength, at least 0; 1 is Bayes' rule.
        steps: A name of ``STEPS``.

    Raises:
        InputError: gamma is negative or not finite, there are no such steps, or the denoiser is of another kind.
    """
    if not 0 <= gamma < math.inf:
        raise InputError(f"gamma={gamma}: needs a finite number of at least 0")
    if steps not in STEPS:
        raise InputError(f"steps={steps}: {did_you_mean(steps, STEPS)}")
    if not isinstance(denoiser.parameterization, Subs):
        found = type(denoiser.parameterization).__name__
        raise InputError(f"classifier guidance: found a denoiser with {found}; one with Subs works")
    ask = Exact(classifier, denoiser.parameterization.allowed) if steps == "exact" else FirstOrder(classifier)
    aligned = denoiser.aligned()
    return aligned.with_backbone(ClassifierGuided(aligned.backbone, ask, gamma))


Ask = Callable[[Tensor, Tensor, int], Tensor]
"""From tokens (B, L), positions (B, M) and V to log p(y | x_t[i <- v]) up to a constant a position, (B, M, V)."""


class Exact:
    """Asks about every token a position may become; others are given 0, and no denoiser draws them.

    Args:
        classifier: Reads tokens.
        allowed: Ids a clean token can have.
    """

    def __init__(self, classifier: Classifier, allowed: tuple[int, ...]) -> None:
        self.classifier, self.allowed = classifier, allowed

    def __call__(self, tokens: Tensor, at: Tensor, vocab_size: int) -> Tensor:
        """log p(y | x_t[i <- v]), (B, M, V)."""
        ids = torch.tensor(self.allowed, device=tokens.device)
        shape = (*at.shape, len(ids))
        rows = tokens[:, None, None].expand(*shape, -1)
        rows = rows.scatter(3, at[:, :, None, None].expand(*shape, 1), ids[:, None].expand(*shape, 1)).flatten(0, 2)
        told = torch.cat([self.classifier(part) for part in rows.split(_TOGETHER)]).view(shape)
        return told.new_zeros(*at.shape, vocab_size).index_copy(2, ids, told)


class FirstOrder:
    """Asks once for the gradient in the one-hot rows of x_t.

    Args:
        classifier: Reads one-hot rows and can be differentiated.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def __call__(self, tokens: Tensor, at: Tensor, vocab_size: int) -> Tensor:
        """d log p(y | x_t) / d onehot(x_t) at the positions, (B, M, V)."""
        with torch.inference_mode(False), torch.enable_grad():
            rows = F.one_hot(tokens.clone(), vocab_size).float().requires_grad_()
            (slope,) = torch.autograd.grad(self.classifier(rows).sum(), rows)
        return slope.gather(1, at[..., None].expand(-1, -1, vocab_size))


class ClassifierGuided(Wrapper):
    """logits + gamma log p(y | .), of the backbone and of a classifier.

    Args:
        backbone: Gives the logits.
        ask: Asks the classifier.
        gamma: Strength.
    """

    def __init__(self, backbone: nn.Module, ask: Ask, gamma: float) -> None:
        super().__init__(backbone)
        self.ask, self.gamma = ask, gamma

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
        """Logits (B, L, V), or (B, M, V) at the positions ``at``; others as of the backbone.

        Raises:
            InputError: There is a cache.
        """
        if cache is not None:
            raise InputError("a classifier reads whole sequences, of which a cache hides the beginning; leave it out")
        logits = self.backbone(tokens, sigma, pattern=pattern, valid=valid, labels=labels, at=at)
        if not isinstance(at, Tensor):
            everywhere = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
            at = everywhere if at is None else everywhere[:, at]
        told = self.ask(tokens, at, logits.shape[-1])
        return logits + self.gamma * told.clamp(min=FLOOR)  # 0 times -inf would be no number
