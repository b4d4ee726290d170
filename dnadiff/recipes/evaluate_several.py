"""One model on several genomes or texts: the zero-shot table, a row of the model for each beside its best floor."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dnadiff.checkpoints.folder import model_folder
from dnadiff.checkpoints.provenance import provenance
from dnadiff.evaluation.likelihood import chosen_floors, summarise
from dnadiff.recipes.evaluate import COLUMNS, PATIENCE, TEXT_COLUMNS, protocol
from dnadiff.recipes.scoring import Asked, opened, scored
from dnadiff.recipes.shards import WHOLE, check_seed
from dnadiff.recipes.tables import Column, check_out, publish
from dnadiff.training import ranks


def evaluate_several(
    run: str, asked: Sequence[Asked], out: str | None = None, *, quiet: bool = False, argv: list[str] | None = None
) -> dict[str, Any]:
    """The report: ``protocol`` and ``rows``, those of ``likelihood.summarise`` under the name of their data.

    Of the Markov floors only the best for each is shown.

    Args:
        run: Run folder or model folder.
        asked: What to score, each with data of its own and all with the same seed; None draws one for all.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        quiet: Print no progress.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used.
    """
    check_out(out)
    check_seed(asked[0].seed, WHOLE)
    seed = secrets.randbits(32) if asked[0].seed is None else asked[0].seed
    rows, told, inputs, unit = [], [], {}, "base"
    with ranks.together(PATIENCE):
        for one in asked:
            part = scored(opened(run, replace(one, seed=seed)), WHOLE, quiet)
            unit = part.about["unit"]
            floors = dict(list(chosen_floors(part.floors).items())[-1:])
            found = summarise(part.model, floors, exact=part.about["exact"], unit=unit)
            rows += [{"data": one.data} | row for row in found]
            told += [*protocol(part.about, found)[: 1 + (one is asked[-1]) * 2], *part.about["notes"]]
            inputs |= {str(model_folder(run)): part.about["model"], part.about["genome"][0]: part.about["genome"][1]}
    report = {"protocol": list(dict.fromkeys(told)), "rows": rows, "settings": {"run": run, "seed": seed}}
    if ranks.rank() == 0:
        columns = [Column("data", "data"), *(COLUMNS if unit == "base" else TEXT_COLUMNS)]
        publish(out, report, columns, provenance(argv or [], seed, inputs), quiet)
    return report
