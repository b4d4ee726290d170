"""``dna-diff train``: from a genome to a published model folder, and on from where an interrupted run stopped."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnadiff.config import to_json
from dnadiff.errors import InputError, printable
from dnadiff.recipes import run_folder
from dnadiff.recipes.corpus import Corpus, open_corpus
from dnadiff.recipes.loop import Say, State, go_on, newest, optimising, teller
from dnadiff.schema import Config
from dnadiff.training import ranks
from dnadiff.training.memory import keep_freed_memory

if TYPE_CHECKING:
    from torch import Tensor

    from dnadiff.evaluation.likelihood import Scores
    from dnadiff.recipes.training_plan import Plan
    from dnadiff.training.tracking import Tracker


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
        data: A FASTA file or a store, or with ``task=text`` a text; overrides ``config.data.path``.
        out: Run folder, which must not exist or be empty; None makes the first free ``runs/NAME-N``.
        dry_run: Print the plan and stop.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used, or ``out`` exists.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
        ResourceError: The disk is full, or has too little room to begin with.
        SystemExit: A signal came; the run is saved and can be resumed.
    """
    keep_freed_memory()
    path = str(data or config.data.path or "")
    if not path:
        if config.task.name == "text":
            raise InputError("train: no text; dna-diff train corpus.txt task=text, or data.path=corpus.txt, would work")
        raise InputError("train: no genome; dna-diff train genome.fa, or data.path=genome.fa, would work")
    with ranks.together():
        folder = ranks.from_first(run_folder.free_folder(out, path) if ranks.rank() == 0 else Path())
        seed = ranks.from_first(secrets.randbits(32) if config.seed is None else config.seed)
        config = replace(config, seed=seed, data=replace(config.data, path=path))
        say = teller(quiet)
        job, corpus = _planned(config)
        if dry_run:
            say(_report(job, corpus))
            return folder
        with _begun(folder, job, corpus, argv or [], lambda: None):
            say(_report(job, corpus))
            _fit(folder, job, None, say, quiet)
    return folder


def resume(
    run: str,
    overrides: list[str] | None = None,
    *,
    dry_run: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The run folder, after training went on from its newest whole checkpoint.

    Weights, averages, optimiser, data, noise and log continue as if nothing had happened; a run without a checkpoint
    starts again with its seed. A run that is complete only publishes its model again.

    Args:
        run: A run folder that ``train`` made.
        overrides: ``train.steps=N`` or ``train.minutes=X``, to train longer.
        dry_run: Print the plan and stop.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: The folder is no run, its genome is another one now, or no checkpoint of it is whole.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
        ResourceError: The disk is full, or has too little room to begin with.
        SystemExit: A signal came; the run is saved and can be resumed.
    """
    keep_freed_memory()
    folder = Path(run)
    config = run_folder.extended(run_folder.run_config(run), overrides or [])
    with ranks.together():
        say = teller(quiet)
        job, corpus = _planned(config, folder)
        if dry_run:
            say(_report(job, corpus))
            return folder
        with _begun(folder, job, corpus, argv or [], lambda: newest(folder, _end(config), say)) as state:
            say(_report(job, corpus))
            go_on(folder, state, argv or [], say)
            _fit(folder, job, state, say, quiet)
    return folder


def _planned(config: Config, begun: Path | None = None) -> "tuple[Plan, Corpus]":
    """What a run is made of; ``begun`` is its folder if it is resumed."""
    corpus = open_corpus(config)
    if begun is not None:
        run_folder.check_data(begun, corpus)
    config = corpus.config
    from dnadiff.recipes.training_plan import plan  # torch is imported once the data are known to be good

    trained = begun is not None and any((begun / "checkpoints").glob("step-*"))
    return plan(config, corpus, begun=trained), corpus


def _end(config: Config) -> tuple[str, int | None]:
    """The last step, in words and as a number."""
    return f"train.steps={config.train.steps}", config.train.steps


def _report(job: "Plan", corpus: Corpus) -> str:
    return f"{corpus.report()}\n{job.report()}"


@contextmanager
def _begun(folder: Path, job: "Plan", corpus: Corpus, argv: list[str], read: Callable[[], State]) -> Iterator[State]:
    """The first rank writes what the run folder lacks and keeps other trainings out of it; the others wait.

    What ``read`` gives is handed on; the first rank calls it before it writes, so a folder that cannot be resumed stays
    as it was.
    """
    if ranks.rank() != 0:
        ranks.wait()
        yield read()
        return
    from dnadiff.training.writer import check_space

    check_space(folder, run_folder.room_needed(folder, job))
    with run_folder.alone(folder):
        state = read()
        run_folder.begin(folder, job.config, corpus, argv)
        ranks.wait()
        yield state


def _fit(folder: Path, job: "Plan", state: dict[str, Any] | None, say: Say, quiet: bool) -> None:
    import torch

    from dnadiff.checkpoints.folder import build_denoiser, save_model
    from dnadiff.training.datamodule import Windows
    from dnadiff.training.fit import fit
    from dnadiff.training.steps import Pace

    optim, run = job.config.optim, job.config.train
    data = Windows(job.train, batch_size=optim.batch_size, accumulate=optim.accumulate, workers=job.config.data.workers)
    pace = Pace(run.steps, run.minutes, run.log_every, run.val_every, run.checkpoint_every, run.keep)
    facts = {key: value for key, value in run_folder.facts_of(folder).items() if key != "resumed"}

    def publish(step: int, weights: Mapping[str, "Tensor"]) -> None:
        with torch.device("meta"):
            averaged = build_denoiser(job.spec)
        averaged.load_state_dict(weights, assign=True)
        save_model(folder / "model", averaged, job.tokenizer, job.spec, facts | {"step": step})

    say(f"run          {printable(str(folder))}")
    outcome = fit(
        _module(job), data, job.held_out(), folder, pace=pace, clip=optim.clip, precision=job.precision,
        publish=publish, state=state, quiet=quiet, tracker=_tracker(folder, job, facts),
    )  # fmt: skip
    if outcome.code is not None:
        say(f"stopped      after step {outcome.step:,}; dna-diff train --resume {folder} continues")
        raise SystemExit(outcome.code)
    say(f"trained      {outcome.step:,} steps; the model is in {folder / 'model'}")
    if outcome.held_out:
        say(f"held out     {_verdict(job, outcome.held_out, folder)}")


def _tracker(folder: Path, job: "Plan", facts: dict[str, Any]) -> "Tracker | None":
    """What the first rank shows the log in besides the run folder."""
    if job.config.logger != "wandb" or ranks.rank() != 0:
        return None
    from dnadiff.training.tracking import Tracker

    wandb = job.config.wandb
    return Tracker(
        folder, project=wandb.project, name=wandb.name, offline=wandb.offline, config=to_json(job.config), origin=facts
    )


def _verdict(job: "Plan", scores: "Scores", folder: Path) -> str:
    """The last validation beside the Markov floors of the same windows."""
    from dnadiff.evaluation.likelihood import chosen_floors, summarise
    from dnadiff.recipes.evaluate import verdict
    from dnadiff.recipes.floors import floors_of

    measured = floors_of(folder / run_folder.BASELINE, job.tokenizer, pairs=job.config.data.pairs)
    floors = chosen_floors(measured([job.valid.__getitems__(scores.item_ids)]))
    best, figures = list(floors.items())[-1], f"{scores.bits_per_base:.4f} ± {scores.standard_error:.4f}"
    return (
        f"{figures} bits per {job.unit} of {len(scores.counts):,} validation windows; {best[0]} "
        f"{best[1].bits_per_base:.4f}: {verdict(summarise(scores, floors, unit=job.unit), job.unit)}"
    )


def _module(job: "Plan") -> Any:  # noqa: ANN401 (Lightning is imported late)
    from dnadiff.training.module import DiffusionModule

    config = job.config
    return DiffusionModule(
        job.denoiser,
        job.objective,
        seed=config.seed,
        **optimising(config.optim, config.train.steps),
        label_dropout=config.data.label_dropout,
        compiled=job.compiled,
        token=job.unit,
    )
