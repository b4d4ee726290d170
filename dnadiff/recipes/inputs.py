"""From the data keys of a configuration to a split genome and its windows: what train and evaluate must agree on."""

from dataclasses import replace

from dnadiff.data.genome import Store
from dnadiff.data.intervals import Interval, read_bed
from dnadiff.data.labels import classes_of
from dnadiff.data.splits import Split, make_split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.schema import Config, DataConfig


def split_of(data: DataConfig, store: Store, length: int) -> Split:
    """The training, validation and test intervals of a genome.

    Args:
        data: How to split.
        store: The genome.
        length: Window length in bp: the least gap between blocks, and what BED intervals are lengthened to.

    Raises:
        InputError: The split cannot be made.
    """
    named = bool(data.valid or data.test)
    return make_split(
        store.sizes,
        by="auto" if data.split == "bed" else data.split,
        valid=data.valid if named else data.valid_fraction,
        test=data.test if named else data.test_fraction,
        gap=length if data.gap is None else data.gap,
        bed=None if data.bed is None else read_bed(data.bed, store.sizes),
        extend=length if data.extend else None,
    )


def with_classes(config: Config, store: Store) -> Config:
    """The configuration with the names of the classes filled in, if it asks for classes.

    Raises:
        InputError: A record has no class, or all have the same.
    """
    if config.data.label is None:
        return config
    names, _ = classes_of(store, config.data.label, config.data.classes)
    return replace(config, data=replace(config.data, classes=list(names)))


def training_windows(config: Config, store: Store, intervals: tuple[Interval, ...], seed: int) -> WindowDataset:
    """Windows to train on: shuffled, on both strands, with the configured weight of repeats."""
    return _windows(
        config, store, intervals, seed, mode=config.data.windows, shuffle=True,
        reverse_complement=config.data.reverse_complement, repeat_weight=config.data.repeat_weight,
    )  # fmt: skip


def held_out_windows(config: Config, store: Store, intervals: tuple[Interval, ...]) -> WindowDataset:
    """Windows to score: adjacent ones of a fixed grid, forward strand, every base weighing the same."""
    return _windows(config, store, intervals, 0, mode="tiling")


def _windows(
    config: Config, store: Store, intervals: tuple[Interval, ...], seed: int, **options: object
) -> WindowDataset:
    data = config.data
    labels = classes_of(store, data.label, data.classes)[1] if data.label else None
    return WindowDataset(
        store, intervals, NucleotideTokenizer(), config.model.length, seed=seed, n_policy=data.n_policy,
        min_valid=data.min_valid, bos=data.bos, labels=labels, **options,
    )  # fmt: skip
