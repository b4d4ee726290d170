"""The rows of an evaluation that say how good the targets are that a model writes, beside those of no model at all."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dnadiff.data.dataset import Dataset
from dnadiff.data.pair_windows import PairWindows
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError
from dnadiff.evaluation.answers import check_bleu, figures
from dnadiff.recipes.model import DTYPES, open_any_model
from dnadiff.recipes.sample import progress_bar
from dnadiff.recipes.scoring import Opened, batches_of, evenly
from dnadiff.recipes.tables import Column
from dnadiff.recipes.targets import ROWS, completed, letters, target_of, usual_decoding

Answers = tuple[list[dict[str, Any]], str]
"""Rows of a report, and a line about them."""

USUAL = 100
"""Targets that are written of pairs unless another number is asked for."""

BASE_COLUMNS = (
    Column("exact match", "exact_match", "exact_match_error"),
    Column("same bases", "same_bases", "same_bases_error"),
    Column("identity", "identity", "identity_error"),
)
TEXT_COLUMNS = (
    Column("exact match", "exact_match", "exact_match_error"),
    Column("F1", "f1", "f1_error"),
    Column("BLEU", "bleu", "bleu_error", ".2f"),
)


def answers_wanted(job: Opened, generate: int | None, bleu: bool) -> int:
    """How many targets are to be written, before anything is done.

    Args:
        job: What is evaluated.
        generate: How many were asked for; None is ``USUAL`` of pairs and none of windows.
        bleu: Whether BLEU was asked for.

    Raises:
        InputError: Nothing of the windows is given, or BLEU cannot be computed of them.
    """
    given = job.about["settings"].get("given")
    if given is None and generate:
        raise InputError(
            f"--generate {generate}: the model is given nothing; one of data.pairs=true or algo.prefix=true would work"
        )
    count = generate if generate is not None else USUAL if given == "source" else 0
    if bleu:
        if not isinstance(job.dataset.tokenizer, TextTokenizer):
            raise InputError("--bleu: compares texts, and these are bases; leave it out")
        if not count:
            raise InputError("--bleu: no target is written; --generate 100 would work")
        check_bleu()
    return count


def answer_rows(job: Opened, count: int, bleu: bool, quiet: bool) -> Answers:
    """A row for what the model writes and one for each way without a model, and a line about how.

    Args:
        job: What is evaluated.
        count: Write the targets of so many windows, evenly spaced.
        bleu: BLEU too.
        quiet: Show no progress.

    Raises:
        InputError: The model cannot write.
    """
    model, dataset, seed = open_any_model(job.run, pairs=True), job.dataset, job.about["settings"]["seed"]
    model.denoiser.backbone.to(DTYPES[job.asked.dtype])
    decoding, numbers = usual_decoding(model), evenly(len(dataset), count)
    written, known = [], []
    with progress_bar(len(numbers) * dataset.length, quiet) as progress:
        for batch in batches_of(dataset, numbers, ROWS):
            rows = completed(model, job.objective, decoding, batch, seed, progress)
            scored = batch["valid"] & ~batch["given"]
            written += [
                target_of(row, where, model.tokenizer, pairs=model.pairs)
                for row, where in zip(rows, scored, strict=True)
            ]
            known += list(_known(dataset, batch))
    sources, wanted = [source for source, _ in known], [target for _, target in known]
    text = isinstance(model.tokenizer, TextTokenizer)
    tried = {"model, targets written": written} | _without_model(sources, wanted, text=text, pairs=model.pairs)
    found = [{"name": name, **figures(told, wanted, text=text, bleu=bleu)} for name, told in tried.items()]
    what = "exact match and F1 after SQuAD's normalisation" if text else "identity is 1 - edit distance / length"
    return found, f"targets of {len(numbers):,} written {decoding.words}; {what}; ± is bootstrapped over them"


def _known(dataset: Dataset, batch: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    """What is given of each window and what is wanted behind it."""
    if isinstance(dataset, PairWindows):
        pairs = (dataset.pairs[number] for number in batch["item_ids"].tolist())
        yield from ((pair.source, pair.target) for pair in pairs)
        return
    for tokens, valid, given in zip(batch["tokens"], batch["valid"], batch["given"], strict=True):
        yield letters(tokens[given], dataset.tokenizer), letters(tokens[valid & ~given], dataset.tokenizer)


def _without_model(sources: list[str], wanted: list[str], *, text: bool, pairs: bool) -> dict[str, list[str]]:
    """What can be written without a model: the source, or its end; of bases the one that it has most often."""
    shown = "copy of the source" if pairs else "copy of what lies left"
    both = zip(sources, wanted, strict=True)
    copied = sources if pairs else [source[max(0, len(source) - len(target)) :] for source, target in both]
    if text:
        return {shown: copied}
    commonest = (max("ACGT", key=source.count) for source in sources)
    return {shown: copied, "its commonest base": [c * len(w) for c, w in zip(commonest, wanted, strict=True)]}
