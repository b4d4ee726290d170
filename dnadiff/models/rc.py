r"""Both strands read alike: the wrapper that makes any backbone equivariant under reverse complement.

A sequence x and its reverse complement rc x, which reads the other strand from its own beginning, are the same
molecule. The wrapper reads both and brings what the second says back to the first:

    logits(x) = f(x) + P flip f(rc x),      rc x = flip(P x)

with flip reversing positions and P exchanging A with T and C with G. Since rc rc x = x, logits(rc x) = P flip logits(x)
holds exactly, whatever f is and before it has learned anything; so the likelihood of a window is that of its reverse
complement under mirrored masks. (Zhou et al., Towards a better understanding of reverse-complement equivariance for
deep learning models in genomics, 2022; the sum is the one of the language-model head of Caduceus, Schiff et al. 2024,
section 4.) The two readings go through f as one batch of 2B rows. There are no weights of its own.

*What mirrors.* All of the window: noise levels given by token and the mask of valid positions turn round with the
tokens; a sequence padded on its right is compared with its reverse complement padded on its left. A window that begins
with [BOS] has no mirror image among such windows, so it is refused where models are built.

*What cannot be.* A pass under a causal or block pattern must not see what lies to its right, and the flipped pass sees
exactly that; so every pattern but ``Full`` is refused, and with it the cache. Tokens must be single bases.

Shapes: B batch, N tokens, V vocabulary, D width, M chosen positions.
"""

import torch
from torch import Tensor, nn

from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache


class ReverseComplement(nn.Module):
    """A backbone that answers for both strands; it takes the call of the one within.

    Args:
        backbone: Any backbone that sees all positions; its weights are shared.
        complement: Id of the token that pairs with each token, V of them; specials pair with themselves.

    Raises:
        InputError: The ids do not pair up, or are not as many as the backbone has tokens.
    """

    def __init__(self, backbone: nn.Module, complement: tuple[int, ...]) -> None:
        super().__init__()
        size = backbone.vocab_size
        if len(complement) != size or sorted(complement) != list(range(size)):
            raise InputError(f"complement: found {len(complement)} ids; each of 0 to {size - 1} once would work")
        if any(complement[other] != i for i, other in enumerate(complement)):
            raise InputError("complement: a token's partner has another partner; pairs would work")
        self.backbone = backbone
        self.register_buffer("complement", torch.tensor(complement), persistent=False)

    @property
    def vocab_size(self) -> int:
        """V of the backbone within."""
        return self.backbone.vocab_size

    @property
    def n_classes(self) -> int:
        """Number of labels the backbone within was built with."""
        return self.backbone.n_classes

    @property
    def blocks(self) -> nn.ModuleList:
        """Layers of the backbone within."""
        return self.backbone.blocks

    def forward(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, cache: KVCache | None = None, at: Tensor | slice | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits (B, N, V), or (B, M, V) of the positions ``at``; arguments as of the backbone within.

        Raises:
            InputError: There is a cache, or the pattern hides positions.
        """
        if cache is not None:
            raise InputError("a model of both strands reads every sequence from both ends; it cannot honour a cache")
        mirrored = None
        if at is not None:
            at = _positions(at, tokens)
            mirrored = torch.cat([at, _mirror_images(at, tokens)])
        both = self.backbone(*self._both(tokens, sigma, pattern), **_options(pattern, valid, labels), at=mirrored)
        own, other = both.chunk(2)
        return own + (other if at is not None else other.flip(1))[..., self.complement]

    def features(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, layer: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Hidden states of both strands averaged, (B, N, D); those of the reverse complement are the same, mirrored.

        A head that treats positions alike, such as a mean over them, therefore says the same of both strands. With a
        linear head this is Caduceus's conjoining, the mean of what it says of each. ``layer`` is one of the backbone
        within, None the last.

        Raises:
            InputError: The pattern hides positions, or there is no such layer.
        """
        options = _options(pattern, valid, labels)
        own, other = self.backbone.features(*self._both(tokens, sigma, pattern), **options, layer=layer).chunk(2)
        return (own + other.flip(1)) / 2

    def _both(self, tokens: Tensor, sigma: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
        """Tokens and noise levels of both strands, (2B, N) and (2B,) or (2B, N)."""
        if pattern != Full():
            raise InputError(f"a model of both strands sees both sides of a position; it cannot honour {pattern}")
        other = tokens.flip(1)
        other = other[..., self.complement] if tokens.is_floating_point() else self.complement[other]
        return torch.cat([tokens, other]), torch.cat([sigma, _mirrored(sigma)])


def _options(pattern: Pattern, valid: Tensor | None, labels: Tensor | None) -> dict[str, Pattern | Tensor | None]:
    return {
        "pattern": pattern,
        "valid": None if valid is None else torch.cat([valid, valid.flip(1)]),
        "labels": None if labels is None else torch.cat([labels, labels]),
    }


def _mirrored(sigma: Tensor) -> Tensor:
    return sigma.flip(1) if sigma.ndim == 2 else sigma


def _positions(at: Tensor | slice, tokens: Tensor) -> Tensor:
    """Chosen positions of each row, (B, M) int64, or numbers of tokens of the batch, (T,)."""
    if isinstance(at, Tensor):
        return at
    return torch.arange(tokens.shape[1], device=tokens.device)[at].expand(len(tokens), -1)


def _mirror_images(at: Tensor, tokens: Tensor) -> Tensor:
    """Where tokens lie in their reverse complements; by number these rows follow those of the tokens."""
    if at.ndim == 1:
        row = at % tokens.shape[1]
        return at - row + tokens.numel() + tokens.shape[1] - 1 - row
    return tokens.shape[1] - 1 - at
