"""Tokens per second of a training step, against a plain eager fp32 step as upstream writes it, in one run.

    python -m benchmarks.train_step [--width 256 --layers 8 --heads 4 --length 1024 --batch 8] [--device cuda]
                                    [-o results.json]

Each side has a process of its own, set up as its users run it, and they take turns step by step, so that the machine's
mood hits all of them:

- upstream (``benchmarks/upstream.py``): eager float32 (on a GPU its autocast to bfloat16) with dropout, adaLN, the
  loss of all positions, Python loops;
- dnadiff eager and compiled, with bf16 beside fp32 where the device computes it, each with dropout 0, with adaLN and
  without, as the DNA presets train. As in `dna-diff train` freed memory is kept (training/memory.py) and, uncompiled,
  only masked tokens pass what follows the last attention. Batches are masked on the host.

A row gives seconds and processor seconds (of all threads, the figure to look at on a busy machine). Beside them the
machine's own ceilings for the same shapes: the linear layers as bare matrix products, and attention's forward and
backward pass, both in float32 and bfloat16. The step's floating-point operations are counted as 6 * (weights of the
blocks' matrices) + 12 * layers * width * length a token, for all sides alike: what a side leaves out counts for it.
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.upstream import BASES, MASK, VOCABULARY, Upstream
from dnadiff.diffusion import AbsorbingProcess, Batch, Denoiser, LogLinear, MaskedNELBO, Subs
from dnadiff.models.dit import DiT
from dnadiff.random import Draws
from dnadiff.training.ema import EMA
from dnadiff.training.hardware import compiler, has_fast_bf16
from dnadiff.training.memory import keep_freed_memory
from dnadiff.training.module import moved
from dnadiff.training.optim import optimizer_of


def dnadiff_step(
    size: argparse.Namespace, x0: torch.Tensor, *, compiled: bool, bf16: bool, adaln: bool
) -> Callable[[], None]:
    """One step as ``dna-diff train`` takes it."""
    attention = "products" if bf16 and size.device == "cpu" else "sdpa"
    model = DiT(VOCABULARY, size.width, size.layers, size.heads, adaln=adaln, attention=attention)
    process, device = AbsorbingProcess(LogLinear(), MASK), torch.device(size.device)
    denoiser = Denoiser(model, Subs(MASK, BASES), process).to(device)
    objective = MaskedNELBO(process, only_masked=not compiled and size.device == "cpu")
    call = torch.compile(denoiser, dynamic=False) if compiled else denoiser
    optimizer = optimizer_of(denoiser, name="adamw", lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    ema, batch, first = EMA(denoiser, 0.999), Batch(x0, torch.ones_like(x0, dtype=torch.bool)), iter(range(10**9))

    def step() -> None:
        number = next(first) * len(x0)
        noised = moved(objective.noise(batch, Draws(0, np.arange(number, number + len(x0)))), device)
        with torch.autocast(size.device, torch.bfloat16, enabled=bf16):
            loss = objective.loss(call, moved(batch, device), noised)
        (loss.total / x0.numel()).backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update()

    return step


def reference(device: str) -> str:
    """What upstream's side is called."""
    return "upstream (eager fp32)" if device == "cpu" else "upstream (eager bf16)"


def sides(size: argparse.Namespace) -> dict[str, dict[str, bool] | None]:
    """What is compared: arguments of ``dnadiff_step`` by name; None is upstream."""
    found: dict[str, dict[str, bool] | None] = {reference(size.device): None}
    for bf16 in (False, True) if has_fast_bf16() else (False,):
        for compiled in (False, True) if compiler() else (False,):
            for adaln in (True, False):
                name = f"dnadiff {'compiled' if compiled else 'eager'} {'bf16' if bf16 else 'fp32'}"
                if not set(size.without) & set(name.split()):
                    options = {"compiled": compiled, "bf16": bf16, "adaln": adaln}
                    found[name + ("" if adaln else ", adaln=false")] = options
    return found


def serve(name: str, size: argparse.Namespace, pipe: Connection) -> None:
    """One side in this process: for every message it takes steps and answers with seconds and processor seconds."""
    options = sides(size)[name]
    if options is not None:
        keep_freed_memory()
    torch.manual_seed(size.seed)
    x0 = torch.tensor(BASES)[torch.randint(0, 4, (size.batch, size.length))]
    if options is None:
        theirs = Upstream(size.width, size.layers, size.heads, device=size.device, bf16=size.device == "cuda")
        moved_x0 = x0.to(size.device)
    run = (lambda: theirs.step(moved_x0)) if options is None else dnadiff_step(size, x0, **options)
    while pipe.recv():
        begin = time.perf_counter(), time.process_time()
        for _ in range(size.steps):
            run()
        if size.device == "cuda":
            torch.cuda.synchronize()
        pipe.send(((time.perf_counter() - begin[0]) / size.steps, (time.process_time() - begin[1]) / size.steps))


def measured(size: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Seconds and processor seconds of every side's step, a turn of each a round; two rounds before do not count."""
    context, pipes, processes = multiprocessing.get_context("spawn"), {}, []
    for name in sides(size):
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(name, size, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in pipes}
    for number in range(-2, size.rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            seconds = pipe.recv()
            print(f"round {number}: {name} {seconds[0]:.3f} s", file=sys.stderr, flush=True)
            if number >= 0:
                found[name].append(seconds)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return found


def best_of_five(run: Callable[[], object], device: str) -> float:
    """Least seconds of five runs after one."""
    found = []
    for _ in range(6):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return min(found[1:])


def ceilings(size: argparse.Namespace) -> dict[str, float]:
    """GFLOP/s of bare operations of the step's shapes, the best of five."""
    tokens, d, found = size.batch * size.length, size.width, {}
    torch.set_default_device(size.device)
    for dtype in (torch.float32, torch.bfloat16):
        name = "fp32" if dtype == torch.float32 else "bf16"
        shapes = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
        pairs = [
            (torch.randn(tokens, n_in, dtype=dtype), torch.randn(n_out, n_in, dtype=dtype)) for n_in, n_out in shapes
        ]
        seconds = best_of_five(lambda pairs=pairs: [F.linear(x, w) for x, w in pairs], size.device)
        found[f"products {name}"] = sum(2 * tokens * a * b for a, b in shapes) / seconds / 1e9
        shape = (size.batch, size.heads, size.length, d // size.heads)
        q, k, v, grad = (torch.randn(shape, dtype=dtype) for _ in range(4))
        leaves = [x.requires_grad_() for x in (q, k, v)]
        both = lambda leaves=leaves, grad=grad: F.scaled_dot_product_attention(*leaves).backward(grad)  # noqa: E731
        seconds = best_of_five(both, size.device)
        found[f"attention forward and backward {name}"] = 12 * tokens * size.length * d / seconds / 1e9
    return found


def row(
    values: list[tuple[float, float]], reference: list[tuple[float, float]], tokens: int, flops: int
) -> dict[str, float]:
    """The figures of a side."""
    wall, worked = (statistics.median(each) for each in zip(*values, strict=True))
    theirs, they_worked = (statistics.median(each) for each in zip(*reference, strict=True))
    return {
        "median_s": wall, "min_s": min(values)[0], "median_processor_s": worked, "tokens_per_s": tokens / wall,
        "gflops": flops / wall / 1e9, "times_upstream": theirs / wall,
        "times_upstream_by_processor": they_worked / worked,
    }  # fmt: skip


def main() -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("width", 256), ("layers", 8), ("heads", 4), ("length", 1024), ("batch", 8), ("rounds", 5)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=1, help="of a turn: after one a GPU is waited for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", nargs="+", default=[], choices=("eager", "compiled", "fp32", "bf16"))
    parser.add_argument("-o", "--out", default=None, help="JSON file to write")
    size = parser.parse_args()
    tokens, found = size.batch * size.length, measured(size)
    flops = tokens * (12 * size.layers * 6 * size.width**2 + 12 * size.layers * size.width * size.length)
    rows = {name: row(values, found[reference(size.device)], tokens, flops) for name, values in found.items()}
    print(f"{'':32}{'median s':>9}{'min s':>7}{'tokens/s':>10}{'GFLOP/s':>9}{'x upstream':>12}{'by processor s':>16}")
    for name, r in rows.items():
        print(f"{name:32}{r['median_s']:9.3f}{r['min_s']:7.3f}{r['tokens_per_s']:10,.0f}{r['gflops']:9.0f}"
              f"{r['times_upstream']:12.2f}{r['times_upstream_by_processor']:16.2f}")  # fmt: skip
    bare = ceilings(size)
    for name, gflops in bare.items():
        print(f"ceiling: {name:44}{gflops:7.0f} GFLOP/s")
    if size.out:
        machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(),
                   "capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__,
                   **({"gpu": torch.cuda.get_device_name()} if size.device == "cuda" else {})}  # fmt: skip
        shape = {key: value for key, value in vars(size).items() if key != "out"}
        Path(size.out).write_text(
            json.dumps({"shape": shape, "machine": machine, "rows": rows, "ceilings": bare}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
