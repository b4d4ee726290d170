"""``dna-diff sample``: sequences from a trained model, as FASTA.

Sequence i of a seed is the same whatever the batch and however many are asked for; on a CPU in fp32 to the last bit.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dnadiff.checkpoints.folder import load, load_tokenizer, model_folder, model_hash, read_provenance, read_spec
from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data.fasta_writer import FastaWriter
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import SAMPLERS, Ancestral, Denoiser, FirstHitting, Sampler
from dnadiff.errors import InputError, did_you_mean
from dnadiff.random import Draws

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
FARTHEST = 64  # times the training window; beyond it the distances within a sequence mean nothing to the model


@dataclass(frozen=True)
class Model:
    """A trained model and what its folder says of it.

    Attributes:
        denoiser: In evaluation mode.
        tokenizer: Of nucleotides.
        window: Bases of a training window.
        bos: Whether a sequence begins with [BOS].
        name: What the FASTA description says of it.
    """

    denoiser: Denoiser
    tokenizer: NucleotideTokenizer
    window: int
    bos: bool
    name: str


def sample(
    run: str | Path,
    out: str | Path = "-",
    *,
    n: int = 10,
    length: int | None = None,
    sampler: str = "first_hitting",
    steps: int | None = None,
    tokens_per_step: int = 1,
    temperature: float = 1.0,
    nucleus: float = 1.0,
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
        sampler: ``first_hitting`` or ``ancestral``.
        steps: Steps of ``ancestral``; None is one a base.
        tokens_per_step: Bases ``first_hitting`` reveals at once; 1 is exact.
        temperature: Above 0; below 1 sharper, above 1 flatter.
        nucleus: Keep the likeliest bases up to this probability, in (0, 1]; 1 keeps all.
        batch_size: Sequences at once; changes no sequence.
        dtype: ``fp32`` or ``bf16``, of the network; tokens are drawn in float64.
        seed: None draws one, which is printed and recorded.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: There is no such model, a setting is impossible, or the output cannot be written.
    """
    _check(n=n, batch_size=batch_size, dtype=dtype)
    model = _model(run)
    length = model.window if length is None else length
    most = FARTHEST * model.window
    if not 1 <= length <= most:
        raise InputError(f"--length {length}: the model read {model.window} bases at a time; 1 to {most} would work")
    seed = secrets.randbits(32) if seed is None else seed
    settings = {
        "sampler": sampler, "steps": steps, "tokens_per_step": tokens_per_step, "temperature": temperature,
        "nucleus": nucleus,
    }  # fmt: skip
    walk = _sampler(model.denoiser, length=length, **settings)
    _say(model, length, seed, quiet)
    model.denoiser.backbone.to(DTYPES[dtype])
    with FastaWriter(out) as fasta, _progress(n * length, quiet) as progress:
        for start in range(0, n, batch_size):
            items = range(start, min(start + batch_size, n))
            for item, sequence in zip(items, _batch(model, walk, seed, items, length, progress), strict=True):
                fasta.write(f"synthetic_{item + 1}", sequence, f"seed={seed} {model.name}")
    if str(out) != "-":
        facts = provenance(argv or [], seed, {str(run): model_hash(run)})
        more = {"n": n, "length": length, **settings, "dtype": dtype, "screening": "none"}
        write_provenance(Path(out), facts | more)


def _check(*, n: int, batch_size: int, dtype: str) -> None:
    for name, value in (("--number", n), ("--batch-size", batch_size)):
        if value < 1:
            raise InputError(f"{name} {value}: needs 1 or more")
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype}: {did_you_mean(dtype, DTYPES)}")


def _model(run: str | Path) -> Model:
    denoiser, tokenizer, spec = load(run), load_tokenizer(run), read_spec(run)
    if not isinstance(tokenizer, NucleotideTokenizer):
        raise InputError(f"{model_folder(run)}: has a tokenizer of {tokenizer.name}; one of nucleotides would work")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    step = read_provenance(run).get("step", "unknown")
    bos = bool(spec.get("bos", False))
    name = f"step={step} model={model_hash(run)[:8]}"
    return Model(denoiser.to(device), tokenizer, int(spec["length"]) - bos, bos, name)


def _sampler(
    denoiser: Denoiser,
    *,
    length: int,
    sampler: str,
    steps: int | None,
    tokens_per_step: int,
    temperature: float,
    nucleus: float,
) -> Sampler:
    shape = {"temperature": temperature, "nucleus_p": nucleus}
    if sampler not in SAMPLERS:
        raise InputError(f"--sampler {sampler}: {did_you_mean(sampler, SAMPLERS)}")
    if sampler == "ancestral":
        if tokens_per_step != 1:
            raise InputError("--tokens-per-step: belongs to --sampler first_hitting; ancestral takes --steps")
        return Ancestral(denoiser, length if steps is None else steps, **shape)
    if steps is not None:
        raise InputError("--steps: belongs to --sampler ancestral; first_hitting takes --tokens-per-step")
    return FirstHitting(denoiser, tokens_per_step, **shape)


def _batch(
    model: Model, walk: Sampler, seed: int, items: range, length: int, progress: Callable[[int], None]
) -> list[str]:
    """The sequences of these numbers, each of ``length`` bases."""
    device = next(model.denoiser.parameters()).device
    x = model.denoiser.process.prior(len(items), length + model.bos, device=device)
    if model.bos:
        x[:, 0] = model.tokenizer.bos_id
    bases = torch.zeros(model.denoiser.backbone.vocab_size, dtype=torch.bool)
    bases[list(model.tokenizer.base_ids)] = True  # a model may know N or [SEP] too; neither is a base
    tokens: Tensor = walk(x, Draws(seed, items), allowed=bases, progress=progress)[:, int(model.bos) :]
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
