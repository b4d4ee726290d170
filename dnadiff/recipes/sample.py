"""``dna-diff sample``: sequences from a trained model, as FASTA, or texts as JSON lines or plain text.

Sequence i of a seed is the same whatever the batch, the shard and however many are asked for; on a CPU in fp32 to the
last bit. So a shard is a range of numbers, the shards of some sequences one after the other are the file of one
process, and a killed process goes on behind the last sequence that is on the disk.

``rows_per_call`` is one of the settings that a sequence depends on: matrix products of another shape may round another
way in their last bit, and now and then a base is drawn that close to a boundary. With the same setting sequence i is
read together with the same others everywhere, those of i // rows_per_call, so what was said still holds.

A model of blocks is written while it is sampled, so a sequence may be longer than memory. A killed process leaves half
a sequence then, and the one that goes on begins it again: what a window has forgotten is still part of the keys of
deeper layers, and they are not on the disk.
"""

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.provenance import provenance
from dnadiff.data.fasta_writer import FastaWriter
from dnadiff.data.partial_fasta import Text
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError, did_you_mean
from dnadiff.recipes.conditioned import check_length, conditioned, hashes
from dnadiff.recipes.fasta_output import earlier_seed, fasta_file, finished, write_fasta
from dnadiff.recipes.model import DTYPES, Model, open_any_model
from dnadiff.recipes.records import Recorder
from dnadiff.recipes.shards import WHOLE, Shard, check_seed
from dnadiff.recipes.text_records import TextRecorder, check_text_out, form_of, prompts_of, starts_of, text_recorder
from dnadiff.recipes.walk import EXACT, Walk, paced, sampler_for, settled
from dnadiff.training import ranks

FARTHEST = 64  # times the training window; beyond it the distances within a sequence mean nothing to the model


def sample(
    run: str | Path,
    out: str | Path = "-",
    *,
    n: int = 10,
    length: int | None = None,
    walk: Walk = EXACT,
    batch_size: int = 64,
    dtype: str = "fp32",
    seed: int | None = None,
    shard: Shard = WHOLE,
    resume: bool = False,
    prompt: str | None = None,
    prompts: str | None = None,
    fill: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> None:
    """Writes ``n`` sequences as FASTA, or texts, and, beside a file, how they came about (``OUT.provenance.json``).

    A file grows under the name ``OUT.partial`` and gets its own name when it is whole. Processes that ``torchrun``
    started each write a partial file of their own, and the last one to finish puts them together.

    Args:
        run: Run folder or model folder.
        out: FASTA file to write, which must not exist, or ``-`` for standard output; ``.gz`` compresses. Of text a file
            of JSON lines (``.jsonl``) or plain text (``.txt``).
        n: Number of sequences, over all shards; of text for every prompt.
        length: Bases or tokens of each; None is the training window.
        walk: The sampler and its settings; where they name no pace, that of ``paced``.
        batch_size: Sequences at once; changes no sequence.
        dtype: ``fp32`` or ``bf16``, of the network; tokens are drawn in float64.
        seed: None draws one, which is printed and recorded, or takes that of the file that is resumed.
        shard: Which of the sequences to write.
        resume: Go on behind what is in ``OUT.partial``, and leave an ``out`` alone that this very work has finished.
        prompt: What texts begin with, for models of text.
        prompts: A file of such beginnings, a line or a JSON line each.
        fill: Fill the ``[MASK]`` of the prompts instead of going on behind them.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: There is no such model, a setting is impossible, or the output cannot be written.
        ResourceError: The disk is full; what was finished is kept.
    """
    quiet = quiet or ranks.rank() != 0
    _check(n=n, batch_size=batch_size, dtype=dtype)
    check_seed(seed, shard)
    file = fasta_file(out, resume)
    model = conditioned(open_any_model(run), walk)
    text, given = isinstance(model.tokenizer, TextTokenizer), prompts_of(prompt, prompts)
    _check_kind(text, out, given, fill)
    filled = starts_of(model, given, length, fill) if text else []
    length = _length(model, length, walk.stride)
    if seed is None:
        earlier = earlier_seed(file) if file and resume else None
        seed = secrets.randbits(32) if earlier is None else earlier
    walk = paced(settled(walk, model.denoiser), model, length)
    recorder = (
        text_recorder(model, walk, seed, filled, n)
        if text
        else Recorder(model, sampler_for(model, walk, length), seed, length)
    )
    items = shard.take(range(n * max(1, len(filled))), "sequences")
    settings = {"n": n, "length": length, **asdict(walk), "dtype": dtype, "seed": seed, "shard": str(shard)}
    weights = hashes(run, walk)
    settings |= {"model": weights[str(run)], "classifier": weights.get(str(walk.classifier))}
    settings |= {"prompts": given, "fill": fill} if text else {}
    if file and finished(file, settings):
        _tell(f"finished     {file} is there, with these settings: nothing to do", quiet)
        return
    _announce(model, walk, recorder.length, seed, quiet)
    model.denoiser.backbone.to(DTYPES[dtype])
    records, form = partial(_records, recorder, batch_size, quiet), form_of(out) if text else bytes
    if file is None:
        with FastaWriter(out) as fasta:
            for made in records(items):
                fasta.put(form(made.fasta))
    else:
        facts = provenance(argv or [], seed, weights) | settings | {"screening": "none"}
        try:
            write_fasta(file, items, records, settings, facts, resume, form)
        except KeyboardInterrupt:
            _tell("stopped      the same command with --resume goes on where it was", quiet)
            raise


def _check(*, n: int, batch_size: int, dtype: str) -> None:
    for name, value in (("--number", n), ("--batch-size", batch_size)):
        if value < 1:
            raise InputError(f"{name} {value}: needs 1 or more")
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype}: {did_you_mean(dtype, DTYPES)}")


def _check_kind(text: bool, out: str | Path, prompts: Sequence[str], fill: bool) -> None:
    if text:
        check_text_out(out)
    elif prompts or fill:
        flag = "--fill" if fill else "--prompt"
        raise InputError(f"{flag}: is for models of text; dna-diff design completes templates of bases")


def _length(model: Model[Any], length: int | None, stride: int | None) -> int:
    """Bases or tokens of a sequence, a training window if nothing was asked for."""
    length, most = model.window if length is None else length, FARTHEST * model.window
    if length < 1 or (length > most and model.block_size is None):
        raise InputError(f"--length {length}: the model read {model.window} bases at a time; 1 to {most} would work")
    check_length(model, length, stride)
    return length


def _announce(model: Model[Any], walk: Walk, length: int, seed: int, quiet: bool) -> None:
    """Says what will be sampled, and what to expect of sequences longer than a training window."""
    unit = "tokens" if isinstance(model.tokenizer, TextTokenizer) else "bases"
    together = walk.tokens_per_step or 1
    pace = f", {together} at a time (--tokens-per-step 1 is exact)" if together > 1 else ""
    _tell(f"sample       {length:,} {unit} each{pace}, seed {seed}, {model.name}", quiet)
    if length > model.window and walk.stride is None and model.block_size is None:
        longer = f"{length:,} {unit} are more than the {model.window:,} the model was trained on"
        _tell(f"note         {longer}; --stride slides a window", quiet)


def _records(recorder: Recorder | TextRecorder, batch_size: int, quiet: bool, items: range) -> Iterator[Text]:
    """The records of these numbers, with a progress bar."""
    with progress_bar(len(recorder.walked(items)) * recorder.length, quiet) as progress:
        yield from recorder.records(items, batch_size, progress)


def _tell(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)


@contextmanager
def progress_bar(total: int, quiet: bool, unit: str = "bases") -> Iterator[Callable[[int], None]]:
    """Takes numbers of bases, or what the unit is; shows a bar with the time left on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
