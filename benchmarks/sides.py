"""Timing several ways of doing the same thing in one run, so that whatever else slows the machine slows all of them.

The sides take turns, round by round; a round before them warms caches up and is not counted. Medians say what to
expect, minima what the machine can do when nothing disturbs it.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def timed(
    sides: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each side, one measurement a round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-1, rounds):
        for name, run in sides.items():
            start = clock()
            run()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and minimum."""
    return {"median_s": statistics.median(seconds), "min_s": min(seconds)}


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, processors that may be used, and versions."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        names = [line.partition(":")[2].strip() for line in described.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count()
    return {"processor": model, "cores": cores, "python": platform.python_version(), "numpy": np.__version__}


def write_results(path: Path, setting: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """Writes the figures of a benchmark with the machine they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"setting": setting, "machine": machine(), "rows": rows}, indent=1) + "\n")
