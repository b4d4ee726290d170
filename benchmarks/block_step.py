"""Seconds and memory of a block diffusion training step: attention in parts against the masked (2L)^2 product.

    python benchmarks/block_step.py [--width 256 --layers 4 --heads 4 --length 1024 --batch 2] [-o results.json]

Each side runs in processes of its own, which alternate; a step is forward and backward. Seconds are those of the
processor (one thread), so that other programs do not count; memory is the peak resident size less that before the first
step.

- masked: one product with the whole mask in every layer, and every layer for all 2L tokens
- parts: neighbouring queries with the keys they can see, and the last layer for the noisy half
- mdlm: a step of masked diffusion on the same tokens, as a yardstick
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from dnadiff.diffusion import AbsorbingProcess, Batch, BlockNELBO, Denoiser, LogLinear, MaskedNELBO, Subs
from dnadiff.models.attention import BlockDiffusion, Part
from dnadiff.models.dit import DiT
from dnadiff.random import Draws

ROOT = Path(__file__).parents[1]
MASK, BASES, VOCABULARY = 3, (7, 8, 9, 10), 12
SIDES = ("masked", "parts", "mdlm")


class Masked(BlockDiffusion):
    """The same mask in one piece."""

    def parts(self, first: int, last: int, n: int) -> list[Part]:
        """One part with all keys."""
        return [Part(first, last, ((0, n),), whole=False)]


class Everywhere(Denoiser):
    """A denoiser that computes all tokens and then picks."""

    def forward(self, xt: Tensor, t: Tensor | None, *, at: slice, **more: object) -> Tensor:
        """log p(x_0 | x_t) of the tokens ``at``."""
        return super().forward(xt, t, **more)[:, at]


def measure(side: str, block_size: int, size: argparse.Namespace) -> dict:
    """Seconds a step and MB of one side, in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    process = AbsorbingProcess(LogLinear(), MASK)
    model = DiT(VOCABULARY, size.width, size.layers, size.heads, adaln=False)
    torch.nn.init.normal_(model.output_layer.linear.weight, std=0.02)
    denoiser = (Everywhere if side == "masked" else Denoiser)(model, Subs(MASK, BASES), process)
    objective = MaskedNELBO(process) if side == "mdlm" else BlockNELBO(process, block_size)
    if side == "masked":
        objective.pattern = Masked(block_size)
    x0 = torch.randint(7, 11, (size.batch, size.length), generator=torch.Generator().manual_seed(0))
    batch, before, times = Batch(x0, torch.ones_like(x0, dtype=torch.bool)), peak(), []
    for step in range(size.steps + 1):
        noised = objective.noise(batch, Draws(0, range(step * size.batch, (step + 1) * size.batch)))
        start = time.process_time()
        loss = objective.loss(denoiser, batch, noised).mean
        loss.backward()
        times.append(time.process_time() - start)
        model.zero_grad()
    return {"seconds": min(times[1:]), "megabytes": peak() - before, "loss": float(loss)}


def peak() -> float:
    """Largest resident size of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Runs all sides and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 256), ("layers", 4), ("heads", 4), ("length", 1024), ("batch", 2), ("steps", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    size = parser.parse_args()
    if size.child:
        print(json.dumps(measure(size.child[0], int(size.child[1]), size)))
        return
    rows = []
    print(f"{'blocks of':>9}  {'side':8} {'s a step':>9} {'MB':>7}  against masked")
    for block_size in (4, 16, 64):
        found = {side: child(side, block_size) for side in SIDES}
        for side, one in found.items():
            gain = found["masked"]["seconds"] / one["seconds"], found["masked"]["megabytes"] / one["megabytes"]
            print(
                f"{block_size:9}  {side:8} {one['seconds']:9.3f} {one['megabytes']:7.0f}  {gain[0]:.2f}, {gain[1]:.2f}"
            )
            rows.append({"block_size": block_size, "side": side, **one})
    if size.out:
        about = {"torch": torch.__version__, "machine": platform.machine(), "python": platform.python_version()}
        sizes = {name: getattr(size, name) for name in ("width", "layers", "heads", "length", "batch", "steps")}
        size.out.write_text(json.dumps({"about": about, "sizes": sizes, "rows": rows}, indent=2) + "\n")


def child(side: str, block_size: int) -> dict:
    """``measure`` in a process of its own, which inherits this one's arguments."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", side, str(block_size)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(out.stdout)


if __name__ == "__main__":
    main()
