r"""The selective scan of a state space model: a linear recurrence whose coefficients depend on the input.

Every channel e keeps S numbers and reads one:

    h_t = exp(delta_t A) h_{t-1} + delta_t b_t x_t,      y_t = c_t . h_t,      h_0 = 0

(Gu and Dao, Mamba: linear-time sequence modeling with selective state spaces, 2023, algorithm 2; the input enters by
Euler's rule, as in their code.) A is negative, so every factor lies in (0, 1]; where delta_t = 0 the state passes
unchanged, as if position t were not there.

*Memory.* All states together are S times as large as the input. They exist for one chunk of positions at a time: the
forward pass keeps the state between chunks, and the backward pass makes the states of a chunk again before it goes
through them from the right,

    g_t = dL/dh_t = c_t dL/dy_t + exp(delta_{t+1} A) g_{t+1},

from which all gradients follow by the product rule, exactly. Within a chunk the recurrence is a loop over positions,
one multiply-add of all rows and channels each.

Shapes: B batch, N positions, G groups (directions), E channels, S state, K positions of a chunk.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from dnadiff.errors import InputError

CHUNK = 16  # positions whose states exist at a time; longer chunks are no faster

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""From x, delta (B, N, G, E), A (G, E, S), b, c (B, N, G, S) to y (B, N, G, E)."""


@torch.compiler.disable  # a compiler would write out every step of the loop
def chunked_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """What the channels read, (B, N, G, E), in plain PyTorch; float32, float64 if x is.

    Args:
        x: Input, (B, N, G, E).
        delta: Step sizes, 0 or more, (B, N, G, E).
        a: Rates of decay A, below 0, (G, E, S).
        b: How the input enters the state, (B, N, G, S).
        c: How the state is read, (B, N, G, S).
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    return _Chunked.apply(*(value.to(dtype) for value in (x, delta, a, b, c)))


def fused_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The same by the kernel of mamba-ssm, float32.

    Raises:
        InputError: The tensors are not on a GPU, or the package is missing.
    """
    if not x.is_cuda:
        raise InputError(f"scan=mamba_ssm: needs a GPU, found {x.device.type}; scan=torch works")
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:
        raise InputError("scan=mamba_ssm: the package mamba-ssm is missing; pip install mamba-ssm works") from error
    channels = (value.float().flatten(2).transpose(1, 2).contiguous() for value in (x, delta))
    groups = (value.float().permute(0, 2, 3, 1).contiguous() for value in (b, c))
    y = selective_scan_fn(*channels, a.float().flatten(0, 1).contiguous(), *groups)
    return y.transpose(1, 2).unflatten(2, x.shape[2:])


SCANS: dict[str, Scan] = {"torch": chunked_scan, "mamba_ssm": fused_scan}


class _Chunked(torch.autograd.Function):
    """The recurrence and its gradients, chunk by chunk.

    Inside, positions come first and channels last, (K, B, G, S, E): a step and a broadcast over the state are then
    contiguous.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """y (B, N, G, E)."""
        rates, starts, out = a.mT.contiguous(), [], []
        h = x.new_zeros(len(x), *rates.shape)
        with _exact(x):
            for k in _chunks(x):
                starts.append(h)
                step, entered, write, read = _inputs(x, delta, b, c, k)
                _, states = _states(step, entered * step, rates, write, h)
                out.append(_read(read, states))
                h = states[-1].clone()
        ctx.save_for_backward(x, delta, rates, b, c, torch.stack(starts))
        return torch.cat(out).transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of the five inputs."""
        x, delta, rates, b, c, starts = ctx.saved_tensors
        carry, d_rates, parts = torch.zeros_like(starts[0]), torch.zeros_like(rates), []
        with _exact(x):
            for k, h in zip(reversed(_chunks(x)), reversed(starts), strict=True):
                step, entered, write, read = _inputs(x, delta, b, c, k)
                inflow, dy = entered * step, grad[:, k].transpose(0, 1)
                decay, states = _states(step, inflow, rates, write, h)
                d_read = _over_channels(states, dy)
                g = _backwards(decay, read[..., None] * dy[..., None, :], carry)
                carry = decay[0] * g[0]
                d_write, d_inflow = _over_channels(g, inflow), _read(write, g)
                exponent = g.mul_(decay)  # dL/d(delta_t A), from here
                exponent[0] *= h
                exponent[1:] *= states[:-1]
                d_step = torch.mul(exponent, rates, out=states).sum(-2)
                d_rates += exponent.mul_(step[..., None, :]).sum((0, 1))
                parts.append((d_inflow * step, d_step + d_inflow * entered, d_write, d_read))
        dx, d_delta, db, dc = (torch.cat(part[::-1]).transpose(0, 1) for part in zip(*parts, strict=True))
        return dx, d_delta, d_rates.mT, db, dc


def _inputs(x: Tensor, delta: Tensor, b: Tensor, c: Tensor, k: slice) -> list[Tensor]:
    """Step sizes and input (K, B, G, E), and how the state is written and read (K, B, G, S), of a chunk."""
    return [value[:, k].transpose(0, 1).contiguous() for value in (delta, x, b, c)]


def _states(step: Tensor, inflow: Tensor, rates: Tensor, write: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Factors and states of a chunk that begins in state h (B, G, S, E), both (K, B, G, S, E)."""
    decay = (step[..., None, :] * rates).exp_()
    states = write[..., None] * inflow[..., None, :]
    for factor, state in zip(decay, states, strict=True):
        h = state.addcmul_(factor, h)
    return decay, states


def _backwards(decay: Tensor, g: Tensor, carry: Tensor) -> Tensor:
    """Gradients of the states of a chunk, (K, B, G, S, E), made of g in place; ``carry`` comes from its right."""
    g[-1] += carry
    for t in range(len(g) - 2, -1, -1):
        g[t].addcmul_(decay[t + 1], g[t + 1])
    return g


def _read(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over the state of (K, B, G, S, E) by weights (K, B, G, S): (K, B, G, E)."""
    return (weights[..., None, :] @ states).squeeze(-2)


def _over_channels(states: Tensor, values: Tensor) -> Tensor:
    """Sum over the channels of (K, B, G, S, E) by values (K, B, G, E): (K, B, G, S)."""
    return (values[..., None, :] @ states.mT).squeeze(-2)


def _chunks(x: Tensor) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, x.shape[1], CHUNK)]


def _exact(x: Tensor) -> torch.autocast:
    """Keeps products at the precision of their inputs where training runs in bfloat16."""
    return torch.autocast(x.device.type, enabled=False)
