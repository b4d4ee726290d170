"""The windows an evaluation scores, and their scores: all at once, a shard of them, or shared by processes."""

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
    load_tokenizer,
    model_folder,
    model_hash,
    read_provenance,
    read_spec,
    scoring_section,
)
from dnadiff.checkpoints.manifest import sha256
from dnadiff.data.genome import Store, open_genome
from dnadiff.data.intervals import Interval, check_interval, overlap_bp, read_bed
from dnadiff.data.splits import Split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.diffusion import Denoiser, Objective
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import Scores, WindowBatch, average, floor_scores, reverse_complement, score
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.score_part import ScorePart, merged
from dnadiff.recipes.inputs import held_out_windows
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.recipes.shards import Shard, of_process
from dnadiff.schema import Config
from dnadiff.training import ranks


@dataclass(frozen=True)
class Asked:
    """What to score, and how.

    Attributes:
        data: A FASTA file or store to score whole, or a BED file of regions of the run's genome; None scores a split.
        split: ``test``, ``valid`` or ``train``.
        samples: Draws a window.
        windows: Score this many windows, evenly spaced; None scores all.
        both_strands: Average the bound over the two strands of every window.
        batch_size: Windows at once; changes no figure by more than rounding.
        block_size: Tokens of a block, for models trained on blocks; None is what the model was trained on.
        dtype: ``fp32`` or ``bf16``.
        seed: None draws one, which is reported.
    """

    data: str | None = None
    split: str = "test"
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
        run: Run folder.
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
    dataset: WindowDataset
    numbers: np.ndarray
    denoiser: Denoiser
    objective: Objective


def opened(run: str, asked: Asked) -> Opened:
    """A run and the windows to score, checked before anything is scored.

    Raises:
        InputError: An input cannot be used, or training windows were asked for without ``split="train"``.
    """
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    config, parts = run_config(run), run_split(run)
    denoiser = load(run)
    _check_window(config, run)
    store, intervals, what, notes = _sequences(config, parts, asked.data, asked.split, run)
    dataset = held_out_windows(config, store, intervals)
    scoring = _in_blocks(scoring_section(read_spec(run)), asked.block_size, config.model.length)
    objective = build_objective(scoring, denoiser.process)
    if objective.exact and asked.samples != 1:
        raise InputError(f"--samples {asked.samples}: the likelihood of {run} is exact and draws nothing; leave it out")
    baseline = Path(run) / "baseline.npz"
    about = {
        "settings": {
            "split": None if asked.data else asked.split, "length": config.model.length, "draws": asked.samples,
            "both_strands": asked.both_strands, "algo": config.algo.name, "objective": dict(scoring),
            "dtype": asked.dtype, "seed": seed,
        },
        "exact": objective.exact,
        "windows": asked.windows, "batch_size": asked.batch_size, "what": what, "notes": notes,
        "model": model_hash(run), "genome": [str(store.path), store.source_sha256],
        "baseline": sha256(baseline) if baseline.exists() else None,
    }  # fmt: skip
    numbers = _evenly(len(dataset), asked.windows)
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
    denoiser, objective, tokenizer = job.denoiser, job.objective, _nucleotides(job.run)
    seed = job.about["settings"]["seed"]
    show = not quiet and ranks.rank() == 0
    autocast = torch.autocast("cpu", torch.bfloat16) if asked.dtype == "bf16" else nullcontext()
    with autocast:
        model = score(denoiser, objective, batches("scoring" * show), seed=seed, samples=asked.samples)
        if asked.both_strands:
            turned = (reverse_complement(window, tokenizer) for window in batches("other strand" * show))
            model = average(model, score(denoiser, objective, turned, seed=seed, samples=asked.samples, strand="-"))
    floors = _floors(job.run, batches, tokenizer, asked.both_strands) if job.about["baseline"] else {}
    part = ScorePart(job.about, (here.number, here.of), model, floors)
    parts = [(f"process {other.shard[0]}", other) for other in ranks.gathered(part)]
    return replace(merged(parts), shard=(shard.number, shard.of))


def batches_of(
    dataset: WindowDataset, numbers: np.ndarray, batch_size: int, title: str = ""
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


def _nucleotides(run: str) -> NucleotideTokenizer:
    tokenizer = load_tokenizer(run)
    if not isinstance(tokenizer, NucleotideTokenizer):
        raise InputError(f"{run}: its tokens are {tokenizer.name}; a model of nucleotides would work")
    return tokenizer


def genome_of(config: Config, parts: Split, run: str) -> Store:
    """The genome of a run, which must still be the one that its model was trained on.

    Raises:
        InputError: It is gone, or another one, or does not have the run's intervals.
    """
    path = str(config.data.path)
    store = open_genome(path)
    noted = read_provenance(run).get("inputs", {})
    if noted and not (isinstance(noted, dict) and store.source_sha256 in noted.values()):
        raise InputError(
            f"{path}: is not the genome that {run} was trained on (found SHA-256 {store.source_sha256[:16]}); that one "
            f"would work, or naming this one: dna-diff evaluate {run} {path}"
        )
    sizes, place = store.sizes, str(Path(run) / "split.json")
    for interval in (*parts.train, *parts.valid, *parts.test):
        check_interval(interval, sizes, place)
    return store


def _check_window(config: Config, run: str) -> None:
    """Refuses the configuration of one run beside the model of another."""
    length = read_spec(run)["length"]
    if length != config.model.length:
        raise InputError(
            f"{Path(run) / 'config.json'}: found model.length={config.model.length}, while {model_folder(run)} was "
            f"trained with {length}; the file as the run wrote it would work"
        )


def _sequences(
    config: Config, parts: Split, data: str | None, split: str, run: str
) -> tuple[Store, tuple[Interval, ...], str, list[str]]:
    """The genome to score, where, in words, and what the reader should be warned of."""
    if data is None:
        store = genome_of(config, parts, run)
        if not parts[split]:
            raise InputError(f"--split {split}: the run held out nothing for it; another split would work")
        return store, parts[split], f"the run's {split} split", []
    if data.lower().removesuffix(".gz").endswith(".bed"):
        store = genome_of(config, parts, run)
        regions = tuple(row.interval for row in read_bed(data, store.sizes))
        seen = overlap_bp(regions, parts.train)
        if seen and split != "train":
            raise InputError(f"{data}: {seen:,} bp of it were trained on; held-out regions or --split train would work")
        return store, regions, f"the regions of {data}", []
    store = open_genome(data)
    whole = tuple(Interval(name, 0, size) for name, size in store.sizes.items())
    return store, whole, f"all of {data}", _contamination(config, parts, store)


def _contamination(config: Config, parts: Split, store: Store) -> list[str]:
    """A warning if contigs of the store are, by MD5, contigs that the run trained on."""
    try:
        trained = open_genome(str(config.data.path))
    except InputError:
        return [f"the run's genome {config.data.path} is not here: overlap with its training contigs was not checked"]
    used = {interval.chrom for interval in parts.train}
    known = {contig["md5"] for contig in trained.index["contigs"] if contig["name"] in used}
    again = [contig["name"] for contig in store.index["contigs"] if contig["md5"] in known]
    return [f"trained on: {', '.join(again[:3])}{' ...' * (len(again) > 3)} (same MD5)"] if again else []


def _evenly(count: int, wanted: int | None) -> np.ndarray:
    """The numbers of the windows to score, in order."""
    n = count if wanted is None else min(count, wanted)
    return np.arange(n, dtype=np.int64) * count // n


def _floors(
    run: str,
    batches: Callable[[], Iterator[WindowBatch]],
    tokenizer: NucleotideTokenizer,
    both_strands: bool,
) -> dict[int, Scores]:
    chain = MarkovChain.load(Path(run) / "baseline.npz")
    floors = floor_scores(chain, batches(), tokenizer)
    if both_strands:
        other = floor_scores(chain, (reverse_complement(window, tokenizer) for window in batches()), tokenizer)
        floors = {order: average(scores, other[order]) for order, scores in floors.items()}
    return floors
