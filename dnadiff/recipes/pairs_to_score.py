"""Which pairs an evaluation scores: those of a run's split, or of another table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.folder import model_folder
from dnadiff.data.dataset import Dataset
from dnadiff.data.pair_windows import Pair, PairWindows
from dnadiff.data.pairs import read_file
from dnadiff.data.stream import sha256_of
from dnadiff.data.tokenizer import Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.errors import InputError
from dnadiff.recipes.corpus import part_of_run
from dnadiff.recipes.pair_corpus import PairCorpus
from dnadiff.recipes.run_folder import run_config

FoundPairs = tuple[Dataset, str, list[str]]
"""The pairs to score, where they are in words, and what the reader should be warned of."""


def pairs_to_score(
    run: str, spec: Mapping[str, Any], tokenizer: Tokenizer, data: str | None, split: str
) -> FoundPairs:  # fmt: skip
    """The pairs, in the words of a report, with its notes.

    Args:
        run: Run folder, or a model folder, which knows no split and can score whole tables.
        spec: Of the model.
        tokenizer: The model's.
        data: A table to score whole; None scores a split.
        split: ``test``, ``valid`` or ``train``.

    Raises:
        InputError: An input cannot be used.
    """
    alone = model_folder(run) == Path(run)
    if data is None and alone:
        would = f"a table of them to score whole would work: dna-diff evaluate {run} pairs.csv"
        raise InputError(f"{run}: is a model folder, which has no pairs or split; {would}")
    if data is None:
        corpus = PairCorpus(run_config(run), tokenizer)
        return part_of_run(corpus, run, split, "table"), f"the run's {split} split", []
    pairs = read_file(data, tokenizer, n_known=NUCLEOTIDES.n_id in spec["parameterization"]["allowed"])
    windows = pair_windows(spec, tokenizer, pairs, data)
    if alone:
        return windows, f"all of {data}", [f"{run} is a model folder: it may have been trained on these pairs"]
    return windows, f"all of {data}", _seen(run, tokenizer, windows, data)


def pair_windows(spec: Mapping[str, Any], tokenizer: Tokenizer, pairs: Sequence[Pair], data: str) -> PairWindows:
    """The rows of the pairs of a table, as those of a model.

    Args:
        spec: Of the model.
        tokenizer: The model's.
        pairs: The pairs.
        data: The table.

    Raises:
        InputError: A pair is too long.
    """
    return PairWindows(
        pairs, tokenizer, int(spec["length"]), source=(data, sha256_of(data)), bos=bool(spec.get("bos", False)),
        most=spec["pairs"]["source_length"],
    )  # fmt: skip


def _seen(run: str, tokenizer: Tokenizer, windows: PairWindows, data: str) -> list[str]:
    """A warning if sources are sources that the run trained on."""
    try:
        known = {pair.source for pair in PairCorpus(run_config(run), tokenizer).pairs.parts["train"]}
    except InputError:
        return [f"the pairs that {run} was trained on are not here: overlap with {data} was not checked"]
    again = sum(pair.source in known for pair in windows.pairs)
    return [f"trained on: the sources of {again:,} of the {len(windows):,} pairs of {data}"] if again else []
