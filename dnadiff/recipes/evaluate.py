"""``dna-diff evaluate``: bits per base of held-out windows, beside Markov floors of the same windows."""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from dnadiff.checkpoints.folder import (
    WEIGHTS,
    load,
    load_tokenizer,
    model_folder,
    model_hash,
    read_provenance,
    read_spec,
)
from dnadiff.checkpoints.provenance import provenance
from dnadiff.config import from_json
from dnadiff.data.genome import Store, open_genome
from dnadiff.data.intervals import Interval, check_interval, overlap_bp, read_bed
from dnadiff.data.plain_json import read_json
from dnadiff.data.splits import Split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.diffusion.objective import MaskedNELBO
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import (
    Scores,
    WindowBatch,
    average,
    chosen_floors,
    floor_scores,
    reverse_complement,
    score,
    summarise,
)
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.recipes.inputs import held_out_windows
from dnadiff.recipes.tables import Column, check_out, publish
from dnadiff.schema import Config

_RUN = "a run folder written by dna-diff train would work"
COLUMNS = (
    Column("", "name"),
    Column("bits per base", "bits_per_base", "standard_error"),
    Column("Monte-Carlo error", "monte_carlo_error"),
    Column("nats", "nats_per_base"),
    Column("perplexity", "perplexity", style=".3f"),
    Column("model - floor, paired", "difference", "difference_error", "+.4f"),
)


def evaluate(
    run: str,
    data: str | None = None,
    out: str | None = None,
    *,
    split: str = "test",
    samples: int = 1,
    windows: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    dtype: str = "fp32",
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol``, ``verdict``, ``rows`` as of ``likelihood.summarise``, and the settings.

    Args:
        run: Run folder.
        data: A FASTA file or store to score whole, or a BED file of regions of the run's genome; None scores a split.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        split: ``test``, ``valid`` or ``train``.
        samples: Draws a window.
        windows: Score this many windows, evenly spaced; None scores all.
        both_strands: Average the bound over the two strands of every window.
        batch_size: Windows at once; changes no figure.
        dtype: ``fp32`` or ``bf16``.
        seed: None draws one, which is reported.
        quiet: Print no progress.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used, or training windows were asked for without ``split="train"``.
    """
    check_out(out)
    seed = secrets.randbits(32) if seed is None else seed
    config, parts = run_config(run), run_split(run)
    denoiser, tokenizer = load(run), _nucleotides(run)
    _check_window(config, run)
    objective = MaskedNELBO(denoiser.process, config.estimator)
    store, intervals, what, notes = _sequences(config, parts, data, split, run)
    dataset = held_out_windows(config, store, intervals)
    batches = partial(_batches, dataset, _evenly(len(dataset), windows), batch_size)
    show = not quiet
    autocast = torch.autocast("cpu", torch.bfloat16) if dtype == "bf16" else nullcontext()
    with autocast:
        model = score(denoiser, objective, batches("scoring" * show), seed=seed, samples=samples)
        if both_strands:
            turned = (reverse_complement(window, tokenizer) for window in batches("other strand" * show))
            model = average(model, score(denoiser, objective, turned, seed=seed, samples=samples, strand="-"))
    floors, missing = _floors(run, batches, tokenizer, both_strands)
    rows = summarise(model, floors)
    settings = {
        "run": run, "split": None if data else split, "length": config.model.length, "draws": samples,
        "both_strands": both_strands, "estimator": config.estimator, "dtype": dtype, "seed": seed,
    }  # fmt: skip
    report = {
        "protocol": [*_protocol(what, rows[0], settings), *notes, *missing, verdict(rows)],
        "verdict": verdict(rows),
        "rows": rows,
        "settings": settings,
    }
    for note in (*notes, *missing):
        print(f"dna-diff: note: {note}", file=sys.stderr)
    inputs = {f"{run}/model": model_hash(run), str(store.path): store.source_sha256}
    publish(out, report, COLUMNS, provenance(argv or [], seed, inputs), quiet)
    return report


def validation_floors(run: str) -> dict[str, float]:
    """Bits per base of the run's Markov chains on its validation split, by name: the lines beside its loss."""
    config, parts = run_config(run), run_split(run)
    dataset = held_out_windows(config, _genome(config, parts, run), parts["valid"])
    windows = _batches(dataset, np.arange(len(dataset)), 256)
    floors = floor_scores(MarkovChain.load(Path(run) / "baseline.npz"), windows, dataset.tokenizer)
    return {name: scores.bits_per_base for name, scores in chosen_floors(floors).items()}


def verdict(rows: list[dict]) -> str:
    """One sentence: which floors the model beats, and by how much it beats or misses the best."""
    model, floors = rows[0], rows[1:]
    if not floors:
        return f"the model pays {model['bits_per_base']:.4f} bits per base; uniform bases cost 2"
    beaten = [row["name"] for row in floors if row["difference"] + 2 * (row["difference_error"] or 0) < 0]
    best = floors[-1]
    gap = f"{abs(best['difference']):.4f} bits per base {'below' if best['difference'] < 0 else 'above'} {best['name']}"
    if best["name"] in beaten:
        return f"the model beats every Markov floor: {gap}"
    won = f"beats {', '.join(beaten)} and" if beaten else "beats no Markov floor yet:"
    return f"the model {won} lies {gap}" if beaten else f"the model {won} it lies {gap}"


def run_config(run: str) -> Config:
    """What a run was asked for.

    Raises:
        InputError: The folder is no run.
    """
    path = Path(run) / "config.json"
    if (Path(run) / WEIGHTS).is_file():
        raise InputError(f"{run}: is a model folder, which has no genome or split; the run folder above it would work")
    values = read_json(path, _RUN)
    try:
        config = from_json(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not config.data.path:
        raise InputError(f"{path}: names no genome (data.path); {_RUN}")
    return config


def run_split(run: str) -> Split:
    """The intervals a run trains, validates and tests on.

    Raises:
        InputError: The folder is no run.
    """
    path = Path(run) / "split.json"
    values = read_json(path, _RUN)
    try:
        return Split.from_json(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _nucleotides(run: str) -> NucleotideTokenizer:
    tokenizer = load_tokenizer(run)
    if not isinstance(tokenizer, NucleotideTokenizer):
        raise InputError(f"{run}: its tokens are {tokenizer.name}; a model of nucleotides would work")
    return tokenizer


def _genome(config: Config, parts: Split, run: str) -> Store:
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
        store = _genome(config, parts, run)
        if not parts[split]:
            raise InputError(f"--split {split}: the run held out nothing for it; another split would work")
        return store, parts[split], f"the run's {split} split", []
    if data.lower().removesuffix(".gz").endswith(".bed"):
        store = _genome(config, parts, run)
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


def _batches(
    dataset: WindowDataset, numbers: np.ndarray, batch_size: int, title: str = ""
) -> Iterator[dict[str, np.ndarray]]:
    """The windows in batches, with a progress bar on stderr if it has a title and stderr is a terminal."""
    console = Console(stderr=True)
    silent = not title or not console.is_terminal
    starts = range(0, len(numbers), batch_size)
    for start in track(starts, title, console=console, disable=silent, transient=True):
        yield dataset.__getitems__(numbers[start : start + batch_size])


def _evenly(count: int, wanted: int | None) -> np.ndarray:
    """The numbers of the windows to score, in order."""
    n = count if wanted is None else min(count, wanted)
    return np.arange(n, dtype=np.int64) * count // n


def _floors(
    run: str,
    batches: Callable[[], Iterator[WindowBatch]],
    tokenizer: NucleotideTokenizer,
    both_strands: bool,
) -> tuple[dict[str, Scores], list[str]]:
    path = Path(run) / "baseline.npz"
    if not path.exists():
        return {}, [f"{path} is missing: no Markov floors"]
    chain = MarkovChain.load(path)
    floors = floor_scores(chain, batches(), tokenizer)
    if both_strands:
        other = floor_scores(chain, (reverse_complement(window, tokenizer) for window in batches()), tokenizer)
        floors = {order: average(scores, other[order]) for order, scores in floors.items()}
    return chosen_floors(floors), []


def _protocol(what: str, model: dict, settings: dict) -> list[str]:
    strands = "both strands, averaged" if settings["both_strands"] else "forward strand"
    draws = "1 draw" if settings["draws"] == 1 else f"{settings['draws']} draws"
    return [
        f"{what}: {model['windows']:,} windows of {settings['length']} tokens on a grid, {model['bases']:,} bases, "
        f"{strands}",
        f"upper bound on -log2 p, {settings['estimator']} estimator, {draws} a window, {settings['dtype']}, "
        f"seed {settings['seed']}; ± is the standard error over windows",
        "Markov floors: counted on both strands of the training split, context restarts at every window; "
        "best is the order that pays least for these windows",
    ]
