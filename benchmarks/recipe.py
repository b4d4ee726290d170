"""What the stem and Muon are worth: the same network, bases and steps, four ways, scored on held-out E. coli.

    python benchmarks/recipe.py [--steps 300] [-o benchmarks/results/recipe.json]

Each run takes some minutes; results are written as they finish, and runs that the file already holds are not repeated.
"""

import argparse
import json
import tempfile
from pathlib import Path

from dnadiff.config import compose
from dnadiff.recipes.evaluate import evaluate
from dnadiff.recipes.train import train

ECOLI = Path(__file__).parent.parent / "data" / "ecoli_k12_mg1655.fa.gz"
SIDES = {
    "AdamW": ["optim.name=adamw", "model.stem=0", "optim.lr=2e-3"],
    "AdamW, stem": ["optim.name=adamw", "model.stem=9", "optim.lr=2e-3"],
    "Muon": ["optim.name=muon", "model.stem=0", "optim.lr=5e-3"],
    "Muon, stem": ["optim.name=muon", "model.stem=9", "optim.lr=5e-3"],
}


def measured(name: str, steps: int, seed: int) -> dict:
    """Held-out bits per base of one side after ``steps`` steps of 8,192 bases, and the seconds they took."""
    length = [f"train.steps={steps}", f"train.val_every={steps}", f"seed={seed}"]
    overrides = ["data=ecoli", f"data.path={ECOLI}", "model=tiny", "optim=short", "optim.schedule=cosine", *length]
    overrides += SIDES[name]
    with tempfile.TemporaryDirectory() as folder:
        run = str(train(compose(overrides), out=f"{folder}/run", quiet=True))
        row = evaluate(run, out=f"{folder}/report.json", samples=2, seed=1, quiet=True)["rows"][0]
        log = (Path(run) / "log.csv").read_text().splitlines()
    seconds = float(log[-1].split(",")[3])
    return {key: row[key] for key in ("bits_per_base", "standard_error")} | {
        "seconds": seconds,
        "settings": SIDES[name],
    }


def main() -> None:
    """Runs what is missing, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--out", default=str(Path(__file__).parent / "results" / "recipe.json"))
    args = parser.parse_args()
    out = Path(args.out)
    found = json.loads(out.read_text()) if out.exists() else {}
    for name in SIDES:
        key = f"{name}, {args.steps} steps, seed {args.seed}"
        if key not in found:
            found[key] = measured(name, args.steps, args.seed)
            out.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{key:40}{found[key]['bits_per_base']:.4f} ± {found[key]['standard_error']:.4f}", flush=True)


if __name__ == "__main__":
    main()
