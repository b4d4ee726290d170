"""Seconds to generate 64 x 1,024 bases, against MDLM's sampler of 1,000 steps, and what each way costs in quality.

    python -m benchmarks.sampling [--run RUN] [--blocks RUN] [--ar RUN] [--sequences 64] [--threads N] [-o x.json]

RUN is a trained model of masked diffusion; without one the model ``nano`` is trained on E. coli for ``--steps`` steps
with windows of the length that is generated (two minutes on two idle cores). ``--blocks`` and ``--ar`` are a model of
blocks and one of next tokens on the same genome, to be shown beside.

- ddpm_cache: the reference (``upstream_sampler.py``), the whole batch at once. ``--timed`` of its steps are timed, all
  of which cost the same, and scaled to T; the share of steps it skips is ``kept_share``: none with 64 x 1,024 bases.
- ancestral T: the same law from ``Ancestral``. With T = 1,000 it stands in for the reference's quality, for a whole
  walk of the reference takes too long; ``--whole`` sequences are walked by the reference itself as a check.
- k at a time: ``FirstHitting``, k positions of a sequence in one call
- blocks, next tokens: with the cache, all sequences in one call

Sides alternate in ``ROUNDS`` rounds. Each makes ``--sequences`` sequences in all, except those of 512 calls or more:
they are timed on one sequence a round (a sequence is a call of its own, so 64 cost 64 times as much). Only ancestral
1,000 makes them all. Times are medians over the rounds. With one thread they are the processor's seconds, so other
programs do not count; with more they are the clock's.

Quality: Jensen-Shannon divergence of 3- and 4-mers from held-out windows, in bits, both strands pooled, with bootstrap
errors, and other held-out windows in the row *real*. A side is equal if it does not exceed the reference by more than
two standard errors of their difference. This is all that so many sequences can tell; what k at a time loses can be
told more sharply from what the network says of held-out windows. A group of k is drawn as if its members were
independent, which costs

    sum_j (k / L) c(1 - j k / L)  less  the same with k = 1       bits per base,

c(m) being the mean -log2 p of a masked base when a share m is masked: the bound of a walk in L / k steps less that of
one in L (column ``lost``; error over windows).
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmarks.sampling_quality import lost_bits, measured_quality
from benchmarks.upstream_sampler import ddpm_cache, kept_share
from dnadiff.checkpoints.folder import read_spec
from dnadiff.config import compose
from dnadiff.random import Draws
from dnadiff.recipes.model import Model, open_model
from dnadiff.recipes.real_windows import pieces_of, windows_of
from dnadiff.recipes.walk import CALLS, Walk, sampler_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
ROUNDS, MANY = 4, 512
REFERENCE, STAND_IN = "ddpm_cache", "ancestral"


@dataclass
class Side:
    """A way to generate.

    Attributes:
        name: Of it.
        calls: Of the network, for one sequence.
        make: The sequences of some numbers.
        sequences: How many to make in all; fewer than wanted are only timed.
        seconds: A sequence, one figure a round.
        made: What came out, (L,) codes each.
    """

    name: str
    calls: float
    make: Callable[[range], Tensor]
    sequences: int
    settings: dict = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    made: list[np.ndarray] = field(default_factory=list)


def start(model: Model, rows: int, length: int) -> Tensor:
    """Masks, behind [BOS] if the model wants it, (B, L)."""
    x = torch.full((rows, length + model.bos), model.denoiser.process.mask_id)
    if model.bos:
        x[:, 0] = model.tokenizer.bos_id
    return x


def codes_of(model: Model, tokens: Tensor) -> list[np.ndarray]:
    """Store codes of rows of bases."""
    ids = np.array(model.tokenizer.base_ids)
    return [np.searchsorted(ids, row[int(model.bos) :]).astype(np.uint8) for row in tokens.numpy()]


def side_of(name: str, model: Model, walk: Walk, calls: float, sequences: int, args: argparse.Namespace) -> Side:
    """A side of the package's samplers."""
    sampler = sampler_for(model, walk, args.length)
    bases = torch.zeros(model.denoiser.backbone.vocab_size, dtype=torch.bool)
    bases[list(model.tokenizer.base_ids)] = True

    def make(items: range) -> Tensor:
        return sampler(start(model, len(items), args.length), Draws(args.seed, items), allowed=bases)

    settings = {key: value for key, value in vars(walk).items() if value not in (None, False, 1.0)}
    return Side(name, calls, make, sequences, settings)


def sides_of(model: Model, args: argparse.Namespace) -> list[Side]:
    """The sides of the package, the stand-in for the reference first."""
    length, n = args.length, args.sequences

    def enough(calls: float) -> int:
        return n if calls < MANY else ROUNDS

    out = []
    for steps in (args.T, *args.ancestral):
        calls = steps * (1 - kept_share(length, steps))
        walk = Walk(sampler="ancestral", steps=steps)
        out.append(side_of(f"{STAND_IN} {steps:,}", model, walk, calls, n if steps == args.T else enough(calls), args))
    for k in args.at_once:
        calls = -(-length // k)
        out.append(side_of(f"{k} at a time", model, Walk(tokens_per_step=k), calls, enough(calls), args))
    together = Walk(rows_per_call=n)
    if args.blocks:
        blocks = open_model(args.blocks)
        out.append(side_of(f"blocks of {blocks.block_size}", blocks, together, length, n, args))
    if args.ar:
        out.append(side_of("next tokens", open_model(args.ar), together, length, n, args))
    return out


def trained(folder: str, args: argparse.Namespace) -> str:
    """A run of the smallest preset, with windows of the length that is generated."""
    from dnadiff.recipes.train import train  # imports the trainer, which nothing else here needs

    words = ["data=ecoli", f"data.path={ROOT / 'data' / 'ecoli_k12_mg1655.fa.gz'}", "model=nano", "optim=short"]
    words += [f"model.length={args.length}", "optim.schedule=cosine", "optim.batch_size=8", f"seed={args.seed}"]
    words += [f"train.steps={args.steps}", f"train.val_every={args.steps}"]
    return str(train(compose(words), out=f"{folder}/run", quiet=True))


def clock(threads: int) -> float:
    """Now: the processor's seconds of one thread, else the clock's."""
    return time.process_time() if threads == 1 else time.perf_counter()


def reference(model: Model, args: argparse.Namespace) -> Iterator[float]:
    """Seconds of a step of the reference on the whole batch, round by round; the first step is not counted."""
    walk = ddpm_cache(model.denoiser, start(model, args.rows, args.length), args.T, seeded(args))
    next(walk)
    steps = max(1, args.timed // ROUNDS)
    while True:
        begun = clock(args.threads)
        for _ in range(steps):
            next(walk)
        yield (clock(args.threads) - begun) / steps


def seeded(args: argparse.Namespace) -> torch.Generator:
    """The noise of the reference."""
    return torch.Generator().manual_seed(args.seed)


def alternated(model: Model, sides: list[Side], args: argparse.Namespace) -> list[float]:
    """Fills in the sides' times and sequences; gives the seconds of a step of the reference."""
    steps, found = reference(model, args), []
    for number in range(ROUNDS):
        found.append(next(steps))
        for side in sides:
            items = range(side.sequences * number // ROUNDS, side.sequences * (number + 1) // ROUNDS)
            begun = clock(args.threads)
            tokens = side.make(items)
            side.seconds.append((clock(args.threads) - begun) / len(items))
            side.made += codes_of(model, tokens)
        print(f"round {number + 1} of {ROUNDS}", flush=True)
    return found


def measure(run: str, args: argparse.Namespace) -> dict:
    """All sides, in one run."""
    torch.set_num_threads(args.threads)
    model = open_model(run)
    pieces = pieces_of(run, read_spec(run), None)
    real = [one for one in windows_of(pieces, args.length, 1 << 20) if len(one) == args.length and one.max() < 4]
    sides = sides_of(model, args)
    steps = alternated(model, sides, args)
    skipped = kept_share(args.rows * args.length, args.T)
    seconds = [each * (args.T * (1 - skipped) + 1) for each in steps]
    rows = [{"name": f"{REFERENCE} {args.T:,}", "calls": args.T + 1, "settings": {}} | times(seconds, args, seconds)]
    rows += [
        {"name": side.name, "calls": side.calls, "settings": side.settings}
        | times([args.rows * each for each in side.seconds], args, seconds)
        for side in sides
    ]
    *_, (tokens, asked) = ddpm_cache(model.denoiser, start(model, args.whole, args.length), args.T, seeded(args))
    made = {side.name: side.made for side in sides if side.sequences == args.sequences}
    quality = measured_quality(real, made, codes_of(model, tokens), seed=args.seed)
    lost = lost_bits(model, real, args.length, args.at_once, seed=args.seed)
    for row in rows:
        row |= quality["rows"].get(row["name"], {}) | lost.get(row["settings"].get("tokens_per_step"), {})
    skips = {"expected": kept_share(args.whole * args.length, args.T), "found": 1 - (asked - 1) / args.T}
    return {
        "about": about(args),
        "settings": {"run": Path(args.run).name if args.run else f"nano, {args.steps} steps"}
        | {name: vars(args)[name] for name in ("rows", "length", "T", "timed", "sequences", "seed")},
        "model": {"parameters": sum(p.numel() for p in model.denoiser.parameters()), "window": model.window},
        "skipped": {"expected": skipped, f"of {args.whole} sequences": skips},
        "rows": rows,
        "real": quality["real"],
        "whole": quality["whole"],
        "equal": fastest(rows),
        "default": default_pace(rows, args.length),
    }  # fmt: skip


def times(seconds: list[float], args: argparse.Namespace, reference: list[float]) -> dict:
    """Median and least seconds of a batch, bases a second, and how many times less than the reference."""
    median = statistics.median(seconds)
    return {
        "median_s": median,
        "min_s": min(seconds),
        "bases_per_s": args.rows * args.length / median,
        "times_less": statistics.median(reference) / median,
    }


def fastest(rows: list[dict]) -> dict | None:
    """The fastest side of equal quality: its name, and how many times less it takes."""
    equal = [row for row in rows if row.get("equal")]
    best = max(equal, key=lambda row: row["times_less"], default=None)
    return best and {"name": best["name"], "times_less": best["times_less"]}


def default_pace(rows: list[dict], length: int) -> dict | None:
    """The side that ``sample`` takes where no pace is asked for, as of ``fastest``."""
    pace = max(1, length // CALLS)
    found = (row for row in rows if row["settings"] == {"tokens_per_step": pace})
    return next(({key: row[key] for key in ("name", "times_less", "equal")} for row in found if "equal" in row), None)


def about(args: argparse.Namespace) -> dict:
    """What was measured on."""
    capability = torch.backends.cpu.get_cpu_capability()
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"machine": platform.machine(), "capability": capability, "threads": args.threads} | versions


def picture(found: dict, path: Path) -> None:
    """Quality against speed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    *spectra, last = figure.subplots(1, 3)
    for axes, k in zip(spectra, (3, 4), strict=True):
        low, high = (found["real"][f"js_{k}"] + sign * 2 * found["real"][f"js_{k}_error"] for sign in (-1, 1))
        axes.axhspan(max(0, low), high, alpha=0.2, label="real windows, 2 standard errors")
        axes.set(title=f"{k}-mers", ylabel="divergence from held-out windows, bits")
        plotted(axes, found["rows"], f"js_{k}")
    last.set(title="what drawing together loses", ylabel="bits per base")
    plotted(last, found["rows"], "lost")
    spectra[0].legend(fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))


def plotted(axes: "Axes", rows: list[dict], key: str) -> None:
    """Adds the sides that have a figure, with its error, over how many times less they take."""
    for kind, mark in ((STAND_IN, "s"), ("at a time", "o"), ("blocks", "^"), ("next", "v")):
        shown = [row for row in rows if kind in row["name"] and key in row]
        if shown:
            x, y, error = ([row[each] for row in shown] for each in ("times_less", key, f"{key}_error"))
            axes.errorbar(x, y, error, fmt=mark, capsize=3, label=kind)
        for row in shown:
            words = row["name"].split()
            label, below = (words[-1], -12) if kind == STAND_IN else (words[0], 4)
            axes.annotate(label, (row["times_less"], row[key]), textcoords="offset points", xytext=(4, below))
    axes.set(xscale="log", xlabel="times less than ddpm_cache of 1,000 steps", ylim=(0, None))


def table(found: dict) -> str:
    """The rows in text."""
    timings = f"{'calls':>8}{'median s':>10}{'min s':>9}{'times less':>12}"
    lines = [f"{'side':20}{timings}  {'JS 3-mers':>18}{'JS 4-mers':>20}{'lost, bits':>12}"]
    for row in [*found["rows"], found["real"]]:
        timing = ""
        if "median_s" in row:
            timing = f"{row['calls']:8.0f}{row['median_s']:10.1f}{row['min_s']:9.1f}{row['times_less']:12.1f}"
        pairs = [(row[f"js_{k}"], row[f"js_{k}_error"]) for k in (3, 4) if f"js_{k}" in row]
        quality = "".join(f"{value:11.5f} ± {error:.5f}" for value, error in pairs)
        lost = f"{row['lost']:11.5f}" if "lost" in row else ""
        lines.append(f"{row['name']:20}{timing:39}{quality:44}{lost}{' equal' if row.get('equal') else ''}")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints a table, writes JSON and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("run", "blocks", "ar"):
        parser.add_argument(f"--{flag}")
    numbers = {"rows": 64, "length": 1024, "T": 1000, "timed": 100, "sequences": 64, "whole": 4, "steps": 250}
    for flag, default in (*numbers.items(), ("seed", 1), ("threads", torch.get_num_threads())):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--ancestral", type=int, nargs="*", default=[64, 32, 16])
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "benchmarks" / "results" / "sampling.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args.run or trained(folder, args), args)
    print(table(found))
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    picture(found, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
