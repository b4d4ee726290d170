"""Pairs of a source and a target as the data of a run: ``data.pairs=true``, of text and of nucleotides alike."""

from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.data.pair_windows import PairWindows
from dnadiff.data.pairs import Pairs, read_pairs
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.errors import printable
from dnadiff.recipes.corpus import Corpus
from dnadiff.recipes.text_corpus import tokenizer_named
from dnadiff.schema import Config


class PairCorpus(Corpus):
    """Pairs with their split.

    Args:
        config: What to read, and how; ``data.path`` is set and ``data.pairs`` true.
        tokenizer: That of a model which is there already; None makes the one that the configuration asks for.

    Raises:
        InputError: A file cannot be read or split, or a pair cannot be used.
    """

    noun = "data set"

    def __init__(self, config: Config, tokenizer: Tokenizer | None = None) -> None:
        self._config, data = config, config.data
        own = NUCLEOTIDES if config.task.name == "dna" else tokenizer or tokenizer_named(config.tokenizer)
        self.tokenizer = own
        self.unit = "token" if isinstance(own, TextTokenizer) else "base"
        self.pairs: Pairs = read_pairs(
            str(data.path), own, valid_fraction=data.valid_fraction, test_fraction=data.test_fraction,
            n_known=data.n_policy == "token",
        )  # fmt: skip
        self._held = {name: self._windows(name, 0) for name in self.pairs.parts}

    @property
    def config(self) -> Config:
        """What the run was asked for."""
        return self._config

    @property
    def inputs(self) -> dict[str, str]:
        """The SHA-256 of every file."""
        return self.pairs.digests

    def report(self) -> str:
        """How many pairs each part has, how long they are, and how many held-out sources are trained on too."""
        lines = [f"pairs        {', '.join(map(printable, self.inputs))}", f"tokenizer    {self.tokenizer.name}"]
        for name, pairs in self.pairs.parts.items():
            sizes = [max(len(getattr(pair, ids)) for pair in pairs) for ids in ("source_ids", "target_ids")]
            lines.append(
                f"{name:<12} {len(pairs):,} pairs; sources of up to {sizes[0]:,} {self.unit}s, targets of {sizes[1]:,}"
            )
        again = sum(self.pairs.shared(name) for name in self.pairs.parts if name != "train")
        lines.append(f"repeated     {again:,} held-out pairs have a source that is trained on too")
        return "\n".join(lines)

    def split_json(self) -> dict[str, Any]:
        """How many pairs each part has, and the places of its first and last one."""
        parts = {name: [len(pairs), pairs[0].place, pairs[-1].place] for name, pairs in self.pairs.parts.items()}
        return {"how": "pairs"} | parts

    def training(self) -> PairWindows:
        """The training pairs, in an order of their own each epoch."""
        return self._windows("train", self._config.seed or 0, shuffle=True)

    def held_out(self, part: str) -> PairWindows | None:
        """The pairs of a part, in order."""
        return self._held.get(part)

    def count(self, path: Path) -> None:
        """Counts the targets of the training part, each with one end."""
        from dnadiff.evaluation.token_chain import TokenChain

        end = np.array([self.tokenizer.sep_id])
        targets = (np.concatenate([pair.target_ids, end]) for pair in self.pairs.parts["train"])
        TokenChain.fit(targets, self.tokenizer.vocab_size).save(path)

    def _windows(self, part: str, seed: int, *, shuffle: bool = False) -> PairWindows:
        data, length = self._config.data, self._config.model.length
        return PairWindows(
            self.pairs.parts[part], self.tokenizer, length, source=self.pairs.source, bos=data.bos,
            most=data.source_length, seed=seed, shuffle=shuffle,
        )  # fmt: skip
