r"""The denoiser: backbone, parameterization and process as one function from corrupted tokens to log p(x_0 | x_t).

It is what an objective trains, a sampler asks and ``dnadiff.load`` returns. With the absorbing process the true
conditional does not depend on time given the unmasked tokens (Ou et al., Your Absorbing Discrete Diffusion Secretly
Models the Conditional Distributions of Clean Data, 2024, arXiv:2406.03736), so by default the backbone is told sigma =
0 throughout.

*Shift.* A network that was trained on next tokens says at position i what it thinks of token i + 1. It can be kept so
when it becomes a diffusion model: with ``shift`` the answer about a token is read at the position before it, here and
so everywhere that a denoiser is asked: in losses, scores and samples. The first token of a sequence has no position
before it and must be given. In training on [x_t ; x_0] the token before a block is the last clean one, as in sampling
(``Pattern.before``). With blocks of 1 that is the autoregressive model exactly.
"""

import abc
from functools import partial

import torch
from torch import Tensor, nn

from dnadiff.diffusion.parameterization import Parameterization
from dnadiff.diffusion.process import Process
from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import pick


class Denoiser(nn.Module):
    """log p(x_0 | x_t) of every position.

    Args:
        backbone: Network of the call ``(tokens, sigma, *, pattern, valid, labels, cache, at) -> logits``.
        parameterization: From logits to log-probabilities.
        process: How tokens were corrupted; gives sigma of t and the mask's id.
        time_conditioning: Whether the backbone reads sigma(t); otherwise it reads 0 at every time.
        shift: Whether the backbone speaks of the token after each position, as one that was trained on next tokens.
    """

    def __init__(
        self,
        backbone: nn.Module,
        parameterization: Parameterization,
        process: Process,
        *,
        time_conditioning: bool = False,
        shift: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.parameterization = parameterization
        self.process = process
        self.time_conditioning, self.shift = time_conditioning, shift

    def forward(
        self,
        xt: Tensor,
        t: Tensor | None,
        *,
        pattern: Pattern = Full(),
        valid: Tensor | None = None,
        labels: Tensor | None = None,
        cache: KVCache | None = None,
        at: Tensor | slice | None = None,
        next_token: bool = False,
    ) -> Tensor:
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V), or those ``at``; float32, float64 if the logits are.

        Args:
            xt: Tokens, (B, L) int64.
            t: Time in [0, 1], (B,) or (B, L). None only without time conditioning.
            pattern: Which positions see which.
            valid: Keys that attention may see, (B, L) bool; None shows all.
            labels: Class of each row, (B,) int64, for models trained with classes.
            cache: Keys and values of the tokens before these.
            at: Positions asked about, (B, M) int64, or a slice of step 1 of every row, which give (B, M, V); or numbers
                (T,) int64 of tokens of the batch counted row after row, which give (T, V); None asks about all. With
                ``shift`` and a cache not the first of the new tokens, unless it is the first of all.
            next_token: Speak of the token after each position instead, as an autoregressive model: log p(x_{i+1} |
                x_0..x_i) at position i with ``BlockCausal(1)``, for networks that were trained on next tokens too.

        Raises:
            InputError: A time-conditioned model was given no time.
        """
        options = {"pattern": pattern, "valid": valid, "labels": labels, "cache": cache}
        sigma, shifted = self._sigma(xt, t), self.shift and not next_token
        ask = partial(before, self.backbone) if shifted else self.backbone
        logits = ask(xt, sigma, at=at, **options)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if next_token:
            return self.parameterization.normalised(logits)
        return self.parameterization(logits, pick(xt[..., None], at)[..., 0])

    def with_backbone(self, backbone: nn.Module) -> "Denoiser":
        """The same denoiser around another backbone, such as a ``Wrapper`` of its own."""
        told = {"time_conditioning": self.time_conditioning, "shift": self.shift}
        return Denoiser(backbone, self.parameterization, self.process, **told)

    def aligned(self) -> "Denoiser":
        """The same denoiser around a backbone that speaks of every token at its own place: itself without ``shift``.

        It is what wrappers go around that change what is said of a position.
        """
        if not self.shift:
            return self
        told = {"time_conditioning": self.time_conditioning}
        return Denoiser(Before(self.backbone), self.parameterization, self.process, **told)

    def _sigma(self, xt: Tensor, t: Tensor | None) -> Tensor:
        """What the backbone reads of time, float32: zeros (B,) without conditioning, else sigma(t), shaped like t."""
        if not self.time_conditioning:
            return torch.zeros(len(xt), device=xt.device)
        if t is None:
            raise InputError("t=None: this denoiser is conditioned on time and needs t")
        return self.process.schedule.sigma(t).to(xt.device, torch.float32)


class Wrapper(nn.Module, abc.ABC):
    """A backbone around a backbone: it answers the same call, and samplers, objectives and caches know nothing of it.

    Args:
        backbone: The one within, whose weights it shares.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def vocab_size(self) -> int:
        """V of the backbone within."""
        return self.backbone.vocab_size

    @abc.abstractmethod
    def forward(self, tokens: Tensor, sigma: Tensor, **options: object) -> Tensor:
        """Logits (B, N, V), or (B, M, V) with ``at``; ``options`` as of the backbone."""


class Before(Wrapper):
    """A backbone that was trained on next tokens, asked about each token at the position before it."""

    def forward(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), at: Tensor | slice | None = None,
        **options: object,
    ) -> Tensor:  # fmt: skip
        """Logits (B, N, V), or (B, M, V) with ``at``; the first token has nothing before it and must be given."""
        return before(self.backbone, tokens, sigma, pattern=pattern, at=at, **options)


def before(
    backbone: nn.Module, tokens: Tensor, sigma: Tensor, *, pattern: Pattern, at: Tensor | slice | None,
    **options: object,
) -> Tensor:  # fmt: skip
    """What a backbone says of the positions ``at`` (None: all) where it says it: at those before them, (B, M, V)."""
    places = pattern.before(tokens.shape[1], tokens.device)
    if isinstance(at, Tensor):
        row = at % tokens.shape[1] if at.ndim == 1 else at
        return backbone(tokens, sigma, pattern=pattern, at=at - row + places[row], **options)
    logits = backbone(tokens, sigma, pattern=pattern, at=None, **options)
    return logits[:, places if at is None else places[at]]
