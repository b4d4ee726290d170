"""``dna-diff adapt``: from an autoregressive model to a diffusion model of the same network, by some more training.

The run that this makes is an ordinary one (``train --resume`` continues it, ``sample`` and ``evaluate`` read it).
What is special is how its configuration comes about: the network, the tokens and, from a run, the data and their split
are those of the source, and the settings of ``algo`` lead from what the source computes to what is wanted
(``diffusion.adaptation``). ``adapt.json`` in the run folder says what was taken over, that it is the source's function
to rounding, and what the same held-out windows cost before and after.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnadiff.config import compose
from dnadiff.errors import InputError
from dnadiff.recipes import run_folder
from dnadiff.recipes import train as training
from dnadiff.recipes.loop import teller
from dnadiff.recipes.network import SIZES
from dnadiff.recipes.taken_over import network_settings, text_settings, word
from dnadiff.schema import Config, DataConfig
from dnadiff.training import ranks

TARGETS = ("bd3lm", "mdlm", "sundae")
BLOCK_SIZE = 16
GROWING, OPENING, WARMUP = 0.2, 0.1, 0.03  # shares of the steps
_OURS = ("seed", "init_from", "train.steps", "algo.name", "block_size")  # what flags say
_FREE = ("model.length", "model.dropout")  # what of the network may differ from the source's


def adapt(
    source: str,
    to: str,
    steps: int,
    data: str | None = None,
    out: str | None = None,
    *,
    block_size: int | None = None,
    overrides: list[str] | None = None,
    seed: int | None = None,
    dry_run: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The run folder of the diffusion model that an autoregressive one became.

    Args:
        source: Run or model folder of an autoregressive model.
        to: ``bd3lm``, ``mdlm`` or ``sundae``.
        steps: Optimiser steps.
        data: A FASTA file or a store, or for a model of text a text; None is what the source's run was trained on.
        out: Run folder, which must not exist or be empty; None makes the first free ``runs/NAME-N``.
        block_size: Last size of the blocks of ``bd3lm``; None is ``BLOCK_SIZE``.
        overrides: ``key=value``, which win over what adaptation sets.
        seed: None draws one, which is printed and recorded.
        dry_run: Print the plan and stop.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: The source is no such model, or a setting or an input cannot be used.
        DnadiffError: The new model does not begin as the function that the source is.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
        ResourceError: The disk is full, or has too little room to begin with.
        SystemExit: A signal came; the run is saved and can be resumed.
    """
    config = adapted(source, to, steps, block_size, overrides or [], seed)
    from dnadiff.recipes.adapt_report import checked_identity

    found = checked_identity(config)
    teller(quiet)(f"identity     {found['largest_difference']:.1e} nats from {source} at most: {found['what']}")
    folder = training.train(config, data, out, dry_run=dry_run, quiet=quiet, argv=argv)
    if not dry_run:
        _report(folder, quiet)
    return folder


def resume(run: str, overrides: list[str], *, quiet: bool = False, argv: list[str] | None = None) -> Path:
    """The run folder, after an interrupted adaptation went on to its end.

    Args:
        run: A run folder that ``adapt`` made.
        overrides: As of ``train.resume``.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: The folder is no run that began with another model, or as of ``train.resume``.
        SystemExit: A signal came; the run is saved and can be resumed.
    """
    if run_folder.run_config(run).init_from is None:
        raise InputError(f"{run}: was not adapted from another model; dna-diff train --resume {run} would work")
    folder = training.resume(run, overrides, quiet=quiet, argv=argv)
    _report(folder, quiet)
    return folder


def adapted(source: str, to: str, steps: int, block_size: int | None, overrides: list[str], seed: int | None) -> Config:
    """The configuration of an adaptation; arguments and errors as of ``adapt``."""
    from dnadiff.checkpoints.folder import load_tokenizer, read_spec
    from dnadiff.data.tokenizer import TextTokenizer
    from dnadiff.data.tokenizers import NucleotideTokenizer

    if to not in TARGETS:
        raise InputError(f"--to {to}: {', '.join(TARGETS)} would work")
    if to != "bd3lm" and block_size is not None:
        raise InputError(f"--block-size {block_size}: belongs to --to bd3lm; leave it out")
    spec = read_spec(source)
    if spec["parameterization"].get("name") != "next_token":
        raise InputError(
            f"--from {source}: is a model of algo={spec.get('algo')}; an autoregressive one (ar) would work"
        )
    given = {override.partition("=")[0]: override.partition("=")[2] for override in overrides}
    _check(given, source)
    tokenizer = load_tokenizer(source)
    if not isinstance(tokenizer, NucleotideTokenizer | TextTokenizer):
        raise InputError(f"--from {source}: its tokens are {tokenizer.name}; a model of nucleotides or text would work")
    ours = _of_network(spec) | _of_data(source, given) | _of_method(to, steps, block_size or BLOCK_SIZE)
    if isinstance(tokenizer, TextTokenizer):
        ours |= text_settings(source, spec, pairs=(ours | given).get("data.pairs", "false").lower() == "true")
    ours |= {"init_from": source, **({} if seed is None else {"seed": str(seed)})}
    if "optim" not in given:
        ours |= _of_optimiser(steps)
    chosen = [*(f"{key}={value}" for key, value in ours.items() if key not in given), *overrides]
    return compose(chosen)


def _check(given: Mapping[str, str], source: str) -> None:
    for key in given:
        if key in _OURS:
            raise InputError(f"{key}={given[key]}: is what a flag of adapt says; --help shows them")
        section = key.partition(".")[0]
        if key not in _FREE and (section in ("model", "task", "tokenizer", "experiment") or key == "algo"):
            raise InputError(f"{key}={given[key]}: contradicts {source}, which settles it; leave it out")


def _of_network(spec: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the section ``model`` that are the source's network."""
    backbone = spec["backbone"]
    if "rc" in backbone or backbone["name"] not in SIZES:
        raise InputError(f"the source's network is {backbone['name']}; one that reads from left to right would work")
    return network_settings(spec)


def _of_data(source: str, given: Mapping[str, str]) -> dict[str, str]:
    """What the source's run said of its data, so that what it held out stays held out; nothing of a model folder.

    Nor of data of another kind: what cuts windows is nothing to pairs, and the other way round.
    """
    path, usual = Path(source) / run_folder.CONFIG, vars(DataConfig())
    if "data" in given or not path.exists() or not (Path(source) / "model").is_dir():
        return {}
    theirs = vars(run_folder.run_config(source).data)
    if given.get("data.pairs", word(theirs["pairs"])).lower() != word(theirs["pairs"]):
        return {}
    return {f"data.{key}": word(value) for key, value in theirs.items() if value != usual[key] and key != "workers"}


def _of_method(to: str, steps: int, block_size: int) -> dict[str, str]:
    shared = {"algo": to, "data.bos": "true", "train.steps": str(steps), "train.minutes": "null"}
    if to == "sundae":
        return shared
    if to == "mdlm":
        return shared | {"algo.shift": "true", "algo.opening": str(round(OPENING * steps))}
    return shared | {"algo.shift": "true", "block_size": str(block_size), "algo.grow": str(round(GROWING * steps))}


def _of_optimiser(steps: int) -> dict[str, str]:
    """AdamW as for language models, warmed up and then down to a tenth along a cosine."""
    rate = 1e-3
    return {
        "optim.name": "adamw", "optim.lr": f"{rate:g}", "optim.betas": "[0.9,0.95]", "optim.schedule": "cosine",
        "optim.lr_min": f"{rate / 10:g}", "optim.warmup_steps": str(round(WARMUP * steps)), "optim.ema": "0.9999",
    }  # fmt: skip


def _report(folder: Path, quiet: bool) -> None:
    """Writes ``adapt.json`` on the first rank and says what it found."""
    from dnadiff.recipes.adapt_report import NAME, report, said

    if ranks.rank() == 0:
        found = report(folder)
        run_folder.put(folder / NAME, found)
        for line in said(found):
            teller(quiet)(line)
