"""The methods side by side on text, as `ecoli_blocks.py` has them on DNA: one network, equal tokens, one table.

    python benchmarks/text_methods.py --data brown.txt.gz --zero-shot wikitext2=FILE ptb=FILE --work DIR [--only ...]

Trains on the bytes of a text and scores its last tenth and other texts in windows of [BOS] and 255 bytes: bits per
character with the standard error over windows, the difference to AR paired by window. Every run is kept in DIR and not
repeated. With the results of `ecoli_blocks.py` and `objectives.py` beside them the picture shows what each method pays
as a share of what AR pays, in bits per character and per base.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnadiff.config import compose
from dnadiff.evaluation.likelihood import Scores, chosen_floors, difference
from dnadiff.recipes.scoring import Asked, opened, scored
from dnadiff.recipes.shards import WHOLE
from dnadiff.recipes.train import train

RESULTS = Path(__file__).parent / "results"
COMMON = [
    "task=text", "tokenizer=bytes", "text.documents=line", "model=nano", "model.stem=0", "model.adaln=true",
    "data.bos=true", "data.windows=random", "optim=short", "optim.schedule=cosine", "optim.lr_min=5e-5",
    "optim.batch_size=8", "train.minutes=null", "train.val_every=400", "train.log_every=50",
]  # fmt: skip
SIDES = {
    "AR": ["algo=ar"],
    "blocks of 4": ["algo=bd3lm", "block_size=4"],
    "blocks of 16": ["algo=bd3lm", "block_size=16"],
    "MDLM": ["algo=mdlm"],
    "SEDD": ["algo=sedd", "estimator=time"],
}
DRAWS = 4  # of a window's bound


def stem_of(name: str, work: Path) -> Path:
    """Where a side's files are, without their ends."""
    return work / name.replace(" ", "_")


def measured(name: str, args: argparse.Namespace) -> None:
    """Trains and scores one side and leaves ``NAME.json`` and an array file a text."""
    stem = stem_of(name, args.work)
    if stem.with_suffix(".json").exists():
        return
    length = [f"train.steps={args.steps}", f"train.checkpoint_every={args.steps}", f"seed={args.seed}"]
    run, begin = str(stem.with_suffix(".run")), time.process_time()
    train(compose([*SIDES[name], *COMMON, *length]), str(args.data), run, quiet=True)
    trained, rows = time.process_time(), {}
    for text, path in {"held out": None, **args.zero_shot}.items():
        asked = Asked(data=path, samples=1 if name == "AR" else DRAWS, windows=args.windows, seed=1)
        part = scored(opened(run, asked), WHOLE, quiet=True)
        letters = part.model.by_character
        np.savez(f"{stem}.{text.replace(' ', '_')}.npz", item_ids=letters.item_ids, bits=letters.bits,
                 counts=letters.counts)  # fmt: skip
        best, floor = list(chosen_floors(part.floors).items())[-1]
        floor_bits = floor.bits.sum() / part.model.characters.sum()
        rows[text] = {
            "bits_per_character": letters.bits_per_base, "standard_error": letters.standard_error,
            "monte_carlo_error": letters.monte_carlo_error, "windows": len(letters.counts),
            "characters": int(letters.counts.sum()), "floor": best, "floor_bits_per_character": float(floor_bits),
        }  # fmt: skip
    facts = {
        "name": name, "settings": SIDES[name], "steps": args.steps, "seed": args.seed, "tokens": args.steps * 8 * 256,
        "seconds_training": trained - begin, "seconds_scoring": time.process_time() - trained, "texts": rows,
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def table(work: Path) -> list[dict[str, Any]]:
    """One row a side that the folder holds, with the paired difference to AR on every text."""
    rows = [json.loads(stem_of(name, work).with_suffix(".json").read_text()) for name in SIDES if _there(name, work)]
    for row in rows:
        for text, figures in row["texts"].items():
            if _there("AR", work):
                pair = difference(_scores(row["name"], text, work), _scores("AR", text, work))
                figures["minus_ar"], figures["minus_ar_error"] = pair
    return rows


def _there(name: str, work: Path) -> bool:
    return stem_of(name, work).with_suffix(".json").exists()


def _scores(name: str, text: str, work: Path) -> Scores:
    arrays = np.load(f"{stem_of(name, work)}.{text.replace(' ', '_')}.npz")
    return Scores(arrays["item_ids"], arrays["bits"], arrays["counts"])


def shares(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What each method pays as a share of what AR pays, by domain: text, *E. coli*, human chromosome 20."""
    found = {"text": {row["name"]: row["texts"]["held out"]["bits_per_character"] for row in rows}}
    blocks = json.loads((RESULTS / "ecoli_blocks.json").read_text())["rows"]
    found["E. coli"] = {row["name"]: row["bits_per_base"] for row in blocks if row["seed"] == 1}
    others = json.loads((RESULTS / "objectives.json").read_text())
    human: dict[str, list[float]] = {}
    for row in others:
        human.setdefault(row["name"], []).append(row["bits_per_base"])
    found["human chr20"] = {name: float(np.mean(bits)) for name, bits in human.items()}
    return {
        domain: {name: bits[name] / bits["AR"] for name in SIDES if name in bits}
        for domain, bits in found.items()
        if "AR" in bits
    }


def picture(found: dict[str, dict[str, float]], path: Path) -> None:
    """Bars by method, a colour a domain, of the bits above AR in percent."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    names = [name for name in SIDES if name != "AR"]
    for i, (domain, each) in enumerate(found.items()):
        at = [n + 0.26 * (i - 1) for n, name in enumerate(names) if name in each]
        bars = axes.bar(at, [100 * (each[name] - 1) for name in names if name in each], 0.24, label=domain)
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("bits above AR, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Runs what is missing, prints the table, writes JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--zero-shot", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--work", type=Path, required=True, help="folder of runs and results")
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--windows", type=int, default=800, help="of each text, evenly spaced")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS / "text_methods.json")
    args = parser.parse_args()
    args.zero_shot = {word.partition("=")[0]: word for word in args.zero_shot}
    torch.set_num_threads(1)
    args.work.mkdir(exist_ok=True, parents=True)
    for name in args.only:
        measured(name, args)
        rows = table(args.work)
        told = {"data": args.data.name, "rows": rows, "share_of_ar": shares(rows)}
        args.out.write_text(json.dumps(told, indent=1) + "\n")
    picture(told["share_of_ar"], args.out.with_suffix(".png"))
    for row in rows:
        for text, each in row["texts"].items():
            print(
                f"{row['name']:14}{text:11}{each['bits_per_character']:.4f} ± {each['standard_error']:.4f}   minus AR "
                f"{each.get('minus_ar', 0):+.4f} ± {each.get('minus_ar_error', 0):.4f}   {each['floor']} "
                f"{each['floor_bits_per_character']:.4f}   {row['seconds_training']:.0f} s"
            )


if __name__ == "__main__":
    main()
