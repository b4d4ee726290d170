r"""Caduceus: a state space model that reads a sequence from both of its ends, for windows too long for attention.

A block is x + mixer(RMSNorm(x)). The mixer is Mamba (Gu and Dao 2023) in both directions: one projection makes an
input u and a gate z of every position; in each direction u passes a causal convolution of width 4 and the selective
scan of ``models.scan``, whose step sizes and couplings are functions of it; the two results are added, gated and
projected back,

    out = W_out [(s_forward(u) + flip s_backward(flip u)) * silu(z)],      [u ; z] = W_in x.

The projections, most of the weights, are shared by the directions, as are the embedding and the language-model head
(Schiff et al., Caduceus: bi-directional equivariant long-range DNA sequence modeling, 2024, arXiv:2403.03234, section
3). Cost and memory grow with the length of the sequence, not with its square.

*Both strands.* The equivariant Caduceus-PS of section 4 splits the channels into two halves, runs every layer on one
half as it is and on the other turned round, and adds their logits with complementary letters exchanged. No layer mixes
the halves, so one half is this network read on x and the other the same network read on rc x: Caduceus-PS is
``models.rc.ReverseComplement`` of this class, with the same weights and the same logits. Caduceus-Ph is this class
itself, trained on both strands.

*Noise and labels* modulate the blocks by adaLN as in ``models.dit`` (shift, scale and gate), if ``adaln``; the
published networks have none.

*Pads.* A state space model has no mask: whatever it reads enters its state. Positions that ``valid`` hides are
therefore given to the convolution as zeros and to the scan with step size 0, which leaves the state as it was; a
padded sequence gets the logits it would have alone, and unknown bases within are passed over. Without ``valid`` pads
are read like other tokens, as the published networks did.

Shapes: B batch, N tokens, V vocabulary, D hidden_size, E = 2 D channels, S = 16 state, M chosen positions.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnadiff.errors import InputError
from dnadiff.models.attention import Full, Pattern
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import pick, pick_condition
from dnadiff.models.layers import (
    SigmaEmbedding,
    blocks_to_run,
    condition,
    embedded,
    modulate,
    zero_linear,
)
from dnadiff.models.scan import SCANS

EXPAND, STATE, WIDTH = 2, 16, 4  # of every published network: E / D, S, and the convolution
LEAST_STEP, MOST_STEP = 1e-3, 1e-1  # step sizes at the start


class RMSNorm(nn.Module):
    """x over the root of its mean square, with a gain, eps 1e-5; computed in float32 at least."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x, same shape and type."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        return F.rms_norm(x.to(dtype), x.shape[-1:], self.weight.to(dtype), 1e-5).to(x.dtype)


class Direction(nn.Module):
    """What a direction has of its own: the convolution and the functions that make the scan's coefficients."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(channels, channels, WIDTH, groups=channels, padding=WIDTH - 1)
        self.x_proj = nn.Linear(channels, rank + 2 * STATE, bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        self.A_log = nn.Parameter(torch.arange(1, STATE + 1).float().log().repeat(channels, 1))
        self.D = nn.Parameter(torch.ones(channels))
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        span = math.log(MOST_STEP) - math.log(LEAST_STEP)
        steps = torch.exp(torch.rand(channels) * span + math.log(LEAST_STEP))
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # softplus gives them back

    def forward(self, u: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Input and step sizes (B, N, E), and how the state is written and read (B, N, S).

        Args:
            u: What the projection made, 0 at hidden positions, in the order of this direction, (B, N, E).
            valid: Positions that are there, (B, N, 1), in the same order; None: all.
        """
        x = F.silu(self.conv1d(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        step, write, read = self.x_proj(x).split([self.dt_proj.in_features, STATE, STATE], dim=-1)
        step = F.softplus(self.dt_proj(step))
        return x, step if valid is None else step * valid, write, read


class BiMamba(nn.Module):
    """Mamba from both ends with shared projections."""

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        channels, rank = EXPAND * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * channels, bias=False)
        self.mamba_fwd, self.mamba_rev = Direction(channels, rank), Direction(channels, rank)
        self.out_proj = nn.Linear(channels, width, bias=False)
        with torch.no_grad():  # as many residual branches as blocks are added up
            self.out_proj.weight /= math.sqrt(n_blocks)

    def forward(self, x: Tensor, valid: Tensor | None, scan: str) -> Tensor:
        """(B, N, D) of x (B, N, D); ``valid`` (B, N, 1) as numbers 0 and 1, or None; ``scan`` a name of ``SCANS``."""
        u, z = self.in_proj(x).chunk(2, dim=-1)
        u = u if valid is None else u * valid
        turned = None if valid is None else valid.flip(1)
        forward, backward = self.mamba_fwd(u, valid), self.mamba_rev(u.flip(1), turned)
        inputs, steps, write, read = (torch.stack(pair, dim=2) for pair in zip(forward, backward, strict=True))
        rates = -torch.stack([self.mamba_fwd.A_log, self.mamba_rev.A_log]).exp()
        y = SCANS[scan](inputs, steps, rates, write, read) + torch.stack([self.mamba_fwd.D, self.mamba_rev.D]) * inputs
        return self.out_proj(((y[:, :, 0] + y[:, :, 1].flip(1)) * F.silu(z)).to(x.dtype))


class Layer(nn.Module):
    """One block."""

    def __init__(self, width: int, n_blocks: int, cond_dim: int | None) -> None:
        super().__init__()
        self.mixer = BiMamba(width, n_blocks)
        self.norm = RMSNorm(width)
        self.adaLN_modulation = None if cond_dim is None else zero_linear(cond_dim, 3 * width)

    def forward(self, x: Tensor, c: Tensor | None, valid: Tensor | None, scan: str) -> Tensor:
        """(B, N, D) of x (B, N, D); ``c`` is the conditioning, (B, 1 | N, C) or None."""
        if self.adaLN_modulation is None or c is None:
            return x + self.mixer(self.norm(x), valid, scan)
        shift, scale, gate = self.adaLN_modulation(c).chunk(3, dim=-1)
        return x + gate * self.mixer(modulate(self.norm(x), shift, scale), valid, scan)


class Caduceus(nn.Module):
    """The network of Caduceus on one strand; parameters are named as in its published checkpoints.

    Args:
        vocab_size: V, the mask included.
        hidden_size: D.
        n_blocks: Number of layers.
        cond_dim: C, width of the conditioning vector.
        adaln: Whether sigma and labels modulate the blocks; the published networks take neither.
        n_classes: Number of labels; label ``n_classes`` stands for "none". 0: the model takes no labels.

    Attributes:
        scan: What computes the recurrence, a name of ``scan.SCANS``; not part of the weights.

    Raises:
        InputError: Labels without adaLN.
    """

    def __init__(
        self, vocab_size: int, hidden_size: int, n_blocks: int, *, cond_dim: int = 128, adaln: bool = True,
        n_classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if n_classes and not adaln:
            raise InputError("labels enter through adaLN: adaln=False cannot take n_classes > 0")
        self.vocab_size, self.n_classes, self.scan = vocab_size, n_classes, "torch"
        cond = cond_dim if adaln else None
        self.embeddings = nn.ModuleDict({"word_embeddings": nn.Embedding(vocab_size, hidden_size)})
        nn.init.normal_(self.embeddings["word_embeddings"].weight, std=0.02)
        self.sigma_map = SigmaEmbedding(cond_dim) if adaln else None
        self.label_embed = nn.Embedding(n_classes + 1, cond_dim) if n_classes else None
        self.layers = nn.ModuleList(Layer(hidden_size, n_blocks, cond) for _ in range(n_blocks))
        self.norm_f = RMSNorm(hidden_size)
        self.adaLN_modulation = zero_linear(cond_dim, 2 * hidden_size) if adaln else None

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers."""
        return self.layers

    def forward(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, cache: KVCache | None = None, at: Tensor | slice | None = None,
    ) -> Tensor:  # fmt: skip
        """Raw logits, (B, N, V), or (B, M, V) of the positions ``at``.

        Args:
            tokens: Token ids, (B, N).
            sigma: Noise level, (B,) or one a token (B, N).
            pattern: ``Full``; nothing else can be honoured.
            valid: Positions that are there, (B, N) bool; None: all, pads too, as upstream.
            labels: Class of each row, (B,); None with a label-conditioned model means "none".
            cache: None; a network that reads from both ends has no use for one.
            at: Tokens whose logits are wanted, (B, M) int64, or a slice of step 1, the same of every row; or numbers
                (T,) of tokens of the batch counted row after row, whose logits are (T, V); None: all.

        Raises:
            InputError: Another pattern, a cache, or labels that the model does not know.
        """
        if cache is not None:
            raise InputError("a network that reads from both ends cannot honour a cache")
        c = condition(sigma, labels, self.sigma_map, self.label_embed)
        h = self.norm_f(pick(self._run(tokens, c, pattern, valid), at))
        if c is not None and self.adaLN_modulation is not None:
            h = modulate(h, *self.adaLN_modulation(pick_condition(c, at, tokens.shape[1])).chunk(2, dim=-1))
        return F.linear(h, self.embeddings["word_embeddings"].weight)

    def features(
        self, tokens: Tensor, sigma: Tensor, *, pattern: Pattern = Full(), valid: Tensor | None = None,
        labels: Tensor | None = None, layer: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Hidden states (B, N, D), which heads and probes read.

        Args:
            tokens: As of ``forward``, like ``sigma``, ``pattern``, ``valid`` and ``labels``.
            layer: Blocks behind the states: 0 gives the embeddings, ``len(layers)`` or None the states after the last
                block and the final norm, as heads read them; those between are not normed.

        Raises:
            InputError: Another pattern than ``Full``, labels that the model does not know, or no such layer.
        """
        c, depth = condition(sigma, labels, self.sigma_map, self.label_embed), blocks_to_run(layer, len(self.layers))
        x = self._run(tokens, c, pattern, valid, depth)
        return self.norm_f(x) if depth is None else x

    def _run(
        self, tokens: Tensor, c: Tensor | None, pattern: Pattern, valid: Tensor | None, depth: int | None = None
    ) -> Tensor:
        if pattern != Full():
            raise InputError(f"a network that reads from both ends sees all positions; it cannot honour {pattern}")
        x = embedded(tokens, self.embeddings["word_embeddings"].weight)
        there = None if valid is None else valid[..., None].to(x.dtype)
        for layer in self.layers[:depth]:
            x = layer(x, c, there, self.scan)
        return x
