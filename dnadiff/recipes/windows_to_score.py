"""Which windows an evaluation scores: those of a run's split, of regions of its genome, or of another genome.

Models of text score a split or other texts (``texts_to_score``), models of pairs those (``pairs_to_score``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.folder import load_tokenizer, model_folder, read_provenance
from dnadiff.data.dataset import Dataset
from dnadiff.data.genome import Store, open_genome
from dnadiff.data.intervals import Interval, check_interval, overlap_bp, read_bed
from dnadiff.data.splits import Split
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.inputs import held_out_windows, windows_of_model
from dnadiff.recipes.pairs_to_score import pairs_to_score
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.recipes.texts_to_score import texts_to_score
from dnadiff.schema import Config

USUAL = "test"
"""The part of a run that is scored unless another is asked for."""

Found = tuple[Dataset, str, list[str]]
"""The windows to score, where they are in words, and what the reader should be warned of."""


def windows_to_score(run: str, spec: Mapping[str, Any], data: str | None, split: str | None) -> Found:
    """The windows, in the words of a report, with its notes.

    Args:
        run: Run folder; a model folder without a run knows no split and no regions, and can score whole genomes.
        spec: Of the model.
        data: A FASTA file or store to score whole, or a BED file of regions of the run's genome; of text another text;
            None scores a split.
        split: ``test``, ``valid`` or ``train``; None is ``test``.

    Raises:
        InputError: An input cannot be used, training windows were asked for without ``split="train"``, or the model's
            vocabulary is unknown.
    """
    tokenizer = load_tokenizer(run)
    if not isinstance(tokenizer, NucleotideTokenizer | TextTokenizer):
        raise InputError(f"{run}: its tokens are {tokenizer.name}; a model of nucleotides would work")
    if split is not None and data is not None and not _is_bed(data):
        raise InputError(f"--split {split}: {data} is scored whole; leave it out")
    if spec.get("pairs", False):
        return pairs_to_score(run, spec, tokenizer, data, split or USUAL)
    if isinstance(tokenizer, TextTokenizer):
        return texts_to_score(run, spec, tokenizer, data, split or USUAL)
    if model_folder(run) == Path(run):
        return _of_model(run, spec, data)
    return _of_run(run, spec, data, split or USUAL)


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


def _of_run(run: str, spec: Mapping[str, Any], data: str | None, split: str) -> Found:
    config, parts = run_config(run), run_split(run)
    _check_window(config, spec["length"], run)
    store, intervals, what, notes = _sequences(config, parts, data, split, run)
    return held_out_windows(config, store, intervals), what, notes


def _of_model(model: str, spec: Mapping[str, Any], data: str | None) -> Found:
    would = f"a genome to score whole would work: dna-diff evaluate {model} genome.fa"
    if data is None:
        raise InputError(f"{model}: is a model folder, which has no genome or split; {would}")
    if _is_bed(data):
        raise InputError(f"{data}: names regions of a run's genome, and {model} is a model folder; {would}")
    store = open_genome(data)
    inputs = read_provenance(model).get("inputs", {})
    seen = isinstance(inputs, dict) and store.source_sha256 in inputs.values()
    trained = "was trained on parts of this very genome" if seen else "may have been trained on some of this sequence"
    note = f"{model} is a model folder: it has no split, and {trained}"
    return windows_of_model(spec, store), f"all of {data}", [note]


def _check_window(config: Config, length: int, run: str) -> None:
    """Refuses the configuration of one run beside the model of another, which reads windows of ``length`` tokens."""
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
    if _is_bed(data):
        store = genome_of(config, parts, run)
        regions = tuple(row.interval for row in read_bed(data, store.sizes))
        seen = overlap_bp(regions, parts.train)
        if seen and split != "train":
            raise InputError(f"{data}: {seen:,} bp of it were trained on; held-out regions or --split train would work")
        return store, regions, f"the regions of {data}", []
    store = open_genome(data)
    whole = tuple(Interval(name, 0, size) for name, size in store.sizes.items())
    return store, whole, f"all of {data}", _contamination(config, parts, store)


def _is_bed(data: str) -> bool:
    return data.lower().removesuffix(".gz").endswith(".bed")


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
