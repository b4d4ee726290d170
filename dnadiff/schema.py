"""The configuration of a training run as plain dataclasses: every key, its default, its unit and what it may hold.

A few keys stand at the top; the others live in sections, one a subject (``data``, ``model``, ``noise``, ...). Each
section checks its own values when it is made and ``Config`` checks how sections agree, so a configuration that exists
is one that can run. Names such as ``noise.name`` are keys of closed tables. The classes are mutable only because
OmegaConf fills them; nobody else does. The module imports no torch, and the configuration stops at the recipes:
components take plain constructor arguments.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from dnadiff.errors import InputError, did_you_mean

ESTIMATORS = ("count", "time")
PRECISIONS = ("auto", "fp32", "bf16")
COMPILES = ("auto", "true", "false")
ATTENTIONS = ("auto", "sdpa", "flex", "flash")
TASKS = ("dna",)
ALGOS = ("mdlm",)
SPLITS = ("auto", "contig", "blocks", "bed")
WINDOWS = ("random", "tiling")
N_POLICIES = ("pad", "token")
NOISES = ("loglinear", "cosine", "cosine_squared", "linear", "geometric")
OPTIMIZERS = ("adamw", "muon")
LR_SCHEDULES = ("constant", "cosine")


def _require(ok: bool, line: str) -> None:
    if not ok:
        raise InputError(line)


def _choice(key: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise InputError(f"{key}={value}: {did_you_mean(value, choices)}")


def _number(key: str, value: float | None, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Refuses a number outside [low, high], or (low, high] with ``open_low``; NaN and infinities are always outside."""
    if value is None:
        return
    inside = (low < value if open_low else low <= value) and value <= high and math.isfinite(value)
    sign = "above" if open_low else "at least"
    bound = f"{sign} {low:g}" + ("" if high == math.inf else f" and at most {high:g}")
    _require(inside, f"{key}={value}: give a finite number {bound}")


@dataclass
class TaskConfig:
    """What the tokens are.

    Attributes:
        name: ``dna``: nucleotides of one or more genomes.
    """

    name: str = "dna"

    def __post_init__(self) -> None:
        _choice("task.name", self.name, TASKS)


@dataclass
class AlgoConfig:
    """How the model is trained and sampled.

    Attributes:
        name: ``mdlm``: masked diffusion (Sahoo et al., Simple and effective masked diffusion language models, 2024).
    """

    name: str = "mdlm"

    def __post_init__(self) -> None:
        _choice("algo.name", self.name, ALGOS)


@dataclass
class DataConfig:
    """Which bases are trained on, which are held out, and how they become windows.

    Attributes:
        path: A FASTA file or a store made by ``dna-diff prepare``.
        split: ``contig`` holds out whole contigs, ``blocks`` contiguous blocks with a gap (for one chromosome), ``bed``
            what a BED file says; ``auto`` is ``bed`` if one is given, else what the genome allows.
        bed: BED file with chrom, start, end and optionally the split's name (train, valid or test).
        extend: Lengthen every BED interval to a window; the leak between splits that this makes is counted.
        valid: Contigs held out for validation.
        test: Contigs held out for the test.
        valid_fraction: Share of the bases held out for validation when no contigs are named.
        test_fraction: Share of the bases held out for the test when no contigs are named.
        gap: Bases left out between blocks, bp; None is one window.
        windows: ``random`` training windows start anywhere; ``tiling`` ones follow a grid.
        reverse_complement: Probability that a training window is read from the reverse strand.
        n_policy: ``pad``: unknown bases are neither seen nor scored; ``token``: N is a token like the others.
        min_valid: Least share of known bases in a window, 0 to 1.
        repeat_weight: Weight of soft-masked bases in the training loss; evaluation always weighs 1.
        workers: Processes that prepare batches; 0 is the training process itself.
    """

    path: str | None = None
    split: str = "auto"
    bed: str | None = None
    extend: bool = False
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    valid_fraction: float = 0.05
    test_fraction: float = 0.10
    gap: int | None = None
    windows: str = "random"
    reverse_complement: float = 0.5
    n_policy: str = "pad"
    min_valid: float = 0.9
    repeat_weight: float = 1.0
    workers: int = 0

    def __post_init__(self) -> None:
        _choice("data.split", self.split, SPLITS)
        _choice("data.windows", self.windows, WINDOWS)
        _choice("data.n_policy", self.n_policy, N_POLICIES)
        for key in ("valid_fraction", "test_fraction", "reverse_complement", "min_valid"):
            _number(f"data.{key}", getattr(self, key), 0.0, 1.0)
        _number("data.repeat_weight", self.repeat_weight, 0.0)
        _number("data.gap", self.gap, 0)
        _number("data.workers", self.workers, 0)
        self._check_split()

    def _check_split(self) -> None:
        bed, named = self.bed is not None, bool(self.valid or self.test)
        _require(bed or self.split != "bed", "data.split=bed: no BED file; give data.bed=FILE")
        split = f"data.split={self.split}"
        _require(not bed or self.split in ("auto", "bed"), f"{split}: contradicts data.bed; leave one out")
        _require(not self.extend or bed, "data.extend=true: lengthens the intervals of a BED file; give data.bed=FILE")
        _require(not (named and bed), "data.bed: contradicts data.valid and data.test; leave one or the others out")
        contig = self.split in ("auto", "contig")
        _require(not named or contig, f"{split}: contradicts data.valid and data.test; use data.split=contig")
        _require(bool(self.valid) == bool(self.test), "data.valid and data.test: one is empty; name contigs for both")
        shared = sorted(set(self.valid) & set(self.test))
        _require(not shared, f"data.valid and data.test: both hold {', '.join(shared)}; name each contig once")
        gapped = self.split in ("auto", "blocks") and not bed and not named
        _require(self.gap is None or gapped, "data.gap: parts the blocks of data.split=blocks; leave it out here")
        total = self.valid_fraction + self.test_fraction
        sums = f"data.valid_fraction + data.test_fraction = {total:g}"
        _require(total < 1, f"{sums}: nothing left to train on; give less than 1")


@dataclass
class ModelConfig:
    """The size of the transformer and of the windows it reads.

    Attributes:
        hidden_size: Width D.
        n_blocks: Transformer blocks.
        n_heads: Attention heads; each is D / n_heads wide, which must be even.
        cond_dim: Width of the conditioning vector.
        dropout: Probability of dropout in training.
        adaln: Adaptive layer norm conditioned on the noise level.
        stem: Width of a convolution over the embeddings, odd; 0 is none.
        length: Tokens in a window.
    """

    hidden_size: int = 128
    n_blocks: int = 4
    n_heads: int = 4
    cond_dim: int = 128
    dropout: float = 0.0
    adaln: bool = True
    stem: int = 0
    length: int = 512

    def __post_init__(self) -> None:
        for key in ("hidden_size", "n_blocks", "n_heads", "cond_dim"):
            _number(f"model.{key}", getattr(self, key), 1)
        _number("model.length", self.length, 4)
        _number("model.dropout", self.dropout, 0.0, 0.999)
        _number("model.stem", self.stem, 0)
        odd_stem = self.stem == 0 or self.stem % 2 == 1
        _require(odd_stem, f"model.stem={self.stem}: is centred on a base, so its width is odd; 0 is none")
        width, heads = self.hidden_size, self.n_heads
        _require(width % heads == 0, f"model.hidden_size={width}: is not a multiple of model.n_heads={heads}")
        odd = f"model.hidden_size={width}: leaves heads {width // heads} wide with model.n_heads={heads}"
        _require(width // heads % 2 == 0, f"{odd}; the rotary positions need an even width")


@dataclass
class NoiseConfig:
    """The noise schedule, used by the time estimator.

    Attributes:
        name: The schedule.
        eps: Distance from the ends of [0, 1] (loglinear, cosine, cosine_squared).
        sigma_min: Least noise (linear, geometric).
        sigma_max: Most noise (linear, geometric).
    """

    name: str = "loglinear"
    eps: float = 1e-3
    sigma_min: float = 1e-3
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        _choice("noise.name", self.name, NOISES)
        _number("noise.eps", self.eps, 0.0, 0.5)
        positive = self.eps > 0 or not self.name.startswith("cosine")
        _require(positive, f"noise.eps=0: the {self.name} schedule needs an eps above 0")
        _number("noise.sigma_min", self.sigma_min, 0.0)
        _number("noise.sigma_max", self.sigma_max, 0.0, open_low=True)
        geometric_zero = self.name == "geometric" and self.sigma_min == 0
        _require(not geometric_zero, "noise.sigma_min=0: the geometric schedule needs a sigma_min above 0")
        ordered = self.sigma_min < self.sigma_max
        _require(ordered, f"noise.sigma_min={self.sigma_min:g}: must be below noise.sigma_max={self.sigma_max:g}")


@dataclass
class OptimConfig:
    """The optimiser, its learning rate over time, and the average that is published.

    Attributes:
        name: ``adamw``, or ``muon`` for the matrices of the blocks with AdamW for the rest.
        lr: Highest learning rate.
        betas: Decay of AdamW's two moments.
        eps: AdamW's epsilon.
        weight_decay: Decoupled weight decay.
        warmup_steps: Steps of linear warm-up.
        schedule: After the warm-up: ``constant``, or ``cosine`` down to ``lr_min`` at ``train.steps``.
        lr_min: Learning rate at the end of the cosine.
        clip: Largest norm of the gradient; 0 clips nothing.
        ema: Decay of the exponential moving average of the weights; 0 keeps none.
        batch_size: Windows a step, over all devices.
        accumulate: Micro-batches a step; must divide the batch.
    """

    name: str = "adamw"
    lr: float = 3e-4
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 2500
    schedule: str = "constant"
    lr_min: float = 1e-6
    clip: float = 1.0
    ema: float = 0.9999
    batch_size: int = 64
    accumulate: int = 1

    def __post_init__(self) -> None:
        _choice("optim.name", self.name, OPTIMIZERS)
        _choice("optim.schedule", self.schedule, LR_SCHEDULES)
        _number("optim.lr", self.lr, 0.0, open_low=True)
        _number("optim.eps", self.eps, 0.0, open_low=True)
        two = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _require(two, f"optim.betas={self.betas}: give two numbers from 0 to below 1, such as [0.9,0.999]")
        for key in ("weight_decay", "warmup_steps", "clip", "lr_min"):
            _number(f"optim.{key}", getattr(self, key), 0)
        _require(0 <= self.ema < 1, f"optim.ema={self.ema}: give a decay from 0 to below 1, such as 0.9999")
        _require(self.lr_min <= self.lr, f"optim.lr_min={self.lr_min:g}: is above optim.lr={self.lr:g}")
        _number("optim.batch_size", self.batch_size, 1)
        _number("optim.accumulate", self.accumulate, 1)
        split = f"optim.accumulate={self.accumulate}: does not divide optim.batch_size={self.batch_size}"
        _require(self.batch_size % self.accumulate == 0, split)


@dataclass
class TrainConfig:
    """How long to train and what to write on the way.

    Attributes:
        steps: Stop after this many optimiser steps.
        minutes: Stop after this many minutes of training; whichever comes first.
        val_every: Steps between validations.
        val_windows: Held-out windows in each validation.
        checkpoint_every: Steps between checkpoints.
        keep: Newest checkpoints kept.
        log_every: Steps between lines of the log.
    """

    steps: int | None = None
    minutes: float | None = 30.0
    val_every: int = 500
    val_windows: int = 256
    checkpoint_every: int = 500
    keep: int = 2
    log_every: int = 10

    def __post_init__(self) -> None:
        _number("train.steps", self.steps, 1)
        _number("train.minutes", self.minutes, 0.0, open_low=True)
        ends = self.steps is not None or self.minutes is not None
        _require(ends, "train.steps and train.minutes: both are empty, so training would never end; give one")
        for key in ("val_every", "val_windows", "checkpoint_every", "keep", "log_every"):
            _number(f"train.{key}", getattr(self, key), 1)


@dataclass
class Config:
    """Everything a training run was asked for.

    Attributes:
        seed: Seed of every random number; None draws one, which is printed and recorded.
        estimator: ``count`` draws how many bases to mask and is exact for every schedule; ``time`` draws a time, as
            upstream.
        time_conditioning: Tell the network the noise level.
        precision: Training precision; ``auto`` is bf16 where the processor computes it faster, else fp32.
        compile: Compile the training step; ``auto`` does if a compiler is there.
        attention: The implementation of attention.
        task: What the tokens are.
        algo: How the model is trained.
        data: Bases and windows.
        model: Size.
        noise: Schedule.
        optim: Optimiser.
        train: Duration and output.
    """

    seed: int | None = None
    estimator: str = "count"
    time_conditioning: bool = False
    precision: str = "auto"
    compile: str = "auto"
    attention: str = "auto"
    task: TaskConfig = field(default_factory=TaskConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        _choice("estimator", self.estimator, ESTIMATORS)
        _choice("precision", self.precision, PRECISIONS)
        _choice("compile", self.compile, COMPILES)
        _choice("attention", self.attention, ATTENTIONS)
        adaln = self.model.adaln or not self.time_conditioning
        _require(adaln, "time_conditioning=true: the noise level enters through adaptive norms; set model.adaln=true")
        decays = self.optim.schedule != "cosine" or self.train.steps is not None
        _require(decays, "optim.schedule=cosine: decays until the last step; give train.steps")
        gap, length = self.data.gap, self.model.length
        _require(gap is None or gap >= length, f"data.gap={gap}: is shorter than a window; give at least {length}")
