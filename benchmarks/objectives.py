"""The methods side by side: the same network, bases, steps and seeds on human chromosome 20, scored on its last Mb.

    python benchmarks/objectives.py --data chr20.fa.gz --work DIR [--seeds 1 2] [--only MDLM ...] [--steps 800]

Trains on the first 9 Mb and scores the tenth in windows of [BOS] and 255 bases. Every run is kept in DIR as it finishes
and not repeated, so the command can be stopped and run again, and several can share DIR. The table is made from what
DIR holds: bits per base with its standard error over windows (by counts where the bound allows it), the difference to
MDLM paired by window and averaged over seeds, the k-mer divergence of samples beside that of real against real, and
seconds of one processor thread.
"""

import argparse
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dnadiff.checkpoints.folder import build_objective, load, read_spec, scoring_section
from dnadiff.config import compose
from dnadiff.data.genome import open_genome
from dnadiff.data.windows import WindowDataset
from dnadiff.evaluation.likelihood import Scores, chosen_floors, floor_scores, score
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.recipes.compare import compare
from dnadiff.recipes.inputs import held_out_windows
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.recipes.sample import sample
from dnadiff.recipes.train import train
from dnadiff.recipes.walk import Walk

COMMON = [
    "model=nano", "model.stem=0", "model.adaln=true", "model.length=256", "data.bos=true", "optim=short",
    "optim.schedule=cosine", "optim.lr_min=5e-5", "data.windows=random",
]  # fmt: skip
SIDES = {
    "AR": ["algo=ar"],
    "MDLM": ["algo=mdlm"],
    "MDLM, time estimator": ["algo=mdlm", "estimator=time"],
    "MDLM, no carry-over": ["algo=mdlm", "estimator=time", "algo.carry_over=false"],
    "MDLM, no zero masking": ["algo=mdlm", "estimator=time", "algo.zero_mask=false"],
    "MDLM, T=1000": ["algo=mdlm", "estimator=time", "algo.T=1000"],
    "D3PM": ["algo=d3pm", "estimator=time"],
    "SEDD": ["algo=sedd", "estimator=time"],
    "UDLM": ["algo=udlm", "estimator=time"],
}
STEPS = 64  # network calls of a sample, except AR's one a base
WALKS = {
    "ar": Walk(),
    "d3pm": Walk(steps=STEPS),
    "sedd": Walk(steps=STEPS),
    "udlm": Walk(steps=STEPS),
}
SAMPLES = 100  # sequences
DRAWS = 4  # of a window's bound


def measured(name: str, seed: int, steps: int, data: str, work: Path, train_only: bool) -> None:
    """Trains, scores and samples one side and leaves ``NAME-SEED.json`` and ``.npz`` in the folder."""
    stem = work / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}"
    if stem.with_suffix(".json").exists():
        return
    length = [f"train.steps={steps}", f"train.checkpoint_every={steps}", f"seed={seed}", f"data.bed={work}/split.bed"]
    run, begin = str(work / f"{stem.name}.run"), time.process_time()
    if not (work / f"{stem.name}.seconds").exists():
        train(compose([*SIDES[name], *COMMON, *length]), data, run, quiet=True)
        (work / f"{stem.name}.seconds").write_text(f"{time.process_time() - begin:.1f}\n")
    if train_only:
        return
    trained = time.process_time()
    denoiser, spec = load(run), read_spec(run)
    objective = build_objective(scored_with(spec), denoiser.process)
    windows = partial(batches, held_out_windows(run_config(run), open_genome(data), run_split(run)["test"]))
    scores = score(denoiser, objective, windows(), seed=1, samples=1 if objective.exact else DRAWS)
    floors = floor_scores(MarkovChain.load(Path(run) / "baseline.npz"), windows(), windows.args[0].tokenizer)
    scored = time.process_time()
    fasta = work / f"{stem.name}.fa"
    fasta.unlink(missing_ok=True)
    walk = WALKS.get(spec["algo"], Walk("ancestral", steps=STEPS))
    sample(run, fasta, n=SAMPLES, walk=walk, seed=1, quiet=True)
    sampled = time.process_time()
    rows = compare(data, str(fasta), str(work / f"{stem.name}.compare.json"), seed=1, quiet=True)["rows"]
    np.savez(
        stem.with_suffix(".npz"),
        **{"item_ids": scores.item_ids, "bits": scores.bits, "counts": scores.counts},
    )
    seconds = float((work / f"{stem.name}.seconds").read_text())
    facts = {
        "name": name, "seed": seed, "settings": SIDES[name], "steps": steps, "tokens": steps * 32 * 256,
        "parameters": sum(p.numel() for p in denoiser.parameters()), "bits_per_base": scores.bits_per_base,
        "standard_error": scores.standard_error, "monte_carlo_error": scores.monte_carlo_error,
        "floors": {floor: value.bits_per_base for floor, value in chosen_floors(floors).items()},
        "samples": {row["name"]: {key: value for key, value in row.items() if key != "name"} for row in rows},
        "nfe": 255 if spec["algo"] == "ar" else STEPS, "seconds_training": seconds,
        "seconds_scoring": scored - trained, "seconds_sampling": sampled - scored,
    }  # fmt: skip
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def scored_with(spec: dict) -> dict:
    """A model's own bound; by counts where that is another estimate of it, as times leave out its last 0.2 %."""
    section = dict(scoring_section(spec))
    return {**section, "estimator": "count"} if section["name"] == "masked_nelbo" else section


def batches(dataset: WindowDataset, size: int = 64) -> Iterator[dict[str, np.ndarray]]:
    """All windows, some at a time."""
    for start in range(0, len(dataset), size):
        yield dataset.__getitems__(range(start, min(start + size, len(dataset))))


def table(work: Path) -> list[dict]:
    """One row a method, over the seeds that the folder holds."""
    facts = [json.loads(path.with_suffix(".json").read_text()) for path in sorted(work.glob("*.npz"))]
    bits = {(fact["name"], fact["seed"]): _per_window(work, fact) for fact in facts}
    rows = []
    for name in SIDES:
        mine = [fact for fact in facts if fact["name"] == name]
        if not mine:
            continue
        means = [fact["bits_per_base"] for fact in mine]
        paired = [bits[name, f["seed"]] - bits["MDLM", f["seed"]] for f in mine if ("MDLM", f["seed"]) in bits]
        each = np.mean(paired, axis=0) if paired else np.zeros(0)
        rows.append({
            "name": name, "seeds": [fact["seed"] for fact in mine], "bits_per_base": float(np.mean(means)),
            "standard_error": float(np.mean([fact["standard_error"] for fact in mine])),
            "by_seed": means, "minus_mdlm": float(each.mean()) if len(each) else None,
            "minus_mdlm_error": float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) else None,
            "samples": mine[0]["samples"], "nfe": mine[0]["nfe"], "parameters": mine[0]["parameters"],
            "tokens": mine[0]["tokens"], "settings": mine[0]["settings"],
            **{key: float(np.mean([f[key] for f in mine])) for key in mine[0] if key.startswith("seconds")},
        })  # fmt: skip
    return rows


def _per_window(work: Path, fact: dict) -> np.ndarray:
    """Bits of each window over the mean number of bases in a window, (W,)."""
    found = np.load(work / f"{fact['name'].replace(', ', '-').replace(' ', '_')}-{fact['seed']}.npz")
    scores = Scores(found["item_ids"], found["bits"], found["counts"])
    return scores.bits.mean(1) / scores.counts.mean()


def main() -> None:
    """Runs what is missing, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FASTA whose first record has 10 Mb")
    parser.add_argument("--work", type=Path, required=True, help="folder of runs and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--train-only", action="store_true", help="leave scores and samples to another call")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "objectives.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(exist_ok=True, parents=True)
    chrom = open_genome(args.data).names[0]
    (args.work / "split.bed").write_text(
        f"{chrom}\t0\t8900000\ttrain\n{chrom}\t8900000\t9000000\tvalid\n{chrom}\t9000000\t10000000\ttest\n"
    )
    for seed in args.seeds:
        for name in args.only:
            measured(name, seed, args.steps, args.data, args.work, args.train_only)
            print(f"{name}, seed {seed}: done", flush=True)
    if args.train_only:
        return
    rows = table(args.work)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print(
            f"{row['name']:24}{row['bits_per_base']:.4f} ± {row['standard_error']:.4f}   minus MDLM "
            f"{row['minus_mdlm'] or 0:+.4f} ± {row['minus_mdlm_error'] or 0:.4f}   seeds {row['seeds']}"
        )


if __name__ == "__main__":
    main()
