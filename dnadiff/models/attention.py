r"""Attention patterns (who may see whom) and the one call that computes attention.

A pattern is a value: it says which key positions a query may see and where positions repeat. The backbone asks it for
nothing else, so one transformer serves

    Full()              every position sees every position          MDLM, D3PM, SEDD, UDLM, MLM
    BlockCausal(k, w)   blocks of k see themselves and earlier ones  AR (k = 1), sampling with block diffusion
    BlockDiffusion(k)   training on [x_t ; x_0] of 2L tokens         BD3-LM (Arriola et al. 2025, fig. 3)

In BlockDiffusion the noisy half comes first. A noisy block sees itself and the clean blocks before it; a clean block
sees itself and the clean blocks before it; nobody else sees the noisy half. Both halves have positions 0..L-1.

*Cost.* A pattern also says in which parts it is best computed: neighbouring queries with the few keys that one of them
may see. Training with blocks then computes about a quarter of the (2L)^2 pairs, and holds a mask of one part at a time.

*Forward passes.* All layers of a pass share who sees whom, so ``look`` prepares it once and every layer calls what it
returns.

Shapes: B batch, H heads, N queries, M keys, K head width.
"""

import abc
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.errors import InputError
from dnadiff.models.products import attend_by_products, serves

CHUNK = 128  # queries that share their keys: a short chunk computes fewer pairs in vain, a long one fewer products


@dataclass(frozen=True)
class Part:
    """Neighbouring queries and the only keys they may see, all as positions of the input.

    Attributes:
        first: The first query.
        last: The one after the last query.
        keys: Stretches of keys, (first, one after the last).
        whole: Each of the queries may see each of the keys.
    """

    first: int
    last: int
    keys: tuple[tuple[int, int], ...]
    whole: bool


class Pattern(abc.ABC):
    """Which keys a query may see; a hashable value."""

    @abc.abstractmethod
    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """Whether position ``query`` may see position ``key`` of an input of n tokens; broadcasts, bool."""

    def length(self, n: int) -> int:
        """Positions that an input of n tokens has."""
        return n

    def positions(self, n: int, device: torch.device | None = None, first: int = 0) -> Tensor:
        """Position of each of n tokens from number ``first`` on, (n - first,) int64, for the rotary angles."""
        return torch.arange(first, n, device=device)

    def before(self, n: int, device: torch.device | None = None) -> Tensor:
        """Which of n tokens stands before each, (n,) int64; the first stands for itself.

        A network of next tokens says there what it thinks of the token; see ``Denoiser``'s ``shift``.
        """
        return (torch.arange(n, device=device) - 1).clamp(min=0)

    def parts(self, first: int, last: int, n: int) -> list[Part]:
        """The queries first..last - 1 of n tokens, in parts; its queries may see no other keys than a part's."""
        return [Part(first, last, ((0, n),), whole=False)]

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
    """Blocks of ``block_size`` positions see themselves and earlier blocks; block_size=1 is the causal mask.

    With a ``window`` a block sees itself and the blocks before it up to ``window`` positions together, its own counted;
    None shows all. Deeper layers still carry what lies further left, as they do in every sliding window.
    """

    block_size: int = 1
    window: int | None = None

    def __post_init__(self) -> None:
        _check_block_size(self.block_size)
        if self.window is not None and (self.window < self.block_size or self.window % self.block_size):
            raise InputError(f"window={self.window}: needs a multiple of the block size, {self.block_size}")

    def allows(self, query: Tensor, key: Tensor, n: int) -> Tensor:
        """True where the key's block is not after the query's, nor too far before it."""
        ahead = query // self.block_size - key // self.block_size
        return ahead >= 0 if self.window is None else (ahead >= 0) & (ahead < self.window // self.block_size)

    def parts(self, first: int, last: int, n: int) -> list[Part]:
        """Chunks of whole blocks with the keys up to their own end."""
        size = self.block_size
        return [
            Part(i, j, ((self._oldest(i), min(n, _up(j, size))),), _one_block(i, j, size))
            for i, j in _chunks(first, last, max(size, CHUNK // size * size))
        ]

    def _oldest(self, query: int) -> int:
        """The first key that a query may see."""
        return 0 if self.window is None else max(0, _up(query + 1, self.block_size) - self.window)


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

    def length(self, n: int) -> int:
        """L of an input of 2L tokens."""
        if n % 2:
            raise InputError(f"BlockDiffusion reads [x_t ; x_0] of 2L tokens, got {n}, an odd number")
        return n // 2

    def positions(self, n: int, device: torch.device | None = None, first: int = 0) -> Tensor:
        """0..L-1 twice."""
        return torch.arange(first, n, device=device) % self.length(n)

    def before(self, n: int, device: torch.device | None = None) -> Tensor:
        """Within a block the noisy token before, at its beginning the last clean one of the block before.

        So a block is told nothing that sampling will not know, and blocks of 1 are told what a network of next tokens
        is told. Clean tokens have the clean ones before them.
        """
        i = torch.arange(n, device=device)
        inside = (i < n // 2) & (i % (n // 2) % self.block_size != 0)
        clean = n // 2 + (i % (n // 2) - 1).clamp(min=0)
        return torch.where(inside, i - 1, torch.where(i == 0, 0, clean))

    def parts(self, first: int, last: int, n: int) -> list[Part]:
        """Chunks of whole blocks: noisy ones with their noisy keys and the clean ones before them; clean ones."""
        size, length = self.block_size, n // 2
        chunk = max(size, CHUNK // size * size)
        out = []
        for i, j in _chunks(first, min(last, length), chunk):
            own, earlier = (i // size * size, min(length, _up(j, size))), (length, length + (j - 1) // size * size)
            out.append(Part(i, j, (own, earlier), _one_block(i, j, size)))
        for i, j in _chunks(max(first - length, 0), last - length, chunk):
            keys = (length, length + min(length, _up(j, size)))
            out.append(Part(length + i, length + j, (keys,), _one_block(i, j, size)))
        return out


def _chunks(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """first..last cut at the multiples of ``size``; nothing if last is not above first."""
    edges = [first, *range(_up(first + 1, size), last, size), last]
    return list(itertools.pairwise(edges)) if last > first else []


def _one_block(first: int, last: int, size: int) -> bool:
    return first // size == (last - 1) // size


def _up(i: int, size: int) -> int:
    """The multiple of ``size`` at or above i."""
    return -(-i // size) * size


def _check_block_size(block_size: int) -> None:
    if block_size < 1:
        raise InputError(f"block_size={block_size}: a block has at least one position")


Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From rotated queries (B, H, N, K), keys and values (B, H, M, K) to what the queries read, (B, H, N, K)."""


def look(
    pattern: Pattern,
    n: int,
    *,
    past: int = 0,
    forgotten: int = 0,
    valid: Tensor | None = None,
    at: Tensor | slice | None = None,
    device: torch.device | None = None,
    backend: str = "sdpa",
) -> Attention:
    """Softmax attention, scale 1/sqrt(K), of one forward pass: the function its layers call.

    Args:
        pattern: Who sees whom among n tokens.
        n: Tokens of the whole sequence: those of a cache, forgotten ones included, and the new ones.
        past: Tokens before the new ones.
        forgotten: Tokens at the beginning whose keys are gone; M = n - forgotten.
        valid: Keys that may be seen at all, (B, M) bool; None means all. A query with nothing to see sees itself,
            under ``Full`` everything.
        at: Which of the new tokens ask, (B, N) int64, or a slice of step 1, the same of every row; None: all.
        device: Of the tensors.
        backend: A name of ``BACKENDS``.

    Raises:
        InputError: The backend cannot honour the pattern, the mask or the device.
    """
    if past and isinstance(pattern, BlockDiffusion):
        raise InputError(f"{pattern} is for training on whole sequences; a cache goes with BlockCausal")
    return BACKENDS[backend](_Sight(pattern, n, past, forgotten, valid, at, device))


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
    """What ``look`` prepares, for one layer: queries (B, H, N, K) over the keys of a cache and their own."""
    return look(pattern, k.shape[2], past=past, valid=valid, device=q.device, backend=backend)(q, k, v)


@dataclass(frozen=True)
class _Sight:
    """The arguments of ``look``."""

    pattern: Pattern
    n: int
    past: int
    forgotten: int
    valid: Tensor | None
    at: Tensor | slice | None
    device: torch.device | None

    @property
    def keys(self) -> Tensor:
        """Position of each key, (M,)."""
        return torch.arange(self.forgotten, self.n, device=self.device)

    @property
    def queries(self) -> Tensor:
        """Position of each query, (N,) or (B, N)."""
        if isinstance(self.at, Tensor):
            return self.past + self.at
        first, last = self.stretch
        return torch.arange(first, last, device=self.device)

    @property
    def stretch(self) -> tuple[int, int]:
        """The first query and the one after the last, where they are neighbours."""
        new = slice(None) if self.at is None else self.at
        first, last, _ = new.indices(self.n - self.past)
        return self.past + first, self.past + last

    def mask(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Who of (N,) or (B, N) sees whom of (M,): (N, M) or (B, 1, N, M) bool."""
        queries = queries[..., None] if queries.ndim == 1 else queries[:, None, :, None]
        mask = self.pattern.allows(queries, keys, self.n)
        if self.valid is None:
            return mask
        return (mask & self.valid[:, None, None, keys - self.forgotten]) | (queries == keys)


def _sdpa(sight: _Sight) -> Attention:
    pattern, valid = sight.pattern, sight.valid
    if pattern == Full():
        mask = None if valid is None else (valid | ~valid.any(-1, keepdim=True))[:, None, None, :]
        return functools.partial(F.scaled_dot_product_attention, attn_mask=mask)
    if isinstance(sight.at, Tensor):
        return functools.partial(F.scaled_dot_product_attention, attn_mask=sight.mask(sight.queries, sight.keys))
    if pattern == BlockCausal(1) and valid is None and sight.past == 0 and sight.at is None:
        return functools.partial(F.scaled_dot_product_attention, is_causal=True)
    return _in_parts(sight)


def _products(sight: _Sight) -> Attention:
    fused = _sdpa(sight)
    if sight.pattern != Full() or sight.valid is not None:
        return fused
    return lambda q, k, v: attend_by_products(q, k, v) if serves(q, k, v) else fused(q, k, v)


def _in_parts(sight: _Sight) -> Attention:
    """SDPA part by part, each with no more keys than it needs."""
    (origin, end), parts = sight.stretch, []
    for part in sight.pattern.parts(origin, end, sight.n):
        stretches = [(max(i, sight.forgotten), j) for i, j in part.keys if j > max(i, sight.forgotten)]
        mask = None
        if not part.whole or sight.valid is not None:
            keys = torch.cat([torch.arange(i, j, device=sight.device) for i, j in stretches])
            mask = sight.mask(torch.arange(part.first, part.last, device=sight.device), keys)
        columns = [slice(i - sight.forgotten, j - sight.forgotten) for i, j in stretches]
        parts.append((slice(part.first - origin, part.last - origin), columns, mask))

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = [
            F.scaled_dot_product_attention(q[:, :, rows], _joined(k, columns), _joined(v, columns), attn_mask=mask)
            for rows, columns, mask in parts
        ]
        return torch.cat(out, dim=2) if len(out) > 1 else out[0]

    return attention


def _joined(x: Tensor, columns: list[slice]) -> Tensor:
    """Some stretches of dimension 2; a view where there is one."""
    return x[:, :, columns[0]] if len(columns) == 1 else torch.cat([x[:, :, c] for c in columns], dim=2)


def _flash(sight: _Sight) -> Attention:
    if sight.valid is not None or sight.at is not None or sight.pattern not in (Full(), BlockCausal(1)):
        raise InputError(
            f"attention=flash knows Full and BlockCausal(1) without pads, not {sight.pattern}; use sdpa or flex"
        )
    causal = sight.pattern == BlockCausal(1)  # flash-attn aligns a causal mask to the last key: right with a cache too

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not q.is_cuda or q.dtype not in (torch.bfloat16, torch.float16):
            raise InputError(
                f"attention=flash needs bf16 on a GPU, found {q.dtype} on {q.device.type}; attention=sdpa works"
            )
        try:
            from flash_attn import flash_attn_func
        except ImportError as error:
            raise InputError("attention=flash needs the package flash-attn: pip install 'dnadiff[gpu]'") from error
        return flash_attn_func(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), causal=causal).transpose(1, 2)

    return attention


def _flex(sight: _Sight) -> Attention:
    from torch.nn.attention.flex_attention import create_block_mask

    queries, start, n, valid = sight.queries, sight.forgotten, sight.n, sight.valid

    def sees(b: Tensor, h: Tensor, row: Tensor, column: Tensor) -> Tensor:
        query, key = queries[row] if queries.ndim == 1 else queries[b, row], column + start
        allowed = sight.pattern.allows(query, key, n)
        return allowed if valid is None else (allowed & valid[b, column]) | (query == key)

    batch = len(valid) if valid is not None else len(queries) if queries.ndim == 2 else None
    device = sight.device or "cpu"
    blocks = create_block_mask(sees, batch, None, queries.shape[-1], n - start, device=device)

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not q.is_cuda and torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
            raise InputError("attention=flex has no backward pass on a CPU; attention=sdpa works")
        return _flex_kernel(q.is_cuda)(q, k, v, block_mask=blocks)

    return attention


@functools.cache
def _flex_kernel(fused: bool) -> Callable[..., Tensor]:
    """FlexAttention: compiled into one kernel on GPUs, written out in PyTorch on CPUs."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False) if fused else flex_attention


BACKENDS: dict[str, Callable[[_Sight], Attention]] = {
    "sdpa": _sdpa, "flash": _flash, "flex": _flex, "products": _products,
}  # fmt: skip
