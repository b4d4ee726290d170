"""``dna-diff bench probe``: how well simple predictors do on a model's vectors of labelled sequences."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dnadiff.checkpoints.embedder import Embedder, load_embedder, untrained_embedder
from dnadiff.checkpoints.folder import model_folder, model_hash
from dnadiff.checkpoints.provenance import provenance
from dnadiff.data.labelled import Labelled, read_labelled
from dnadiff.evaluation.baselines import majority, words
from dnadiff.evaluation.metrics import BEST, METRICS, better, intervals, measured
from dnadiff.evaluation.probes import Known, LinearProbe, NeighbourProbe
from dnadiff.recipes.embed import How, cached_vectors, note_long, vectors_of
from dnadiff.recipes.tables import Column, check_out, publish
from dnadiff.training import ranks

RESAMPLES = 1000
PROBES = {"linear": LinearProbe, "neighbours": NeighbourProbe}


def probe(
    model: str,
    data: str,
    out: str | None = None,
    *,
    layers: Sequence[int] | str | None = None,
    how: How | None = None,
    keys: Sequence[str] = ("label",),
    kind: str = "auto",
    batch_size: int = 64,
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol``, ``verdict``, and a row for each probe of each layer, trained and untrained, and floor.

    Args:
        model: Model folder or run folder, of any method or fine-tuned.
        data: Labelled sequences in any layout that fine-tuning reads; parts that it does not name are drawn.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        layers: Numbers of layers, ``"all"``, or None for the last.
        how: Pooling, strands and precision; its layer is not looked at.
        keys: Columns or words that hold the labels.
        kind: ``class``, ``multilabel``, ``regression`` or ``auto``.
        batch_size: Sequences at once; changes no vector by more than rounding.
        seed: Of drawn parts, the untrained network and the resamples; None draws one, which is reported.
        quiet: Print nothing but results.
        argv: The command line, for the provenance.

    Raises:
        InputError: The model, the data or a setting cannot be used.
        ResourceError: The disk is full.
    """
    check_out(out)
    seed, how = secrets.randbits(32) if seed is None else seed, how or How()
    embedder = load_embedder(model)
    wanted = range(embedder.layers + 1) if layers == "all" else [embedder.layers] if layers is None else layers
    for layer in wanted:
        embedder.check(layer, how.pooling)
    labelled = read_labelled(data, keys, kind=kind, seed=seed)
    _check_lengths(labelled, embedder)
    note_long(embedder, [one for part in labelled.parts.values() for one in part.codes])
    rows = _rows(model, embedder, labelled, wanted, how, batch_size, seed)
    report = {
        "protocol": [*_protocol(labelled, how, seed), verdict(rows, labelled)],
        "verdict": verdict(rows, labelled),
        "kind": labelled.meaning.kind,
        "metric": BEST[labelled.meaning.kind],
        "rows": rows,
        "settings": {"model": model, "data": data, "pooling": how.pooling, "both_strands": how.both_strands,
                     "dtype": how.dtype, "seed": seed},
    }  # fmt: skip
    inputs = {str(model_folder(model)): model_hash(model), **labelled.digests}
    publish(out, report, _columns(labelled), provenance(argv or [], seed, inputs), quiet)
    return report


def verdict(rows: Sequence[dict[str, Any]], data: Labelled) -> str:
    """One sentence: the probe and layer that the validation part prefers, beside the untrained network and a floor."""
    metric, best, seen = BEST[data.meaning.kind], None, None
    for row in rows:
        figures = {metric: row.get("validation"), "loss": 0.0}
        if row["network"] == "trained" and better(metric, figures, seen):
            best, seen = row, figures
    if best is None:
        return f"{metric} is not defined on the validation part, so no layer is preferred"
    alike = (best["probe"], best["layer"])
    others = [row for row in rows if row["network"] == "untrained" and (row["probe"], row["layer"]) == alike]
    others += [row for row in rows if row["name"] == _WORDS]
    told = ", ".join(f"{row['name']} {_figure(row[metric])}" for row in others)
    return f"chosen on the validation part: {best['name']}, test {metric} {_figure(best[metric])}; {told}"


_WORDS = "k-mers and positions"


def _rows(
    model: str, embedder: Embedder, data: Labelled, layers: Sequence[int], how: How, batch_size: int, seed: int
) -> list[dict[str, Any]]:
    control = untrained_embedder(model, seed)
    for one in (embedder, control):
        one.backbone.to(ranks.device())
    networks = {
        "trained": partial(cached_vectors, model, embedder),
        "untrained": partial(vectors_of, control),
    }
    row, rows = partial(_row, data, seed), []
    for network, vectors in networks.items():
        for layer in layers:
            parts = _known(data, partial(vectors, how=replace(how, layer=layer), batch_size=batch_size))
            for name, found, facts in _probed(data, parts):
                title = f"{name}, layer {layer}{', untrained' if network == 'untrained' else ''}"
                rows.append(row(title, found) | {"network": network, "probe": name, "layer": layer, **facts})
    test = data.parts["test"]
    for title, found in (
        (_WORDS, words(data, test, BEST[data.meaning.kind])),
        ("most frequent", majority(data, len(test))),
    ):
        rows.append(row(title, found) | {"network": None, "probe": None, "layer": None})
    return rows


def _known(data: Labelled, vectors: Any) -> dict[str, Known]:  # noqa: ANN401 (from codes to vectors)
    """The vectors of every part with their targets; all parts are read together."""
    found = vectors([one for part in data.parts.values() for one in part.codes])
    known, first = {}, 0
    for name, part in data.parts.items():
        known[name] = Known(found[first : first + len(part)], part.targets)
        first += len(part)
    return known


def _probed(data: Labelled, parts: dict[str, Known]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Name, predictions of the test part, and what was chosen, of every probe."""
    metric = BEST[data.meaning.kind]
    for name, made in PROBES.items():
        fitted = made(data.meaning.kind).fit(parts["train"], parts["valid"], metric)
        facts = {"setting": fitted.chosen, "validation": (fitted.validation or {metric: None})[metric]}
        yield name, fitted.predict(parts["test"].rows), facts


def _row(data: Labelled, seed: int, name: str, found: np.ndarray) -> dict[str, Any]:
    kind, targets = data.meaning.kind, data.parts["test"].targets
    row: dict[str, Any] = {"name": name, "n": len(targets), **measured(kind, found, targets)}
    for metric, limit in intervals(kind, found, targets, resamples=RESAMPLES, seed=seed).items():
        if limit is not None:
            row |= {f"{metric}_low": limit[0], f"{metric}_high": limit[1]}
    return row


def _check_lengths(data: Labelled, embedder: Embedder) -> None:
    for name, part in data.parts.items():
        for record, codes in zip(part.names, part.codes, strict=True):
            embedder.check_length(codes, f"{data.path}: '{record}' of the {name} part")


def _columns(data: Labelled) -> list[Column]:
    names = METRICS[data.meaning.kind]
    return [Column("", "name"), Column(f"{BEST[data.meaning.kind]}, validation", "validation"),
            *(Column(name, name) for name in names)]  # fmt: skip


def _protocol(data: Labelled, how: How, seed: int) -> list[str]:
    parts = [f"{len(part):,} {name}{' (drawn)' if part.drawn else ''}" for name, part in data.parts.items()]
    strands = "vectors of both strands averaged" if how.both_strands else "one strand"
    lines = [
        f"{', '.join(parts)}; the network is not changed; {how.pooling} pooling, {strands}, {how.dtype}",
        f"regularisation and neighbours chosen by {BEST[data.meaning.kind]} on the validation part; seed {seed}",
        f"intervals: 95 %, {RESAMPLES:,} bootstrap resamples of the test part",
        "untrained: a network of the same shape with random weights; layer 0 is what the first block reads",
    ]
    if data.shared:
        lines.append(f"{data.shared:,} of the {len(data.parts['test']):,} test sequences are in the other parts too")
    return lines


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
