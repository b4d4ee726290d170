"""The data of a run behind one door: what train asks of a genome and of text alike.

A corpus is opened from a configuration. It knows its tokenizer, its split, its windows, and what a model is read
against; everything else of a run is the same whatever the tokens are.
"""

import abc
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from dnadiff.checkpoints.folder import read_provenance
from dnadiff.data import atomic
from dnadiff.data.card import data_card
from dnadiff.data.dataset import Dataset
from dnadiff.data.genome import open_genome
from dnadiff.data.intervals import total_bp
from dnadiff.data.tokenizer import Tokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.inputs import held_out_windows, split_of, training_windows, with_classes
from dnadiff.schema import Config


class Corpus(abc.ABC):
    """The data of a run and their split.

    Attributes:
        noun: What the data are called.
        unit: What a token is called.
        tokenizer: Numbers the tokens.
    """

    noun: ClassVar[str]
    unit: ClassVar[str]
    tokenizer: Tokenizer

    @property
    @abc.abstractmethod
    def config(self) -> Config:
        """What the run was asked for, with what only the data can say filled in."""

    @property
    @abc.abstractmethod
    def inputs(self) -> dict[str, str]:
        """The SHA-256 of every file it was read from, by name."""

    @abc.abstractmethod
    def report(self) -> str:
        """Some lines for people: what the data are and how they are split."""

    @abc.abstractmethod
    def split_json(self) -> dict[str, Any]:
        """The split as plain values."""

    @abc.abstractmethod
    def training(self) -> Dataset:
        """Windows to train on."""

    @abc.abstractmethod
    def held_out(self, part: str) -> Dataset | None:
        """Windows of ``train``, ``valid`` or ``test`` to score, of a fixed grid; None if the split has no such part."""

    @abc.abstractmethod
    def count(self, path: Path) -> None:
        """Counts the training part for the floors of every later evaluation, and writes the counts to ``path``."""

    def write_counts(self, path: Path) -> None:
        """``count``, whole or not at all.

        Raises:
            InputError: The place cannot be written to.
            ResourceError: The disk is full.
        """
        temporary = path.with_name(f".{path.stem}.tmp.npz")
        with atomic.disk_errors(path):
            self.count(temporary)
            atomic.sync(temporary)
            temporary.replace(path)


class GenomeCorpus(Corpus):
    """The intervals of a genome.

    Args:
        config: What to read, and how; ``data.path`` is set.

    Raises:
        InputError: The genome cannot be read or split.
    """

    noun, unit = "genome", "base"

    def __init__(self, config: Config) -> None:
        self.store = open_genome(str(config.data.path))
        self.split = split_of(config.data, self.store, config.model.length)
        self.tokenizer = NucleotideTokenizer()
        self._asked = config

    @cached_property
    def config(self) -> Config:
        """What the run was asked for, with the names of the classes.

        Raises:
            InputError: A record has no class where classes are asked for, or all have the same.
        """
        return with_classes(self._asked, self.store)

    @property
    def inputs(self) -> dict[str, str]:
        """The SHA-256 of the source of the genome."""
        return {str(self._asked.data.path): self.store.source_sha256}

    def report(self) -> str:
        """The data card and the split."""
        return f"{data_card(self.store)}\n{self.split.report()}"

    def split_json(self) -> dict[str, Any]:
        """The intervals of each part."""
        return self.split.to_json()

    def training(self) -> Dataset:
        """Windows of the training intervals."""
        return training_windows(self.config, self.store, self.split.train, self.config.seed)

    def held_out(self, part: str) -> Dataset | None:
        """Windows of the intervals of a part."""
        intervals = self.split[part]
        return held_out_windows(self.config, self.store, intervals) if intervals else None

    def count(self, path: Path) -> None:
        """Counts the training bases of both strands."""
        from dnadiff.evaluation.markov import MarkovChain, order_for

        codes = (self.store.codes(interval) for interval in self.split.train)
        MarkovChain.fit(codes, order_for(total_bp(self.split.train))).save(path)


def open_corpus(config: Config) -> Corpus:
    """The data that a configuration asks for.

    Raises:
        InputError: They cannot be read, split or numbered.
    """
    from dnadiff.recipes.pair_corpus import PairCorpus
    from dnadiff.recipes.text_corpus import TextCorpus

    if config.data.pairs:
        return PairCorpus(config)
    return TextCorpus(config) if config.task.name == "text" else GenomeCorpus(config)


def part_of_run(corpus: Corpus, run: str, split: str, what: str) -> Dataset:
    """The windows of a part of a run's data, if these are the files that it was trained on.

    Args:
        corpus: The data, opened again.
        run: Run folder.
        split: ``test``, ``valid`` or ``train``.
        what: What a file is called.

    Raises:
        InputError: A file has changed since, or the run held out nothing of that name.
    """
    noted = read_provenance(run).get("inputs", {})
    for (name, found), known in zip(corpus.inputs.items(), noted.values(), strict=False):
        if found != known:
            raise InputError(
                f"{name}: is not the {what} that {run} was trained on (found SHA-256 {found[:16]}); that one would "
                f"work, or naming this one: dna-diff evaluate {run} {name}"
            )
    windows = corpus.held_out(split)
    if windows is None:
        raise InputError(f"--split {split}: the run held out nothing for it; another split would work")
    return windows
