"""``dna-diff evaluate``: bits per base of held-out windows, beside Markov floors of the same windows.

Of text the figures are perplexities, and bits per token and per character.
"""

import math
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.folder import model_folder
from dnadiff.checkpoints.provenance import provenance
from dnadiff.evaluation.likelihood import chosen_floors, floor_scores, summarise
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.score_part import ScorePart
from dnadiff.recipes.answers import BASE_COLUMNS as OF_BASES
from dnadiff.recipes.answers import TEXT_COLUMNS as OF_TEXT
from dnadiff.recipes.answers import Answers, answer_rows, answers_wanted
from dnadiff.recipes.inputs import held_out_windows
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.recipes.scoring import Asked, batches_of, opened, scored
from dnadiff.recipes.shards import WHOLE, check_seed
from dnadiff.recipes.tables import Column, check_out, publish
from dnadiff.recipes.windows_to_score import genome_of
from dnadiff.training import ranks

PATIENCE = timedelta(days=7)
"""How long processes wait for each other's scores: equal shares take unequal time on unequal machines."""

COLUMNS = (
    Column("", "name"),
    Column("bits per base", "bits_per_base", "standard_error"),
    Column("Monte-Carlo error", "monte_carlo_error"),
    Column("nats", "nats_per_base"),
    Column("perplexity", "perplexity", style=".3f"),
    Column("model - floor, paired", "difference", "difference_error", "+.4f"),
)

TEXT_COLUMNS = (
    Column("", "name"),
    Column("perplexity", "perplexity", "perplexity_error", ".3f"),
    Column("bits per token", "bits_per_token", "standard_error"),
    Column("bits per character", "bits_per_character", "character_error"),
    Column("Monte-Carlo error", "monte_carlo_error"),
    Column("nats", "nats_per_token"),
    Column("model - floor, paired", "difference", "difference_error", "+.4f"),
)


def evaluate(
    run: str,
    data: str | None = None,
    out: str | None = None,
    *,
    split: str | None = None,
    samples: int = 1,
    windows: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    block_size: int | None = None,
    dtype: str = "fp32",
    seed: int | None = None,
    generate: int | None = None,
    bleu: bool = False,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol``, ``verdict``, ``rows`` as of ``likelihood.summarise``, and the settings.

    Processes that ``torchrun`` started share the windows; all get the report and the first one writes it.

    Args:
        run: Run folder, or a model folder together with a genome.
        data: A FASTA file or store to score whole, or a BED file of regions of the run's genome; of text another text;
            None scores a split.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        split: ``test``, ``valid`` or ``train``; None is ``test``.
        samples: Draws a window.
        windows: Score this many windows, evenly spaced; None scores all.
        both_strands: Average the bound over the two strands of every window.
        batch_size: Windows at once; changes no figure by more than rounding.
        block_size: Tokens of a block, for models trained on blocks; None is what the model was trained on.
        dtype: ``fp32`` or ``bf16``.
        seed: None draws one, which is reported.
        generate: Of pairs, or windows with a beginning that is given: write the targets of so many and compare them;
            None writes 100 of pairs and none of windows.
        bleu: Compare texts by BLEU too.
        quiet: Print no progress.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used, or training windows were asked for without ``split="train"``.
    """
    check_out(out)
    check_seed(seed, WHOLE)
    asked = Asked(data, split, samples, windows, both_strands, batch_size, block_size, dtype, seed)
    with ranks.together(PATIENCE):
        job = opened(run, asked)
        count = answers_wanted(job, generate, bleu)
        part = scored(job, WHOLE, quiet)
        mine = count and ranks.rank() == 0
        written = answer_rows(job, count, bleu, quiet) if mine else None
        return report(run, part, out, quiet, argv, written)


def report(
    run: str, part: ScorePart, out: str | None, quiet: bool, argv: list[str] | None, written: Answers | None = None
) -> dict[str, Any]:
    """The report of all windows' scores, which the first process prints and writes; see ``evaluate``.

    Args:
        run: Run folder or model folder.
        part: The scores.
        out: As of ``evaluate``.
        quiet: Likewise.
        argv: Likewise.
        written: Rows and a line about targets that the model wrote.
    """
    exact, unit = part.about["exact"], part.about["unit"]
    rows = summarise(part.model, chosen_floors(part.floors), exact=exact, unit=unit)
    settings, genome = {"run": run} | part.about["settings"], part.about["genome"]
    notes, found = part.about["notes"], verdict(rows, unit, part.about["tokens"])
    columns = COLUMNS if unit == "base" else TEXT_COLUMNS
    answers, how = ([], []) if written is None else (written[0], [written[1]])
    if written:
        columns = (*columns, *(OF_BASES if unit == "base" else OF_TEXT))
    told = {
        "protocol": [*protocol(part.about, rows), *how, *notes, found],
        "verdict": found,
        "rows": [*rows, *answers],
        "settings": settings,
    }
    if ranks.rank() == 0:
        for note in notes:
            print(f"dna-diff: note: {note}", file=sys.stderr)
        inputs = {str(model_folder(run)): part.about["model"], genome[0]: genome[1]}
        publish(
            out,
            told,
            columns,
            provenance(argv or [], settings["seed"], inputs),
            quiet,
        )
    return told


def validation_floors(run: str) -> dict[str, float]:
    """Bits per base of the run's Markov chains on its validation split, by name: the lines beside its loss."""
    config, parts = run_config(run), run_split(run)
    dataset = held_out_windows(config, genome_of(config, parts, run), parts["valid"])
    windows = batches_of(dataset, np.arange(len(dataset)), 256)
    floors = floor_scores(MarkovChain.load(Path(run) / "baseline.npz"), windows, dataset.tokenizer)
    return {name: scores.bits_per_base for name, scores in chosen_floors(floors).items()}


def verdict(rows: list[dict], unit: str = "base", tokens: int = 0) -> str:
    """One sentence: which floors the model beats, and by how much it beats or misses the best.

    Args:
        rows: Those of ``likelihood.summarise``.
        unit: What a token is called.
        tokens: How many there are, of text; said where there is no floor.
    """
    model, floors = rows[0], rows[1:]
    if not floors:
        uniform = "2" if unit == "base" else f"{math.log2(tokens):.2f}"
        return f"the model pays {model[f'bits_per_{unit}']:.4f} bits per {unit}; uniform {unit}s cost {uniform}"
    beaten = [row["name"] for row in floors if row["difference"] + 2 * (row["difference_error"] or 0) < 0]
    best = floors[-1]
    gap = (
        f"{abs(best['difference']):.4f} bits per {unit} {'below' if best['difference'] < 0 else 'above'} {best['name']}"
    )
    unsure = ", by less than two standard errors" if best["difference"] < 0 else ""
    if best["name"] in beaten:
        return f"the model beats every Markov floor: {gap}"
    won = f"beats {', '.join(beaten)} and" if beaten else "beats no Markov floor yet:"
    return f"the model {won} {'lies' if beaten else 'it lies'} {gap}{unsure}"


def protocol(about: Mapping[str, Any], rows: list[dict]) -> list[str]:
    """What was scored and how, two lines or three.

    Args:
        about: As of ``ScorePart``.
        rows: Those of ``likelihood.summarise``.
    """
    settings, model = about["settings"], rows[0]
    unit = about["unit"]
    strands = ", both strands, averaged" if settings["both_strands"] else ", forward strand"
    draws = "1 draw" if settings["draws"] == 1 else f"{settings['draws']} draws"
    drawn = "" if about["exact"] else f"{draws} a window, seed {settings['seed']}, "
    given = settings.get("given")
    where = "on both strands of the training split" if unit == "base" else "on the training documents"
    where, restarts = ("on the training targets", "target") if given == "source" else (where, "window")
    floors = (
        f"Markov floors: counted {where}, context restarts at every {restarts}; "
        "best is the order that pays least for these windows"
    )
    letters = "; an end token is a token and no character" if model.get("characters") else ""
    targets = f", each scored given its {given}" if given else ""
    return [
        f"{about['what']}: {model['windows']:,} windows of {settings['length']} tokens on a grid, "
        f"{model[f'{unit}s']:,} {unit}s{strands if unit == 'base' else ''}{targets}",
        f"{about['likelihood']}, {drawn}{settings['dtype']}; ± is the standard error over windows{letters}",
        *([floors] if rows[1:] else []),
    ]
