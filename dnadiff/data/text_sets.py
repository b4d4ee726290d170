"""Text sets that have a name: where they come from, how they are split, what restores their text.

They are fetched through the package ``datasets``, once, into files of JSON lines in the cache; from there on they are
local files like any other. Who has the text already names the set for its rules: ``ptb=ptb.valid.txt`` is that file
read the way PTB is.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnadiff.data import atomic
from dnadiff.data.documents import KEY
from dnadiff.errors import InputError

_CONVERTED = "refs/convert/parquet"  # of sets whose loading script is no longer run by anybody


@dataclass(frozen=True)
class TextSet:
    """A text set.

    Attributes:
        hub: Its name on the hub.
        config: Which of its configurations; None for the only one.
        train: Its training part as ``datasets`` names it; None if it has none.
        valid: Its validation part, the test part where it has none of its own.
        test: Its test part, the validation part where it has none of its own.
        column: Where the text is.
        detokenizer: Restores the text, a name of ``DETOKENIZERS``.
        documents: What a document of a plain copy is, a name of ``documents.RULES``.
        revision: Which version of it.
    """

    hub: str
    config: str | None
    train: str | None
    valid: str
    test: str
    column: str = KEY
    detokenizer: str = "none"
    documents: str = "auto"
    revision: str | None = None

    def part(self, name: str) -> str | None:
        """``train``, ``valid`` or ``test`` as ``datasets`` names it."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[name]


def _wikitext(config: str) -> TextSet:
    return TextSet("Salesforce/wikitext", config, "train", "validation", "test", KEY, "wikitext", "line")


def _papers(config: str) -> TextSet:
    return TextSet(
        "armanc/scientific_papers", config, "train", "validation", "test", "article", "scientific_papers", "line",
        _CONVERTED,
    )  # fmt: skip


SETS: dict[str, TextSet] = {
    "lm1b": TextSet(
        "billion-word-benchmark/lm1b", None, "train", "test", "test", KEY, "lm1b", "line", _CONVERTED
    ),
    "openwebtext": TextSet(
        "Skylion007/openwebtext", None, "train[:-100000]", "train[-100000:]", "train[-100000:]", revision=_CONVERTED
    ),
    "wikitext2": _wikitext("wikitext-2-raw-v1"),
    "wikitext103": _wikitext("wikitext-103-raw-v1"),
    "ptb": TextSet(
        "ptb-text-only/ptb_text_only", None, "train", "validation", "test", "sentence", "ptb", "line", _CONVERTED
    ),
    "lambada": TextSet("EleutherAI/lambada_openai", "default", None, "test", "test", KEY, "lambada"),
    "ag_news": TextSet("fancyzhx/ag_news", None, "train", "test", "test", documents="line"),
    "scientific_papers_arxiv": _papers("arxiv"),
    "scientific_papers_pubmed": _papers("pubmed"),
    "text8": TextSet("afmck/text8", None, "train", "validation", "test", documents="pieces"),
}  # fmt: skip
"""The sets by name. OpenWebText's last 100,000 documents are held out (Sahoo et al. 2024)."""


def fetched(name: str, part: str) -> Path:
    """A part of a set as a local file of JSON lines, fetched if the cache has none.

    Args:
        name: A name of ``SETS``.
        part: ``train``, ``valid`` or ``test``.

    Raises:
        InputError: The set has no such part, ``datasets`` is not installed, or the set cannot be reached.
    """
    source = SETS[name]
    split = source.part(part)
    if split is None:
        raise InputError(f"{name}: is a test set and has no part to train on; data.path=FILE would work")
    out = (
        cache_folder() / "sets" / f"{name}.{split.replace('[', '_').replace(']', '').replace(':', '_')}" / "text.jsonl"
    )
    with atomic.lock(out.parent):
        if not out.exists():
            rows = _rows(name, source, split)
            with atomic.new_folder(out.parent) as folder, (folder / out.name).open("w", encoding="utf-8") as file:
                for row in rows:
                    file.write(json.dumps({KEY: row[source.column]}, ensure_ascii=False) + "\n")
    return out


def cache_folder() -> Path:
    """``$DNADIFF_CACHE``, else ``~/.cache/dnadiff``."""
    return Path(os.environ.get("DNADIFF_CACHE") or Path.home() / ".cache" / "dnadiff")


def _rows(name: str, source: TextSet, split: str) -> Any:  # noqa: ANN401 (of a library)
    copy = f"a local copy, {name}=FILE, would work"
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError(
            f"{name}: is fetched by the package datasets, which is not installed; pip install 'dnadiff[text]', "
            f"or {copy}"
        ) from error
    try:
        return load_dataset(source.hub, source.config, split=split, revision=source.revision)
    except Exception as error:  # whatever the library, the network or the hub has to say
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{name}: cannot be fetched ({said:.120}); a network that reaches it, or {copy}") from error
