r"""Decoder-only language models under the project's own contract: Llama and GPT-2 as backbones.

    x <- x + attention(norm(x)),   x <- x + mlp(norm(x)),   logits = head(norm(x))

Both are trained from left to right, with the pattern ``BlockCausal(1)``. The weights do not know that: with another
pattern the same network looks both ways inside a block, or everywhere, which is how it becomes a diffusion model. They
are told no noise level (sigma must be what the model was trained with, a constant) and no labels. ``Stack`` is what
they share with encoders (``models.encoder``).

``Llama`` (Touvron et al., LLaMA: open and efficient foundation language models, 2023, arXiv:2302.13971): RMS norms
(Zhang and Sennrich, 2019), rotary positions whose halves turn against each other, SwiGLU (Shazeer, 2020,
arXiv:2002.05202), no biases, and fewer heads of keys and values than of queries (Ainslie et al., GQA, 2023).
``GPT2`` (Radford et al., Language models are unsupervised multitask learners, 2019): learned positions, layer norms and
linear maps with biases, GELU by tanh, tied head.

Shapes: B batch, N tokens, V vocabulary, D hidden_size, H n_heads, G n_kv_heads, K = D / H, M chosen positions.
"""

import abc
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dnadiff.errors import InputError
from dnadiff.models.attention import BACKENDS, Attention, Full, Pattern, look
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import by_number, pick
from dnadiff.models.layers import MAX_PERIOD, angles_at, blocks_to_run, embedded, rotary_angles, rotate

STD = 0.02  # of fresh weights, as GPT-2's and Llama's

Rotary = tuple[Tensor, Tensor]


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) times a gain, over D, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x, same shape and type."""
        return F.rms_norm(x.float(), x.shape[-1:], self.weight.float(), self.eps).to(x.dtype)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) of (B, N, D)."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class SelfAttention(nn.Module):
    """Multi-head attention whose keys and values may have fewer heads than its queries."""

    def __init__(self, width: int, n_heads: int, n_kv_heads: int, bias: bool) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, head_width = n_heads, n_kv_heads, width // n_heads
        self.q = nn.Linear(width, n_heads * head_width, bias)
        self.k = nn.Linear(width, n_kv_heads * head_width, bias)
        self.v = nn.Linear(width, n_kv_heads * head_width, bias)
        self.out = nn.Linear(width, width, bias)

    def forward(
        self, h: Tensor, rotary: Rotary | None, attention: Attention, cache: KVCache | None, layer: int,
        at: Tensor | slice | None,
    ) -> Tensor:  # fmt: skip
        """What the tokens ``at`` (None: all) of h (B, N, D) read, (B, M, D); all of h gives keys and values."""
        asking = None if by_number(at) else at  # where rows have different numbers of them all tokens ask
        q = rearrange(self.q(pick(h, asking)), "b n (h k) -> b n h k", h=self.n_heads)
        k, v = (rearrange(y(h), "b n (h k) -> b n h k", h=self.n_kv_heads) for y in (self.k, self.v))
        if rotary is not None:
            q, k = rotate(q, *angles_at(rotary, asking)), rotate(k, *rotary)
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        if self.n_kv_heads < self.n_heads:
            k, v = (y.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1) for y in (k, v))
        read = rearrange(attention(q, k, v), "b h n k -> b n (h k)")
        return self.out(pick(read, at) if by_number(at) else read)


class DecoderBlock(nn.Module):
    """One block, made of its parts."""

    def __init__(self, norm1: nn.Module, attn: SelfAttention, norm2: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2, self.mlp = norm1, attn, norm2, mlp

    def forward(
        self, x: Tensor, rotary: Rotary | None, attention: Attention, cache: KVCache | None, layer: int,
        at: Tensor | slice | None,
    ) -> Tensor:  # fmt: skip
        """The tokens ``at`` (None: all) of x (B, N, D) after attention and MLP."""
        x = pick(x, at) + self.attn(self.norm1(x), rotary, attention, cache, layer, at)
        return x + self.mlp(self.norm2(x))


class Stack(nn.Module, abc.ABC):
    """What Llama, GPT-2 and BERT share: everything but their parts and how positions enter.

    Args:
        vocab_size: V, the mask included.
        width: D.
        blocks: The layers, each with ``attn`` and ``mlp``, called as ``DecoderBlock`` is.
        norm: The last norm.
        tied: Whether the head is the embedding.
        attention: Backend, a name of ``attention.BACKENDS``.
        transform: What stands between the last norm and the head; None: nothing.
        bias: Whether every token has a bias in the head.
        segments: Whether a second sentence has an embedding of its own.

    Attributes:
        n_classes: 0, they know no labels.
        longest: Positions that were learned one by one; None where they are angles.
    """

    longest: int | None = None

    def __init__(
        self, vocab_size: int, width: int, blocks: Sequence[nn.Module], norm: nn.Module, *, tied: bool, attention: str,
        transform: nn.Module | None = None, bias: bool = False, segments: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if attention not in BACKENDS:
            raise InputError(f"attention={attention}: there are {', '.join(BACKENDS)}")
        self.vocab_size, self.n_classes, self.attention = vocab_size, 0, attention
        self.embed = nn.Embedding(vocab_size, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.transform = transform
        self.head = None if tied else nn.Linear(width, vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None
        self.second = nn.Parameter(torch.zeros(width)) if segments else None
        self.apply(fresh)
        for block in blocks:  # what is added to the stream starts smaller the more blocks add to it (GPT-2)
            for last in (block.attn.out, list(block.mlp.modules())[-1]):
                nn.init.normal_(last.weight, std=STD / (2 * len(blocks)) ** 0.5)

    @abc.abstractmethod
    def placed(self, tokens: Tensor, positions: Tensor, second: Tensor | None = None) -> tuple[Tensor, Rotary | None]:
        """Embeddings (B, N, D) of tokens (B, N) and the rotary angles of all positions (N,), None without any.

        ``second`` (B, N) bool is True at tokens of a second sentence; None unless there are ``segments``.
        """

    def forward(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, cache: KVCache | None = None, at: Tensor | slice | None = None,
    ) -> Tensor:  # fmt: skip
        """Raw logits, (B, N, V), or (B, M, V) of the positions ``at``; arguments as of ``DiT``, no labels."""
        h = self.norm(self._run(tokens, pattern, valid, labels, cache, at))
        h = h if self.transform is None else self.transform(h)
        return F.linear(h, self.embed.weight if self.head is None else self.head.weight, self.bias)

    def features(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, layer: int | None = None, second: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Hidden states (B, N, D), which heads and probes read; arguments and errors as of ``DiT.features``.

        ``second`` (B, N) bool is True at tokens of a second sentence; only networks with ``segments`` take it.
        """
        depth = blocks_to_run(layer, len(self.blocks))
        x = self._run(tokens, pattern, valid, labels, None, None, depth, second)
        return self.norm(x) if depth is None else x

    def _run(
        self, tokens: Tensor, pattern: Pattern, valid: Tensor | None, labels: Tensor | None,
        cache: KVCache | None, at: Tensor | slice | None, depth: int | None = None, second: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """States of the tokens ``at`` after all blocks, or of all tokens after the first ``depth``; not normed."""
        if labels is not None:
            raise InputError("this model was built without labels (n_classes=0)")
        if second is not None and self.second is None:
            raise InputError("this model was built without a second sentence (segments=false)")
        past, forgotten = (0, 0) if cache is None else (cache.length, cache.forgotten)
        n = past + tokens.shape[1]
        if self.longest is not None and pattern.length(n) > self.longest:
            most = f"the model has learned {self.longest}; at most {self.longest} tokens would work"
            raise InputError(f"position {pattern.length(n)}: {most}")
        x, rotary = self.placed(tokens, pattern.positions(n, tokens.device, past), second)
        seen = {"past": past, "forgotten": forgotten, "valid": valid, "device": x.device, "backend": self.attention}
        attention = look(pattern, n, **seen)
        for layer, block in enumerate(self.blocks[: -1 if depth is None else depth]):
            x = block(x, rotary, attention, cache, layer, None)
        if depth is not None:
            return x
        last, layer = self.blocks[-1], len(self.blocks) - 1
        if at is None or self.attention == "flash":  # flash-attn masks nothing but what lies behind the last query
            return pick(last(x, rotary, attention, cache, layer, None), at)
        if not by_number(at):
            attention = look(pattern, n, at=at, **seen)
        return last(x, rotary, attention, cache, layer, at)


class Llama(Stack):
    """The network of Llama and of llama2.c.

    Args:
        vocab_size: V, the mask included.
        hidden_size: D.
        n_blocks: Number of layers.
        n_heads: H; D / H must be even.
        n_kv_heads: G, a divisor of H; 0 is H.
        mlp_size: Inner width of the MLP; 0 is 8/3 D, made a multiple of 4.
        rope_base: Base of the rotary angles.
        norm_eps: Added to the mean square.
        tied: Whether the head is the embedding.
        attention: Backend, a name of ``attention.BACKENDS``; not part of the weights.

    Raises:
        InputError: Sizes that do not fit together.
    """

    def __init__(
        self, vocab_size: int, hidden_size: int, n_blocks: int, n_heads: int, *, n_kv_heads: int = 0, mlp_size: int = 0,
        rope_base: float = MAX_PERIOD, norm_eps: float = 1e-5, tied: bool = True, attention: str = "sdpa",
    ) -> None:  # fmt: skip
        n_kv_heads, mlp_size = n_kv_heads or n_heads, mlp_size or 4 * round(2 * hidden_size / 3)
        if hidden_size % n_heads or hidden_size // n_heads % 2 or n_heads % n_kv_heads:
            found = f"hidden_size={hidden_size}, n_heads={n_heads}, n_kv_heads={n_kv_heads}"
            raise InputError(f"{found}: heads must divide it into even widths, and n_kv_heads must divide n_heads")
        blocks = [
            DecoderBlock(
                RMSNorm(hidden_size, norm_eps), SelfAttention(hidden_size, n_heads, n_kv_heads, bias=False),
                RMSNorm(hidden_size, norm_eps), SwiGLU(hidden_size, mlp_size),
            )
            for _ in range(n_blocks)
        ]  # fmt: skip
        super().__init__(
            vocab_size, hidden_size, blocks, RMSNorm(hidden_size, norm_eps), tied=tied, attention=attention
        )
        self.head_width, self.rope_base = hidden_size // n_heads, rope_base

    def placed(self, tokens: Tensor, positions: Tensor, second: Tensor | None = None) -> tuple[Tensor, Rotary]:
        """Embeddings of tokens, and angles computed in float64."""
        return embedded(tokens, self.embed.weight), rotary_angles(positions, self.head_width, self.rope_base)


class GPT2(Stack):
    """The network of GPT-2.

    Args:
        vocab_size: V, the mask included.
        hidden_size: D.
        n_blocks: Number of layers.
        n_heads: H, a divisor of D.
        positions: Longest sequence; positions are learned one by one.
        mlp_size: Inner width of the MLP; 0 is 4 D.
        norm_eps: Added to the variance.
        attention: Backend, a name of ``attention.BACKENDS``; not part of the weights.

    Raises:
        InputError: Sizes that do not fit together.
    """

    def __init__(
        self, vocab_size: int, hidden_size: int, n_blocks: int, n_heads: int, *, positions: int, mlp_size: int = 0,
        norm_eps: float = 1e-5, attention: str = "sdpa",
    ) -> None:  # fmt: skip
        if hidden_size % n_heads or positions < 1:
            found = f"hidden_size={hidden_size}, n_heads={n_heads}, positions={positions}"
            raise InputError(f"{found}: heads must divide it, and there must be a position")
        inner = mlp_size or 4 * hidden_size
        blocks = [
            DecoderBlock(
                nn.LayerNorm(hidden_size, norm_eps), SelfAttention(hidden_size, n_heads, n_heads, bias=True),
                nn.LayerNorm(hidden_size, norm_eps),
                nn.Sequential(
                    nn.Linear(hidden_size, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, hidden_size)
                ),
            )
            for _ in range(n_blocks)
        ]  # fmt: skip
        last = nn.LayerNorm(hidden_size, norm_eps)
        super().__init__(vocab_size, hidden_size, blocks, last, tied=True, attention=attention)
        self.place, self.longest = nn.Embedding(positions, hidden_size), positions
        fresh(self.place)

    def placed(self, tokens: Tensor, positions: Tensor, second: Tensor | None = None) -> tuple[Tensor, None]:
        """Embeddings of tokens and positions together."""
        return embedded(tokens, self.embed.weight) + self.place(positions), None


def fresh(module: nn.Module) -> None:
    """Nothing; a new layer, or what holds ones, gets its initial weights in place."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
