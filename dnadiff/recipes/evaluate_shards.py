"""``dna-diff evaluate --shard`` and ``--merge``: an evaluation in parts, on machines that need not know each other."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.folder import model_hash
from dnadiff.data import atomic
from dnadiff.data.partial_fasta import check_same
from dnadiff.errors import InputError
from dnadiff.evaluation.score_part import merged, read_part, save_part
from dnadiff.recipes.evaluate import PATIENCE, report
from dnadiff.recipes.scoring import Asked, opened, scored
from dnadiff.recipes.shards import Shard, check_seed
from dnadiff.recipes.tables import check_out
from dnadiff.training import ranks


def evaluate_shard(run: str, out: str | None, shard: Shard, asked: Asked, *, quiet: bool = False) -> None:
    """Writes the scores of one shard; if that has been done before, nothing happens.

    Args:
        run: Run folder, or a model folder together with a genome.
        out: Part to write, ``.npz``.
        shard: Which of the windows to score.
        asked: What to score; with a seed.
        quiet: Print errors only.

    Raises:
        InputError: An input cannot be used, or ``out`` is there and holds something else.
    """
    check_seed(asked.seed, shard)
    if out is None or Path(out).suffix != ".npz":
        raise InputError(f"-o {out or 'is missing'}: a part holds scores; a name that ends in .npz would work")
    path, here = Path(out), ranks.rank() == 0
    if not path.is_file():
        atomic.check_file(out)
    with ranks.together(PATIENCE):
        job = opened(run, asked)
        if path.exists():
            part = read_part(path)
            check_same(path, part.about | {"shard": str(Shard(*part.shard))}, job.about | {"shard": str(shard)})
            note = f"finished     {path} is there, with these settings: nothing to do"
        else:
            part = scored(job, shard, quiet)
            if here:
                save_part(path, part)
            note = f"scored       {len(part.model.counts):,} windows, part {shard}; --merge puts all parts together"
        if here and not quiet:
            print(note, file=sys.stderr)


def merge(
    run: str, parts: Sequence[str], out: str | None = None, *, quiet: bool = False, argv: list[str] | None = None
) -> dict[str, Any]:
    """The report that one process would have given, from the parts of all shards.

    Args:
        run: Run or model folder.
        parts: The files of all shards, in any order.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        quiet: Do not print the report if it is written to a file.
        argv: The command line, for the provenance.

    Raises:
        InputError: A part is missing, damaged, of another evaluation or of another model than the run's.
    """
    check_out(out)
    whole = merged([(name, read_part(Path(name))) for name in parts])
    if whole.about["model"] != model_hash(run):
        raise InputError(f"{parts[0]}: holds scores of another model than {run}'s; the run it was made from would work")
    return report(run, whole, out, quiet, argv)
