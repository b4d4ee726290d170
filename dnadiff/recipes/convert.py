"""``dna-diff convert``: a model folder from a checkpoint of another project, such as MDLM, BD3-LM or llama2.c."""

import sys
from pathlib import Path

from dnadiff.checkpoints.folder import save_model
from dnadiff.checkpoints.hub import fetched
from dnadiff.checkpoints.provenance import provenance
from dnadiff.checkpoints.upstream import read_upstream
from dnadiff.data import atomic
from dnadiff.errors import InputError


def convert(
    source: str,
    out: str,
    *,
    weights: str | None = None,
    tokenizer: str | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The model folder that a foreign checkpoint becomes. Nothing in the checkpoint is run.

    Args:
        source: A Lightning checkpoint, a file of llama2.c, a folder with ``config.json`` and weights, or the id of one
            on the hub.
        out: Folder to write, which must not exist or be empty.
        weights: ``ema`` (the default) or ``raw``, of a Lightning checkpoint.
        tokenizer: A folder with ``tokenizer.json``, or with the files of GPT-2 or BERT; or ``nucleotide``; of a file of
            llama2.c its ``tokenizer.bin``.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: The checkpoint cannot be used, or ``out`` exists.
        ResourceError: The disk is full.
    """
    atomic.check_folder(out)
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not empty; another -o would work")
    model = read_upstream(fetched(source), weights=weights, tokenizer=tokenizer)
    save_model(
        folder, model.denoiser, model.tokenizer, model.spec, provenance(argv or [], None, model.inputs) | model.facts
    )
    if not quiet:
        n = sum(parameter.numel() for parameter in model.denoiser.parameters())
        print(f"converted    {n:,} parameters, {model.spec['algo']}, {model.spec['length']:,} tokens", file=sys.stderr)
        if model.warning:
            print(f"warning      {model.warning}", file=sys.stderr)
        print(f"model        {folder}", file=sys.stderr)
    return folder
