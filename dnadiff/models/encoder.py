r"""An encoder of a language model under the project's own contract: BERT as a backbone.

    x = norm(embedding + position)
    x <- norm(x + attention(x)),   x <- norm(x + mlp(x))        the norm stands behind the sum
    logits = norm(gelu(dense x)) . embedding + bias

``Bert`` (Devlin et al., BERT: pre-training of deep bidirectional transformers for language understanding, 2019,
arXiv:1810.04805) was trained to restore a few masked tokens, so it is a denoiser already: of low noise levels only,
until it is trained on all of them. It learned its positions one by one, has biases everywhere and GELU by the error
function. RoBERTa (Liu et al., 2019, arXiv:1907.11692) is the same network.

The embedding of the first segment, which BERT adds to every token, is a constant here: it lies in the positions. With
``segments`` tokens of a second sentence get the difference of the second to it, when ``features`` is told of any. BERT
itself looks both ways (``Full``); the other patterns, caches and chosen positions are those of every ``Stack``.

Shapes: B batch, N tokens, V vocabulary, D hidden_size, H n_heads, M chosen positions.
"""

from torch import Tensor, nn

from dnadiff.errors import InputError
from dnadiff.models.attention import Attention
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import pick
from dnadiff.models.decoder import Rotary, SelfAttention, Stack, fresh
from dnadiff.models.layers import embedded


class EncoderBlock(nn.Module):
    """One block: attention and MLP, each with its norm behind the sum.

    Args:
        width: D.
        n_heads: H.
        inner: Width of the MLP.
        norm_eps: Added to the variance.
    """

    def __init__(self, width: int, n_heads: int, inner: int, norm_eps: float) -> None:
        super().__init__()
        self.attn = SelfAttention(width, n_heads, n_heads, bias=True)
        self.norm1 = nn.LayerNorm(width, norm_eps)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.norm2 = nn.LayerNorm(width, norm_eps)

    def forward(
        self, x: Tensor, rotary: Rotary | None, attention: Attention, cache: KVCache | None, layer: int,
        at: Tensor | slice | None,
    ) -> Tensor:  # fmt: skip
        """The tokens ``at`` (None: all) of x (B, N, D) after attention and MLP."""
        x = self.norm1(pick(x, at) + self.attn(x, rotary, attention, cache, layer, at))
        return self.norm2(x + self.mlp(x))


class Bert(Stack):
    """The network of BERT and of RoBERTa.

    Args:
        vocab_size: V, the mask included.
        hidden_size: D.
        n_blocks: Number of layers.
        n_heads: H, a divisor of D.
        positions: Longest sequence; positions are learned one by one.
        mlp_size: Inner width of the MLP; 0 is 4 D.
        norm_eps: Added to the variance.
        segments: Whether a second sentence has an embedding of its own.
        attention: Backend, a name of ``attention.BACKENDS``; not part of the weights.

    Raises:
        InputError: Sizes that do not fit together.
    """

    def __init__(
        self, vocab_size: int, hidden_size: int, n_blocks: int, n_heads: int, *, positions: int, mlp_size: int = 0,
        norm_eps: float = 1e-12, segments: bool = False, attention: str = "sdpa",
    ) -> None:  # fmt: skip
        if hidden_size % n_heads or positions < 1:
            found = f"hidden_size={hidden_size}, n_heads={n_heads}, positions={positions}"
            raise InputError(f"{found}: heads must divide it, and there must be a position")
        inner = mlp_size or 4 * hidden_size
        transform = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.LayerNorm(hidden_size, norm_eps))
        super().__init__(
            vocab_size, hidden_size, [EncoderBlock(hidden_size, n_heads, inner, norm_eps) for _ in range(n_blocks)],
            nn.Identity(), tied=True, attention=attention, transform=transform, bias=True, segments=segments,
        )  # fmt: skip
        self.place, self.longest = nn.Embedding(positions, hidden_size), positions
        self.first_norm = nn.LayerNorm(hidden_size, norm_eps)
        fresh(self.place)

    def placed(self, tokens: Tensor, positions: Tensor, second: Tensor | None = None) -> tuple[Tensor, None]:
        """Embeddings of tokens, positions and, where there is one, the second sentence together, normed."""
        places = self.place(positions)
        if self.second is not None:  # a gradient of 0 where nobody tells, as processes that train together need one
            places = places + self.second * (0.0 if second is None else second[..., None])
        return self.first_norm(embedded(tokens, self.embed.weight) + places), None
