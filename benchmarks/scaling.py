"""Cost against the length of a sequence and against the number of parameters, with the fitted exponents.

    python -m benchmarks.scaling [--longest 32768] [--threads N] [-o benchmarks/results/scaling.json]

One small network (width 32, 2 blocks, 1 head), one sequence, 1,024 bases to ``--longest``, in float32:

- full, forward: every position sees every other
- full, training step: forward and backward of the masked objective
- blocks of 16, training step: [x_t ; x_0] of 2L tokens, attention in parts
- blocks of 16, window 1,024, forward: each block sees itself and what lies up to 1,024 positions back

Attention costs L^2 and everything else L, so an exponent lies between 1 and 2 and grows with the length; ``exponent``
is fitted to all lengths (least squares of log seconds on log length) and ``exponent_longest`` to the three longest.
Within a window the cost is linear. Against parameters: widths 32 to 512 of the same network at length 1,024; a product
costs width^2 and attention width, and parameters grow with width^2, so that exponent comes near 1 from below.

Every figure is the least of up to ``--repeats`` measurements within ``--seconds``, one before them untimed where it
took less than that. With one thread seconds are the processor's, otherwise the clock's. Sides alternate.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dnadiff.diffusion import AbsorbingProcess, Batch, BlockNELBO, Denoiser, LogLinear, MaskedNELBO, Subs
from dnadiff.models.attention import BlockCausal, Full, Pattern
from dnadiff.models.dit import DiT
from dnadiff.random import Draws

MASK, BASES, VOCABULARY = 3, (7, 8, 9, 10), 12
WIDTH, BLOCK, WINDOW, SHORTEST = 32, 16, 1024, 1024
WIDTHS = (32, 64, 128, 256, 512)


def network(width: int) -> Denoiser:
    """Two blocks, one head for every 64 of the width, random weights."""
    torch.manual_seed(0)
    model = DiT(VOCABULARY, width, 2, max(1, width // 64), adaln=False)
    torch.nn.init.normal_(model.output_layer.linear.weight, std=0.02)
    return Denoiser(model, Subs(MASK, BASES), AbsorbingProcess(LogLinear(), MASK))


def forward(denoiser: Denoiser, x: Tensor, pattern: Pattern) -> Callable[[], None]:
    """The network's answer about every position."""

    def run() -> None:
        with torch.inference_mode():
            denoiser(x, None, pattern=pattern)

    return run


def training(denoiser: Denoiser, x: Tensor, objective: MaskedNELBO | BlockNELBO) -> Callable[[], None]:
    """Loss and gradient."""
    batch = Batch(x, torch.ones_like(x, dtype=torch.bool))

    def run() -> None:
        objective(denoiser, batch, Draws(0, range(len(x)))).mean.backward()
        denoiser.zero_grad()

    return run


def sides(denoiser: Denoiser, length: int) -> dict[str, Callable[[], None]]:
    """What is measured at a length."""
    x = torch.tensor(BASES)[torch.randint(0, 4, (1, length), generator=torch.Generator().manual_seed(0))]
    process = denoiser.process
    return {
        "full, forward": forward(denoiser, x, Full()),
        "full, training step": training(denoiser, x, MaskedNELBO(process)),
        f"blocks of {BLOCK}, training step": training(denoiser, x, BlockNELBO(process, BLOCK)),
        f"blocks of {BLOCK}, window {WINDOW:,}, forward": forward(denoiser, x, BlockCausal(BLOCK, WINDOW)),
    }


def measured(runs: dict[str, Callable[[], None]], args: argparse.Namespace) -> dict[str, float]:
    """The least seconds of each, alternated."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-1, args.repeats):
        for name, run in runs.items():
            if number >= 0 and sum(found[name]) > args.seconds:
                continue
            begun = clock(args.threads)
            run()
            took = clock(args.threads) - begun
            if number >= 0 or took > args.seconds:
                found[name].append(took)
    return {name: min(values) for name, values in found.items()}


def clock(threads: int) -> float:
    """Now: the processor's seconds of one thread, else the clock's."""
    return time.process_time() if threads == 1 else time.perf_counter()


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """b of seconds = a * size^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def line(name: str, sizes: list[int], seconds: list[float], what: str) -> dict:
    """The figures of a side."""
    fitted = {"exponent": exponent(sizes, seconds), "exponent_longest": exponent(sizes[-3:], seconds[-3:])}
    return {"name": name, what: sizes, "seconds": seconds} | fitted


def measure(args: argparse.Namespace) -> dict:
    """Both series."""
    torch.set_num_threads(args.threads)
    lengths = [SHORTEST]
    while lengths[-1] < args.longest:
        lengths.append(2 * lengths[-1])
    small = network(WIDTH)
    found = []
    for length in lengths:
        found.append(measured(sides(small, length), args))
        print(length, {name: round(seconds, 4) for name, seconds in found[-1].items()}, flush=True)
    by_length = [line(name, lengths, [one[name] for one in found], "length") for name in found[0]]
    networks = [network(width) for width in WIDTHS]
    parameters = [sum(p.numel() for p in one.parameters()) for one in networks]
    again = [measured(dict(list(sides(one, SHORTEST).items())[:2]), args) for one in networks]
    by_parameters = [
        line(f"{name}, against parameters", parameters, [one[name] for one in again], "parameters") for name in again[0]
    ]
    capability = torch.backends.cpu.get_cpu_capability()
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {
        "about": {"machine": platform.machine(), "capability": capability, "threads": args.threads} | versions,
        "settings": {"longest": args.longest, "width": WIDTH, "blocks": 2, "widths": WIDTHS, "repeats": args.repeats},
        "by_length": by_length,
        "by_parameters": by_parameters,
    }


def picture(found: dict, path: Path) -> None:
    """Seconds against length and against parameters, both axes logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    series = (("length", "bases"), ("parameters", "parameters"))
    for axes, (what, label) in zip(figure.subplots(1, 2), series, strict=True):
        for row in found[f"by_{what}"]:
            fit = f"{row['name']}: {row['exponent']:.2f}, longest {row['exponent_longest']:.2f}"
            axes.plot(row[what], row["seconds"], "o-", label=fit)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds", title=f"against {what}")
        axes.set_ylim(top=axes.get_ylim()[1] * 8)  # room for the legend
        axes.legend(fontsize=8, title="exponents", loc="upper left")
    FigureCanvasAgg(figure).print_png(str(path))


def main() -> None:
    """Measures, prints the exponents, writes JSON and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=32_768)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "scaling.json")
    args = parser.parse_args()
    found = measure(args)
    for row in [*found["by_length"], *found["by_parameters"]]:
        print(f"{row['name']:44}{row['exponent']:6.2f}, three largest {row['exponent_longest']:.2f}")
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    picture(found, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
