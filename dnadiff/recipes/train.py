"""``dna-diff train``: from a genome to a published model folder."""

import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnadiff.config import to_json
from dnadiff.data.card import data_card
from dnadiff.data.genome import Store, open_genome
from dnadiff.data.intervals import total_bp
from dnadiff.data.splits import Split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.inputs import split_of
from dnadiff.schema import Config
from dnadiff.training.memory import keep_freed_memory

Say = Callable[[str], None]


def train(
    config: Config,
    data: str | None = None,
    out: str | None = None,
    *,
    dry_run: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The run folder of a freshly trained model.

    Prints the plan first: data, split and its overlap, model, memory, time, estimator, precision.

    Args:
        config: What to do; ``config.seed`` None draws a seed, which is printed and recorded.
        data: A FASTA file or a store; overrides ``config.data.path``.
        out: Run folder, which must not exist; None makes the first free ``runs/NAME-N``.
        dry_run: Print the plan and stop.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used, or ``out`` exists.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
    """
    keep_freed_memory()
    config.data.path = str(data or config.data.path or "")
    if not config.data.path:
        raise InputError("train: no genome; dna-diff train genome.fa, or data.path=genome.fa, would work")
    config.seed = secrets.randbits(32) if config.seed is None else config.seed
    folder = _run_folder(out, config.data.path)
    say: Say = (lambda _: None) if quiet else (lambda text: print(text, file=sys.stderr))
    store = open_genome(config.data.path)
    split = split_of(config.data, store, config.model.length)
    say(f"{data_card(store)}\n{split.report()}")
    from dnadiff.recipes.training_plan import plan  # torch is imported once the data are known to be good

    job = plan(config, store, split)
    say(job.report())
    if dry_run:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(to_json(config), indent=1) + "\n")
    (folder / "split.json").write_text(json.dumps(split.to_json(), indent=1) + "\n")
    _baseline(folder, store, split)
    say(f"run          {folder}")
    steps = _fit(job, folder, _facts(config, store, argv), quiet)
    say(f"trained      {steps:,} steps; the model is in {folder / 'model'}")
    return folder


def _fit(job: Any, folder: Path, facts: dict[str, Any], quiet: bool) -> int:  # noqa: ANN401 (a Plan, imported late)
    from dnadiff.checkpoints.folder import save_model
    from dnadiff.training.datamodule import Windows
    from dnadiff.training.fit import fit
    from dnadiff.training.module import DiffusionModule

    config: Config = job.config
    optim, run = config.optim, config.train
    module = DiffusionModule(
        job.denoiser,
        job.objective,
        seed=config.seed,
        optimizer={
            "name": optim.name,
            "lr": optim.lr, "betas": tuple(optim.betas), "eps": optim.eps, "weight_decay": optim.weight_decay,
        },
        schedule={
            "schedule": optim.schedule, "warmup_steps": optim.warmup_steps, "steps": run.steps,
            "floor": optim.lr_min / optim.lr,
        },
        ema_decay=optim.ema,
        compiled=job.compiled,
    )  # fmt: skip
    data = Windows(
        job.train, job.valid, batch_size=optim.batch_size, accumulate=optim.accumulate,
        valid_windows=run.val_windows, workers=config.data.workers,
    )  # fmt: skip

    def publish(step: int) -> None:
        save_model(folder / "model", job.denoiser, NucleotideTokenizer(), job.spec, facts | {"step": step})

    return fit(
        module, data, folder, steps=run.steps, minutes=run.minutes, val_every=run.val_every,
        checkpoint_every=run.checkpoint_every, keep=run.keep, log_every=run.log_every, clip=optim.clip,
        precision=job.precision, publish=publish, quiet=quiet,
    )  # fmt: skip


def _facts(config: Config, store: Store, argv: list[str] | None) -> dict[str, Any]:
    from dnadiff.checkpoints.provenance import provenance

    return provenance(argv or [], config.seed, {str(config.data.path): store.source_sha256})


def _baseline(folder: Path, store: Store, split: Split) -> None:
    """Counts the training bases once, for the Markov floors of every later evaluation."""
    from dnadiff.evaluation.markov import MarkovChain, order_for

    codes = (store.codes(interval) for interval in split.train)
    MarkovChain.fit(codes, order_for(total_bp(split.train))).save(folder / "baseline.npz")


def _run_folder(out: str | None, genome: str) -> Path:
    """The folder asked for, or the first free ``runs/NAME-N``.

    Raises:
        InputError: It exists and is not empty.
    """
    if out is None:
        name = Path(genome).name.removesuffix(".gz").removesuffix(".fa").removesuffix(".fasta").removesuffix(".fna")
        numbers = (Path("runs") / f"{name}-{n}" for n in range(1, 10**6))
        return next(folder for folder in numbers if not folder.exists())
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not empty; another -o would work")
    return folder
