"""``dna-diff train``: from a genome to a published model folder."""

import json
import math
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from dnadiff.data.card import data_card
from dnadiff.data.genome import Store, open_genome
from dnadiff.data.intervals import total_bp
from dnadiff.data.splits import Split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.inputs import held_out_windows, split_of, training_windows
from dnadiff.schema import Config


def train(
    config: Config,
    data: str | None = None,
    out: str | None = None,
    *,
    dry_run: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> Path:
    """The run folder of a freshly trained model.

    Prints the plan first: data, split and its overlap, model, memory, time, estimator, precision.

    Args:
        config: What to do; ``config.seed`` None draws a seed, which is printed and recorded.
        data: A FASTA file or a store; overrides ``config.data.path``.
        out: Run folder, which must not exist; None makes the first free ``runs/NAME-N``.
        dry_run: Print the plan and stop.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used, or ``out`` exists.
        DivergedError: The loss or the gradient became infinite or NaN; the last checkpoint is kept.
    """
    config.data.path = str(data or config.data.path or "")
    if not config.data.path:
        raise InputError("train: no genome; dna-diff train genome.fa, or data.path=genome.fa, would work")
    config.seed = secrets.randbits(32) if config.seed is None else config.seed
    folder = _run_folder(out, config.data.path)
    store = open_genome(config.data.path)
    split = split_of(config.data, store, config.model.length)
    say = _silent if quiet else _to_stderr
    say(f"{data_card(store)}\n{split.report()}")

    from dnadiff.recipes.training_plan import plan

    job = plan(config, store, split)
    say(job.report())
    if dry_run:
        return folder
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", config_to_json(config))
    _write_json(folder / "split.json", split.to_json())
    floors = _baseline(folder, store, split, say)
    say(f"run          {folder}")
    result = _fit(config, folder, store, split, job, argv, quiet)
    say(_verdict(result, floors, job))
    return folder
