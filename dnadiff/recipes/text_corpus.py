"""Text as the data of a run: files or named sets, a tokenizer, a split by documents.

Of one text the documents are held out at its end, the last ones for the test and those before them for validation, by
the shares of ``data.valid_fraction`` and ``data.test_fraction``; ``data.valid_path`` and ``data.test_path`` name texts
of their own. A named set brings its own split, and rules of its own for what a document is and how its text is
restored.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnadiff.data import atomic
from dnadiff.data.cut import Cut
from dnadiff.data.dataset import Dataset
from dnadiff.data.documents import has_records
from dnadiff.data.plain_json import read_json
from dnadiff.data.stream import sha256_of
from dnadiff.data.subwords import SubwordTokenizer, read_subwords, train_bpe
from dnadiff.data.text_sets import SETS, cache_folder, fetched
from dnadiff.data.text_tokenizers import ByteTokenizer, Text8Tokenizer
from dnadiff.data.text_windows import Part, TextWindows
from dnadiff.data.token_store import TokenStore, cached_tokens, restored
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError, did_you_mean, printable
from dnadiff.recipes.corpus import Corpus
from dnadiff.schema import Config, TextConfig, TokenizerConfig

PARTS = ("train", "valid", "test")


class Source(NamedTuple):
    """A text and how it is read.

    Attributes:
        file: Where it is.
        documents: What a document is.
        detokenizer: What restores it.
    """

    file: Path
    documents: str
    detokenizer: str

    def store(self, tokenizer: TextTokenizer) -> TokenStore:
        """Its tokens.

        Raises:
            InputError: It cannot be read or numbered.
        """
        return cached_tokens(self.file, tokenizer, rule=self.documents, detokenizer=self.detokenizer)


class TextCorpus(Corpus):
    """Documents of text.

    Args:
        config: What to read, and how; ``data.path`` is set.
        tokenizer: That of a model which is there already; None makes the one that the configuration asks for.

    Raises:
        InputError: A text cannot be read or split, or there is no such tokenizer.
    """

    noun, unit = "text", "token"

    def __init__(self, config: Config, tokenizer: TextTokenizer | None = None) -> None:
        self._config = config
        self.sources = sources_of(config)
        self.tokenizer: TextTokenizer = tokenizer or tokenizer_of(config, self.sources)
        self.parts = {name: part for name, part in self._parts() if part.last > part.first}
        if "train" not in self.parts:
            raise InputError(f"{config.data.path}: nothing is left to train on; smaller shares would work")

    @property
    def config(self) -> Config:
        """What the run was asked for."""
        return self._config

    @property
    def inputs(self) -> dict[str, str]:
        """The SHA-256 of every text."""
        return {str(source.file): self._stores[source].source[1] for source in dict.fromkeys(self.sources.values())}

    def report(self) -> str:
        """The size of each part, the tokenizer, and how many held-out documents are training documents too."""
        lines = [f"text         {', '.join(map(printable, self.inputs))}",
                 f"tokenizer    {self.tokenizer.name}, {self.tokenizer.vocab_size:,} tokens"]  # fmt: skip
        for name, part in self.parts.items():
            start, end = part.bounds
            letters = int(part.store.characters[start:end].sum(dtype=np.int64))
            lines.append(
                f"{name:<12} {part.last - part.first:,} documents, {part.tokens:,} tokens, {letters:,} characters"
            )
        held = [_digests(part) for name, part in self.parts.items() if name != "train"]
        again = int(np.isin(np.concatenate(held), _digests(self.parts["train"])).sum()) if held else 0
        lines.append(f"repeated     {again:,} held-out documents are training documents too")
        return "\n".join(lines)

    def split_json(self) -> dict[str, Any]:
        """File, first document and the one behind the last of each part."""
        files = {name: str(self.sources[name].file) for name in self.parts}
        return {"how": "documents"} | {
            name: [files[name], part.first, part.last] for name, part in self.parts.items()
        }  # fmt: skip

    def training(self) -> Dataset:
        """Windows of the training documents, in an order of their own each epoch."""
        return self._windows("train", self._config.seed or 0, mode=self._config.data.windows, shuffle=True)

    def held_out(self, part: str) -> Dataset | None:
        """Windows of the documents of a part, in order."""
        return self._windows(part, 0) if part in self.parts else None

    def count(self, path: Path) -> None:
        """Counts the tokens of the training part."""
        from dnadiff.evaluation.token_chain import TokenChain

        start, end = self.parts["train"].bounds
        TokenChain.fit([self.parts["train"].store.tokens[start:end]], self.tokenizer.vocab_size).save(path)

    def _parts(self) -> Iterator[tuple[str, Part]]:
        self._stores = {source: source.store(self.tokenizer) for source in dict.fromkeys(self.sources.values())}
        for name in PARTS:
            if name in self.sources:
                store = self._stores[self.sources[name]]
                yield name, Part(store, *_shares(self._config, self.sources, store.documents)[name])

    def _windows(self, part: str, seed: int, **options: Any) -> Dataset:  # noqa: ANN401 (of TextWindows)
        data, text = self._config.data, self._config.text
        windows = TextWindows(
            self.parts[part], self.tokenizer, self._config.model.length, seed=seed, wrap=text.wrap, bos=data.bos,
            window_ends=text.window_ends, **options,
        )  # fmt: skip
        return Cut(windows, seed) if self._config.algo.prefix else windows


def source_of(name: str, part: str, text: TextConfig) -> Source:
    """The text of a file, of a named set, or of a file that is read as a named set is.

    Args:
        name: ``FILE``, ``SET`` or ``SET=FILE``.
        part: Which part of a set.
        text: How files are read that are of no set.

    Raises:
        InputError: There is no such file or set.
    """
    named, equals, file = name.partition("=")
    if equals and not Path(name).exists():
        if named not in SETS:
            raise InputError(f"{name}: {named} is no set of texts; {did_you_mean(named, SETS)}")
        known = SETS[named]
        return Source(Path(file), "auto" if has_records(file) else known.documents, known.detokenizer)
    if name in SETS and not Path(name).exists():
        return Source(fetched(name, part), "auto", SETS[name].detokenizer)
    return Source(Path(name), text.documents, text.detokenizer)


def sources_of(config: Config) -> dict[str, Source]:
    """The texts of a configuration by part; parts cut from one text share it, and a part that is not wanted is absent.

    Raises:
        InputError: A text is not there.
    """
    data, path = config.data, str(config.data.path)
    own = path.partition("=")[0] in SETS and not Path(path).exists() and "=" not in path
    given = {"train": path, "valid": data.valid_path, "test": data.test_path}
    shares = {"train": 1.0, "valid": data.valid_fraction, "test": data.test_fraction}
    out = {}
    for part in PARTS:
        if given[part] is not None:
            out[part] = source_of(given[part], part, config.text)
        elif shares[part]:
            out[part] = source_of(path, part, config.text) if own else out["train"]
    return out


def tokenizer_of(config: Config, sources: dict[str, Source]) -> TextTokenizer:
    """The tokenizer that a configuration asks for; pieces of words are learned from the training documents.

    Raises:
        InputError: The folder holds none, or one of another size than was asked for.
    """
    return _learned(config, sources) if config.tokenizer.name == "bpe" else tokenizer_named(config.tokenizer)


def tokenizer_named(wanted: TokenizerConfig) -> TextTokenizer:
    """The tokenizer of text that is there without a text to learn it from.

    Args:
        wanted: Any but ``bpe`` and ``nucleotide``.

    Raises:
        InputError: The folder holds none, or one of another size than was asked for.
    """
    if wanted.name == "folder":
        return _checked(read_subwords(str(wanted.path)), wanted)
    if wanted.name == "model":
        return _of_model(str(wanted.path))
    return {"bytes": ByteTokenizer, "text8": Text8Tokenizer}[wanted.name]()


def _of_model(folder: str) -> TextTokenizer:
    from dnadiff.checkpoints.folder import load_tokenizer

    found = load_tokenizer(folder)
    if not isinstance(found, TextTokenizer):
        raise InputError(f"tokenizer.path={folder}: its tokens are {found.name}; a model of text would work")
    return found


def _checked(found: SubwordTokenizer, wanted: TokenizerConfig) -> SubwordTokenizer:
    if wanted.vocab_size not in (None, found.vocab_size):
        raise InputError(
            f"tokenizer.path={wanted.path}: has {found.vocab_size:,} tokens, its mask included, where "
            f"{wanted.vocab_size:,} are due; the right folder, or tokenizer.vocab_size={found.vocab_size}, would work"
        )
    return found


def _learned(config: Config, sources: dict[str, Source]) -> SubwordTokenizer:
    """The pieces of the training documents, learned once and kept in the cache."""
    source = sources["train"]
    count = sum(1 for _ in restored(*source))
    last = _shares(config, sources, count)["train"][1]
    made_from = [sha256_of(source.file), *source[1:], last, config.tokenizer.vocab_size]
    out = cache_folder() / f"bpe-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]}"
    with atomic.lock(out):
        if not out.exists():
            learned = train_bpe(islice(restored(*source), last), int(config.tokenizer.vocab_size or 0))
            with atomic.new_folder(out) as folder:
                (folder / "tokenizer.json").write_text(json.dumps(learned.to_json()), encoding="utf-8")
    return SubwordTokenizer.from_json(read_json(out / "tokenizer.json", f"removing {out} would work"))


def _shares(config: Config, sources: dict[str, Source], documents: int) -> dict[str, tuple[int, int]]:
    """First document and the one behind the last of each part, of a text of so many documents.

    Parts with a text of their own have all of it; the others are cut from the end of the training text.
    """
    data = config.data
    out, end = {}, documents
    for name, share in (("test", data.test_fraction), ("valid", data.valid_fraction)):
        if name not in sources:
            continue
        if sources[name] != sources["train"]:
            out[name] = (0, documents)
            continue
        start = end - max(1, round(share * documents))
        if start < 1:
            raise InputError(
                f"{config.data.path}: found {documents} documents, too few to hold some out; another text.documents, "
                f"data.valid_path and data.test_path, or data.{name}_fraction=0 would work"
            )
        out[name], end = (start, end), start
    return out | {"train": (0, end)}


def _digests(part: Part) -> np.ndarray:
    return part.store.digests[part.first : part.last]
