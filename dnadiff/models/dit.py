r"""The one transformer: MDLM's DiT with its parameter names, so that upstream checkpoints load by name.

A block is x + gate * attention(modulate(norm(x))), then the same with an MLP (GELU by tanh, ratio 4). Shift, scale and
gate come from the noise level sigma and the label through adaLN (Peebles and Xie, Scalable diffusion models with
transformers, 2023); with ``adaln=False`` they are absent and the block is a plain pre-norm one, which is what a model
without time conditioning needs. Which position sees which is the caller's ``pattern``: the same weights run full,
causal and block attention.

Shapes: B batch, N tokens, V vocabulary, D hidden_size, H n_heads, K = D / H, C cond_dim, M chosen positions.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dnadiff.errors import InputError
from dnadiff.models.attention import BACKENDS, Attention, Full, Pattern, look
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import by_number, pick, pick_condition
from dnadiff.models.layers import (
    Embedding,
    LayerNorm,
    SigmaEmbedding,
    angles_at,
    blocks_to_run,
    condition,
    modulate,
    neighbours,
    rotary_angles,
    rotate,
    zero_linear,
)

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
            self.adaLN_modulation = zero_linear(cond_dim, 6 * width)

    def forward(
        self, x: Tensor, c: Tensor | None, rotary: Rotary, attention: Attention,
        cache: KVCache | None, layer: int, at: Tensor | slice | None,
    ) -> Tensor:  # fmt: skip
        """The tokens ``at`` (None: all) of x (B, N, D) after attention and MLP; all of x gives keys and values.

        ``c`` is the conditioning, (B, 1 | N, C) or None.
        """
        if c is None:
            h = self._attention(self.norm1(x), rotary, attention, cache, layer, at)
            x = pick(x, at) + self._drop(h)
            return x + self._drop(self.mlp(self.norm2(x)))
        modulation = self.adaLN_modulation(c)
        of_all, own = modulation.split([2 * x.shape[-1], 4 * x.shape[-1]], dim=-1)
        shift_msa, scale_msa = of_all.chunk(2, dim=-1)
        gate_msa, shift_mlp, scale_mlp, gate_mlp = pick_condition(own, at, x.shape[1]).chunk(4, dim=-1)
        h = modulate(self.norm1(x), shift_msa, scale_msa)
        x = pick(x, at) + gate_msa * self._drop(self._attention(h, rotary, attention, cache, layer, at))
        h = modulate(self.norm2(x), shift_mlp, scale_mlp)
        return x + gate_mlp * self._drop(self.mlp(h))

    def _attention(
        self, h: Tensor, rotary: Rotary, attention: Attention,
        cache: KVCache | None, layer: int, at: Tensor | slice | None,
    ) -> Tensor:  # fmt: skip
        """What the tokens ``at`` read. Where rows have different numbers of them all tokens ask, and those are kept."""
        q, k, v = self._qkv(h, rotary, None if by_number(at) else at)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        read = rearrange(attention(q, k, v), "b h n k -> b n (h k)")
        return self.attn_out(pick(read, at) if by_number(at) else read)

    def _qkv(self, h: Tensor, rotary: Rotary, at: Tensor | slice | None) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries (B, H, M, K) of the tokens ``at``, rotated keys and values (B, H, N, K) of all."""
        width, heads = h.shape[-1], self.n_heads
        if at is None:
            qk, v = self.attn_qkv(h).split([2 * width, width], dim=-1)
            q, k = rotate(qk.unflatten(-1, (2 * heads, -1)), *rotary).chunk(2, dim=2)
        else:
            of_q, of_kv = self.attn_qkv.weight.split([width, 2 * width])
            k, v = F.linear(h, of_kv).chunk(2, dim=-1)
            q = rotate(F.linear(pick(h, at), of_q).unflatten(-1, (heads, -1)), *angles_at(rotary, at))
            k = rotate(k.unflatten(-1, (heads, -1)), *rotary)
        return q.transpose(1, 2), k.transpose(1, 2), v.unflatten(-1, (heads, -1)).transpose(1, 2)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout > 0 else x


class Output(nn.Module):
    """Final norm and the projection to the vocabulary, zero at the start so that an untrained model is uniform."""

    def __init__(self, width: int, vocab_size: int, cond_dim: int | None) -> None:
        super().__init__()
        self.norm_final = LayerNorm(width)
        self.linear = zero_linear(width, vocab_size)
        if cond_dim is not None:
            self.adaLN_modulation = zero_linear(cond_dim, 2 * width)

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
        self.sigma_map = SigmaEmbedding(cond_dim) if adaln else None
        self.label_embed = nn.Embedding(n_classes + 1, cond_dim) if n_classes else None
        self.stem = nn.Conv1d(hidden_size, hidden_size, stem, padding=stem // 2, bias=False) if stem else None
        self.blocks = nn.ModuleList(Block(hidden_size, n_heads, cond, dropout) for _ in range(n_blocks))
        self.output_layer = Output(hidden_size, vocab_size, cond)

    def forward(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, cache: KVCache | None = None, at: Tensor | slice | None = None,
    ) -> Tensor:  # fmt: skip
        """Raw logits, (B, N, V), or (B, M, V) of the positions ``at``.

        Args:
            tokens: Token ids, (B, N); for ``BlockDiffusion`` [x_t ; x_0], (B, 2L).
            sigma: Noise level, (B,) or one a token (B, N).
            pattern: Who sees whom.
            valid: Keys that may be seen, (B, N) bool (with a cache: of what it remembers, and the tokens); None: all,
                as upstream.
            labels: Class of each row, (B,); None with a label-conditioned model means "none".
            cache: Keys and values of a finished prefix; the tokens continue it.
            at: Tokens whose logits are wanted, (B, M) int64, or a slice of step 1, the same of every row; or numbers
                (T,) of tokens of the batch counted row after row, whose logits are (T, V); None: all.
        """
        c = condition(sigma, labels, self.sigma_map, self.label_embed)
        x = self._run(tokens, c, pattern, valid, cache, at)
        return self.output_layer(x, c if c is None else pick_condition(c, at, tokens.shape[1]))

    def features(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, layer: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Hidden states (B, N, D), which heads and probes read.

        Args:
            tokens: As of ``forward``, like ``sigma``, ``pattern``, ``valid`` and ``labels``.
            layer: Blocks behind the states: 0 gives what the first block reads, ``len(blocks)`` or None the states
                after the last block and the final norm, as heads read them; those between are not normed.

        Raises:
            InputError: There is no such layer.
        """
        c, depth = condition(sigma, labels, self.sigma_map, self.label_embed), blocks_to_run(layer, len(self.blocks))
        x = self._run(tokens, c, pattern, valid, None, None, depth)
        return self.output_layer.norm_final(x) if depth is None else x

    def _run(
        self, tokens: Tensor, c: Tensor | None, pattern: Pattern, valid: Tensor | None,
        cache: KVCache | None, at: Tensor | slice | None, depth: int | None = None,
    ) -> Tensor:  # fmt: skip
        """States of the tokens ``at`` after all blocks, or of all tokens after the first ``depth``."""
        past, forgotten = (0, 0) if cache is None else (cache.length, cache.forgotten)
        n = past + tokens.shape[1]
        x = self.vocab_embed(tokens)
        if self.stem is not None:
            if pattern != Full():
                raise InputError(f"a model with a stem sees both sides of a position; it cannot honour {pattern}")
            near = neighbours(tokens, self.vocab_embed.embedding, self.stem.weight)
            x = x + F.gelu(near, approximate="tanh")
        rotary = rotary_angles(pattern.positions(n, tokens.device, past), self.head_width)
        seen = {"past": past, "forgotten": forgotten, "valid": valid, "device": x.device, "backend": self.attention}
        attention = look(pattern, n, **seen)
        for layer, block in enumerate(self.blocks[: -1 if depth is None else depth]):
            x = block(x, c, rotary, attention, cache, layer, None)
        if depth is not None:
            return x
        last, layer = self.blocks[-1], len(self.blocks) - 1
        if at is None or self.attention == "flash":  # flash-attn masks nothing but what lies behind the last query
            return pick(last(x, c, rotary, attention, cache, layer, None), at)
        if not by_number(at):
            attention = look(pattern, n, at=at, **seen)
        return last(x, c, rotary, attention, cache, layer, at)
