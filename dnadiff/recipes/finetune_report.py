"""The report of a fine-tuning: its test figures with intervals, beside what can be predicted without a network."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnadiff.checkpoints.predictor import load_predictor
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.evaluation import base_baselines
from dnadiff.evaluation.baselines import differ_in_length, length, majority, words
from dnadiff.evaluation.metrics import LOWER_IS_BETTER, Predictions, intervals, measured
from dnadiff.evaluation.text_baselines import bag_of_words
from dnadiff.recipes.tables import Column, publish, tsv, write_whole
from dnadiff.schema.finetune import METRICS
from dnadiff.training import ranks

if TYPE_CHECKING:
    from dnadiff.recipes.finetune_plan import Plan
    from dnadiff.training.fit import Outcome

REPORT, TABLE = "report.json", "report.tsv"
_MAJORITY = {
    "class": "most frequent class",
    "tokens": "most frequent class",
    "multilabel": "share of each label",
    "regression": "mean of each number",
}


def report(
    folder: Path, job: "Plan", step: int, outcome: "Outcome", facts: Mapping[str, Any], quiet: bool
) -> dict[str, Any]:
    """The report of the published model, printed and written to ``report.json`` and ``report.tsv``.

    Args:
        folder: That of the fine-tuning.
        job: Its plan.
        step: Steps that the published weights had.
        outcome: How training ended, and what it cost.
        facts: Its provenance.
        quiet: Print nothing.
    """
    config, meaning = job.config, job.data.meaning
    model = load_predictor(folder)
    model.predictor.to(ranks.device())
    rows = []
    for name in ("valid", "test"):
        part = job.data.parts.get(name)
        if part is not None:
            resamples = config.bootstrap if name == "test" else 0
            rows += [_row(row, name, part, found, job, resamples) for row, found in _rows(model, job, part, name)]
    told = {
        "protocol": _protocol(job, step),
        "kind": meaning.kind,
        "names": list(meaning.names),
        "metric": config.train.metric,
        "step": step,
        "parameters": sum(p.numel() for p in job.predictor.parameters()),
        "seconds": outcome.seconds,
        "processor_seconds": outcome.processor_seconds,
        "balance": {name: _balance(job.data, part) for name, part in job.data.parts.items()},
        "shared": job.data.shared,
        "rows": rows,
    }
    write_whole(folder / TABLE, tsv(told).encode())
    names = [name for name in METRICS[meaning.kind] if any(row[name] is not None for row in rows)]
    columns = (Column("", "name"), Column("part", "part", style=""), *(Column(name, name) for name in names))
    publish(str(folder / REPORT), told, columns, facts, quiet)
    return told


def _rows(model: Any, job: "Plan", part: Part, name: str) -> Iterator[tuple[str, Predictions]]:  # noqa: ANN401 (FineTuned)
    """Every row's name and its predictions of a part."""
    yield "fine-tuned", model.predict(part.codes)
    if job.config.data.masked:
        yield "fine-tuned, bases hidden", model.predict(job.part_hidden(part).codes)
    if job.config.baselines and name == "test" and job.data.meaning.kind == "tokens":
        yield "five bases around", base_baselines.neighbours(job.data, part)
        yield _MAJORITY["tokens"], base_baselines.majority(job.data, part)
    elif job.config.baselines and name == "test":
        if part.texts:
            yield "bag of words", bag_of_words(job.data, part, job.config.train.metric)
        else:
            yield "k-mers and positions", words(job.data, part, job.config.train.metric)
        if differ_in_length(job.data):
            yield "length alone", length(job.data, part)
        yield _MAJORITY[job.data.meaning.kind], majority(job.data, len(part))


def _row(name: str, part_name: str, part: Part, found: Predictions, job: "Plan", resamples: int) -> dict[str, Any]:
    kind = job.data.meaning.kind
    figures = measured(kind, found, part.targets)
    limits = intervals(kind, found, part.targets, resamples=resamples, seed=int(job.config.seed or 0))
    row: dict[str, Any] = {"name": name, "part": part_name, "n": len(part), **figures}
    for metric, limit in limits.items():
        if limit is not None:
            row |= {f"{metric}_low": limit[0], f"{metric}_high": limit[1]}
    return row


def _balance(data: Labelled, part: Part) -> dict[str, Any]:
    """How often each class or label occurs (of labels of bases, at how many), or mean and spread of each number."""
    names, targets = data.meaning.names, part.targets
    if data.meaning.kind == "class":
        return dict(zip(names, np.bincount(targets, minlength=len(names)).tolist(), strict=True))
    if data.meaning.kind == "tokens":
        return dict(zip(names, np.bincount(np.concatenate(targets), minlength=len(names)).tolist(), strict=True))
    if data.meaning.kind == "multilabel":
        return dict(zip(names, targets.sum(0).astype(int).tolist(), strict=True))
    means, spreads = targets.mean(0, np.float64).tolist(), targets.std(0, np.float64).tolist()
    return {name: {"mean": m, "deviation": s} for name, m, s in zip(names, means, spreads, strict=True)}


def _protocol(job: "Plan", step: int) -> list[str]:
    config, data = job.config, job.data
    parts = [f"{len(part):,} {name}{' (drawn)' if part.drawn else ''}" for name, part in data.parts.items()]
    way = "lowest" if config.train.metric in LOWER_IS_BETTER else "highest"
    judged = "validation part, bases hidden" if config.data.masked else "validation part"
    chosen = f"{way} {config.train.metric} on the {judged}" if data.valid else "last, nothing was held out"
    strands = "outputs of both strands averaged" if config.data.both_strands else "one strand"
    read = "" if data.train.texts else f"; {strands}"
    split = "validation part redrawn" if config.data.redraw else "fixed split"
    split = f"fold {config.data.fold}" if config.data.fold else split
    lines = [
        f"{split}: {', '.join(parts)}; the test part was scored once",
        f"weights of step {step} of {job.pace.steps}: {chosen}{read}; from {config.start}; seed {config.seed}",
    ]
    if data.dev_tested:
        lines.append("the test part is what the data call dev, as GLUE's own test part has no labels")
    if config.bootstrap and data.test:
        lines.append(
            f"intervals: 95 %, {config.bootstrap:,} bootstrap resamples of the test part; one seed of training"
        )
    if data.shared and data.test:
        lines.append(f"{data.shared:,} of the {len(data.test):,} test {data.noun} are in the other parts too")
    return lines
