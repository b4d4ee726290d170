"""All quick benchmarks, one after the other, and docs/benchmarks.md from what they found: ``make benchmarks``.

    python -m benchmarks.all [--only NAME ...]

Less than a quarter of an hour on two idle cores; nothing else should run meanwhile. Each benchmark is a process of its
own that writes benchmarks/results/NAME.json. One that fails ends the run with its exit code; the figures of those
before it are kept, and the page is written from them by ``python -m benchmarks.page``. What takes hours (``APART``)
and the longer versions of some of these are started by themselves: their docstrings say how.
"""

import argparse
import subprocess
import sys
import time

from benchmarks.page import PAGE, RESULTS, ROOT, SECTIONS, Section
from benchmarks.page import main as write_page

APART = ("choices", "time_to_quality", "upstream_grid", "train_step_amx", "train_step_amx_128")
"""What takes hours, a GPU or a processor with AMX, and is started by itself."""


def command(section: Section) -> list[str]:
    """What measures a section."""
    words = [*section.words.split(), "-o", str(RESULTS / f"{section.name}.json")]
    return [sys.executable, "-m", f"benchmarks.{section.module}", *words]


def main() -> None:
    """Measures everything and writes the page."""
    chosen = {section.name: section for section in SECTIONS if section.name not in APART}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=chosen, default=list(chosen), metavar="NAME")
    begun = time.perf_counter()
    for name in parser.parse_args().only:
        start = time.perf_counter()
        print(f"\n{name}", flush=True)
        ended = subprocess.run(command(chosen[name]), cwd=ROOT)
        if ended.returncode:
            raise SystemExit(ended.returncode)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    write_page()
    print(f"{time.perf_counter() - begun:.0f} s in all, {PAGE.name} is new")


if __name__ == "__main__":
    main()
