"""``dna-diff sample``: sequences from a trained model, as FASTA.

Sequence i of a seed is the same whatever the batch, the shard and however many are asked for; on a CPU in fp32 to the
last bit. So a shard is a range of numbers, the shards of some sequences one after the other are the file of one
process, and a killed process goes on behind the last sequence that is on the disk.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from dnadiff.checkpoints.folder import model_hash
from dnadiff.checkpoints.provenance import provenance
from dnadiff.data.fasta_writer import FastaWriter, fasta_record
from dnadiff.diffusion import Sampler
from dnadiff.errors import InputError, did_you_mean
from dnadiff.random import Draws
from dnadiff.recipes.fasta_output import earlier_seed, fasta_file, finished, write_fasta
from dnadiff.recipes.model import DTYPES, Model, open_model
from dnadiff.recipes.shards import WHOLE, Shard, check_seed
from dnadiff.recipes.walk import EXACT, Walk, conditioned, sampler_for, settled
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
    quiet: bool = False,
    argv: list[str] | None = None,
) -> None:
    """Writes ``n`` sequences as FASTA and, beside a file, how they came about (``OUT.provenance.json``).

    A file grows under the name ``OUT.partial`` and gets its own name when it is whole. Processes that ``torchrun``
    started each write a partial file of their own, and the last one to finish puts them together.

    Args:
        run: Run folder or model folder.
        out: FASTA file to write, which must not exist, or ``-`` for standard output; ``.gz`` compresses.
        n: Number of sequences, over all shards.
        length: Bases of each; None is the training window.
        walk: The sampler and its settings.
        batch_size: Sequences at once; changes no sequence.
        dtype: ``fp32`` or ``bf16``, of the network; tokens are drawn in float64.
        seed: None draws one, which is printed and recorded, or takes that of the file that is resumed.
        shard: Which of the sequences to write.
        resume: Go on behind what is in ``OUT.partial``, and leave an ``out`` alone that this very work has finished.
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
    model = conditioned(open_model(run), walk)
    length = model.window if length is None else length
    most = FARTHEST * model.window
    if length < 1 or (length > most and model.block_size is None):
        raise InputError(f"--length {length}: the model read {model.window} bases at a time; 1 to {most} would work")
    if seed is None:
        earlier = earlier_seed(file) if file and resume else None
        seed = secrets.randbits(32) if earlier is None else earlier
    walk = settled(walk, model.denoiser)
    sampler = sampler_for(model, walk, length)
    items = shard.take(range(n), "sequences")
    settings = {"n": n, "length": length, **asdict(walk), "dtype": dtype, "seed": seed, "shard": str(shard)}
    settings |= {"model": model_hash(run)}
    if file and finished(file, settings):
        _tell(f"finished     {file} is there, with these settings: nothing to do", quiet)
        return
    _tell(f"sample       {length:,} bases each, seed {seed}, {model.name}", quiet)
    if length > model.window and walk.stride is None and model.block_size is None:
        note = f"{length:,} bases are more than the {model.window:,} the model was trained on; --stride slides a window"
        _tell(f"note         {note}", quiet)
    model.denoiser.backbone.to(DTYPES[dtype])
    records = partial(_records, model, sampler, seed, length, batch_size, quiet)
    if file is None:
        with FastaWriter(out) as fasta:
            for batch in records(items):
                fasta.put(b"".join(batch))
    else:
        facts = provenance(argv or [], seed, {str(run): model_hash(run)}) | settings | {"screening": "none"}
        try:
            write_fasta(file, items, records, settings, facts, resume)
        except KeyboardInterrupt:
            _tell("stopped      the same command with --resume goes on where it was", quiet)
            raise


def _check(*, n: int, batch_size: int, dtype: str) -> None:
    for name, value in (("--number", n), ("--batch-size", batch_size)):
        if value < 1:
            raise InputError(f"{name} {value}: needs 1 or more")
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype}: {did_you_mean(dtype, DTYPES)}")


def _records(
    model: Model, sampler: Sampler, seed: int, length: int, batch_size: int, quiet: bool, items: range
) -> Iterator[list[bytes]]:
    """The records of these numbers, batch after batch, with a progress bar."""
    with progress_bar(len(items) * length, quiet) as progress:
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            sequences = _sequences(model, sampler, seed, batch, length, progress)
            yield [
                fasta_record(f"synthetic_{item + 1}", sequence, f"seed={seed} {model.name}")
                for item, sequence in zip(batch, sequences, strict=True)
            ]


def _sequences(
    model: Model, sampler: Sampler, seed: int, items: range, length: int, progress: Callable[[int], None]
) -> list[str]:
    """The sequences of these numbers, each of ``length`` bases."""
    device = next(model.denoiser.parameters()).device
    x = model.denoiser.process.prior(len(items), length + model.bos, device=device)
    if model.bos:
        x[:, 0] = model.tokenizer.bos_id
    bases = torch.zeros(model.denoiser.backbone.vocab_size, dtype=torch.bool)
    bases[list(model.tokenizer.base_ids)] = True  # a model may know N or [SEP] too; neither is a base
    tokens: Tensor = sampler(x, Draws(seed, items), allowed=bases, progress=progress)[:, int(model.bos) :]
    return [model.tokenizer.decode(row) for row in tokens.cpu().numpy()]


def _tell(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)


@contextmanager
def progress_bar(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Takes numbers of bases; shows a bar with the time left on a terminal, and nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.completed:,.0f} of {task.total:,.0f} bases"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda bases: bar.advance(task, bases)
