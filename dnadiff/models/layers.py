"""Parts of the networks: rotary positions, conditioning on noise and label, norms, modulation; named as in MDLM.

Shapes: B batch, N tokens, D width, H heads, K head width, C width of the conditioning vector.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnadiff.errors import InputError

MAX_PERIOD = 10_000.0


def rotary_angles(positions: Tensor, head_width: int, base: float = MAX_PERIOD) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of the rotary angles, (N, K) float32 each, as ``rotate`` takes them.

    They are computed in float64, so that far positions stay exact. Both halves of a head turn by the same angles; the
    sines of the first half are negative.

    Su et al., RoFormer, 2021; base 10,000 there.
    """
    index = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float64)
    angles = positions.double()[:, None] * base ** (-index / head_width)
    cos, sin = angles.cos().float(), angles.sin().float()
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, N, H, K) with its halves rotated against each other (GPT-NeoX layout); angles (N, K) or (B, N, K)."""
    # Angles written out for every head: a broadcast over heads runs in stretches of K numbers, too short to be fast.
    cos, sin = (y[..., None, :].to(x.dtype).expand(*y.shape[:-1], *x.shape[-2:]).contiguous() for y in (cos, sin))
    a, b = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([b, a], dim=-1), sin)


def angles_at(rotary: tuple[Tensor, Tensor], at: Tensor | slice | None) -> tuple[Tensor, Tensor]:
    """The angles (N, K) of the tokens ``at``: (M, K), or (B, M, K); all for None."""
    return rotary if at is None else (rotary[0][at], rotary[1][at])


def blocks_to_run(layer: int | None, n_blocks: int) -> int | None:
    """How many blocks make the states of a layer that lies within; None for the last, which the final norm follows.

    Args:
        layer: Blocks behind the states, from 0, what the first block is given, to ``n_blocks``; None is the last.
        n_blocks: Blocks of the network.

    Raises:
        InputError: There is no such layer.
    """
    if layer is None or layer == n_blocks:
        return None
    if not 0 <= layer < n_blocks:
        raise InputError(f"layer={layer}: the last one of the network is {n_blocks}; 0 to {n_blocks} would work")
    return layer


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift."""
    return x * (1 + scale) + shift


def condition(
    sigma: Tensor, labels: Tensor | None, sigma_map: nn.Module | None, label_embed: nn.Embedding | None
) -> Tensor | None:
    """What the blocks are conditioned on, (B, 1 | N, C): the noise level and, if the model knows labels, the label.

    Args:
        sigma: Noise level, (B,) or one a token (B, N).
        labels: Class of each row, (B,); None stands for "none", the last label, where the model knows labels.
        sigma_map: Embeds the noise level; None: the model is not conditioned, and the answer is None.
        label_embed: Embeds labels; None: the model knows none.

    Raises:
        InputError: There are labels and the model knows none.
    """
    if labels is not None and label_embed is None:
        raise InputError("this model was built without labels (n_classes=0)")
    if sigma_map is None:
        return None
    c = sigma_map(sigma if sigma.ndim == 2 else sigma[:, None])
    if label_embed is not None:
        if labels is None:
            labels = torch.full((len(sigma),), label_embed.num_embeddings - 1, device=sigma.device)
        c = c + label_embed(labels)[:, None]
    return F.silu(c)


def zero_linear(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer that begins as zero."""
    linear = nn.Linear(n_in, n_out)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class LayerNorm(nn.Module):
    """Layer norm over D with a gain and no bias, computed in float32, eps 1e-5."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x, same shape and type."""
        return F.layer_norm(x.float(), x.shape[-1:], self.weight.float()).to(x.dtype)


def embedded(tokens: Tensor, table: Tensor) -> Tensor:
    """The rows (B, N, D) of a table (V, D) that tokens name: ids (B, N), or one-hot rows (B, N, V) of floating type.

    One-hot rows give the same numbers and can be differentiated through.
    """
    return tokens.to(table.dtype) @ table if tokens.is_floating_point() else F.embedding(tokens, table)


class Embedding(nn.Module):
    """Token embeddings, a bare (V, D) parameter as upstream stores it."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(vocab_size, width))
        nn.init.kaiming_uniform_(self.embedding, a=math.sqrt(5))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) of tokens (B, N), or of their one-hot rows (B, N, V)."""
        return embedded(tokens, self.embedding)


class SigmaEmbedding(nn.Module):
    """Embedding of the noise level sigma: 256 sinusoids of the raw value, then a two-layer MLP to width C."""

    N_FREQUENCIES = 256

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(self.N_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, sigma: Tensor) -> Tensor:
        """(..., C) of sigma (...)."""
        half = self.N_FREQUENCIES // 2
        index = torch.arange(half, dtype=torch.float32, device=sigma.device)
        angles = sigma.float()[..., None] * torch.exp(-math.log(MAX_PERIOD) * index / half)
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(features.to(self.mlp[0].weight.dtype))


def neighbours(tokens: Tensor, table: Tensor, weight: Tensor) -> Tensor:
    """A convolution over the embeddings of tokens, centred and padded with zeros, (B, N, D).

    A token is one of V, so the convolution is one over the one-hot rows of the tokens, with the kernel table @ weight:
    V input channels instead of D. With more tokens than channels the embeddings themselves are convolved.

    Args:
        tokens: Ids (B, N), or one-hot rows (B, N, V) of floating type, through which it can be differentiated.
        table: Embeddings, (V, D).
        weight: Kernel (D, D, W), W odd.
    """
    if len(table) < table.shape[1]:
        x = tokens if tokens.is_floating_point() else F.one_hot(tokens, len(table))
        x, weight = x.to(table.dtype), torch.einsum("ocw,vc->ovw", weight, table)
    else:
        x = embedded(tokens, table)
    return F.conv1d(x.transpose(1, 2), weight, padding=weight.shape[-1] // 2).transpose(1, 2)
