"""Tokens per second of a training step, against a plain eager fp32 step as upstream writes it, in one run.

    python benchmarks/train_step.py [--width 256 --layers 8 --heads 4 --length 1024 --batch 8] [-o results.json]

Sides, alternated step by step so that the machine's mood hits all of them:

- upstream: eager float32; dropout 0.1, adaLN computed every step, log-softmax over the whole vocabulary written into
  the logits, log-linear 1/t weight, AdamW, the exponential average as a Python loop over parameters, clipping;
- dnadiff eager and compiled, with bf16 beside fp32 where the processor computes it, each with dropout 0, with adaLN and
  without, as the DNA presets train. `dna-diff train` keeps freed memory (training/memory.py) and upstream does not;
  `--keep-memory` turns that on for this process, so for all sides.

Beside them the machine's own ceilings for the same shapes: the linear layers as bare matrix products, and attention's
forward and backward pass, both in float32 and bfloat16. The step's floating-point operations are counted as
6 * (weights of the blocks' matrices) + 12 * layers * width * length a token: attention's recomputation is not counted.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from dnadiff.diffusion import AbsorbingProcess, Batch, Denoiser, LogLinear, MaskedNELBO, Subs
from dnadiff.models.dit import DiT
from dnadiff.random import Draws
from dnadiff.training.ema import EMA
from dnadiff.training.hardware import compiler, has_fast_bf16
from dnadiff.training.memory import keep_freed_memory
from dnadiff.training.optim import optimizer_of

MASK, BASES, VOCABULARY = 3, (7, 8, 9, 10), 12


def upstream_step(size: argparse.Namespace, x0: torch.Tensor) -> Callable[[], None]:
    """One step as the published code takes it, on the CPU, where its autocast does nothing."""
    model = DiT(VOCABULARY, size.width, size.layers, size.heads, dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    shadow = [p.detach().clone() for p in model.parameters()]

    def step() -> None:
        n = len(x0)
        t = ((torch.rand(n) / n + torch.arange(n) / n) % 1) * 0.999 + 0.001
        sigma = -torch.log1p(-0.999 * t)
        xt = torch.where(torch.rand(x0.shape) < 1 - torch.exp(-sigma)[:, None], MASK, x0)
        logits = model(xt, torch.zeros(n)).clone()
        logits[:, :, MASK] += -1e6
        logits = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
        unmasked = (xt != MASK)[..., None]
        logits = torch.where(unmasked, torch.full_like(logits, -1e6).scatter(-1, xt[..., None], 0.0), logits)
        log_p = logits.gather(-1, x0[..., None])[..., 0]
        loss = (-log_p * (0.999 / (1 - 0.999 * t) / torch.expm1(sigma))[:, None]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for average, p in zip(shadow, model.parameters(), strict=True):
                average.sub_(0.001 * (average - p))

    return step


def dnadiff_step(
    size: argparse.Namespace, x0: torch.Tensor, *, compiled: bool, bf16: bool, adaln: bool
) -> Callable[[], None]:
    """One step as ``dna-diff train`` takes it."""
    model = DiT(VOCABULARY, size.width, size.layers, size.heads, adaln=adaln)
    process = AbsorbingProcess(LogLinear(), MASK)
    denoiser, objective = Denoiser(model, Subs(MASK, BASES), process), MaskedNELBO(process)
    call = torch.compile(denoiser, dynamic=False) if compiled else denoiser
    optimizer = optimizer_of(denoiser, name="adamw", lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    ema, batch, first = EMA(denoiser, 0.999), Batch(x0, torch.ones_like(x0, dtype=torch.bool)), iter(range(10**9))

    def step() -> None:
        number = next(first) * len(x0)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = objective(call, batch, Draws(0, np.arange(number, number + len(x0))))
        (loss.total / x0.numel()).backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update()

    return step


def timed(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, one measurement a round; two rounds before them are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-2, rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ceilings(size: argparse.Namespace) -> dict[str, float]:
    """GFLOP/s of bare operations of the step's shapes, the best of five."""
    tokens, d, found = size.batch * size.length, size.width, {}
    for dtype in (torch.float32, torch.bfloat16):
        name = "fp32" if dtype == torch.float32 else "bf16"
        shapes = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
        pairs = [
            (torch.randn(tokens, n_in, dtype=dtype), torch.randn(n_out, n_in, dtype=dtype)) for n_in, n_out in shapes
        ]
        seconds = timed({"products": lambda pairs=pairs: [F.linear(x, w) for x, w in pairs]}, 5)["products"]
        found[f"products {name}"] = sum(2 * tokens * a * b for a, b in shapes) / min(seconds) / 1e9
        shape = (size.batch, size.heads, size.length, d // size.heads)
        q, k, v, grad = (torch.randn(shape, dtype=dtype) for _ in range(4))
        leaves = [x.requires_grad_() for x in (q, k, v)]
        both = lambda leaves=leaves, grad=grad: F.scaled_dot_product_attention(*leaves).backward(grad)  # noqa: E731
        seconds = timed({"attention": both}, 5)["attention"]
        found[f"attention forward and backward {name}"] = 12 * tokens * size.length * d / min(seconds) / 1e9
    return found


def main() -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("width", 256), ("layers", 8), ("heads", 4), ("length", 1024), ("batch", 8), ("rounds", 5)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-memory", action="store_true", help="as dna-diff train does")
    parser.add_argument("-o", "--out", default=None, help="JSON file to write")
    size = parser.parse_args()
    if size.keep_memory:
        keep_freed_memory()
    torch.manual_seed(size.seed)
    x0 = torch.tensor(BASES)[torch.randint(0, 4, (size.batch, size.length))]
    sides = {"upstream (eager fp32)": upstream_step(size, x0)}
    fast = [False, True] if has_fast_bf16() else [False]
    for bf16 in fast:
        kind = "bf16" if bf16 else "fp32"
        sides[f"dnadiff eager {kind}"] = dnadiff_step(size, x0, compiled=False, bf16=bf16, adaln=True)
        sides[f"dnadiff eager {kind}, adaln=false"] = dnadiff_step(size, x0, compiled=False, bf16=bf16, adaln=False)
        if compiler():
            sides[f"dnadiff compiled {kind}"] = dnadiff_step(size, x0, compiled=True, bf16=bf16, adaln=True)
            sides[f"dnadiff compiled {kind}, adaln=false"] = dnadiff_step(
                size, x0, compiled=True, bf16=bf16, adaln=False
            )
    seconds = timed(sides, size.rounds)
    tokens = size.batch * size.length
    flops = tokens * (6 * 12 * size.layers * size.width**2 + 12 * size.layers * size.width * size.length)
    reference = statistics.median(seconds["upstream (eager fp32)"])
    rows = {
        name: {
            "median_s": statistics.median(values),
            "min_s": min(values),
            "tokens_per_s": tokens / statistics.median(values),
            "gflops": flops / statistics.median(values) / 1e9,
            "times_upstream": reference / statistics.median(values),
        }
        for name, values in seconds.items()
    }
    print(f"{'':36}{'median s':>10}{'min s':>8}{'tokens/s':>10}{'GFLOP/s':>9}{'x upstream':>12}")
    for name, r in rows.items():
        print(f"{name:36}{r['median_s']:10.3f}{r['min_s']:8.3f}{r['tokens_per_s']:10,.0f}{r['gflops']:9.0f}"
              f"{r['times_upstream']:12.2f}")  # fmt: skip
    bare = ceilings(size)
    for name, gflops in bare.items():
        print(f"ceiling: {name:44}{gflops:7.0f} GFLOP/s")
    if size.out:
        machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(),
                   "capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}  # fmt: skip
        shape = {key: value for key, value in vars(size).items() if key != "out"}
        Path(size.out).write_text(
            json.dumps({"shape": shape, "machine": machine, "rows": rows, "ceilings": bare}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
