"""docs/benchmarks.md, written from the figures in benchmarks/results: ``python -m benchmarks.page`` writes it anew.

A section shows one file. Files differ in what they hold, so a section names the figures it shows, and those that no row
has make no column; a file that is not there makes no section.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md"

FIGURES = {
    "lr": ("learning rate", "g"),
    "batch": ("batch", "d"),
    "seed": ("seed", "d"),
    "reached.processor_seconds": ("processor seconds", ",.0f"),
    "last.processor_seconds": ("trained for, s", ",.0f"),
    "best": ("least bits per base", ".4f"),
    "bits_per_base": ("bits per base", ".4f"),
    "minus": ("minus the first row's", "+.4f"),
    "processor_seconds": ("processor seconds", ",.0f"),
    "block_size": ("blocks of", "d"),
    "from": ("from base", ",d"),
    "to": ("to base", ",d"),
    "calls": ("calls of the network", ",.0f"),
    "median_s": ("median, s", ".4g"),
    "min_s": ("least, s", ".4g"),
    "seconds": ("s", ".4g"),
    "megabytes": ("MB", ",.0f"),
    "tokens_per_s": ("tokens/s", ",.0f"),
    "tokens_per_second": ("tokens/s", ",.0f"),
    "bases_per_s": ("bases/s", ",.0f"),
    "windows_per_s": ("windows/s", ",.0f"),
    "processor_s": ("of the processor, s", ".4g"),
    "megabases_per_s": ("Mb/s", ",.0f"),
    "prepare_takes_times": ("prepare takes, times", ".2f"),
    "modules": ("modules", ",d"),
    "large": ("large ones", "words"),
    "weights": ("weights", ",d"),
    "gflops": ("GFLOP/s", ",.0f"),
    "times_upstream": ("times as fast as upstream", ".2f"),
    "times_upstream_by_processor": ("by the processor's time", ".2f"),
    "times_usual": ("times as fast as the usual path", ".1f"),
    "times_best": ("times as fast as the best of pyfaidx", ".2f"),
    "times_less": ("times less than upstream", ".1f"),
    "cached_is_faster": ("times the cached side's time", ".1f"),
    "js_3": ("JS 3-mers, bits", ".5f"),
    "js_4": ("JS 4-mers, bits", ".5f"),
    "lost": ("lost, bits per base", ".5f"),
    "equal": ("of equal quality", "yes"),
    "exponent": ("exponent", ".2f"),
    "exponent_longest": ("exponent, three largest", ".2f"),
}
"""Heading and format of a figure; ``KEY_error``, where a row has it, follows behind ±. A dot leads into a group."""


@dataclass(frozen=True)
class Section:
    """A file of figures and how to show it.

    Attributes:
        name: Of the file and of the module that writes it.
        title: Heading.
        text: What was compared.
        figures: Names of figures, in the order of their columns.
        rows: Where the rows are in the file.
        words: Further words of the command.
        picture: Whether there is one beside the file.
    """

    name: str
    title: str
    text: str
    figures: Sequence[str]
    rows: Sequence[str] = ("rows",)
    words: str = ""
    picture: bool = False

    @property
    def module(self) -> str:
        """The module that measures."""
        return self.name.partition("_amx")[0].removesuffix("_short")


_STEP = ("median_s", "min_s", "tokens_per_s", "gflops", "times_upstream", "times_upstream_by_processor")

SECTIONS = (
    Section(
        "train_step",
        "A training step",
        "Against an eager step in fp32 as upstream writes it; sides take turns. Floating-point operations are those of "
        "the products and of attention, without what is computed twice.",
        _STEP,
        words="--rounds 3",
    ),
    Section(
        "train_step_amx",
        "A training step on a processor with AMX",
        "The same where the processor multiplies bfloat16: two threads of a virtual machine whose other processors had "
        "other work.",
        _STEP,
        words="--without compiled fp32 --rounds 3",
    ),
    Section(
        "train_step_amx_128",
        "A smaller one there",
        "Width 128, two heads; two threads.",
        _STEP,
        words="--width 128 --layers 4 --heads 2 --batch 16 --without compiled fp32 --rounds 5",
    ),
    Section(
        "time_to_quality",
        "Time to a given quality",
        "Until the held-out bits per base reach the target, ours with even counts of masks (`algo=mdlm`): a grid of "
        "learning rates and batches, then more seeds. A row without seconds did not reach it in the time it was "
        "trained for. The median is over the seeds of the point that was there first with the first seed.",
        ("lr", "batch", "seed", "reached.processor_seconds", "last.processor_seconds", "best"),
        words="--work DIR",
    ),
    Section(
        "upstream_grid",
        "The reference at every point of the grid",
        "The same runs of the reference with three seeds, trained side by side on a GPU in float32. Seconds are "
        "counted: steps times the 0.277 (batches of 8) and 1.04 (of 32) processor seconds that a step took above at "
        "least. The runs were cut off before their 90 minutes.",
        ("lr", "batch", "seed", "reached.processor_seconds", "last.processor_seconds", "best"),
        words="--work DIR --batch 8 --seconds-a-step 0.277",
    ),
    Section(
        "choices",
        "What the choices of the small presets are worth",
        "`experiment=ecoli_cpu algo=mdlm` and one change at a time, the same bases, held-out *E. coli*; differences "
        "are paired by window and seed, their errors are over windows.",
        ("bits_per_base", "minus", "processor_seconds", "weights"),
        words="--work DIR",
    ),
    Section(
        "sampling",
        "Generating 64 x 1,024 bases",
        "Against MDLM's sampler, 1,000 steps of the whole batch. JS: Jensen-Shannon divergence from held-out windows, "
        "beside other held-out windows; ancestral with as many steps draws the same law as MDLM's sampler and stands "
        "for its quality. Equal: not above it by more than two standard errors of the difference. Lost: what k at a "
        "time loses against one at a time, by what the network says of held-out windows. `sample` takes 16 at a time "
        "at this length.",
        ("calls", "median_s", "min_s", "bases_per_s", "times_less", "js_3", "js_4", "lost", "equal"),
        rows=("rows", "real"),
        words="--sequences 24 --whole 2 --timed 60 --steps 200",
        picture=True,
    ),
    Section(
        "block_sampling_short",
        "Generating block by block",
        "An untrained network of blocks of 16; the block sampler with its cache, without, and the whole sequence at "
        "once.",
        ("from", "to", "tokens_per_second", "cached_is_faster"),
        words="--length 1024 --places 0.5 1.0 --blocks 1 --calls 1",
    ),
    Section(
        "block_step_short",
        "A training step of block diffusion",
        "Attention in parts against one product under a mask; masked diffusion as a yardstick.",
        ("block_size", "seconds", "megabytes"),
        words="--length 512 --steps 2",
    ),
    Section(
        "loading",
        "Windows for training",
        "Windows of 1,024 bases, half of them reverse complements, 64 a batch: the store, pyfaidx in the usual way and "
        "at its best, and filling the arrays alone. One thread, files in memory.",
        ("median_s", "min_s", "windows_per_s", "times_usual", "times_best"),
    ),
    Section(
        "prepare",
        "Reading a genome",
        "`prepare` beside what the machine needs for the same bytes, and beside other programs where it has them.",
        ("median_s", "min_s", "processor_s", "megabases_per_s", "prepare_takes_times"),
    ),
    Section(
        "startup",
        "Starting",
        "Until a command has ended, in a new process, and the modules it imports.",
        ("median_s", "min_s", "processor_s", "modules", "large"),
    ),
    Section(
        "scaling",
        "Cost against length and parameters",
        "One sequence of 1,024 bases and more, a small network; then wider networks at 1,024 bases. The exponent is "
        "the slope of log seconds.",
        ("exponent", "exponent_longest"),
        rows=("by_length", "by_parameters"),
        picture=True,
    ),
)


def page(results: Path) -> str:
    """The whole page, from the files there are."""
    found = [(section, results / f"{section.name}.json") for section in SECTIONS]
    shown = [shown_section(section, json.loads(path.read_text())) for section, path in found if path.exists()]
    return "\n\n".join([_HEAD, *shown]) + "\n"


_HEAD = """# Benchmarks

`make benchmarks` measures all of this in less than a quarter of an hour on two idle cores, but for the time to a given
quality, the choices of the presets and what needs a processor with AMX or a GPU, and writes this page from
`benchmarks/results`. Sides of a comparison take turns in one run, so whatever else slows the machine slows all of them;
medians say what to expect, the least what the machine can do. What was decided by such figures, and those that took
longer, are in [decisions](decisions.md)."""


def shown_section(section: Section, found: Mapping[str, Any]) -> str:
    """Heading, what was compared, the command, the machine, table and picture of a file."""
    parts = [f"## {section.title}", section.text]
    tables = [rows_of(found[key]) for key in section.rows if key in found]
    parts += [table([row for rows in tables for row in rows], section.figures), *remarks(found)]
    if "ceilings" in found:
        bare = [{"name": name, "gflops": value} for name, value in found["ceilings"].items()]
        parts.append("The machine's own ceilings for the same shapes:\n\n" + table(bare, ("gflops",)))
    if section.picture:
        parts.append(f"![{section.title}](../benchmarks/results/{section.name}.png)")
    command = f"python -m benchmarks.{section.module} {section.words}".strip()
    parts.append(f"`{command}`; {machine_line(found)}.")
    return "\n\n".join(parts)


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What a file says besides its rows, in sentences."""
    told = []
    if "times_less" in found.get("summary", {}):
        least = "at least " if found["summary"]["at_least"] else ""
        told.append(f"Medians over the seeds: {least}{found['summary']['times_less']:.1f} times less.")
    if found.get("default"):
        side = found["default"]
        verdict = "of equal quality" if side["equal"] else "of less than equal quality"
        told.append(f"`sample`'s own pace, {side['name']}, is {verdict} and takes {side['times_less']:.0f} times less.")
    if found.get("equal"):
        side = found["equal"]
        told.append(f"The fastest that so many sequences cannot tell apart: {side['name']}, {side['times_less']:.0f}.")
    if "whole" in found:
        whole = found["whole"]
        excess = " and ".join(f"{whole[f'js_{k}_excess']:+.5f}" for k in (3, 4))
        told.append(
            f"{whole['sequences']} walked by MDLM's sampler itself diverge by {excess} bits (3- and 4-mers) more than "
            f"as many of {whole['js_excess_is_over']}."
        )
    return [" ".join(told)] if told else []


def rows_of(found: Any) -> list[dict[str, Any]]:
    """Rows with a name each, of a mapping by name, of a list, or of one row alone."""
    if isinstance(found, list):
        return [{"name": row.get("name", row.get("side")), **row} for row in found]
    if "name" in found:
        return [dict(found)]
    return [{"name": name, **row} for name, row in found.items()]


def table(rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> str:
    """A table with a line a row and a column for every figure that some row has."""
    shown = [key for key in figures if any(figure(row, key) is not None for row in rows)]
    lines = [["", *(FIGURES[key][0] for key in shown)], ["---", *("---:" for _ in shown)]]
    lines += [[str(row["name"]), *(cell(row, key) for key in shown)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(row: Mapping[str, Any], key: str) -> str:
    """A figure with its error; nothing where the row has none."""
    value, style, error = figure(row, key), FIGURES[key][1], row.get(f"{key}_error")
    if value is None:
        return ""
    if style == "yes":
        return "yes" if value else "no"
    if style == "words":
        return ", ".join(value)
    return f"{value:{style}}" + (f" ± {error:{style.lstrip('+')}}" if error is not None else "")


def figure(row: Mapping[str, Any], key: str) -> Any:
    """A figure of a row, or None."""
    group, _, last = key.rpartition(".")
    return (row.get(group) or {}).get(last) if group else row.get(key)


def machine_line(found: Mapping[str, Any]) -> str:
    """What it was measured on, and the settings."""
    about = found.get("machine") or found.get("about") or {}
    settings = next((found[key] for key in ("settings", "setting", "sizes", "shape", "asked") if key in found), {})
    told = [f"{key.replace('_', ' ')} {_text(value)}" for key, value in {**settings, **about}.items()]
    return ", ".join(told)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:,}" if type(value) is int else str(value)


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(RESULTS))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
