"""``dna-diff sample --pairs``: a target for every source of a table, as a table of sources, targets and predictions.

A prediction depends on the seed, its number and the settings, ``--batch-size`` not among them. A table is written whole
or not at all.
"""

import csv
import io
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from dnadiff.checkpoints.folder import build_objective, model_hash, read_spec, scoring_section
from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data import atomic
from dnadiff.data.pair_windows import Pair
from dnadiff.data.pairs import read_file
from dnadiff.data.stream import sha256_of
from dnadiff.errors import InputError
from dnadiff.recipes.conditioned import conditioned
from dnadiff.recipes.model import DTYPES, open_any_model
from dnadiff.recipes.pairs_to_score import pair_windows
from dnadiff.recipes.sample import progress_bar
from dnadiff.recipes.tables import write_whole
from dnadiff.recipes.targets import Decoding, completed, target_of, with_candidates
from dnadiff.recipes.walk import EXACT, Walk, settled

COLUMNS = ("source", "target", "prediction")
FORMS = {".tsv": "\t", ".csv": ","}


def sample_targets(
    run: str,
    pairs: str,
    out: str = "-",
    *,
    n: int = 1,
    walk: Walk = EXACT,
    candidates: int | None = None,
    batch_size: int = 64,
    dtype: str = "fp32",
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> None:
    """Writes ``n`` targets for every source, with the target of the table beside where it has one.

    Args:
        run: Run or model folder of a model that was trained on pairs.
        pairs: A table with the column source, and perhaps target.
        out: ``.tsv``, ``.csv`` or ``.jsonl``, which must not exist, or ``-`` for TSV on standard output.
        n: Targets of each source.
        walk: The sampler and its settings.
        candidates: Targets that each one is chosen out of, by the model's bound on -log p; None is 1, and 8 of a model
            that repairs tokens.
        batch_size: Rows at once; changes no prediction.
        dtype: ``fp32`` or ``bf16``, of the network.
        seed: None draws one, which is printed and recorded.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: There is no such model or table, a setting is impossible, or the output cannot be written.
        ResourceError: The disk is full.
    """
    suffix = _suffix(out)
    model, spec = conditioned(open_any_model(run, pairs=True), walk), read_spec(run)
    if not model.pairs:
        raise InputError(f"--pairs {pairs}: {run} was not trained on pairs; one of data.pairs=true would work")
    known = read_file(pairs, model.tokenizer, n_known=True, targets=False)
    alone = [replace(pair, target_ids=pair.target_ids[:0]) for pair in known for _ in range(n)]
    windows = pair_windows(spec, model.tokenizer, alone, pairs)
    seed = secrets.randbits(32) if seed is None else seed
    walk = settled(walk, model.denoiser)
    decoding = Decoding(*with_candidates(model, walk, candidates), "")
    objective = build_objective(scoring_section(spec), model.denoiser.process)
    model.denoiser.backbone.to(DTYPES[dtype])
    if not quiet:
        print(f"sample       targets of {len(known):,} sources, seed {seed}, {model.name}", file=sys.stderr)
    predictions: list[str] = []
    step = -(-batch_size // (walk.rows_per_call or 1)) * (walk.rows_per_call or 1)
    with progress_bar(len(windows) * windows.length, quiet) as progress:
        for start in range(0, len(windows), step):
            batch = windows.__getitems__(np.arange(start, min(start + step, len(windows))))
            rows = completed(model, objective, decoding, batch, seed, progress)
            scored = ~batch["given"]
            predictions += [
                target_of(row, where, model.tokenizer, pairs=True) for row, where in zip(rows, scored, strict=True)
            ]
    _write(out, table(known, predictions, suffix))
    if not atomic.is_stream(out):
        settings = {"n": n, **asdict(walk), "candidates": candidates, "dtype": dtype, "seed": seed}
        inputs = {run: model_hash(run), pairs: sha256_of(pairs)}
        write_provenance(Path(out), provenance(argv or [], seed, inputs) | settings)


def table(pairs: Sequence[Pair], predictions: Sequence[str], suffix: str) -> str:
    """The text of a table with a row for each prediction.

    Args:
        pairs: The sources and their targets.
        predictions: As many for each source, those of one source together.
        suffix: ``.tsv``, ``.csv`` or ``.jsonl``.
    """
    each = len(predictions) // len(pairs)
    rows = [(pairs[i // each].source, pairs[i // each].target, told) for i, told in enumerate(predictions)]
    if suffix == ".jsonl":
        lines = (json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows)
        return "".join(f"{line}\n" for line in lines)
    text = io.StringIO()
    csv.writer(text, delimiter=FORMS[suffix], lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def _suffix(out: str) -> str:
    """The kind of an output, checked before any work is done."""
    atomic.check_file(out)
    if atomic.is_stream(out):
        return ".tsv"
    suffix = Path(out).suffix
    if suffix not in (*FORMS, ".jsonl"):
        raise InputError(f"-o {out}: predictions are a table; a name that ends in .tsv, .csv or .jsonl would work")
    return suffix


def _write(out: str, text: str) -> None:
    if out == "-":
        sys.stdout.write(text)
    else:
        write_whole(Path(out), text.encode())
