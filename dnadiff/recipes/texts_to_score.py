"""Which windows of text an evaluation scores: those of a run's split, or of other texts, as the model's were cut."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.folder import model_folder
from dnadiff.data.cut import Cut
from dnadiff.data.dataset import Dataset
from dnadiff.data.documents import has_records
from dnadiff.data.text_windows import Part, TextWindows
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.corpus import part_of_run
from dnadiff.recipes.run_folder import run_config
from dnadiff.recipes.text_corpus import TextCorpus, source_of
from dnadiff.schema import TextConfig

FoundText = tuple[Dataset, str, list[str]]
"""The windows to score, where they are in words, and what the reader should be warned of."""


def texts_to_score(
    run: str, spec: Mapping[str, Any], tokenizer: TextTokenizer, data: str | None, split: str
) -> FoundText:
    """The windows, in the words of a report, with its notes.

    Args:
        run: Run folder, or a model folder, which knows no split and can score whole texts.
        spec: Of the model.
        tokenizer: The model's.
        data: A text to score whole: a file, a named set or ``SET=FILE``; None scores a split.
        split: ``test``, ``valid`` or ``train``; of a named set the validation part is scored, as in
            MDLM's zero-shot table.

    Raises:
        InputError: An input cannot be used.
    """
    alone = model_folder(run) == Path(run)
    if data is None and alone:
        would = f"a text to score whole would work: dna-diff evaluate {run} other.txt"
        raise InputError(f"{run}: is a model folder, which has no text or split; {would}")
    if data is None:
        corpus = TextCorpus(run_config(run), tokenizer)
        return part_of_run(corpus, run, split, "text"), f"the run's {split} split", []
    rule = "auto" if alone or has_records(data) else run_config(run).text.documents
    store = source_of(data, "valid", TextConfig(documents=rule)).store(tokenizer)
    found = TextWindows(
        Part(store, 0, store.documents), tokenizer, int(spec["length"]), seed=0, bos=bool(spec.get("bos", False)),
        **_cut(spec),
    )  # fmt: skip
    notes = [f"{run} is a model folder: it has no split, and may have been trained on this text"]
    notes = notes if alone else _seen(run, tokenizer, found, data)
    return Cut(found, 0) if spec.get("prefix", False) else found, f"all of {data}", notes


def _cut(spec: Mapping[str, Any]) -> dict[str, bool]:
    """How the model's windows were cut; models of others were trained on streams."""
    text = spec.get("text", {})
    return {"wrap": bool(text.get("wrap", True)), "window_ends": bool(text.get("window_ends", False))}


def _seen(run: str, tokenizer: TextTokenizer, windows: TextWindows, data: str) -> list[str]:
    """A warning if documents are, letter by letter, documents that the run trained on."""
    try:
        trained = TextCorpus(run_config(run), tokenizer).parts["train"]
    except InputError:
        return [f"the text that {run} was trained on is not here: overlap with {data} was not checked"]
    known = trained.store.digests[trained.first : trained.last]
    again = int(np.isin(windows.part.store.digests, known).sum())
    return [f"trained on: {again:,} of the {windows.part.store.documents:,} documents of {data}"] if again else []
