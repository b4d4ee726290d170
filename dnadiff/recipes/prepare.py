"""``dna-diff prepare``: checks a genome once and keeps a copy that training reads at full speed.

Imports no torch, so it starts at once.
"""

import sys
import time
from pathlib import Path

from dnadiff.data.card import data_card
from dnadiff.data.genome import Store, build_store, cached_store
from dnadiff.data.splits import make_split
from dnadiff.errors import InputError, printable

_GAP = 1024  # bp between the blocks of the split that is previewed


def prepare(
    fasta: str | Path,
    out: str | Path | None = None,
    *,
    drop_gaps: bool = False,
    rename_duplicates: bool = False,
    allow_truncated: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Store:
    """The store of a genome; its data card and the default split go to standard error.

    Args:
        fasta: FASTA, plain, gzip or BGZF, or ``-`` for standard input.
        out: The folder to make; None keeps the store in the cache, where ``train FASTA`` finds it.
        drop_gaps: Remove ``-``, ``.`` and ``*`` instead of refusing them.
        rename_duplicates: Number repeated names instead of refusing them.
        allow_truncated: Accept a BGZF file without its end marker.
        force: Replace a store that is already there.
        quiet: Print nothing.

    Raises:
        InputError: The source cannot be read as FASTA, ``out`` exists, or an option needs ``out``.
        ResourceError: The disk is full.
    """
    start = time.monotonic()
    if out is None:
        if drop_gaps or rename_duplicates or allow_truncated:
            raise InputError(
                f"{fasta}: the cache keeps sequences as they are; with such an option, -o STORE would work"
            )
        store = cached_store(fasta, rebuild=force)
    else:
        store = build_store(
            fasta,
            out,
            drop_gaps=drop_gaps,
            rename_duplicates=rename_duplicates,
            allow_truncated=allow_truncated,
            force=force,
        )
    if not quiet:
        print(data_card(store), file=sys.stderr)
        print(_default_split(store), file=sys.stderr)
        place = printable(str(out or store.path))
        print(f"store        {place} ({time.monotonic() - start:.1f} s)", file=sys.stderr)
    return store


def _default_split(store: Store) -> str:
    try:
        return make_split(store.sizes, gap=_GAP).report()
    except InputError as error:
        return f"no default split: {error}"
