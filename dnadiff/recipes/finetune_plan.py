"""What a fine-tuning is made of before it starts: examples, a backbone with a head, and what the best is chosen by."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnadiff.checkpoints.folder import any_spec, load, model_folder, read_spec
from dnadiff.checkpoints.predictor import build_predictor, frame_of, pattern_of
from dnadiff.data.example_batches import ExampleDataset, RowFrame
from dnadiff.data.hidden import hidden
from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer, in_spec
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.errors import InputError
from dnadiff.evaluation.metrics import BEST, LOWER_IS_BETTER, measured
from dnadiff.models.heads import Predictor
from dnadiff.random import key64
from dnadiff.recipes.network import backbone_section
from dnadiff.recipes.training_plan import precision_of
from dnadiff.schema import ModelConfig
from dnadiff.schema.finetune import SCRATCH, FinetuneConfig, HeadConfig
from dnadiff.training import ranks
from dnadiff.training.datamodule import micro_batch
from dnadiff.training.predictor import HeldOutExamples
from dnadiff.training.steps import Pace


@dataclass
class Plan:
    """The parts of a fine-tuning.

    Attributes:
        config: What to do, with the metric and the kind of the targets filled in.
        data: The examples.
        spec: What the predictor is built from.
        predictor: With its initial weights.
        frame: How examples become rows.
        pace: How long, and what how often, in steps.
        precision: ``fp32`` or ``bf16``.
        seconds: Measured seconds of one step.
    """

    config: FinetuneConfig
    data: Labelled
    spec: dict[str, Any]
    predictor: Predictor
    frame: RowFrame
    pace: Pace
    precision: str
    seconds: float = 0.0

    @property
    def train(self) -> ExampleDataset:
        """The training examples, in an order that the seed decides."""
        data = self.config.data
        return ExampleDataset(
            self.data.train,
            self.frame,
            seed=self.config.seed,
            reverse_complement=data.reverse_complement,
            masked=data.masked,
        )

    def held_out(self) -> HeldOutExamples | None:
        """What to validate on; None if nothing was held out."""
        if self.data.valid is None:
            return None
        size, epochs = self.config.optim.batch_size, self.config.train.patience
        return HeldOutExamples(
            self.part_hidden(self.data.valid) if self.config.data.masked else self.data.valid,
            self.data.meaning.kind,
            self.frame,
            batch_size=max(64, size),
            both_strands=self.config.data.both_strands,
            patience=None if epochs is None else _steps(epochs, self.data, size),
        )

    def part_hidden(self, part: Part) -> Part:
        """The examples of a part with bases hidden: the same ones whatever the seed."""
        return replace(part, codes=tuple(hidden(part.codes, np.arange(len(part)), "held out")))

    def report(self) -> str:
        """Some lines for people."""
        c, meaning = self.config, self.data.meaning
        n = sum(p.numel() for p in self.predictor.parameters())
        read = f"{self.frame.unit}, {self._read()}"
        way = "lowest" if c.train.metric in LOWER_IS_BETTER else "highest"
        chosen = f"the {way} {c.train.metric} on validation" if self.data.valid else "the last, nothing is held out"
        return "\n".join([
            *(f"{name:<13}{self._part(part)}" for name, part in self.data.parts.items()),
            *([f"shared       {self._shared()}"] if self.data.shared else []),
            f"targets      {meaning.kind}: {_listed(meaning.names)}",
            f"rows         {self.frame.bases:,} {read}{', any number of them hidden' * c.data.masked}",
            f"model        {n:,} parameters, {self._head()}, from {c.start}",
            f"step         {c.optim.batch_size} examples, {self.seconds:.2f} s in {self.precision}",
            f"length       {self.pace.steps:,} steps ({c.train.epochs:g} epochs), "
            f"about {self.pace.steps * self.seconds / 60:.1f} min",
            f"weights      {chosen}",
            f"seed         {c.seed}",
        ])  # fmt: skip

    def _read(self) -> str:
        if self.data.train.texts:
            return "the beginning of longer texts" if self.config.data.crop else "whole texts"
        return "both strands averaged" if self.config.data.both_strands else "one strand"

    def _head(self) -> str:
        return "a head on every base" if self.data.meaning.kind == "tokens" else f"{self.config.head.pooling} pooling"

    def _part(self, part: Part) -> str:
        drawn = ", drawn out of the training part" if part.drawn else ""
        drawn += ", which the data call dev" * (part is self.data.test and self.data.dev_tested)
        return f"{len(part):,} {self.data.noun}{self._balance(part)}{drawn}"

    def _balance(self, part: Part) -> str:
        if self.data.meaning.kind != "class":
            return ""
        counts = np.bincount(part.targets, minlength=len(self.data.meaning.names)).tolist()
        return f" ({_listed([f'{n} {c:,}' for n, c in zip(self.data.meaning.names, counts, strict=True)])})"

    def _shared(self) -> str:
        n, test = self.data.shared, self.data.test
        return f"{n:,} of the {len(test):,} test {self.data.noun} are in the other parts too" if test else ""


def plan(config: FinetuneConfig, data: Labelled, begun: Path | None = None, tokenizer: Tokenizer = NUCLEOTIDES) -> Plan:
    """The parts of a fine-tuning, built and tried on one batch.

    Args:
        config: What to do.
        data: The examples.
        begun: The model folder of a run that is resumed, whose spec is taken; None makes it anew.
        tokenizer: Numbers the examples.

    Raises:
        InputError: The model cannot be read, does not fit, or a setting cannot be honoured.
    """
    if ranks.world() > 1:
        raise InputError(f"finetune: trains in one process and {ranks.world()} were started; one would work")
    kind = data.meaning.kind
    metric = config.train.chosen(kind, BEST[kind])
    config = replace(config, train=replace(config.train, metric=metric), data=replace(config.data, kind=kind))
    _check_bases(config)
    _check_choice(config, data)
    micro_batch(config.optim.batch_size, config.optim.accumulate, 1)
    torch.manual_seed(key64("init", config.seed) >> 1)
    spec = any_spec(model_folder(begun)) if begun is not None else _spec(config, data, tokenizer)
    frame = frame_of(spec, tokenizer)
    _check_lengths(config, data, frame)
    predictor = build_predictor(spec)
    if config.start != SCRATCH and begun is None:
        predictor.backbone.load_state_dict(load(config.start).backbone.state_dict())
    job = Plan(config, data, spec, predictor, frame, _pace(config, data), precision_of(config.precision))
    _measure(job)
    return job


def _spec(config: FinetuneConfig, data: Labelled, tokenizer: Tokenizer) -> dict[str, Any]:
    """What the predictor is built from: the backbone of a model that is there, or one from scratch."""
    scratch, dropout = config.start == SCRATCH, config.model.dropout
    base = _scratch(config.model, tokenizer) if scratch else _of_run(config.start, dropout)
    ends = bool(base.get("text", {}).get("window_ends", False))
    bos = bool(base.get("bos", False) or ends)
    longest = max(part.longest for part in data.parts.values())
    meaning, bases = data.meaning, config.data.length or longest
    spec = {
        "format": 1,
        "algo": base["algo"],
        "length": bases + bos + ends,
        "bos": bos,
        "ends": ends,
        "n_token": _reads_n(base, tokenizer),
        "tokenizer": in_spec(tokenizer),
        "backbone": base["backbone"],
        "pattern": pattern_of(base),
        "readout": _readout(data),
        "labels": {
            "names": list(meaning.names), "keys": list(meaning.keys), "both_strands": config.data.both_strands,
            "crop": config.data.crop, "masked": config.data.masked,
        },
    }  # fmt: skip
    _check_positions(config, base, spec)
    pooling = config.head.pooling
    rows = {"length": spec["length"]} if pooling == "positions" else {}
    own = {"name": "token"} if meaning.kind == "tokens" else {"name": "sequence", "pooling": pooling, **rows}
    spec["head"] = {**own, "width": 1, "outputs": len(meaning.names), "dropout": config.head.dropout}
    spec["head"]["width"] = _width(spec)
    return spec


def _check_positions(config: FinetuneConfig, base: dict[str, Any], spec: dict[str, Any]) -> None:
    """Refuses rows that are longer than a network has learned its positions."""
    rows, most, more = spec["length"], base["backbone"].get("positions"), spec["bos"] + spec["ends"]
    if most is not None and rows > most:
        crop = "" if config.data.crop else " data.crop=true"
        raise InputError(
            f"data.length={rows - more}: the network of {config.start} has positions for {most - more:,} of them; "
            f"data.length={most - more}{crop} would work"
        )


def _reads_n(base: dict[str, Any], tokenizer: Tokenizer) -> bool:
    """Whether N is a token like the others."""
    return not isinstance(tokenizer, TextTokenizer) and NUCLEOTIDES.n_id in base["parameterization"]["allowed"]


def _scratch(model: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    allowed = {"name": "subs", "allowed": list(NUCLEOTIDES.base_ids)}
    return {"algo": SCRATCH, "backbone": backbone_section(model, 0, tokenizer), "parameterization": allowed}


def _of_run(start: str, dropout: float) -> dict[str, Any]:
    spec = read_spec(start)
    if dropout and "dropout" not in spec["backbone"]:
        raise InputError(f"model.dropout={dropout:g}: the network of {start} has none; leave it out")
    return {**spec, "backbone": {**spec["backbone"], **({"dropout": dropout} if dropout else {})}}


def _readout(data: Labelled) -> dict[str, Any]:
    kind, targets = data.meaning.kind, data.train.targets
    if kind != "regression":
        return {"name": kind}
    return {
        "name": kind,
        "mean": targets.mean(0, np.float64).tolist(),
        "deviation": targets.std(0, np.float64).tolist(),
    }


def _width(spec: dict[str, Any]) -> int:
    """The width of what the backbone gives to a head."""
    with torch.random.fork_rng(), torch.inference_mode():
        predictor = build_predictor(spec)
        tokens = torch.zeros(1, 4, dtype=torch.int64)
        return predictor.backbone.features(tokens, torch.zeros(1), pattern=predictor.pattern).shape[-1]


def _check_bases(config: FinetuneConfig) -> None:
    """Refuses what labels of bases cannot have."""
    if config.data.kind != "tokens":
        return
    if config.head.pooling != HeadConfig().pooling:
        raise InputError(f"head.pooling={config.head.pooling}: labels of bases are not pooled; leave it out")
    if config.data.crop:
        raise InputError("data.crop=true: every base has a label; shorter sequences, or a larger data.length, work")


def _check_choice(config: FinetuneConfig, data: Labelled) -> None:
    """Refuses what cannot choose the best weights."""
    train = config.train
    if data.valid is None:
        if train.patience is not None:
            raise InputError(
                f"train.patience={train.patience:g}: waits for validations; data.valid_fraction above 0 would work"
            )
        return
    rng, count = np.random.default_rng(0), len(data.meaning.names)

    def trial(n: int) -> np.ndarray:
        return rng.dirichlet(np.ones(max(2, count)), n)[:, :count]

    trials = [trial(len(codes)) for codes in data.valid.codes] if data.valid.per_base else trial(len(data.valid))
    if measured(data.meaning.kind, trials, data.valid.targets)[train.metric] is None:
        raise InputError(
            f"train.metric={train.metric}: is not defined on the {len(data.valid)} validation examples, which are too "
            "much alike; more of them, or train.metric=loss, would work"
        )


def _check_lengths(config: FinetuneConfig, data: Labelled, frame: RowFrame) -> None:
    for name, part in data.parts.items():
        if part.longest > frame.bases and not config.data.crop:
            first = next(i for i, codes in enumerate(part.codes) if len(codes) > frame.bases)
            raise InputError(
                f"{data.path}: '{part.names[first]}' of the {name} part has {len(part.codes[first]):,} {frame.unit} "
                f"and rows {frame.bases:,}; a larger data.length, or data.crop=true, would work"
            )


def _steps(epochs: float, data: Labelled, batch_size: int) -> int:
    return max(1, round(epochs * len(data.train) / batch_size))


def _pace(config: FinetuneConfig, data: Labelled) -> Pace:
    train, size = config.train, config.optim.batch_size
    steps, validate, checkpoint = (
        _steps(epochs, data, size) for epochs in (train.epochs, train.val_every, train.checkpoint_every)
    )
    return Pace(steps, train.minutes, train.log_every, validate, checkpoint, train.keep)


def _measure(job: Plan) -> None:
    """Times one micro-batch forward and backward where it will run; the weights stay the same."""
    optim, device = job.config.optim, ranks.device()
    rows = job.train.__getitems__(range(micro_batch(optim.batch_size, optim.accumulate, 1)))
    batch = {name: torch.from_numpy(array).to(device) for name, array in rows.items()}
    predictor, seconds = job.predictor.to(device), []
    for _ in range(2):
        start = time.perf_counter()
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=job.precision == "bf16"):
            outputs = predictor(batch["tokens"], batch["valid"], batch["given"], batch.get("second"))
        loss = predictor.readout.loss(outputs.float(), batch["targets"]).mean()
        loss.backward()
        value = float(loss.detach())  # waits for the device
        seconds.append(time.perf_counter() - start)
    predictor.zero_grad(set_to_none=True)
    predictor.to("cpu")
    job.seconds = min(seconds) * optim.accumulate
    if not math.isfinite(value):
        raise InputError("the model has no finite loss before training; another model would work")


def _listed(names: Any) -> str:  # noqa: ANN401 (a sequence of text)
    shown = ", ".join(list(names)[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
