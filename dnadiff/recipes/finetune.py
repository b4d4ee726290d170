"""``dna-diff finetune``: from labelled sequences to a predictor with its test figures, and on from an interruption."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnadiff.config import FinetuneConfig, from_json, to_json
from dnadiff.data.labelled import Labelled, read_labelled
from dnadiff.data.plain_json import read_json
from dnadiff.errors import InputError, printable
from dnadiff.recipes import run_folder
from dnadiff.recipes.loop import Say, State, go_on, newest, optimising, teller
from dnadiff.schema.finetune import SCRATCH
from dnadiff.training.memory import keep_freed_memory

if TYPE_CHECKING:
    from torch import Tensor

    from dnadiff.recipes.finetune_plan import Plan

EXTENDS = ("train.epochs", "train.minutes")
"""The settings that may change when a fine-tuning is resumed: its end."""

_RUN = "a folder written by dna-diff finetune would work"


def finetune(
    config: FinetuneConfig,
    out: str | None = None,
    *,
    dry_run: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The folder of a freshly fine-tuned model and its report.

    Args:
        config: What to do; ``data.path`` and ``start`` say with what. ``seed`` None draws one.
        out: Folder to write, which must not exist or be empty; None makes the first free ``runs/NAME-N``.
        dry_run: Print the plan and stop.
        quiet: Print results and errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used, or ``out`` exists.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
        ResourceError: The disk is full, or has too little room to begin with.
        SystemExit: A signal came; the run is saved and can be resumed.
    """
    keep_freed_memory()
    if not config.data.path:
        raise InputError("finetune: no labelled data; dna-diff finetune RUN DATA, or data.path=DATA, would work")
    folder, say = run_folder.free_folder(out, config.data.path), teller(quiet)
    config = replace(config, seed=secrets.randbits(32) if config.seed is None else config.seed)
    data = examples_of(config)
    from dnadiff.recipes.finetune_plan import plan  # torch is imported once the data are known to be good

    job = plan(config, data)
    say(job.report())
    if not dry_run:
        with _alone(folder, job):
            _begin(folder, job, argv or [])
            _fit(folder, job, None, say, quiet, argv or [])
    return folder


def resume(
    run: str,
    overrides: list[str] | None = None,
    *,
    dry_run: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The folder, after fine-tuning went on from its newest whole checkpoint and the test part was scored.

    Args:
        run: A folder that ``finetune`` made.
        overrides: ``train.epochs=N`` or ``train.minutes=X``, to train longer.
        dry_run: Print the plan and stop.
        quiet: Print results and errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: The folder is none of ``finetune``, its data are others now, or no checkpoint of it is whole.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
        ResourceError: The disk is full, or has too little room to begin with.
        SystemExit: A signal came; the run is saved and can be resumed.
    """
    keep_freed_memory()
    folder, say = Path(run), teller(quiet)
    config = run_folder.extended(_config(folder), overrides or [], EXTENDS)
    data = examples_of(config)
    _check_data(folder, data)
    from dnadiff.recipes.finetune_plan import plan

    begun = any((folder / "checkpoints").glob("step-*")) and (folder / "model").is_dir()
    job = plan(config, data, folder if begun else None)
    if dry_run:
        say(job.report())
        return folder
    with _alone(folder, job):
        state = newest(folder, (f"train.epochs={config.train.epochs:g}", job.pace.steps), say)
        _begin(folder, job, argv or [])
        say(job.report())
        go_on(folder, state, argv or [], say)
        _fit(folder, job, state, say, quiet, argv or [])
    return folder


def examples_of(config: FinetuneConfig) -> Labelled:
    """The labelled data that a fine-tuning asks for, cut into parts as it says.

    Raises:
        InputError: They cannot be read or cut.
    """
    data = config.data
    return read_labelled(
        str(data.path), data.label, kind=data.kind, genome=data.genome, valid_fraction=data.valid_fraction,
        test_fraction=data.test_fraction, redraw=data.redraw, one_of=data.one_of, seed=int(config.seed or 0),
    )  # fmt: skip


def _config(folder: Path) -> FinetuneConfig:
    path = folder / run_folder.CONFIG
    values = read_json(path, _RUN)
    if "head" not in values:
        raise InputError(f"{path}: is not that of a fine-tuning; {_RUN}")
    try:
        return from_json(values, FinetuneConfig)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@contextmanager
def _alone(folder: Path, job: "Plan") -> Iterator[None]:
    """Nobody else trains in the folder, and there is room for what will be written."""
    from dnadiff.training.writer import check_space

    n = sum(p.numel() for p in job.predictor.parameters())
    check_space(folder, 4 * n * (5 * (job.config.train.keep + 1) + 2))  # weights, average, moments, best; models
    with run_folder.alone(folder):
        yield


def _begin(folder: Path, job: "Plan", argv: list[str]) -> None:
    """Writes what is missing of configuration and provenance."""
    from dnadiff.checkpoints.folder import model_hash
    from dnadiff.checkpoints.provenance import provenance

    run_folder.put(folder / run_folder.CONFIG, to_json(job.config))
    if not (folder / run_folder.PROVENANCE).exists():
        start = job.config.start
        base = {} if start == SCRATCH else {"start": model_hash(start)}
        run_folder.put(folder / run_folder.PROVENANCE, provenance(argv, job.config.seed, job.data.digests) | base)


def _check_data(folder: Path, data: Labelled) -> None:
    """Refuses data other than those that the run began with."""
    if not (folder / run_folder.PROVENANCE).exists():
        return
    inputs = run_folder.facts_of(folder).get("inputs")
    if inputs != data.digests:
        raise InputError(f"{data.path}: is not what {folder} was fine-tuned on; the data as they were would work")


def _fit(folder: Path, job: "Plan", state: State, say: Say, quiet: bool, argv: list[str]) -> None:
    from dnadiff.checkpoints.predictor import save_predictor
    from dnadiff.recipes.finetune_report import report
    from dnadiff.training.datamodule import Windows
    from dnadiff.training.fit import fit
    from dnadiff.training.predictor import PredictorModule

    config = job.config
    facts = {key: value for key, value in run_folder.facts_of(folder).items() if key != "resumed"}
    module = PredictorModule(
        job.predictor, config.train.metric, seed=int(config.seed or 0), **optimising(config.optim, job.pace.steps)
    )

    def publish(step: int, weights: Mapping[str, "Tensor"]) -> None:
        save_predictor(folder / "model", _with(job, weights), job.spec, facts | _chosen(module, step))

    say(f"folder       {printable(str(folder))}")
    data = Windows(
        job.train, batch_size=config.optim.batch_size, accumulate=config.optim.accumulate, workers=config.data.workers
    )
    outcome = fit(
        module, data, job.held_out(), folder, pace=job.pace, clip=config.optim.clip, precision=job.precision,
        publish=publish, state=state, quiet=quiet,
    )  # fmt: skip
    if outcome.code is not None:
        say(f"stopped      after step {outcome.step:,}; dna-diff finetune --resume {folder} continues")
        raise SystemExit(outcome.code)
    say(f"trained      {outcome.step:,} steps; the model of step {_step(module)} is in {folder / 'model'}")
    report(folder, job, _step(module), outcome, facts, quiet)


def _with(job: "Plan", weights: Mapping[str, "Tensor"]) -> Any:  # noqa: ANN401 (torch is imported late)
    """The predictor with other weights."""
    import torch

    from dnadiff.checkpoints.predictor import build_predictor

    with torch.device("meta"):
        predictor = build_predictor(job.spec)
    predictor.load_state_dict(weights, assign=True)
    return predictor


def _step(module: Any) -> int:  # noqa: ANN401 (Lightning is imported late)
    """The step whose weights are published."""
    return module.step if module.best is None else module.best.step


def _chosen(module: Any, step: int) -> dict[str, Any]:  # noqa: ANN401 (Lightning is imported late)
    """What the provenance says of the weights that are published."""
    valid = {} if module.best is None else {"validation": module.best.figures}
    return {"step": step, **valid}
