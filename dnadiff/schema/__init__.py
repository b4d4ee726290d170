"""The configuration of a training run as plain dataclasses: every key, its default, its unit and what it may hold.

A few keys stand at the top; the others live in sections, one a subject (``data``, ``model``, ``noise``, ...). Each
section checks its own values when it is made and ``Config`` checks how sections agree, so a configuration that exists
is one that can run. Names such as ``noise.name`` are keys of closed tables. The classes are mutable only because
OmegaConf fills them; nobody else does. The module imports no torch, and the configuration stops at the recipes:
components take plain constructor arguments.
"""

from dataclasses import dataclass, field

from dnadiff.schema.algo import ALGOS, ESTIMATORS, AlgoConfig, check_algo, check_blocks, chosen_estimator
from dnadiff.schema.checks import choice, number, require
from dnadiff.schema.model import BACKBONES, ModelConfig
from dnadiff.schema.noise import NOISES, NoiseConfig
from dnadiff.schema.pairs import check_pairs
from dnadiff.schema.text import TASKS, TaskConfig, TextConfig, TokenizerConfig, check_task

PRECISIONS = ("auto", "fp32", "bf16")
COMPILES = ("auto", "true", "false")
LOGGERS = ("tensorboard", "wandb")
ATTENTIONS = ("auto", "sdpa", "flex", "flash", "products")
SCANS = ("auto", "torch", "mamba_ssm")
SPLITS = ("auto", "contig", "blocks", "bed")
WINDOWS = ("random", "tiling")
N_POLICIES = ("pad", "token")
OPTIMIZERS = ("adamw", "muon")
PARALLELS = ("ddp", "fsdp")
LR_SCHEDULES = ("constant", "cosine", "linear")

__all__ = [
    "ALGOS", "ATTENTIONS", "BACKBONES", "COMPILES", "ESTIMATORS", "LOGGERS", "LR_SCHEDULES", "NOISES", "N_POLICIES",
    "OPTIMIZERS", "PARALLELS", "PRECISIONS", "SCANS", "SPLITS", "TASKS", "WINDOWS", "AlgoConfig", "Config",
    "DataConfig", "ModelConfig", "NoiseConfig", "OptimConfig", "TaskConfig", "TextConfig", "TokenizerConfig",
    "TrainConfig", "WandbConfig",
]  # fmt: skip


@dataclass
class DataConfig:
    """Which bases are trained on, which are held out, and how they become windows.

    Attributes:
        path: A FASTA file or a store made by ``dna-diff prepare``; of text a file or the name of a set.
        valid_path: A text to validate on; None takes ``valid_fraction`` of the documents (text).
        test_path: A text to test on; None takes ``test_fraction`` of the documents (text).
        split: ``contig`` holds out whole contigs, ``blocks`` contiguous blocks with a gap (for one chromosome), ``bed``
            what a BED file says; ``auto`` is ``bed`` if one is given, else what the genome allows.
        bed: BED file with chrom, start, end and optionally the split's name (train, valid or test).
        extend: Lengthen every BED interval to a window; the leak between splits that this makes is counted.
        valid: Contigs held out for validation.
        test: Contigs held out for the test.
        valid_fraction: Share of the bases held out for validation when no contigs are named; of text, of the documents.
        test_fraction: Share of the bases held out for the test when no contigs are named; of text, of the documents.
        gap: Bases left out between blocks, bp; None is one window.
        windows: ``random`` training windows start anywhere; ``tiling`` ones follow a grid.
        reverse_complement: Probability that a training window is read from the reverse strand.
        n_policy: ``pad``: unknown bases are neither seen nor scored; ``token``: N is a token like the others.
        min_valid: Least share of known bases in a window, 0 to 1.
        repeat_weight: Weight of soft-masked bases in the training loss; evaluation always weighs 1.
        bos: Begin every window with [BOS], which leaves room for one base less. Models that predict from the left need
            it; others take it so that tables compare methods on the same windows.
        label: Word before ``=`` in the records' descriptions, or column of the table, that names their class; None
            trains without classes.
        classes: Names of the classes in the order of their numbers; empty takes those of the data, sorted.
        label_dropout: Share of the training windows whose class is hidden, from which guidance learns all classes
            together.
        pairs: The data are pairs, a table with the columns source and target or a folder with one for each part: a row
            holds both, the source is given, and only the target is learned.
        source_length: Tokens of a source at most: longer ones lose their beginning; None refuses pairs that are too
            long for a row (data.pairs=true).
        workers: Processes that prepare batches; 0 is the training process itself.
    """

    path: str | None = None
    valid_path: str | None = None
    test_path: str | None = None
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
    bos: bool = False
    label: str | None = None
    classes: list[str] = field(default_factory=list)
    label_dropout: float = 0.1
    pairs: bool = False
    source_length: int | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        choice("data.split", self.split, SPLITS)
        choice("data.windows", self.windows, WINDOWS)
        choice("data.n_policy", self.n_policy, N_POLICIES)
        for key in ("valid_fraction", "test_fraction", "reverse_complement", "min_valid", "label_dropout"):
            number(f"data.{key}", getattr(self, key), 0.0, 1.0)
        number("data.repeat_weight", self.repeat_weight, 0.0)
        number("data.gap", self.gap, 0)
        number("data.source_length", self.source_length, 1)
        number("data.workers", self.workers, 0)
        named = self.label is not None or not self.classes
        require(named, f"data.classes={','.join(self.classes)}: says nothing without data.label; give data.label=KEY")
        self._check_split()

    def _check_split(self) -> None:
        bed, named = self.bed is not None, bool(self.valid or self.test)
        require(bed or self.split != "bed", "data.split=bed: no BED file; give data.bed=FILE")
        split = f"data.split={self.split}"
        require(not bed or self.split in ("auto", "bed"), f"{split}: contradicts data.bed; leave one out")
        require(not self.extend or bed, "data.extend=true: lengthens the intervals of a BED file; give data.bed=FILE")
        require(not (named and bed), "data.bed: contradicts data.valid and data.test; leave one or the others out")
        contig = self.split in ("auto", "contig")
        require(not named or contig, f"{split}: contradicts data.valid and data.test; use data.split=contig")
        require(bool(self.valid) == bool(self.test), "data.valid and data.test: one is empty; name contigs for both")
        shared = sorted(set(self.valid) & set(self.test))
        require(not shared, f"data.valid and data.test: both hold {', '.join(shared)}; name each contig once")
        gapped = self.split in ("auto", "blocks") and not bed and not named
        require(self.gap is None or gapped, "data.gap: parts the blocks of data.split=blocks; leave it out here")
        total = self.valid_fraction + self.test_fraction
        sums = f"data.valid_fraction + data.test_fraction = {total:g}"
        require(total < 1, f"{sums}: nothing left to train on; give less than 1")


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
        schedule: After the warm-up: ``constant``, or ``cosine`` or ``linear`` down to ``lr_min`` at the last step.
        lr_min: Learning rate at the end of the cosine or line.
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
        choice("optim.name", self.name, OPTIMIZERS)
        choice("optim.schedule", self.schedule, LR_SCHEDULES)
        number("optim.lr", self.lr, 0.0, open_low=True)
        number("optim.eps", self.eps, 0.0, open_low=True)
        two = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require(two, f"optim.betas={self.betas}: give two numbers from 0 to below 1, such as [0.9,0.999]")
        for key in ("weight_decay", "warmup_steps", "clip", "lr_min"):
            number(f"optim.{key}", getattr(self, key), 0)
        require(0 <= self.ema < 1, f"optim.ema={self.ema}: give a decay from 0 to below 1, such as 0.9999")
        require(self.lr_min <= self.lr, f"optim.lr_min={self.lr_min:g}: is above optim.lr={self.lr:g}")
        number("optim.batch_size", self.batch_size, 1)
        number("optim.accumulate", self.accumulate, 1)
        split = f"optim.accumulate={self.accumulate}: does not divide optim.batch_size={self.batch_size}"
        require(self.batch_size % self.accumulate == 0, split)


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
        parallel: With several processes: ``ddp`` gives each all weights, ``fsdp`` shares them out, for models that fit
            no single device.
    """

    steps: int | None = None
    minutes: float | None = 30.0
    val_every: int = 500
    val_windows: int = 256
    checkpoint_every: int = 500
    keep: int = 2
    log_every: int = 10
    parallel: str = "ddp"

    def __post_init__(self) -> None:
        number("train.steps", self.steps, 1)
        number("train.minutes", self.minutes, 0.0, open_low=True)
        ends = self.steps is not None or self.minutes is not None
        require(ends, "train.steps and train.minutes: both are empty, so training would never end; give one")
        for key in ("val_every", "val_windows", "checkpoint_every", "keep", "log_every"):
            number(f"train.{key}", getattr(self, key), 1)
        choice("train.parallel", self.parallel, PARALLELS)


@dataclass
class WandbConfig:
    """How a run appears in Weights & Biases, with ``logger=wandb``.

    Attributes:
        project: Project.
        name: Name of the run; None is that of its folder.
        offline: Only write to the run folder, to be uploaded later with ``wandb sync``.
    """

    project: str = "dnadiff"
    name: str | None = None
    offline: bool = False


@dataclass
class Config:
    """Everything a training run was asked for.

    Attributes:
        seed: Seed of every random number; None draws one, which is printed and recorded.
        estimator: ``count`` draws how many bases to mask and is exact for every schedule; ``time`` draws a time, as
            upstream; ``auto`` is ``count`` where the method allows it.
        block_size: Bases of a block of algo=bd3lm, 1 (autoregression) to a window (masked diffusion).
        time_conditioning: Tell the network the noise level.
        precision: Training precision; ``auto`` is bf16 where the processor computes it faster, else fp32.
        compile: Compile the training step, which takes most of a minute; ``auto`` does on a GPU for 2,000 steps or
            more; on a CPU it gained nothing.
        attention: The implementation of attention, of model.backbone=dit, llama, gpt2 and bert. ``auto`` is ``sdpa``,
            and ``products`` for training in bf16 on a processor with AMX.
        scan: The implementation of the recurrence of model.backbone=caduceus; ``auto`` is ``torch``, and ``mamba_ssm``
            takes the kernels of that package on a GPU.
        init_from: Run or model folder whose weights the training begins with; None begins with random ones. ``train``
            takes network, window and tokens over from it where nothing else is said.
        logger: What shows the training beside ``log.csv``: ``tensorboard``, or ``wandb`` for that and Weights & Biases.
        task: What the tokens are: of genomes or of text.
        tokenizer: What a token is.
        text: How text is read.
        algo: How the model is trained.
        data: Bases and windows.
        model: Size.
        noise: Schedule.
        optim: Optimiser.
        train: Duration and output.
        wandb: Weights & Biases.
    """

    seed: int | None = None
    estimator: str = "auto"
    block_size: int | None = None
    time_conditioning: bool = False
    precision: str = "auto"
    compile: str = "auto"
    attention: str = "auto"
    scan: str = "auto"
    init_from: str | None = None
    logger: str = "tensorboard"
    task: TaskConfig = field(default_factory=TaskConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    text: TextConfig = field(default_factory=TextConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        check_task(self)
        check_pairs(self)
        choice("estimator", self.estimator, ESTIMATORS)
        choice("precision", self.precision, PRECISIONS)
        choice("compile", self.compile, COMPILES)
        choice("attention", self.attention, ATTENTIONS)
        choice("scan", self.scan, SCANS)
        for key, owners in (("attention", ("dit", "llama", "gpt2", "bert")), ("scan", ("caduceus",))):
            found = f"{key}={getattr(self, key)}: belongs to model.backbone={' or '.join(owners)}; leave it out"
            require(getattr(self, key) == "auto" or self.model.backbone in owners, found)
        choice("logger", self.logger, LOGGERS)
        unused = self.logger == "wandb" or self.wandb == WandbConfig()
        require(unused, f"logger={self.logger}: has no use for wandb.*; add logger=wandb or leave them out")
        sees_right = self.model.sees_right
        check_algo(self.algo, self.estimator, self.time_conditioning, bos=self.data.bos, sees_right=sees_right)
        self.estimator = chosen_estimator(self.algo, self.estimator)
        check_blocks(self.algo, self.block_size, self.estimator, self.model.length)
        infinite = self.time_conditioning and self.noise.endless
        require(not infinite, "noise.eps=0: leaves infinite noise at t=1, which the network would be told; give 1e-3")
        adaln = self.model.adaln or not self.time_conditioning
        require(adaln, "time_conditioning=true: the noise level enters through adaptive norms; set model.adaln=true")
        labelled = self.model.adaln or self.data.label is None
        require(labelled, f"data.label={self.data.label}: classes enter through adaptive norms; set model.adaln=true")
        opened = f"data.bos={str(self.data.bos).lower()}: begins one strand and not the other; leave it out or model.rc"
        require(not (self.model.rc and self.data.bos), opened)
        eager = self.compile != "true" or self.train.parallel != "fsdp"
        require(eager, "compile=true: cannot follow the weights of train.parallel=fsdp; set compile=auto")
        ends = self.optim.schedule == "constant" or self.train.steps is not None
        require(ends, f"optim.schedule={self.optim.schedule}: decays until the last step; give train.steps")
        gap, length = self.data.gap, self.model.length
        require(gap is None or gap >= length, f"data.gap={gap}: is shorter than a window; give at least {length}")
