"""The configuration of fine-tuning: labelled examples, a head on a backbone, how long, and what is chosen by what."""

from dataclasses import dataclass, field

from dnadiff.errors import InputError
from dnadiff.schema import PRECISIONS, ModelConfig, OptimConfig
from dnadiff.schema.checks import choice, number, require
from dnadiff.schema.text import TaskConfig, TokenizerConfig, check_defaults

LABEL_KINDS = ("auto", "class", "multilabel", "regression", "tokens")
POOLINGS = ("mean", "mean_all", "attention", "first", "positions")
METRICS = {
    "class": ("accuracy", "mcc", "f1", "f1_positive", "auroc", "auprc", "loss"),
    "multilabel": ("accuracy", "mcc", "f1", "auroc", "auprc", "loss"),
    "regression": ("pearson", "spearman", "r2", "rmse", "loss"),
    "tokens": ("accuracy", "mcc", "f1", "f1_positive", "auroc", "auprc", "loss"),
}
SCRATCH = "scratch"
_OF_SEQUENCES = ("genome", "reverse_complement", "both_strands", "masked")
"""Keys of the section ``data`` that only nucleotides have a use for."""


@dataclass
class LabelledConfig:
    """Which examples, what their labels mean, and how they become rows.

    Attributes:
        path: A table, a FASTA file, or a folder in one of the layouts of labelled data; of text a table or a folder of
            them, such as a task of GLUE.
        label: Columns of the tables, or words before ``=`` in the descriptions, that hold the labels.
        kind: ``class``, ``multilabel``, ``regression`` or ``tokens`` (a letter a base); ``auto`` is what the labels
            look like, never tokens.
        genome: FASTA files or stores with the bases, where ``path`` holds coordinates; no contig in two of them.
        valid_fraction: Share of the training part to validate on, if the data name no such part; 0 for none.
        test_fraction: Share of the training part to test on, if the data name no such part; 0 for none.
        redraw: Draw the validation part anew by the seed, out of what the data name training and validation part.
        fold: Test on one of several parts of all examples, such as 2/5; as many as examples leave one out.
        length: Bases, or tokens of text, of a row; None is the longest sequence.
        crop: Read the middle of longer sequences, of text the beginning, which else are refused.
        reverse_complement: Chance that a training example is read on the other strand. Only for targets that do not
            depend on the strand.
        both_strands: Average the outputs of both strands in validation, test and prediction.
        masked: Hide any number of bases of each training example, and choose the best weights by examples so hidden: a
            classifier that can guide generation.
        workers: Processes that prepare batches; 0 is the training process itself.
    """

    path: str | None = None
    label: list[str] = field(default_factory=lambda: ["label"])
    kind: str = "auto"
    genome: list[str] = field(default_factory=list)
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    redraw: bool = False
    fold: str | None = None
    length: int | None = None
    crop: bool = False
    reverse_complement: float = 0.0
    both_strands: bool = False
    masked: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        choice("data.kind", self.kind, LABEL_KINDS)
        for key in ("valid_fraction", "test_fraction", "reverse_complement"):
            number(f"data.{key}", getattr(self, key), 0.0, 1.0)
        number("data.length", self.length, 4)
        number("data.workers", self.workers, 0)
        require(bool(self.label), "data.label: names nothing; a column or word, such as label, would work")
        twice = next((key for key in self.label if self.label.count(key) > 1), None)
        require(twice is None, f"data.label={','.join(self.label)}: names {twice} twice; different names would work")
        require(self.fold is None or not self.redraw, "data.redraw=true: contradicts data.fold; leave one of them out")
        require(self.fold is None or self.one_of is not None, f"data.fold={self.fold}: is no fold; 2/5 would work")
        total = self.valid_fraction + self.test_fraction
        sums = f"data.valid_fraction + data.test_fraction = {total:g}"
        require(total < 1, f"{sums}: nothing left to train on; give less than 1")

    @property
    def one_of(self) -> tuple[int, int] | None:
        """The number of the fold and how many there are; None if there is no fold."""
        number, _, count = (self.fold or "").partition("/")
        if not all(word.isascii() and word.isdigit() for word in (number, count)):
            return None
        return (int(number), int(count)) if 1 <= int(number) <= int(count) and int(count) > 1 else None


@dataclass
class HeadConfig:
    """What stands on the backbone.

    Attributes:
        pooling: ``mean`` over the bases, ``mean_all`` over padding too (as Caduceus), ``attention``, ``first``, or
            ``positions``: weights for each position, where sequences are aligned. Labels of bases are not pooled.
        dropout: Probability, on the pooled state.
    """

    pooling: str = "mean"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        choice("head.pooling", self.pooling, POOLINGS)
        number("head.dropout", self.dropout, 0.0, 0.999)


@dataclass
class EpochsConfig:
    """How long to train, and what is chosen by what.

    Attributes:
        epochs: Times that every example is seen.
        minutes: Stop after this many minutes of training, if that is earlier.
        metric: What the best weights are chosen by on the validation part; ``auto`` is mcc for classes, auroc for
            labels, pearson for numbers.
        patience: Stop after this many epochs without a better validation; None goes on to the end.
        val_every: Epochs between validations.
        checkpoint_every: Epochs between checkpoints.
        keep: Newest checkpoints kept.
        log_every: Steps between lines of the log.
    """

    epochs: float = 10.0
    minutes: float | None = None
    metric: str = "auto"
    patience: float | None = None
    val_every: float = 1.0
    checkpoint_every: float = 1.0
    keep: int = 2
    log_every: int = 10

    def __post_init__(self) -> None:
        for key in ("epochs", "minutes", "patience", "val_every", "checkpoint_every"):
            number(f"train.{key}", getattr(self, key), 0.0, open_low=True)
        for key in ("keep", "log_every"):
            number(f"train.{key}", getattr(self, key), 1)
        known = dict.fromkeys(name for names in METRICS.values() for name in names)
        choice("train.metric", self.metric, ("auto", *known))

    def chosen(self, kind: str, best: str) -> str:
        """The metric to choose by.

        Args:
            kind: What the targets are.
            best: What ``auto`` is.

        Raises:
            InputError: The metric is one of other targets.
        """
        metric = best if self.metric == "auto" else self.metric
        if metric not in METRICS[kind]:
            there = ", ".join(METRICS[kind])
            raise InputError(f"train.metric={metric}: is none of {kind} targets; there are: {there}")
        return metric


@dataclass
class FinetuneConfig:
    """Everything a fine-tuning was asked for.

    Attributes:
        seed: Seed of every random number; None draws one, which is printed and recorded.
        start: Run or model folder to begin with, or ``scratch`` for random weights.
        task: What is read, if training begins from scratch; a model that is there says it itself.
        tokenizer: What a token of text is, if training begins from scratch: ``bytes``, ``text8``, ``folder`` or
            ``model``.
        precision: Training precision; ``auto`` is bf16 where the processor computes it faster, else fp32.
        baselines: Report what can be predicted without the model too.
        bootstrap: Resamples of the test part behind every interval; 0 for no intervals.
        data: Examples.
        head: Pooling.
        model: Size, if training begins from scratch; of a model that is there only the dropout may be changed.
        optim: Optimiser.
        train: Duration, choice and output.
    """

    seed: int | None = None
    start: str = SCRATCH
    task: TaskConfig = field(default_factory=TaskConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    precision: str = "auto"
    baselines: bool = True
    bootstrap: int = 1000
    data: LabelledConfig = field(default_factory=LabelledConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: EpochsConfig = field(default_factory=EpochsConfig)

    def __post_init__(self) -> None:
        choice("precision", self.precision, PRECISIONS)
        number("bootstrap", self.bootstrap, 0)
        self._check_tokenizer()
        if self.task.name == "text":
            require(self.data.kind != "tokens", "data.kind=tokens: labels bases; one label a text would work")
            require(not self.model.rc, "model.rc=true: text has one strand; leave it out")
            check_defaults("data", self.data, _OF_SEQUENCES, "nucleotides, and this is text")

    def _check_tokenizer(self) -> None:
        name = self.tokenizer.name
        found, text = f"tokenizer.name={name}", self.task.name == "text"
        if self.start != SCRATCH:
            require(name == "nucleotide", f"{found}: {self.start} has its own; leave it out")
            return
        require(text or name == "nucleotide", f"{found}: numbers text; add task=text or leave it out")
        require(not text or name != "nucleotide", f"{found}: numbers bases; tokenizer=bytes would work with task=text")
        require(name != "bpe", f"{found}: is learned in pre-training; tokenizer.name=model tokenizer.path=RUN works")
