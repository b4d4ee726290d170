"""``dna-diff compare``: synthetic sequences beside real ones, and real ones beside themselves."""

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data import alphabet, atomic
from dnadiff.data.fasta import read_codes
from dnadiff.data.genome import Store
from dnadiff.data.intervals import Interval
from dnadiff.data.stream import sha256_of
from dnadiff.errors import InputError
from dnadiff.evaluation.generation import LONGEST_K, draw_samples, report
from dnadiff.evaluation.picture import draw_picture, read_log
from dnadiff.recipes.run_folder import run_config
from dnadiff.recipes.tables import Column, check_out, publish, write_whole


def compare(
    real: str,
    synthetic: str,
    out: str | None = None,
    *,
    picture: str | None = None,
    k: Sequence[int] = (3, 4, 6),
    run: str | None = None,
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol``, ``rows`` as of ``generation.report``, and the settings.

    Args:
        real: FASTA file or store of real sequence, of any record lengths.
        synthetic: FASTA file of generated sequence, of any record lengths.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        picture: PNG to draw.
        k: Lengths of the k-mers, 1 to 8.
        run: Run folder whose loss is drawn too.
        seed: Chooses the real windows; None draws one, which is reported.
        quiet: Print nothing but results.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used.
    """
    check_out(out)
    _check_words(real, synthetic, picture, run, k)
    seed = secrets.randbits(32) if seed is None else seed
    ks = tuple(dict.fromkeys(k))
    curve, floors = _loss(run)
    real_codes, synthetic_codes = _sequences(real, max(ks)), _sequences(synthetic, max(ks))
    inputs = {name: _digest(name) for name in (real, synthetic) if not atomic.is_stream(name)}
    samples = draw_samples(real_codes, synthetic_codes, seed)
    rows = report(samples, ks, seed)
    result = {
        "protocol": [*_protocol(real, rows, seed), *samples.notes],
        "rows": rows,
        "settings": {"real": real, "synthetic": synthetic, "k": list(ks), "seed": seed},
    }
    for note in samples.notes:
        print(f"dna-diff: note: {note}", file=sys.stderr)
    made = provenance(argv or [], seed, inputs)
    if picture is not None:
        drawn = rows if 3 in ks else report(samples, (3,), seed)
        write_whole(Path(picture), draw_picture(samples, drawn, curve, floors))
        if not atomic.is_stream(picture):
            write_provenance(Path(picture), made)
    publish(out, result, _columns(ks), made, quiet)
    return result


def _check_words(real: str, synthetic: str, picture: str | None, run: str | None, k: Sequence[int]) -> None:
    """Refuses what cannot work whatever the files hold."""
    if real == synthetic == "-":
        raise InputError("-: standard input can be read once; a file for one of the two would work")
    if max(k) > LONGEST_K:
        raise InputError(f"k-mer length: found {max(k)}; 1 to {LONGEST_K} would work")
    if run is not None and picture is None:
        raise InputError(f"--run {run}: draws the loss into a picture; --picture FILE.png beside it would work")
    if picture is None:
        return
    atomic.check_file(picture)
    if not atomic.is_stream(picture) and Path(picture).suffix != ".png":
        raise InputError(f"{picture}: pictures are PNG; a name that ends in .png would work")


def _sequences(path: str, k: int) -> list[np.ndarray]:
    """The records of a FASTA file or store as store codes, one byte a base; one of them at least k bases long."""
    if Path(path).is_dir():
        store = Store.open(path)
        records = [store.codes(Interval(name, 0, size)) for name, size in store.sizes.items()]
    else:
        records = list(read_codes(path))
    place = "stdin" if path == "-" else path
    longest = max(map(len, records))
    if longest < k:
        raise InputError(f"{place}: found at most {longest} bases in a sequence; -k of no more than that would work")
    if min(record.min() for record in records) == alphabet.N:
        raise InputError(f"{place}: found no known base; A, C, G or T would work")
    return records


def _digest(path: str) -> str:
    return Store.open(path).source_sha256 if Path(path).is_dir() else sha256_of(path)


def _loss(run: str | None) -> tuple[Any, dict[str, float]]:
    """The training curve of a run and the Markov floors of its validation split."""
    if run is None:
        return None, {}
    from dnadiff.recipes.evaluate import validation_floors

    config = run_config(run)
    if config.task.name != "dna" or config.data.pairs:
        what = "pairs" if config.data.pairs else "text"
        raise InputError(f"--run {run}: was trained on {what}; a run that was trained on a genome would work")
    return read_log(Path(run) / "log.csv"), validation_floors(run)


def _columns(ks: Sequence[int]) -> list[Column]:
    return [
        Column("", "name"),
        Column("sequences", "sequences", style=",d"),
        Column("bp, mean", "length_mean", style=",.0f"),
        Column("GC, mean", "gc_mean", "gc_mean_error"),
        Column("GC, sd", "gc_sd", "gc_sd_error"),
        *(Column(f"JS {k}-mers", f"js_{k}", f"js_{k}_error", ".5f") for k in ks),
    ]


def _protocol(real: str, rows: Sequence[dict], seed: int) -> list[str]:
    n = rows[0]["sequences"]
    return [
        f"each row: {n:,} sequences against {n:,} disjoint windows of {real}, lengths matched, seed {seed}",
        "real: other windows of the same genome, the floor at this number; shuffled: their bases permuted",
        "JS: Jensen-Shannon divergence in bits, both strands pooled; ± is a bootstrap standard error over sequences",
    ]
