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

import torch
from torch import Tensor, nn

from dnadiff.diffusion.parameterization import Parameterization
from dnadiff.diffusion.process import Process
from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache


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
        """Logarithms of p(x_0 | x_t) in nats, (B, L, V), or (B, M, V) with ``at``; float32, float64 if the logits are.

        Args:
            xt: Tokens, (B, L) int64.
            t: Time in [0, 1], (B,) or (B, L). None only without time conditioning.
            pattern: Which positions see which.
            valid: Keys that attention may see, (B, L) bool; None shows all.
            labels: Class of each row, (B,) int64, for models trained with classes.
            cache: Keys and values of the tokens before these.
            at: Positions asked about, (B, M) int64, or a slice of step 1 of every row; None asks about all. With
                ``shift`` and a cache not the first of the new tokens, unless it is the first of all.
            next_token: Speak of the token after each position instead, as an autoregressive model: log p(x_{i+1} |
                x_0..x_i) at position i with ``BlockCausal(1)``, for networks that were trained on next tokens too.

        Raises:
            InputError: A time-conditioned model was given no time.
        """
        options = {"pattern": pattern, "valid": valid, "labels": labels, "cache": cache}
        ask = self._before if self.shift and not next_token else self.backbone
        logits = ask(xt, self._sigma(xt, t), at=at, **options)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if next_token:
            return self.parameterization.normalised(logits)
        if at is not None:
            xt = xt[:, at] if isinstance(at, slice) else xt.gather(1, at)
        return self.parameterization(logits, xt)

    def with_backbone(self, backbone: nn.Module) -> "Denoiser":
        """The same denoiser around another backbone, such as a ``Wrapper`` of its own."""
        told = {"time_conditioning": self.time_conditioning, "shift": self.shift}
        return Denoiser(backbone, self.parameterization, self.process, **told)

    def _before(
        self, xt: Tensor, sigma: Tensor, *, pattern: Pattern, at: Tensor | slice | None, **options: object
    ) -> Tensor:
        """What the backbone says of the positions ``at`` where it says it: at those before them."""
        before = pattern.before(xt.shape[1], xt.device)
        if isinstance(at, Tensor):
            return self.backbone(xt, sigma, pattern=pattern, at=before[at], **options)
        logits = self.backbone(xt, sigma, pattern=pattern, at=None, **options)
        return logits[:, before if at is None else before[at]]

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
