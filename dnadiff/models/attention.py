r"""Attention patterns (who may see whom) and the one call that computes attention.

A pattern is a value: it says which key positions a query may see and where positions repeat. The backbone asks it for
nothing else, so one transformer serves

    Full()              every position sees every position          MDLM, D3PM, SEDD, UDLM, MLM
    BlockCausal(k)      blocks of k see themselves and earlier ones  AR (k = 1), sampling with block diffusion
    BlockDiffusion(k)   training on [x_t ; x_0] of 2L tokens         BD3-LM (Arriola et al. 2025, fig. 3)

In BlockDiffusion the noisy half comes first. A noisy block sees itself and the clean blocks before it; a clean block
sees itself and the clean blocks before it; nobody else sees the noisy half. Both halves have positions 0..L-1.

Shapes: B batch, H heads, N queries, M keys, K head width.
"""

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.errors import InputError


class Pattern(abc.ABC):
    """Which keys a query may see; a hashable value."""

    @abc.abstractmethod
    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """Whether position ``query`` may see position ``key`` of an input of n tokens; broadcasts, bool."""

    def positions(self, n: int, device: torch.device | None = None) -> Tensor:
        """Position of each of n tokens, (n,) int64, for the rotary angles."""
        return torch.arange(n, device=device)

    def mask(self, n: int, device: torch.device | None = None) -> Tensor | None:
        """The (n, n) bool mask, True where a query (row) may see a key (column); None where all is seen."""
        i = torch.arange(n, device=device)
        return self.allows(i[:, None], i[None, :], n)


@dataclass(frozen=True)
class Full(Pattern):
    """Every position sees every position."""

    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """True everywhere."""
        return torch.ones_like(query + key, dtype=torch.bool)

    def mask(self, n: int, device: torch.device | None = None) -> None:
        """None: nothing is hidden."""
        return


@dataclass(frozen=True)
class BlockCausal(Pattern):
    """Blocks of ``block_size`` positions see themselves and all earlier blocks; block_size=1 is the causal mask."""

    block_size: int = 1

    def __post_init__(self) -> None:
        _check_block_size(self.block_size)

    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """True where the key's block is not after the query's."""
        return key // self.block_size <= query // self.block_size


@dataclass(frozen=True)
class BlockDiffusion(Pattern):
    """The training mask of block diffusion on [x_t ; x_0], 2L tokens; L need not be a multiple of the block size."""

    block_size: int

    def __post_init__(self) -> None:
        _check_block_size(self.block_size)

    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """True where a noisy query sees its own noisy block or earlier clean ones, or a clean one all up to it."""
        length = n // 2
        query_clean, key_clean = query >= length, key >= length
        query_block, key_block = query % length // self.block_size, key % length // self.block_size
        own_noisy = ~query_clean & ~key_clean & (query_block == key_block)
        earlier_clean = key_clean & (key_block < query_block)
        own_clean = query_clean & key_clean & (key_block == query_block)
        return own_noisy | earlier_clean | own_clean

    def positions(self, n: int, device: torch.device | None = None) -> Tensor:
        """0..L-1 twice."""
        if n % 2:
            raise InputError(f"BlockDiffusion reads [x_t ; x_0] of 2L tokens, got {n}, an odd number")
        return torch.arange(n, device=device) % (n // 2)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    pattern: Pattern,
    valid: Tensor | None = None,
    past: int = 0,
    backend: str = "sdpa",
) -> Tensor:
    """Softmax attention of the queries over the keys the pattern lets them see, (B, H, N, K), scale 1/sqrt(K).

    Args:
        q: Queries, (B, H, N, K), already rotated.
        k: Keys, (B, H, past + N, K): those of a cache first.
        v: Values, like ``k``.
        pattern: Who sees whom among the past + N tokens.
        valid: Keys that may be seen at all, (B, past + N) bool; None means all. A row without a valid key sees all.
        past: Number of keys that come from a cache.
        backend: A name of ``BACKENDS``.

    Raises:
        InputError: The backend cannot honour the pattern, the mask or the device.
    """
    return BACKENDS[backend](q, k, v, pattern, valid, past)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, valid: Tensor | None, past: int) -> Tensor:
    if pattern == BlockCausal(1) and valid is None and past == 0:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    mask = pattern.mask(k.shape[2], q.device)
    if mask is not None:
        mask = mask[past:]
    if valid is not None:
        keys = (valid | ~valid.any(-1, keepdim=True))[:, None, None, :]
        mask = keys if mask is None else mask & keys
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _flash(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, valid: Tensor | None, past: int) -> Tensor:
    if not q.is_cuda or q.dtype not in (torch.bfloat16, torch.float16):
        raise InputError(
            f"attention=flash needs bf16 on a GPU, found {q.dtype} on {q.device.type}; attention=sdpa works"
        )
    if valid is not None or pattern not in (Full(), BlockCausal(1)):
        raise InputError(f"attention=flash knows Full and BlockCausal(1) without pads, not {pattern}; use sdpa or flex")
    try:
        from flash_attn import flash_attn_func
    except ImportError as error:
        raise InputError("attention=flash needs the package flash-attn: pip install 'dnadiff[gpu]'") from error
    causal = pattern == BlockCausal(1)  # flash-attn aligns a causal mask to the last key, so a cache needs nothing more
    return flash_attn_func(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), causal=causal).transpose(1, 2)


def _flex(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, valid: Tensor | None, past: int) -> Tensor:
    if not q.is_cuda and torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        raise InputError("attention=flex has no backward pass on a CPU; attention=sdpa works")
    from torch.nn.attention.flex_attention import create_block_mask

    n = k.shape[2]
    keys = None if valid is None else valid | ~valid.any(-1, keepdim=True)

    def sees(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        allowed = pattern.allows(query + past, key, n)
        return allowed if keys is None else allowed & keys[b, key]

    batch = None if valid is None else q.shape[0]
    blocks = create_block_mask(sees, batch, None, q.shape[2], n, device=q.device.type)
    return _flex_kernel(q.is_cuda)(q, k, v, block_mask=blocks)


@functools.cache
def _flex_kernel(fused: bool) -> Callable[..., Tensor]:
    """FlexAttention: compiled into one kernel on GPUs, written out in PyTorch on CPUs."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False) if fused else flex_attention


BACKENDS = {"sdpa": _sdpa, "flash": _flash, "flex": _flex}


def _check_block_size(block_size: int) -> None:
    if block_size < 1:
        raise InputError(f"block_size={block_size}: a block has at least one position")
