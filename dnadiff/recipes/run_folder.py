"""The run folder: what a training run writes before it trains, and what it must still find when it is resumed.

    config.json       what was asked for, plain JSON
    provenance.json   command, seed, inputs, versions; one entry more each time the run is resumed
    split.json        the intervals or documents of training, validation and test
    baseline.npz      Markov counts of the training split
    checkpoints/ log.csv tensorboard/ model/   written by the training itself

``config.json`` comes first, and whatever else is missing follows from it and the data, so a run that was killed at
any moment can be resumed.
"""

import fcntl
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dnadiff.config import FinetuneConfig, from_json, to_json
from dnadiff.data import atomic
from dnadiff.data.plain_json import read_json
from dnadiff.data.splits import Split
from dnadiff.errors import InputError
from dnadiff.schema import Config

if TYPE_CHECKING:
    from dnadiff.recipes.corpus import Corpus
    from dnadiff.recipes.training_plan import Plan

C = TypeVar("C", Config, FinetuneConfig)

EXTENDS = ("train.steps", "train.minutes", "train.parallel")
"""The settings that may change when a run is resumed: its end, and how its processes share the work."""

_RUN = "a run folder written by dna-diff train would work"
_AS_WRITTEN = "the file as the run wrote it would work"
CONFIG, PROVENANCE, SPLIT, BASELINE = "config.json", "provenance.json", "split.json", "baseline.npz"


def free_folder(out: str | None, genome: str) -> Path:
    """The folder asked for, or the first free ``runs/NAME-N``.

    Raises:
        InputError: It exists and is not empty.
    """
    if out is None:
        name = Path(genome).name.removesuffix(".gz")
        for suffix in (".fa", ".fasta", ".fna", ".txt", ".jsonl", ".parquet"):
            name = name.removesuffix(suffix)
        numbers = (Path("runs") / f"{name}-{n}" for n in range(1, 10**6))
        return next(folder for folder in numbers if not folder.exists())
    atomic.check_folder(out)
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        begun = f"; dna-diff {_verb(folder)} --resume {folder} continues it" if (folder / CONFIG).is_file() else ""
        raise InputError(f"{folder}: exists and is not empty; another -o would work{begun}")
    return folder


def _verb(folder: Path) -> str:
    """The verb that writes such a folder."""
    return "finetune" if "head" in read_json(folder / CONFIG, _RUN) else "train"


def run_config(run: str | Path) -> Config:
    """What a run was asked for.

    Raises:
        InputError: The folder is no run.
    """
    path = Path(run) / CONFIG
    if (Path(run) / "model.safetensors").is_file():
        raise InputError(f"{run}: is a model folder, which has no genome or split; the run folder above it would work")
    values = read_json(path, _RUN)
    if "head" in values:
        raise InputError(
            f"{run}: is a fine-tuning, which has no genome or split; dna-diff predict, or finetune --resume, would work"
        )
    try:
        config = from_json(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not config.data.path:
        raise InputError(f"{path}: names no genome (data.path); {_RUN}")
    return config


def run_split(run: str | Path) -> Split:
    """The intervals a run trains, validates and tests on.

    Raises:
        InputError: The folder is no run.
    """
    path = Path(run) / SPLIT
    values = read_json(path, _RUN)
    try:
        return Split.from_json(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def extended(config: C, overrides: list[str], extends: tuple[str, ...] = EXTENDS) -> C:
    """The configuration of a run with another end.

    Args:
        config: What the run was asked for.
        overrides: Values of some of these settings, such as ``train.steps=N``.
        extends: The settings that may change.

    Raises:
        InputError: Another key, or a value that cannot be used.
    """
    values = to_json(config)
    for override in overrides:
        key, _, text = override.partition("=")
        if key not in extends:
            raise InputError(f"{override}: a resumed run keeps its settings; only {', '.join(extends)} may change")
        try:
            values["train"][key.removeprefix("train.")] = text if key == "train.parallel" else json.loads(text)
        except ValueError as error:
            raise InputError(f"{override}: expected a number or null") from error
    return from_json(values, type(config))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The run folder is made if it is missing, and nobody else trains in it during the block.

    The lock is a POSIX record lock: the system releases it with the process, and data workers do not inherit it.

    Raises:
        InputError: Another process trains in it, or it cannot be written to.
    """
    with atomic.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another process is training it; waiting for its end would work") from error
        yield
    finally:
        os.close(handle)


def begin(folder: Path, config: Config, corpus: "Corpus", argv: list[str]) -> None:
    """Writes what is missing of config, provenance, split and baseline.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full.
    """
    from dnadiff.checkpoints.folder import model_hash
    from dnadiff.checkpoints.provenance import provenance

    put(folder / CONFIG, to_json(config))
    if not (folder / PROVENANCE).exists():
        base = {"init_from": model_hash(config.init_from)} if config.init_from else {}
        put(folder / PROVENANCE, provenance(argv, config.seed, corpus.inputs) | base)
    if not (folder / SPLIT).exists():
        put(folder / SPLIT, corpus.split_json())
    if not (folder / BASELINE).exists():
        corpus.write_counts(folder / BASELINE)


def note_resumption(folder: Path, argv: list[str], step: int) -> None:
    """Adds to the provenance that the run goes on after a step."""
    facts = facts_of(folder)
    resumed = [*facts.get("resumed", []), {"command": shlex.join(argv), "step": step}]
    put(folder / PROVENANCE, {**facts, "resumed": resumed})


def facts_of(folder: Path) -> dict[str, Any]:
    """The provenance of a run.

    Raises:
        InputError: It is damaged.
    """
    return read_json(folder / PROVENANCE, _AS_WRITTEN)


def check_data(folder: Path, corpus: "Corpus") -> None:
    """Compares the data and their split with those that the run began with, as far as it got to noting them.

    Raises:
        InputError: They are others now, what was noted is damaged, or a link in the folder leads out of it.
    """
    atomic.check_inside(folder, (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink()))
    if (folder / PROVENANCE).exists():
        inputs = facts_of(folder).get("inputs")
        if not isinstance(inputs, dict):
            raise InputError(f"{folder / PROVENANCE}: names no inputs; {_AS_WRITTEN}")
        for (path, digest), found in zip(inputs.items(), corpus.inputs.values(), strict=False):
            if digest != found:
                raise InputError(
                    f"{path}: is not the {corpus.noun} that {folder} was trained on (SHA-256 {found[:16]}, "
                    f"then {str(digest)[:16]}); that one would work"
                )
    if (folder / BASELINE).exists():
        from dnadiff.recipes.floors import floors_of

        floors_of(folder / BASELINE, corpus.tokenizer, pairs=corpus.config.data.pairs)
    split = json.loads(json.dumps(corpus.split_json()))
    if (folder / SPLIT).exists() and read_json(folder / SPLIT, _AS_WRITTEN) != split:
        raise InputError(
            f"{folder / SPLIT}: is not the split that config.json describes; the file as it was would work"
        )


def put(path: Path, value: object) -> None:
    """Writes JSON, whole or not at all.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with atomic.disk_errors(path):
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        atomic.sync(temporary)
        temporary.replace(path)


def room_needed(folder: Path, job: "Plan") -> int:
    """Bytes that a run will at most add to its folder: checkpoints, and a copy of the model while it is replaced."""
    n = sum(p.numel() for p in job.denoiser.parameters())
    there = len(list(folder.glob("checkpoints/step-*")))
    more = max(1, job.config.train.keep + 1 - there)
    return 4 * n * (4 * more + 2)  # float32: weights, average, two moments
