"""What each choice of the small presets is worth: E. coli at equal bases, one setting changed at a time.

    python -m benchmarks.choices --work DIR [--only NAME ...] [--seeds 1 2] [--steps 300]

Every row trains ``experiment=ecoli_cpu`` with even counts of masks (``algo=mdlm``) and one change for so many steps of
8,192 bases, its schedule within them, on one thread, and scores half of the test windows with the same masks. ``minus``
is its bits per base minus those of the first row with the same seed, paired by window and averaged over seeds; windows
of another length cannot be paired. Time is the processor's. Runs are kept in DIR as they finish and not repeated, and
several processes can share DIR. Local attention, by which no token sees further than 32 bases, is no setting of the
package, only of this module.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.time_to_quality import ECOLI, scores_of
from dnadiff.checkpoints.folder import load
from dnadiff.config import compose
from dnadiff.recipes.corpus import open_corpus
from dnadiff.recipes.train import train
from dnadiff.training.writer import checkpoints, read_checkpoint

BASES = 32 * 256  # of a step of the preset


@contextmanager
def local(reach: int) -> Iterator[None]:
    """Nobody sees further than ``reach`` inside the block."""
    attend = F.scaled_dot_product_attention

    def near(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        at = torch.arange(q.shape[-2])
        return attend(q, k, v, **options | {"attn_mask": (at[:, None] - at).abs() <= reach})

    with mock.patch.object(F, "scaled_dot_product_attention", near):
        yield


@dataclass(frozen=True)
class Choice:
    """A preset with a change.

    Attributes:
        words: Settings.
        batch: Windows of a step.
        length: Bases of a window.
        around: What training and scoring happen in.
    """

    words: tuple[str, ...] = ()
    batch: int = 32
    length: int = 256
    around: Callable[[], Any] = nullcontext


EVEN = "even counts"
CHOICES = {
    EVEN: Choice(),
    "no stem": Choice(("model.stem=0",)),
    "stem 5": Choice(("model.stem=5",)),
    "stem 17": Choice(("model.stem=17",)),
    "local attention": Choice(around=partial(local, 32)),
    "AdamW 1e-3": Choice(("optim.name=adamw", "optim.lr=1e-3")),
    "AdamW 3e-3": Choice(("optim.name=adamw", "optim.lr=3e-3")),
    "Muon 2e-3": Choice(("optim.lr=2e-3",)),
    "Muon 1e-2": Choice(("optim.lr=1e-2",)),
    "constant rate": Choice(("optim.schedule=constant",)),
    "line": Choice(("optim.schedule=linear",)),
    "adaLN": Choice(("model.adaln=true",)),
    "1 head": Choice(("model.n_heads=1",)),
    "4 heads": Choice(("model.n_heads=4",)),
    "7 blocks of 96": Choice(("model.n_blocks=7", "model.hidden_size=96")),
    "2 blocks of 176": Choice(("model.n_blocks=2", "model.hidden_size=176")),
    "batch 16": Choice(batch=16),
    "batch 64": Choice(batch=64),
    "windows of 128": Choice(batch=64, length=128),
    "windows of 512": Choice(batch=16, length=512),
    "complementary masks": Choice(("algo.complementary=true",)),
    "time estimator": Choice(("estimator=time",)),
    "time, importance": Choice(("estimator=time", "algo.importance_sampling=true")),
    "few masks more often": Choice(("algo.importance_sampling=true",)),
    "time, cosine": Choice(("estimator=time", "noise=cosine")),
}


def measured(name: str, seed: int, steps: int, work: Path) -> None:
    """Trains and scores one row and leaves ``NAME-SEED.npz`` in the folder."""
    choice, stem = CHOICES[name], work / f"{name.replace(' ', '_')}-{seed}"
    if stem.with_suffix(".npz").exists():
        return
    steps = steps * BASES // (choice.batch * choice.length)
    config = compose([
        "experiment=ecoli_cpu", "algo=mdlm", f"data.path={ECOLI}", *choice.words, f"optim.batch_size={choice.batch}",
        f"model.length={choice.length}", f"seed={seed}", f"train.steps={steps}", "train.minutes=null",
        f"train.val_every={steps}", "train.val_windows=32", f"train.checkpoint_every={steps}",
    ])  # fmt: skip
    run = stem.with_suffix(".run")
    with choice.around():
        train(config, out=str(run), quiet=True)
        scores = scores_of(load(str(run)), open_corpus(config), share=2)
    seconds = read_checkpoint(checkpoints(run / "checkpoints")[-1])["processor_seconds"]
    weights = sum(p.numel() for p in load(str(run)).parameters())
    np.savez(
        stem.with_suffix(".npz"), bits=scores.bits.mean(1) / scores.counts, weights=weights, seconds=seconds,
        bits_per_base=scores.bits_per_base, standard_error=scores.standard_error,
    )  # fmt: skip


def row_of(name: str, work: Path) -> dict[str, Any] | None:
    """What is known of a choice; None if nothing is."""
    paths = {int(path.stem.rpartition("-")[2]): path for path in work.glob(f"{name.replace(' ', '_')}-*.npz")}
    if not paths:
        return None
    found = {seed: np.load(path) for seed, path in sorted(paths.items())}
    row = {
        "name": name, "settings": list(CHOICES[name].words), "batch": CHOICES[name].batch,
        "length": CHOICES[name].length, "seeds": list(found), "weights": int(next(iter(found.values()))["weights"]),
        "bits_per_base": float(np.mean([each["bits_per_base"] for each in found.values()])),
        "bits_per_base_error": float(np.mean([each["standard_error"] for each in found.values()])),
        "processor_seconds": float(np.mean([each["seconds"] for each in found.values()])),
    }  # fmt: skip
    base = {seed: path for seed in found if (path := work / f"{EVEN.replace(' ', '_')}-{seed}.npz").exists()}
    if base and name != EVEN:
        shared = [found[seed]["bits"] for seed in base], [np.load(path)["bits"] for path in base.values()]
        row["minus"] = float(np.mean(shared[0]) - np.mean(shared[1]))
        if CHOICES[name].length == CHOICES[EVEN].length:
            each = np.mean(shared[0], 0) - np.mean(shared[1], 0)
            row["minus_error"] = float(each.std(ddof=1) / len(each) ** 0.5)
    return row


def main() -> None:
    """Runs what is missing, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of runs and scores")
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=300, help="of 8,192 bases")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "choices.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for name in args.only:
            measured(name, seed, args.steps, args.work)
            print(f"{name}, seed {seed}: {row_of(name, args.work)['bits_per_base']:.4f}", flush=True)
    rows = [row for name in CHOICES if (row := row_of(name, args.work))]
    about = {"steps": args.steps, "threads": 1, "torch": torch.__version__}
    args.out.write_text(json.dumps({"settings": about, "rows": rows}, indent=1) + "\n")
    for row in rows:
        minus = f"{row['minus']:+.4f}" if "minus" in row else ""
        error = f" ± {row['minus_error']:.4f}" if "minus_error" in row else ""
        print(f"{row['name']:20}{row['bits_per_base']:.4f}  {minus + error:18}  {row['processor_seconds']:6.0f} s")


if __name__ == "__main__":
    main()
