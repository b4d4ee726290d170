"""Time to a quality: how long each recipe trains on E. coli until the test part costs 1.955 bits per base.

    python -m benchmarks.time_to_quality --work DIR [--only ours upstream] [--seeds 1 2 3] [--lr ...] [--batch ...]
                                         [--limit-minutes 90] [-o benchmarks/results/time_to_quality.json]

- ours: ``dna-diff train experiment=ecoli_cpu algo=mdlm`` (even counts of masks), its rate and batch those of the grid;
  other batches see as many bases in all. What a step costs is the run's own record, checkpoints included.
- upstream: ``benchmarks/upstream.py`` at the same width, depth and heads, the width of its conditioning chosen so that
  both have as many weights; no stem, dropout 0.1, 1 / t, constant rate after 2,500 steps, average of 0.9999, scored
  with the averaged weights. It stops when it is there or its time is over.

Both train on the same windows (256 bases of the first 85 %, both strands) on one thread, and are scored alike, with the
same masks: every window of the last 10 %, one draw. Scoring is not counted. Both search the same grid of rates and
batches with the first seed; each goes on with its best point for the other seeds. Time is counted in processor seconds,
beside it the wall's; --limit-minutes bounds processor time for upstream and, with --only, lets single runs be made.

Every score is a line of DIR/SIDE-lr-batch-seed.jsonl. A run that was cut off goes on where it was, a finished one is
not repeated, and several processes can share DIR: the table shows all that it holds. All runs take days at the full
limit; one of ours 20 minutes, one of upstream at most the limit.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.upstream import VOCABULARY, Upstream
from dnadiff.checkpoints.folder import build_denoiser
from dnadiff.config import compose
from dnadiff.diffusion import Denoiser, MaskedNELBO
from dnadiff.evaluation.likelihood import Scores, score
from dnadiff.models.dit import DiT
from dnadiff.recipes.corpus import Corpus, open_corpus
from dnadiff.recipes.train import resume, train
from dnadiff.recipes.training_plan import spec_of
from dnadiff.training.writer import checkpoints, read_checkpoint

ECOLI = Path(__file__).parent.parent / "data" / "ecoli_k12_mg1655.fa.gz"
RATES, BATCHES, WINDOWS = (3e-4, 1e-3, 2e-3, 5e-3), (8, 32), 1200 * 32
"""The grid, and the windows that a run of ours sees."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        side: ``ours`` or ``upstream``.
        lr: Rate after the warm-up.
        batch: Windows of a step.
        seed: Of weights, windows and masks.
    """

    side: str
    lr: float
    batch: int
    seed: int

    @classmethod
    def of(cls, path: Path) -> "Run":
        """The run whose scores a file holds."""
        side, lr, batch, seed = path.stem.split("-")
        return cls(side, float(lr), int(batch), int(seed))

    def at(self, work: Path) -> Path:
        """The file of its scores."""
        return work / f"{self.side}-{self.lr:g}-{self.batch}-{self.seed}.jsonl"

    def corpus(self) -> tuple[list[str], Corpus]:
        """Its settings, and its windows."""
        settings = [
            "experiment=ecoli_cpu", "algo=mdlm", f"data.path={ECOLI}", f"optim.lr={self.lr}",
            f"optim.batch_size={self.batch}", f"train.steps={WINDOWS // self.batch}", f"seed={self.seed}",
            f"train.val_every={WINDOWS}", "train.val_windows=32",
        ]  # fmt: skip
        return settings, open_corpus(compose(settings))


def scores_of(denoiser: Denoiser, corpus: Corpus, share: int) -> Scores:
    """What the test part costs, or one window of ``share``."""
    test = corpus.held_out("test")
    numbers = range(0, len(test), share)
    batches = (test.__getitems__(numbers[i : i + 32]) for i in range(0, len(numbers), 32))
    device = next(denoiser.parameters()).device
    return score(denoiser, MaskedNELBO(denoiser.process), batches, seed=1, device=device)


def noted(run: Run, work: Path, step: int, spent: tuple[float, float], scores: Scores) -> dict[str, Any]:
    """A line of the run's file, written."""
    found = {
        "step": step, "processor_seconds": spent[0], "seconds": spent[1], "bits_per_base": scores.bits_per_base,
        "standard_error": scores.standard_error,
    }  # fmt: skip
    with run.at(work).open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(f"{run.at(work).stem}: step {step}, {spent[0] / 60:.1f} min, {scores.bits_per_base:.4f}", flush=True)
    return found


def lines_of(run: Run, work: Path) -> list[dict[str, Any]]:
    """What is known of a run, by step."""
    path = run.at(work)
    return (
        sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: line["step"]) if path.exists() else []
    )


def upstream(run: Run, work: Path, args: argparse.Namespace) -> None:
    """Trains the reference until it is good enough or its time is over."""
    _, corpus = run.corpus()
    data, state_file = corpus.training(), run.at(work).with_suffix(".pt")
    torch.manual_seed(run.seed)
    backbone = spec_of(corpus.config)["backbone"]
    sizes = backbone["hidden_size"], backbone["n_blocks"], backbone["n_heads"]
    trained = Upstream(*sizes, cond_dim=equal_weights(backbone), lr=run.lr)
    spent, wall = 0.0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        spent, wall = state["spent"]
        trained.restore(state["training"])
    while not over(run, work, args):
        begin = time.process_time(), time.perf_counter()
        for _ in range(args.every * 32 // run.batch):
            numbers = range(trained.steps * run.batch, (trained.steps + 1) * run.batch)
            trained.step(torch.from_numpy(data.__getitems__(numbers)["tokens"]))
        spent, wall = spent + time.process_time() - begin[0], wall + time.perf_counter() - begin[1]
        scores = scores_of(trained.averaged(), corpus, args.share)
        temporary = state_file.with_suffix(".tmp")
        torch.save({"training": trained.state(), "spent": (spent, wall)}, temporary)
        os.replace(temporary, state_file)
        noted(run, work, trained.steps, (spent, wall), scores)


def over(run: Run, work: Path, args: argparse.Namespace) -> bool:
    """Whether a run of the reference has ended."""
    lines = lines_of(run, work)
    return bool(lines) and (
        lines[-1]["processor_seconds"] >= 60 * args.limit_minutes or lines[-1]["bits_per_base"] <= args.target
    )


def equal_weights(backbone: dict[str, Any]) -> int:
    """The width of conditioning that gives upstream's network as many weights as ours has."""

    def weights(**options: Any) -> int:
        model = DiT(VOCABULARY, backbone["hidden_size"], backbone["n_blocks"], backbone["n_heads"], **options)
        return sum(p.numel() for p in model.parameters())

    with torch.device("meta"):
        wanted = weights(adaln=backbone["adaln"], stem=backbone["stem"])
        return min(range(8, 257), key=lambda width: abs(weights(cond_dim=width) - wanted))


def ours(run: Run, work: Path, args: argparse.Namespace) -> None:
    """Trains the preset to its end, then scores its checkpoints from the last one back to one that is not good yet."""
    settings, corpus = run.corpus()
    settings += [f"train.minutes={args.limit_minutes}", f"train.checkpoint_every={args.every * 32 // run.batch}"]
    settings += [f"train.keep={WINDOWS // 32 // args.every + 1}"]
    folder = run.at(work).with_suffix(".run")
    if checkpoints(folder / "checkpoints"):
        resume(str(folder), quiet=True)
    else:
        train(compose(settings), out=str(folder), quiet=True)
    denoiser, known = (
        build_denoiser(spec_of(corpus.config)).eval(),
        {line["step"]: line for line in lines_of(run, work)},
    )
    for path in reversed(checkpoints(folder / "checkpoints")):
        state = read_checkpoint(path)
        line = known.get(state["step"])
        if line is None:
            denoiser.load_state_dict(state["ema"]["shadow"])
            spent = state["processor_seconds"], state["seconds"]
            line = noted(run, work, state["step"], spent, scores_of(denoiser, corpus, args.share))
        if line["bits_per_base"] > args.target:
            return


SIDES = {"ours": ours, "upstream": upstream}


def result(run: Run, work: Path, target: float) -> dict[str, Any]:
    """How a run did: time to the target, None if it was not met, and its end."""
    lines = lines_of(run, work)
    met = next((line for line in lines if line["bits_per_base"] <= target), None)
    reached = met and {key: met[key] for key in ("step", "processor_seconds", "seconds")}
    return {**vars(run), "reached": reached, "last": lines[-1], "best": min(line["bits_per_base"] for line in lines)}


def best_of(runs: list[Run], work: Path, target: float) -> Run:
    """The run that met the target soonest or, where none did, was nearest when the first of them ended."""
    found = [(run, result(run, work, target), lines_of(run, work)) for run in runs]
    end = min(row["last"]["processor_seconds"] for _, row, _ in found)

    def rank(one: tuple[Run, dict[str, Any], list[dict[str, Any]]]) -> tuple[float, float]:
        _, row, lines = one
        bits = min(line["bits_per_base"] for line in lines if line in lines[:1] or line["processor_seconds"] <= end)
        return (row["reached"]["processor_seconds"] if row["reached"] else float("inf"), bits)

    return min(found, key=rank)[0]


def summary(runs: list[Run], work: Path, target: float) -> dict[str, Any]:
    """Median minutes over the seeds of each side's best point, and their ratio; a run that failed counts all its time.

    The best point is that of the ``best_of`` the runs with the first seed.
    """
    found: dict[str, Any] = {}
    for side in SIDES:
        of_side = [run for run in runs if run.side == side]
        if of_side:
            first = min(run.seed for run in of_side)
            best = best_of([run for run in of_side if run.seed == first], work, target)
            same = [result(run, work, target) for run in of_side if (run.lr, run.batch) == (best.lr, best.batch)]
            minutes = [(row["reached"] or row["last"])["processor_seconds"] / 60 for row in same]
            met = sum(row["reached"] is not None for row in same)
            point = {"lr": best.lr, "batch": best.batch, "seeds": len(same), "met": met}
            found[side] = {**point, "median_minutes": statistics.median(minutes)}
    if len(found) == len(SIDES):
        found["times_less"] = found["upstream"]["median_minutes"] / found["ours"]["median_minutes"]
        found["at_least"] = found["upstream"]["met"] < found["upstream"]["seeds"]
    return found


def main() -> None:
    """Runs what is missing, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of runs and scores")
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--lr", type=float, nargs="+", default=RATES)
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--limit-minutes", type=float, default=90.0)
    parser.add_argument("--target", type=float, default=1.955, help="bits per base")
    parser.add_argument("--every", type=int, default=50, help="score after so many steps of 8,192 bases")
    parser.add_argument("--share", type=int, default=1, help="score one test window of so many")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "time_to_quality.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    for side in args.only:
        grid = [Run(side, lr, batch, args.seeds[0]) for lr in args.lr for batch in args.batch]
        for run in grid:
            SIDES[side](run, args.work, args)
        best = best_of(grid, args.work, args.target)
        for seed in args.seeds[1:]:
            SIDES[side](Run(side, best.lr, best.batch, seed), args.work, args)
    runs = sorted(map(Run.of, args.work.glob("*.jsonl")), key=lambda run: (run.side, run.batch, run.lr, run.seed))
    rows = [result(run, args.work, args.target) for run in runs]
    found = summary(runs, args.work, args.target)
    asked = {key: getattr(args, key) for key in ("target", "every", "share")}
    machine = {"processors": os.cpu_count(), "threads": 1, "torch": torch.__version__}
    report = {"asked": asked, "machine": machine, "rows": rows, "summary": found}
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    for row in rows:
        met = f"{row['reached']['processor_seconds'] / 60:.1f} min" if row["reached"] else "not met"
        last = row["last"]
        print(f"{row['side']:9} lr {row['lr']:<7g} batch {row['batch']:<3} seed {row['seed']:<2} {met:>9}   "
              f"{last['bits_per_base']:.4f} ± {last['standard_error']:.4f} after "
              f"{last['processor_seconds'] / 60:.1f} min, step {last['step']}")  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
