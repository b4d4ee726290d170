"""Seconds until a command answers, and the modules it imports.

    python -m benchmarks.startup [--rounds 7] [--quick] [-o benchmarks/results/startup.json]

Each command runs in a process of its own: the help and version of ``dna-diff``, composing a configuration, preparing a
small genome; beside them Python alone, and the import of this package and of the large libraries that nothing above
waits for. Seconds are of the wall clock from start to end of the process, and of the processor; the sides take turns.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.sides import RESULTS, summary, timed, write_results

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "lightning", "numpy", "hydra")
COMMANDS = {
    "dna-diff --version": ["--version"],
    "dna-diff --help": ["--help"],
    "dna-diff prepare --help": ["prepare", "--help"],
    "dna-diff train --help": ["train", "--help"],
    "dna-diff config show": ["config", "show"],
    "dna-diff prepare (17 kb)": ["prepare", "data/human_mito.fa", "-q", "--force", "-o"],
}
PROGRAMS = {
    "python alone": "pass",
    "import dnadiff": "import dnadiff",
    "import numpy": "import numpy",
    "import torch": "import torch",
    "import lightning": "import lightning.pytorch",
}
SLOW = ("import torch", "import lightning")


def programs(store: Path) -> dict[str, str]:
    """A Python program for each row; ``store`` is written to."""
    asked = {name: [*words, str(store)] if words[-1] == "-o" else words for name, words in COMMANDS.items()}
    return PROGRAMS | {name: f"from dnadiff.cli import main\nmain({words!r})" for name, words in asked.items()}


def run(program: str) -> float:
    """Seconds of the processor that a program takes in a process of its own, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def modules(program: str) -> tuple[int, list[str]]:
    """How many modules a program has imported at its end, and which of the large ones."""
    told = f"import sys\n{program}\nprint(len(sys.modules), *(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True, cwd=ROOT)
    count, *heavy = done.stderr.splitlines()[-1].split()
    return int(count), heavy


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each side")
    parser.add_argument("--quick", action="store_true", help="one round, without the slow imports")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS / "startup.json", help="JSON file to write")
    args = parser.parse_args(argv)
    rounds = 1 if args.quick else args.rounds
    with tempfile.TemporaryDirectory() as folder:
        sides = programs(Path(folder) / "store")
        sides = {name: program for name, program in sides.items() if not (args.quick and name in SLOW)}
        processor: dict[str, list[float]] = {name: [] for name in sides}
        calls = {name: lambda name=name: processor[name].append(run(sides[name])) for name in sides}
        seconds = timed(calls, rounds, clock=time.perf_counter)
        imported = {name: modules(program) for name, program in sides.items()}
    rows = {
        name: summary(seconds[name])
        | {"processor_s": summary(processor[name][1:])["median_s"], "modules": count, "large": heavy}
        for name, (count, heavy) in imported.items()
    }
    print(f"{'':26}{'s':>8}{'least':>8}{'processor s':>13}{'modules':>9}  large ones")
    for name, row in rows.items():
        print(f"{name:26}{row['median_s']:8.3f}{row['min_s']:8.3f}{row['processor_s']:13.3f}{row['modules']:9}"
              f"  {', '.join(row['large'])}")  # fmt: skip
    write_results(args.out, {"rounds": rounds}, rows)


if __name__ == "__main__":
    main()
