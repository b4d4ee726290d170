"""``dna-diff predict``: what a fine-tuned model says of sequences, as a table."""

import itertools
import sys
from pathlib import Path

import numpy as np

from dnadiff.checkpoints.folder import model_folder, model_hash
from dnadiff.checkpoints.predictor import load_predictor
from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data import atomic
from dnadiff.data.labelled import read_sequences
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import printable
from dnadiff.recipes.sample import progress_bar
from dnadiff.recipes.tables import write_whole
from dnadiff.training import ranks


def predict(
    model: str,
    data: str,
    out: str = "-",
    *,
    both_strands: bool = False,
    batch_size: int = 64,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> None:
    """Writes a line of TSV for each sequence: its name, of classes the most probable, and every probability or number.

    Of a model that labels bases, a line for each stretch of one class, as in BED: name, start, end, class and the mean
    of the probabilities of that class.

    Args:
        model: Model folder or run folder of ``finetune``.
        data: FASTA or a table of sequences, of models of text a table; labels in it are not looked at.
        out: File to write, or ``-``.
        both_strands: Average the outputs of both strands; else it is done if it was in the model's validation.
        batch_size: Sequences at once.
        quiet: Show no progress.
        argv: The command line, for the provenance.

    Raises:
        InputError: The model or a sequence cannot be used, or ``out`` exists.
        ResourceError: The disk is full.
    """
    atomic.check_file(out)
    tuned = load_predictor(model)
    tokenizer = tuned.frame.tokenizer
    examples, digests = read_sequences(data, tokenizer if isinstance(tokenizer, TextTokenizer) else None)
    for example in examples:
        tuned.check(example.codes, example.place)
    tuned.predictor.to(ranks.device())
    codes = [example.codes for example in examples]
    with progress_bar(len(codes), quiet, unit="sequences") as progress:
        found = tuned.predict(codes, batch_size=batch_size, both_strands=both_strands or None, progress=progress)
    names = [example.name for example in examples]
    text = _runs(names, found, tuned.names) if tuned.kind == "tokens" else _table(names, found, tuned.kind, tuned.names)
    if out == "-":
        sys.stdout.write(text)
        return
    write_whole(Path(out), text.encode())
    if not atomic.is_stream(out):
        inputs = {str(model_folder(model)): model_hash(model), **digests}
        write_provenance(Path(out), provenance(argv or [], None, inputs))


def _table(names: list[str], found: np.ndarray, kind: str, columns: tuple[str, ...]) -> str:
    """The lines of the table, the columns' names first."""
    head = ["name", *(["class"] if kind == "class" else []), *map(printable, columns)]
    lines = ["\t".join(head)]
    for name, row in zip(names, found, strict=True):
        said = [printable(columns[int(row.argmax())])] if kind == "class" else []
        lines.append("\t".join([printable(name), *said, *(f"{value:.6g}" for value in row)]))
    return "\n".join(lines) + "\n"


def _runs(names: list[str], found: list[np.ndarray], classes: tuple[str, ...]) -> str:
    """The lines of BED: stretches of bases of which the same class is the most probable; none where bases are N."""
    lines = ["#name\tstart\tend\tclass\tprobability"]
    for name, rows in zip(names, found, strict=True):
        said = np.where(np.isnan(rows[:, 0]), -1, rows.argmax(1))
        edges = [0, *(np.flatnonzero(np.diff(said)) + 1).tolist(), len(said)]
        for start, end in itertools.pairwise(edges):
            number = int(said[start])
            if number >= 0:
                place = f"{printable(name)}\t{start}\t{end}\t{printable(classes[number])}"
                lines.append(f"{place}\t{rows[start:end, number].mean():.6g}")
    return "\n".join(lines) + "\n"
