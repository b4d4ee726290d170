"""A task under a protocol, several fine-tunings a figure: mean, smallest and largest of every metric.

    python -m benchmarks.finetune_protocols RUN|scratch DATA -o DIR --protocol redrawn [--seeds 1 2 3] [key=value ...]

``redrawn`` is the protocol of Caduceus and MDLM: for every seed another tenth of the training part to validate on, the
test part scored once. DIR/runs.jsonl has a line a run; called again, only what is missing is run. The rows without a
network are those of the same parts.
"""

import argparse
import json
from pathlib import Path

from dnadiff.recipes.protocols import PROTOCOLS, run_protocol, summary


def main() -> None:
    """Runs what is missing, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start")
    parser.add_argument("data")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="fixed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--folds", type=int, default=10)
    args = parser.parse_intermixed_args()
    lines = run_protocol(
        args.protocol, args.start, args.data, args.out, args.settings, seeds=args.seeds, folds=args.folds
    )
    found = summary(lines)
    for row, figures in found.items():
        for name, values in figures.items():
            spread = f"{values['low']:.4f} to {values['high']:.4f}"
            print(f"{row:24}{name:10}{values['mean']:.4f}  {spread}  ({values['runs']} runs)")
    told = {"protocol": args.protocol, "start": args.start, "data": args.data, "settings": args.settings, "rows": found}
    (args.out / "summary.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
