"""One picture of a model: how it learned, and how its sequences look beside real ones.

Left, if there is a log, the training loss in bits per base with the Markov floors as lines. Then the GC content of
the sequences, real and synthetic; and the frequency of every k-mer (k = 3, both strands pooled) in the synthetic
sequences against that in real ones, where grey marks show the same for two sets of real windows: points as near to
the diagonal as those are indistinguishable at this number of sequences.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnadiff.errors import InputError
from dnadiff.evaluation.generation import Samples, gc_contents, kmer_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REAL, _SYNTHETIC, _GREY = "#4a4e57", "#d1495b", "#b8bcc4"
_FLOORS = ("#9aa5b1", "#7b8794", "#52606d", "#00798c")
_K = 3
_CURVES = ("train_bits_per_base", "valid_bits_per_base")


@dataclass(frozen=True)
class LossCurve:
    """What a training log holds.

    Attributes:
        train: Steps and training loss, ((n,), (n,)) in bits per base.
        valid: Steps and validation bound, ((m,), (m,)) in bits per base.
    """

    train: tuple[np.ndarray, np.ndarray]
    valid: tuple[np.ndarray, np.ndarray]


def read_log(path: str | Path) -> LossCurve:
    """The curves of a ``log.csv``: columns step, train_bits_per_base, valid_bits_per_base; cells may be empty.

    Raises:
        InputError: The file is missing or has other columns.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if lacks := {"step", *_CURVES} - set(rows.fieldnames or ()):
                raise ValueError(f"no column {min(lacks)}")
            lines = list(rows)
        return LossCurve(*(_column(lines, name) for name in _CURVES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); the log.csv of a run would work") from error
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: is no training log ({error}); the log.csv of a run would work") from error


def draw_picture(
    samples: Samples,
    rows: Sequence[Mapping],
    curve: LossCurve | None = None,
    floors: Mapping[str, float] | None = None,
) -> bytes:
    """A PNG.

    Args:
        samples: The compared sequences.
        rows: Their figures, as of ``generation.report`` with k = 3 among its lengths.
        curve: The training log; None leaves that panel out.
        floors: Bits per base of the Markov chains, by name, drawn as lines beside the loss.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = 2 if curve is None else 3
    figure = Figure(figsize=(4.7 * panels, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, panels))
    if curve is not None:
        _loss(axes.pop(0), curve, floors or {})
    figures = {row["name"]: row for row in rows}
    _gc(axes[0], samples, figures)
    _spectrum(axes[1], samples, figures)
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=9, color=_REAL)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _column(rows: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the rows that have a value."""
    filled = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
    table = np.array(filled, dtype=float).reshape(-1, 2)
    steps, values = table[np.isfinite(table).all(1)].T
    return steps, values


def _smoothed(values: np.ndarray) -> np.ndarray:
    """A running mean over a fiftieth of the values, shorter at the ends."""
    half = len(values) // 100
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _loss(ax: "Axes", curve: LossCurve, floors: Mapping[str, float]) -> None:
    steps, values = curve.train
    smooth = _smoothed(values)
    ax.plot(steps, values, color=_SYNTHETIC, alpha=0.18, linewidth=0.7)
    ax.plot(steps, smooth, color=_SYNTHETIC, linewidth=1.6, label="training (running mean)")
    held_steps, held = curve.valid
    ax.plot(held_steps, held, color=_REAL, marker="o", markersize=3.5, linewidth=1.2, label="validation")
    ax.axhline(2.0, color=_GREY, linewidth=0.9, linestyle=":")
    levels = [2.002, *floors.values(), *smooth[len(smooth) // 50 :], *held]
    low, high = min(levels), min(max(levels), 2.1)
    pad = 0.06 * (high - low) + 1e-3
    ax.set_ylim(low - pad, high + 3 * pad)  # room for the legend above the line of uniform bases
    marks = [("uniform", 2.0, _GREY), *((n, v, c) for (n, v), c in zip(floors.items(), _FLOORS, strict=False))]
    _labelled_lines(ax, marks)
    ax.set_xlabel("step")
    ax.set_ylabel("bits per base")
    ax.set_title("Loss", loc="left", fontweight="bold")
    ax.legend(frameon=False, fontsize=8, loc="upper right", ncols=2, borderpad=0)


def _labelled_lines(ax: "Axes", marks: Sequence[tuple[str, float, str]]) -> None:
    """Horizontal lines with their names at the right edge, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    apart, last = 0.042 * (high - low), np.inf
    for name, value, colour in sorted(marks, key=lambda mark: -mark[1]):
        ax.axhline(value, color=colour, linewidth=0.9, linestyle="--" if name != "uniform" else ":")
        last = min(value, last - apart)
        place = (1.015, (last - low) / (high - low))
        ax.annotate(f"{name}  {value:.3f}", place, xycoords="axes fraction", va="center", fontsize=8, color=colour)


def _gc(ax: "Axes", samples: Samples, figures: Mapping[str, Mapping]) -> None:
    real = 100 * gc_contents(samples.reference + samples.rows["real"])
    made = 100 * gc_contents(samples.rows["synthetic"])
    everything = np.concatenate([real, made])
    everything = everything[np.isfinite(everything)]
    span = max(np.ptp(everything), 1.0)
    bins = np.linspace(everything.min() - 0.02 * span, everything.max() + 0.02 * span, _bins(len(made)))
    for values, colour, name, style in ((real, _REAL, "real", "stepfilled"), (made, _SYNTHETIC, "synthetic", "step")):
        values = values[np.isfinite(values)]
        row = figures[name]
        label = f"{name}  {100 * row['gc_mean']:.1f} ± {100 * row['gc_sd']:.1f} %"
        alpha = 0.35 if style == "stepfilled" else 1.0
        share = np.full(len(values), 100 / len(values))
        ax.hist(values, bins, weights=share, color=colour, alpha=alpha, histtype=style, linewidth=1.8, label=label)
    ax.set_ylim(0, 1.22 * ax.get_ylim()[1])
    ax.set_xlabel("GC of a sequence (%)")
    ax.set_ylabel("sequences (%)")
    ax.set_title("GC content", loc="left", fontweight="bold")
    ax.legend(frameon=False, fontsize=8, title="mean ± sd", title_fontsize=8, loc="upper left", alignment="left")


def _bins(n: int) -> int:
    """Edges of a histogram of n values: three times their cube root, 11 to 49."""
    return int(np.clip(3 * n ** (1 / 3), 10, 48)) + 1


def _with_error(value: float, error: float | None) -> str:
    """A figure and its error, both to the second digit of the error."""
    if not error:
        return f"{value:.2g}"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _spectrum(ax: "Axes", samples: Samples, figures: Mapping[str, Mapping]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    sets = (samples.reference, samples.rows["real"], samples.rows["synthetic"])
    counts = [kmer_counts(s, _K)[0] for s in sets]
    x, *others = (np.maximum(c, 0.5) / c.sum() for c in counts)  # an absent word is drawn at half a count
    for y, name, colour, marker in zip(others, ("real", "synthetic"), (_GREY, _SYNTHETIC), ("s", "o"), strict=True):
        row = figures[name]
        label = f"{name}  {_with_error(row[f'js_{_K}'], row[f'js_{_K}_error'])} bits"
        ax.scatter(x, y, s=20, color=colour, marker=marker, alpha=0.8, linewidth=0, label=label)
    low, high = min(x.min(), *(y.min() for y in others)), max(x.max(), *(y.max() for y in others))
    limits = (low / 1.25, high * 1.25)
    ax.plot(limits, limits, color=_REAL, linewidth=0.8, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=limits, ylim=(limits[0], limits[1] * 1.15))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"frequency in real windows, {_K}-mers")
    ax.set_ylabel("frequency in the other set")
    ax.set_title(f"{_K}-mer spectrum, both strands", loc="left", fontweight="bold")
    ax.legend(
        frameon=False,
        fontsize=8,
        title="Jensen-Shannon divergence",
        title_fontsize=8,
        loc="upper left",
        alignment="left",
    )
