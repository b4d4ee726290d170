"""The scores of an evaluation's windows: all at once, a shard of them, or shared by processes."""

import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from dnadiff.checkpoints.folder import (
    build_objective,
    load,
    model_hash,
    read_spec,
    scoring_section,
)
from dnadiff.checkpoints.manifest import sha256
from dnadiff.data.dataset import Dataset
from dnadiff.data.pair_windows import PairWindows
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.diffusion import Denoiser, Objective
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import Scores, WindowBatch, average, reverse_complement, score
from dnadiff.evaluation.score_part import ScorePart, merged
from dnadiff.recipes.floors import floors_of
from dnadiff.recipes.methods import likelihood_in_words
from dnadiff.recipes.shards import Shard, of_process
from dnadiff.recipes.windows_to_score import USUAL, windows_to_score
from dnadiff.training import ranks


@dataclass(frozen=True)
class Asked:
    """What to score, and how.

    Attributes:
        data: A FASTA file or store to score whole, or a BED file of regions of the run's genome; None scores a split.
        split: ``test``, ``valid`` or ``train``; None is ``test``.
        samples: Draws a window.
        windows: Score this many windows, evenly spaced; None scores all.
        both_strands: Average the bound over the two strands of every window.
        batch_size: Windows at once; changes no figure by more than rounding.
        block_size: Tokens of a block, for models trained on blocks; None is what the model was trained on.
        dtype: ``fp32`` or ``bf16``.
        seed: None draws one, which is reported.
    """

    data: str | None = None
    split: str | None = None
    samples: int = 1
    windows: int | None = None
    both_strands: bool = False
    batch_size: int = 64
    block_size: int | None = None
    dtype: str = "fp32"
    seed: int | None = None


@dataclass(frozen=True)
class Opened:
    """What will be scored.

    Attributes:
        run: Run or model folder.
        asked: What was asked for.
        about: What decides about the scores and is reported of them, plain JSON values.
        dataset: The windows.
        numbers: Those of the windows to score, in order.
        denoiser: The model.
        objective: What it is scored with.
    """

    run: str
    asked: Asked
    about: dict[str, Any]
    dataset: Dataset
    numbers: np.ndarray
    denoiser: Denoiser
    objective: Objective


def opened(run: str, asked: Asked) -> Opened:
    """A model and the windows to score, checked before anything is scored.

    A model folder without a run knows no split and no regions: it can score whole genomes.

    Raises:
        InputError: An input cannot be used, or training windows were asked for without ``split="train"``.
    """
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    denoiser, spec = load(run), read_spec(run)
    dataset, what, notes = windows_to_score(run, spec, asked.data, asked.split)
    text = isinstance(dataset.tokenizer, TextTokenizer)
    if text and asked.both_strands:
        raise InputError("--both-strands: text has one strand; leave it out")
    given = "source" if spec.get("pairs", False) else "beginning" if spec.get("prefix", False) else None
    if asked.both_strands and given:
        raise InputError("--both-strands: what is given lies left of what is scored; leave it out")
    scoring = _in_blocks(scoring_section(spec), asked.block_size, dataset.length)
    unit = "token" if text else "base"
    likelihood = likelihood_in_words(scoring, unit)
    objective = build_objective(scoring, denoiser.process)
    if objective.exact and asked.samples != 1:
        raise InputError(f"--samples {asked.samples}: the likelihood of {run} is exact and draws nothing; leave it out")
    baseline = Path(run) / "baseline.npz"
    if not baseline.exists():
        notes.append(f"{baseline} is missing: no Markov floors")
    source, digest = dataset.source
    about = {
        "settings": {
            "split": None if asked.data else asked.split or USUAL, "length": dataset.length, "draws": asked.samples,
            "both_strands": asked.both_strands, "algo": spec.get("algo"), "objective": dict(scoring),
            "dtype": asked.dtype, "seed": seed, **({"given": given} if given else {}),
        },
        "exact": objective.exact, "likelihood": likelihood,
        "windows": asked.windows, "batch_size": asked.batch_size, "what": what, "notes": notes,
        "model": model_hash(run), "genome": [source, digest],
        "baseline": sha256(baseline) if baseline.exists() else None, "unit": unit,
        "tokens": dataset.tokenizer.vocab_size,
    }  # fmt: skip
    numbers = evenly(len(dataset), asked.windows)
    return Opened(run, asked, about, dataset, numbers, denoiser, objective)


def scored(job: Opened, shard: Shard, quiet: bool) -> ScorePart:
    """What the windows of a shard cost; the processes that ``torchrun`` started share them, and all get the scores.

    A shard is a range of whole batches, so that every window is scored in the company it has in one process.

    Raises:
        InputError: There are more shards than batches.
    """
    asked, here = job.asked, of_process()
    size, units = asked.batch_size, f"batches of {asked.batch_size} windows"
    mine = here.take(shard.take(range(math.ceil(len(job.numbers) / size)), units), units)
    numbers = job.numbers[mine.start * size : mine.stop * size]
    batches = partial(batches_of, job.dataset, numbers, size)
    denoiser, objective = job.denoiser, job.objective
    seed = job.about["settings"]["seed"]
    show = not quiet and ranks.rank() == 0
    device = ranks.device()
    denoiser.to(device)
    price = partial(score, denoiser, objective, seed=seed, samples=asked.samples, device=device)
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16) if asked.dtype == "bf16" else nullcontext()
    with autocast:
        model = price(batches("scoring" * show))
        if asked.both_strands:
            turned = (reverse_complement(window, NUCLEOTIDES) for window in batches("other strand" * show))
            model = average(model, price(turned, strand="-"))
    floors = _floors(job.run, batches, job.dataset, asked.both_strands) if job.about["baseline"] else {}
    part = ScorePart(job.about, (here.number, here.of), model, floors)
    parts = [(f"process {other.shard[0]}", other) for other in ranks.gathered(part)]
    return replace(merged(parts), shard=(shard.number, shard.of))


def batches_of(
    dataset: Dataset, numbers: np.ndarray, batch_size: int, title: str = ""
) -> Iterator[dict[str, np.ndarray]]:
    """The windows in batches, with a progress bar on stderr if it has a title and stderr is a terminal."""
    console = Console(stderr=True)
    silent = not title or not console.is_terminal
    starts = range(0, len(numbers), batch_size)
    for start in track(starts, title, console=console, disable=silent, transient=True):
        yield dataset.__getitems__(numbers[start : start + batch_size])


def _in_blocks(scoring: Mapping[str, Any], block_size: int | None, length: int) -> Mapping[str, Any]:
    """What the model is scored with, in blocks of another size if one is asked for."""
    if block_size is None:
        return scoring
    if "block_size" not in scoring:
        raise InputError(f"--block-size {block_size}: the model reads whole sequences; leave it out")
    if block_size > length:
        raise InputError(f"--block-size {block_size}: the model reads {length} tokens; 1 to {length} would work")
    return {**scoring, "block_size": block_size}


def evenly(count: int, wanted: int | None) -> np.ndarray:
    """The numbers of some windows out of ``count``, in order and evenly spaced; all if ``wanted`` is None."""
    n = count if wanted is None else min(count, wanted)
    return np.arange(n, dtype=np.int64) * count // n


def _floors(
    run: str, batches: Callable[[], Iterator[WindowBatch]], dataset: Dataset, both_strands: bool
) -> dict[int, Scores]:
    measured = floors_of(Path(run) / "baseline.npz", dataset.tokenizer, pairs=isinstance(dataset, PairWindows))
    floors = measured(batches())
    if both_strands:
        other = measured(reverse_complement(window, NUCLEOTIDES) for window in batches())
        floors = {order: average(scores, other[order]) for order, scores in floors.items()}
    return floors
