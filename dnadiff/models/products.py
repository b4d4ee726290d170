r"""Attention for training on a CPU in bfloat16: products and a softmax, with a backward pass that recomputes neither.

PyTorch's fused attention computes its scores anew in the backward pass, and on a CPU that pass spends more time beside
the products than in them. Where the processor multiplies bfloat16 fast (AMX), it is faster to keep the probabilities

    P = softmax(Q K^T / sqrt(K)),   out = P V

and to go back by the products alone (Dao et al., FlashAttention, 2022, appendix B.2, gives the same formulas):

    dV = P^T dout,   dP = dout V^T,   dS = P * (dP - rowsum(P * dP)),   dQ = dS K / sqrt(K),   dK = dS^T Q / sqrt(K)

A few heads are taken at a time, as many as the caches hold. P costs 2 bytes a pair of positions, head, row and layer.
It is ``attention=products``, which ``auto`` takes there; benchmarks/train_step.py measures what it gains.

Shapes: B batch, H heads, N queries, M keys, K head width.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

PAIRS = 2**26  # pairs of a layer, 128 MiB of probabilities; longer rows are left to the fused attention
CACHED = 2**19  # pairs of the heads taken at a time, for each thread


def serves(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether ``attend_by_products`` is worth it for these: training, bfloat16, on a CPU, uncompiled, not too long."""
    trains = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    here = q.device.type == "cpu" and q.dtype == torch.bfloat16 and not torch.compiler.is_compiling()
    return trains and here and q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] <= PAIRS


def attend_by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention without a mask, scale 1/sqrt(K): q (B, H, N, K), k and v (B, H, M, K) to (B, H, N, K)."""
    return _Products.apply(q, k, v)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.shape = q.shape
        q, k, v = q.flatten(0, 1) * q.shape[-1] ** -0.5, k.flatten(0, 1), v.flatten(0, 1)
        p, out = q.new_empty(*q.shape[:2], k.shape[1]), torch.empty_like(q)
        for heads in _groups(p):
            scores = torch.bmm(q[heads], k[heads].transpose(1, 2))
            torch.softmax(scores, -1, out=p[heads])
            torch.bmm(p[heads], v[heads], out=out[heads])
        ctx.save_for_backward(q, k, v, p)
        return out.view(ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, p = ctx.saved_tensors
        dout = dout.flatten(0, 1)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for heads in _groups(p):
            torch.bmm(p[heads].transpose(1, 2), dout[heads], out=dv[heads])
            dp = torch.bmm(dout[heads], v[heads].transpose(1, 2))
            ds = torch._softmax_backward_data(dp, p[heads], -1, p.dtype)
            torch.bmm(ds, k[heads], out=dq[heads])
            torch.bmm(ds.transpose(1, 2), q[heads], out=dk[heads])
        return tuple(x.unflatten(0, ctx.shape[:2]) for x in (dq.mul_(q.shape[-1] ** -0.5), dk, dv))


def _groups(p: Tensor) -> list[slice]:
    """The heads (B * H) of probabilities (B * H, N, M), some at a time."""
    size = max(1, CACHED * torch.get_num_threads() // (p.shape[1] * p.shape[2]))
    return [slice(i, i + size) for i in range(0, len(p), size)]
