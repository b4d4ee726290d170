"""``dna-diff sample``: sequences from a trained model, as FASTA.

Sequence i of a seed is the same whatever the batch and however many are asked for; on a CPU in fp32 to the last bit.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from dnadiff.checkpoints.folder import model_hash
from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data import atomic
from dnadiff.data.fasta_writer import FastaWriter
from dnadiff.diffusion import Sampler
from dnadiff.errors import InputError, did_you_mean
from dnadiff.random import Draws
from dnadiff.recipes.model import DTYPES, Model, open_model
from dnadiff.recipes.walk import EXACT, Walk, sampler_of

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
    quiet: bool = False,
    argv: list[str] | None = None,
) -> None:
    """Writes ``n`` sequences as FASTA and, beside a file, how they came about (``OUT.provenance.json``).

    Args:
        run: Run folder or model folder.
        out: FASTA file to write, which must not exist, or ``-`` for standard output; ``.gz`` compresses.
        n: Number of sequences.
        length: Bases of each; None is the training window.
        walk: The sampler and its settings.
        batch_size: Sequences at once; changes no sequence.
        dtype: ``fp32`` or ``bf16``, of the network; tokens are drawn in float64.
        seed: None draws one, which is printed and recorded.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: There is no such model, a setting is impossible, or the output cannot be written.
    """
    _check(n=n, batch_size=batch_size, dtype=dtype)
    atomic.check_file(out)
    model = open_model(run)
    length = model.window if length is None else length
    most = FARTHEST * model.window
    if not 1 <= length <= most:
        raise InputError(f"--length {length}: the model read {model.window} bases at a time; 1 to {most} would work")
    seed = secrets.randbits(32) if seed is None else seed
    sampler = sampler_of(model.denoiser, walk, length)
    model.denoiser.backbone.to(DTYPES[dtype])
    with FastaWriter(out) as fasta, _progress(n * length, quiet) as progress:
        _say(model, length, seed, quiet)
        for start in range(0, n, batch_size):
            items = range(start, min(start + batch_size, n))
            for item, sequence in zip(items, _batch(model, sampler, seed, items, length, progress), strict=True):
                fasta.write(f"synthetic_{item + 1}", sequence, f"seed={seed} {model.name}")
    if not atomic.is_stream(out):
        facts = provenance(argv or [], seed, {str(run): model_hash(run)})
        more = {"n": n, "length": length, **asdict(walk), "dtype": dtype, "screening": "none"}
        write_provenance(Path(out), facts | more)


def _check(*, n: int, batch_size: int, dtype: str) -> None:
    for name, value in (("--number", n), ("--batch-size", batch_size)):
        if value < 1:
            raise InputError(f"{name} {value}: needs 1 or more")
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype}: {did_you_mean(dtype, DTYPES)}")


def _batch(
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


def _say(model: Model, length: int, seed: int, quiet: bool) -> None:
    if quiet:
        return
    print(f"sample       {length:,} bases each, seed {seed}, {model.name}", file=sys.stderr)
    if length > model.window:
        note = f"{length:,} bases are more than the {model.window:,} the model was trained on"
        print(f"note         {note}", file=sys.stderr)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
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
