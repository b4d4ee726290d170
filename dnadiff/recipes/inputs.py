"""From the data keys of a configuration to a split genome and its windows: what train and evaluate must agree on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dnadiff.data.cut import Cut
from dnadiff.data.dataset import Dataset
from dnadiff.data.genome import Store
from dnadiff.data.intervals import Interval, read_bed
from dnadiff.data.labels import classes_of
from dnadiff.data.splits import Split, make_split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.errors import InputError
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


def training_windows(config: Config, store: Store, intervals: tuple[Interval, ...], seed: int) -> Dataset:
    """Windows to train on: shuffled, on both strands, with the configured weight of repeats."""
    windows = _windows(
        config.data, config.model.length, store, intervals, seed, mode=config.data.windows, shuffle=True,
        reverse_complement=config.data.reverse_complement, repeat_weight=config.data.repeat_weight,
    )  # fmt: skip
    return Cut(windows, seed) if config.algo.prefix else windows


def held_out_windows(config: Config, store: Store, intervals: tuple[Interval, ...]) -> Dataset:
    """Windows to score: adjacent ones of a fixed grid, forward strand, every base weighing the same."""
    windows = _windows(config.data, config.model.length, store, intervals, 0, mode="tiling")
    return Cut(windows, 0) if config.algo.prefix else windows


def windows_of_model(spec: Mapping[str, Any], store: Store) -> Dataset:
    """Windows of a whole genome as ``held_out_windows`` cuts them, for a model of which only the folder is there.

    A spec says how long windows are, how they begin, whether N is a token and which classes there are. What it does not
    say, the least share of known bases in a window, is the default of training.

    Args:
        spec: Of a model of nucleotides.
        store: The genome.

    Raises:
        InputError: The model knows classes and not the word that names them, or a record has none of them.
    """
    classes, label = list(spec.get("classes", ())), spec.get("label")
    if classes and label is None:
        raise InputError(
            f"label: found none in the model's config.json, the word of a record that says which of {len(classes)} "
            "classes it is; the run folder it came from would work"
        )
    policy = "token" if NucleotideTokenizer().n_id in spec["parameterization"]["allowed"] else "pad"
    data = DataConfig(bos=bool(spec.get("bos", False)), n_policy=policy, label=label, classes=classes)
    whole = tuple(Interval(name, 0, size) for name, size in store.sizes.items())
    windows = _windows(data, spec["length"], store, whole, 0, mode="tiling")
    return Cut(windows, 0) if spec.get("prefix", False) else windows


def _windows(
    data: DataConfig, length: int, store: Store, intervals: tuple[Interval, ...], seed: int, **options: object
) -> WindowDataset:
    labels = classes_of(store, data.label, data.classes)[1] if data.label else None
    return WindowDataset(
        store, intervals, NucleotideTokenizer(), length, seed=seed, n_policy=data.n_policy,
        min_valid=data.min_valid, bos=data.bos, labels=labels, **options,
    )  # fmt: skip
