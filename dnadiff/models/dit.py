r"""The one transformer: MDLM's DiT with its parameter names, so that upstream checkpoints load by name.

A block is x + gate * attention(modulate(norm(x))), then the same with an MLP (GELU by tanh, ratio 4). Shift, scale and
gate come from the noise level sigma and the label through adaLN (Peebles and Xie, Scalable diffusion models with
transformers, 2023); with ``adaln=False`` they are absent and the block is a plain pre-norm one, which is what a model
without time conditioning needs. Which position sees which is the caller's ``pattern``: the same weights run full,
causal and block attention.

Shapes: B batch, N tokens, V vocabulary, D hidden_size, H n_heads, K = D / H, C cond_dim, M chosen positions.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dnadiff.errors import InputError
from dnadiff.models.attention import BACKENDS, Full, Pattern, attend
from dnadiff.models.cache import KVCache
from dnadiff.models.layers import Embedding, LayerNorm, SigmaEmbedding, modulate, rotary_angles, rotate

Rotary = tuple[Tensor, Tensor]


class Block(nn.Module):
    """One transformer block."""

    def __init__(self, width: int, n_heads: int, cond_dim: int | None, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.norm1 = LayerNorm(width)
        self.attn_qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.norm2 = LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        if cond_dim is not None:
            self.adaLN_modulation = _zero_linear(cond_dim, 6 * width)

    def forward(
        self, x: Tensor, c: Tensor | None, rotary: Rotary, pattern: Pattern, valid: Tensor | None,
        cache: KVCache | None, layer: int, backend: str,
    ) -> Tensor:  # fmt: skip
        """x (B, N, D) after attention and MLP; ``c`` is the conditioning, (B, 1 | N, C) or None."""
        if c is None:
            x = x + self._drop(self._attention(self.norm1(x), rotary, pattern, valid, cache, layer, backend))
            return x + self._drop(self.mlp(self.norm2(x)))
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation(c).chunk(6, dim=-1)
        h = modulate(self.norm1(x), shift_msa, scale_msa)
        x = x + gate_msa * self._drop(self._attention(h, rotary, pattern, valid, cache, layer, backend))
        h = modulate(self.norm2(x), shift_mlp, scale_mlp)
        return x + gate_mlp * self._drop(self.mlp(h))

    def _attention(
        self, h: Tensor, rotary: Rotary, pattern: Pattern, valid: Tensor | None,
        cache: KVCache | None, layer: int, backend: str,
    ) -> Tensor:  # fmt: skip
        q, k, v = rearrange(self.attn_qkv(h), "b n (three h k) -> three b n h k", three=3, h=self.n_heads)
        q, k, v = (y.transpose(1, 2) for y in (rotate(q, *rotary), rotate(k, *rotary), v))
        past = 0
        if cache is not None:
            past = cache.length
            k, v = cache.extend(layer, k, v)
        out = attend(q, k, v, pattern=pattern, valid=valid, past=past, backend=backend)
        return self.attn_out(rearrange(out, "b h n k -> b n (h k)"))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout > 0 else x


class Output(nn.Module):
    """Final norm and the projection to the vocabulary, zero at the start so that an untrained model is uniform."""

    def __init__(self, width: int, vocab_size: int, cond_dim: int | None) -> None:
        super().__init__()
        self.norm_final = LayerNorm(width)
        self.linear = _zero_linear(width, vocab_size)
        if cond_dim is not None:
            self.adaLN_modulation = _zero_linear(cond_dim, 2 * width)

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Logits (B, N, V)."""
        h = self.norm_final(x)
        if c is not None:
            h = modulate(h, *self.adaLN_modulation(c).chunk(2, dim=-1))
        return self.linear(h)


class DiT(nn.Module):
    """The transformer of MDLM, BD3-LM and their AR baselines.

    Args:
        vocab_size: V, the mask included.
        hidden_size: D.
        n_blocks: Number of layers.
        n_heads: H; D / H must be even.
        cond_dim: C, width of the conditioning vector.
        dropout: Probability, on both branches of a block.
        adaln: Whether sigma and labels modulate the blocks. Without it sigma must be what the model was trained with (a
            constant), and there are no labels.
        n_classes: Number of labels; label ``n_classes`` stands for "none". 0: the model takes no labels.
        stem: Width of a convolution over the embeddings, odd; 0: none, as upstream. It lets each position see its
            neighbours before the first block, so it refuses every pattern but ``Full``.
        attention: Backend, a name of ``attention.BACKENDS``; not part of the weights.

    Raises:
        InputError: Sizes that do not fit together.
    """

    def __init__(
        self, vocab_size: int, hidden_size: int, n_blocks: int, n_heads: int, *, cond_dim: int = 128,
        dropout: float = 0.0, adaln: bool = True, n_classes: int = 0, stem: int = 0, attention: str = "sdpa",
    ) -> None:  # fmt: skip
        super().__init__()
        if hidden_size % n_heads or hidden_size // n_heads % 2:
            raise InputError(f"hidden_size={hidden_size}, n_heads={n_heads}: heads must divide it into even widths")
        if attention not in BACKENDS:
            raise InputError(f"attention={attention}: there are {', '.join(BACKENDS)}")
        if n_classes and not adaln:
            raise InputError("labels enter through adaLN: adaln=False cannot take n_classes > 0")
        if stem < 0 or (stem and stem % 2 == 0):
            raise InputError(f"stem={stem}: a convolution centred on its position has an odd width; 0 is none")
        self.vocab_size, self.n_classes = vocab_size, n_classes
        self.head_width, self.attention = hidden_size // n_heads, attention
        cond = cond_dim if adaln else None
        self.vocab_embed = Embedding(vocab_size, hidden_size)
        if adaln:
            self.sigma_map = SigmaEmbedding(cond_dim)
        if n_classes:
            self.label_embed = nn.Embedding(n_classes + 1, cond_dim)
        self.adaln = adaln
        self.stem = nn.Conv1d(hidden_size, hidden_size, stem, padding=stem // 2, bias=False) if stem else None
        self.blocks = nn.ModuleList(Block(hidden_size, n_heads, cond, dropout) for _ in range(n_blocks))
        self.output_layer = Output(hidden_size, vocab_size, cond)

    def forward(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, cache: KVCache | None = None, at: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Raw logits, (B, N, V), or (B, M, V) of the positions ``at``.

        Args:
            tokens: Token ids, (B, N); for ``BlockDiffusion`` [x_t ; x_0], (B, 2L).
            sigma: Noise level, (B,) or one a token (B, N).
            pattern: Who sees whom.
            valid: Keys that may be seen, (B, N) bool (with a cache: of prefix and tokens); None: all, as upstream.
            labels: Class of each row, (B,); None with a label-conditioned model means "none".
            cache: Keys and values of a finished prefix; the tokens continue it.
            at: Positions whose logits are wanted, (B, M) int64; None: all.
        """
        c = self._condition(sigma, labels, len(tokens))
        x = self._run(tokens, c, pattern, valid, cache)
        if at is not None:
            x = x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))
            if c is not None and c.shape[1] > 1:
                c = c.gather(1, at[..., None].expand(-1, -1, c.shape[-1]))
        return self.output_layer(x, c)

    def features(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Hidden states after the last block and the final norm, (B, N, D): what heads and probes read."""
        x = self._run(tokens, self._condition(sigma, labels, len(tokens)), pattern, valid, None)
        return self.output_layer.norm_final(x)

    def _condition(self, sigma: Tensor, labels: Tensor | None, batch: int) -> Tensor | None:
        if labels is not None and not self.n_classes:
            raise InputError("this model was built without labels (n_classes=0)")
        if not self.adaln:
            return None
        c = self.sigma_map(sigma if sigma.ndim == 2 else sigma[:, None])
        if self.n_classes:
            if labels is None:
                labels = torch.full((batch,), self.n_classes, device=sigma.device)
            c = c + self.label_embed(labels)[:, None]
        return F.silu(c)

    def _run(
        self, tokens: Tensor, c: Tensor | None, pattern: Pattern, valid: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        past = 0 if cache is None else cache.length
        positions = pattern.positions(past + tokens.shape[1], tokens.device)[past:]
        x = self.vocab_embed(tokens)
        if self.stem is not None:
            if pattern != Full():
                raise InputError(f"a model with a stem sees both sides of a position; it cannot honour {pattern}")
            x = x + F.gelu(self.stem(x.transpose(1, 2)).transpose(1, 2), approximate="tanh")
        rotary = rotary_angles(positions, self.head_width)
        for layer, block in enumerate(self.blocks):
            x = block(x, c, rotary, pattern, valid, cache, layer, self.attention)
        return x


def _zero_linear(n_in: int, n_out: int) -> nn.Linear:
    linear = nn.Linear(n_in, n_out)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
