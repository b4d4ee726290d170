"""From autoregression to masked diffusion: one network, block sizes from 1 to a window, at equal tokens on E. coli.

    python benchmarks/ecoli_blocks.py --work DIR [--only ...] [--steps 1600] [--seeds 1] [-o results/ecoli_blocks.json]

Trains on the first 85 % and scores the last 10 % in windows of [BOS] and 255 bases. Every run is kept in DIR as it
finishes and not repeated. The table gives bits per base with the standard error over windows, the difference to AR of
the same seed paired by window, the best Markov floor of the same windows, and seconds of one processor thread. What
another seed would change is seen with several only: their mean difference to AR and its standard error close the table.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from dnadiff.config import compose
from dnadiff.evaluation.likelihood import Scores, chosen_floors, difference
from dnadiff.recipes.scoring import Asked, opened, scored
from dnadiff.recipes.shards import WHOLE
from dnadiff.recipes.train import train

ECOLI = Path(__file__).parent.parent / "data" / "ecoli_k12_mg1655.fa.gz"
COMMON = [
    "data=ecoli", "model=nano", "model.stem=0", "data.bos=true", "data.windows=random", "optim=short",
    "optim.schedule=cosine", "optim.lr_min=5e-5", "optim.batch_size=8", "train.minutes=null", "train.val_every=200",
    "train.log_every=50",
]  # fmt: skip
SIDES = {
    "AR": ["algo=ar"],
    **{f"blocks of {size}": ["algo=bd3lm", f"block_size={size}"] for size in (1, 4, 16, 64, 256)},
    "MDLM": ["algo=mdlm"],
    "blocks of 16, levels searched": ["algo=bd3lm", "block_size=16", "algo.clip_search=true"],
}
DRAWS = 4  # of a window's bound


def measured(name: str, steps: int, seed: int, work: Path) -> None:
    """Trains and scores one side and leaves ``NAME.json`` and ``.npz`` in the folder."""
    stem = work / name.replace(", ", "-").replace(" ", "_")
    if stem.with_suffix(".json").exists():
        return
    length = [f"train.steps={steps}", f"train.checkpoint_every={steps}", f"seed={seed}"]
    run, begin = str(stem.with_suffix(".run")), time.process_time()
    train(compose([*SIDES[name], *COMMON, *length]), str(ECOLI), run, quiet=True)
    trained = time.process_time()
    exact = SIDES[name][0] == "algo=ar" or "block_size=1" in SIDES[name]
    part = scored(opened(run, Asked(samples=1 if exact else DRAWS, seed=1)), WHOLE, quiet=True)
    best = list(chosen_floors(part.floors).items())[-1]
    model = part.model
    np.savez(stem.with_suffix(".npz"), item_ids=model.item_ids, bits=model.bits, counts=model.counts)
    facts = {
        "name": name, "settings": SIDES[name], "steps": steps, "seed": seed, "tokens": steps * 8 * 256,
        "bits_per_base": model.bits_per_base, "standard_error": model.standard_error,
        "monte_carlo_error": model.monte_carlo_error, "draws": model.bits.shape[1], "windows": len(model.counts),
        "floor": best[0], "floor_bits_per_base": best[1].bits_per_base,
        "minus_floor": difference(model, best[1]), "seconds_training": trained - begin,
        "seconds_scoring": time.process_time() - trained, "clips": clips(Path(run)),
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def clips(run: Path) -> list[list[str]]:
    """Step and noise levels of every validation that has some."""
    lines = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    return [[line[0], *line[-2:]] for line in lines[1:] if line[-1] and line[-1] != line[0]]


def over_seeds(rows: list[dict]) -> dict[str, dict]:
    """Of every side that several seeds were trained of: its mean difference to AR, and the standard error of that."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(row.get("minus_ar", float("nan")))
    return {
        name: {
            "minus_ar": float(np.mean(each)),
            "standard_error": float(np.std(each, ddof=1) / len(each) ** 0.5),
            "seeds": len(each),
        }
        for name, each in found.items()
        if len(each) > 1
    }


def table(work: Path) -> list[dict]:
    """One row a side that the folder of a seed holds, in the order of ``SIDES``."""
    rows, found = [], {}
    for name in SIDES:
        stem = work / name.replace(", ", "-").replace(" ", "_")
        if stem.with_suffix(".json").exists():
            arrays = np.load(stem.with_suffix(".npz"))
            found[name] = Scores(arrays["item_ids"], arrays["bits"], arrays["counts"])
            rows.append(json.loads(stem.with_suffix(".json").read_text()))
    for row in rows:
        if "AR" in found:
            row["minus_ar"], row["minus_ar_error"] = difference(found[row["name"]], found["AR"])
    return rows


def main() -> None:
    """Runs what is missing, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of runs and results")
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "ecoli_blocks.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folders = {seed: args.work / f"seed-{seed}" for seed in args.seeds}
    for seed, folder in folders.items():
        folder.mkdir(exist_ok=True, parents=True)
        for name in args.only:
            measured(name, args.steps, seed, folder)
            rows = [row for each in folders.values() for row in table(each)]
            args.out.write_text(json.dumps({"rows": rows, "over_seeds": over_seeds(rows)}, indent=1) + "\n")
    for row in rows:
        print(
            f"{row['name']:30}{row['seed']:3}  {row['bits_per_base']:.4f} ± {row['standard_error']:.4f}   minus AR "
            f"{row.get('minus_ar', 0):+.4f} ± {row.get('minus_ar_error', 0):.4f}   {row['floor']} "
            f"{row['floor_bits_per_base']:.4f}   {row['seconds_training']:.0f} s"
        )
    for name, each in over_seeds(rows).items():
        print(f"{name:30}minus AR {each['minus_ar']:+.4f} ± {each['standard_error']:.4f} over {each['seeds']} seeds")


if __name__ == "__main__":
    main()
