"""A text as token ids on the disk: made once for a file, a tokenizer and the way the file is read, then mapped.

A store is a folder of the cache:

    tokens.u16 (or .u32)   ids of all documents one after the other, each ended by the tokenizer's end token
    characters.u16         characters of the text that each token stands for; an end token stands for none
    documents.i64          where each document begins, and the end of the last
    digests.u64            a hash of each document's text, to notice a document on two sides of a split
    index.json             what it was made from

Its name is a hash of what it was made from: the SHA-256 of the source, the fingerprint of the tokenizer, the rule that
divides documents and the detokenizer. So a store is never read by another tokenizer than the one that wrote it, and a
changed file gets a new one. Windows, modes and splits do not enter: they are made from the same store.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dnadiff.data import atomic
from dnadiff.data.detokenizers import DETOKENIZERS
from dnadiff.data.documents import documents
from dnadiff.data.plain_json import read_json
from dnadiff.data.stream import sha256_of
from dnadiff.data.text_sets import cache_folder
from dnadiff.data.tokenizer import Encoded, TextTokenizer
from dnadiff.errors import InputError, did_you_mean

FORMAT = 1
INDEX = "index.json"
_TOGETHER = 256  # documents encoded at once
_MOST = np.iinfo(np.uint16).max


class TokenStore:
    """An opened store; read-only, and pickled as its path.

    Attributes:
        path: The folder.
        index: What it was made from, and its sizes.
        tokens: Ids of all documents, (tokens,), mapped.
        characters: What each stands for, (tokens,) uint16, mapped.
        offsets: Where each document begins in them, (documents + 1,) int64.
        digests: A hash of each document, (documents,) uint64.
    """

    def __init__(self, path: Path) -> None:
        """Use ``cached_tokens``."""
        self.path = path
        self.index = read_json(path / INDEX, _remedy(path))
        size, count = self.index.get("tokens"), self.index.get("documents")
        if type(size) is not int or type(count) is not int or self.index.get("format") != FORMAT:
            raise InputError(f"{path}: is no store of tokens of this version; {_remedy(path)}")
        wide = int(self.index.get("vocab_size", 0)) > _MOST + 1
        self.tokens = _mapped(path / ("tokens.u32" if wide else "tokens.u16"), np.uint32 if wide else np.uint16, size)
        self.characters = _mapped(path / "characters.u16", np.uint16, size)
        self.offsets = _mapped(path / "documents.i64", np.int64, count + 1)
        self.digests = _mapped(path / "digests.u64", np.uint64, count)

    @property
    def documents(self) -> int:
        """How many documents it has."""
        return len(self.digests)

    @property
    def source(self) -> tuple[str, str]:
        """The file it was made from, and that file's SHA-256."""
        return self.index["name"], self.index["made_from"]["source"]

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenStore, (self.path,)


def cached_tokens(
    file: str | Path, tokenizer: TextTokenizer, *, rule: str = "auto", detokenizer: str = "none"
) -> TokenStore:
    """The store of a text, from the cache (``$DNADIFF_CACHE``, else ``~/.cache/dnadiff``) or made now.

    Args:
        file: The text.
        tokenizer: Numbers its tokens.
        rule: What a document is, a name of ``documents.RULES``.
        detokenizer: What restores the text, a name of ``DETOKENIZERS``.

    Raises:
        InputError: The file cannot be read, holds no document, or what the cache holds is damaged.
    """
    if atomic.is_stream(file):
        raise InputError(f"{file}: a stream is read once and text is read twice; a file would work")
    made_from = {
        "format": FORMAT, "source": sha256_of(file), "tokenizer": tokenizer.fingerprint(), "documents": rule,
        "detokenizer": detokenizer,
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    out = cache_folder() / f"text-{key[:16]}"
    with atomic.lock(out):
        if not out.exists():
            with atomic.new_folder(out) as folder:
                _write(
                    folder, restored(file, rule, detokenizer), tokenizer, {"made_from": made_from, "name": str(file)}
                )
        store = TokenStore(out)
    if store.index.get("made_from") != made_from:
        raise InputError(f"{out}: holds the tokens of another text; {_remedy(out)}")
    return store


def restored(file: str | Path, rule: str, detokenizer: str) -> Iterator[str]:
    """The documents of a file as they were before somebody tokenized them.

    Raises:
        InputError: The file cannot be read, holds no document, or there is no such detokenizer.
    """
    if detokenizer not in DETOKENIZERS:
        raise InputError(f"text.detokenizer={detokenizer}: {did_you_mean(detokenizer, DETOKENIZERS)}")
    empty = True
    for document in documents(file, rule):
        empty = False
        yield DETOKENIZERS[detokenizer](document)
    if empty:
        raise InputError(f"{file}: found no document; text that is not blank would work")


def _write(folder: Path, texts: Iterable[str], tokenizer: TextTokenizer, facts: dict[str, Any]) -> None:
    wide = tokenizer.vocab_size > _MOST + 1
    kind = np.uint32 if wide else np.uint16
    sizes: list[int] = []
    digests: list[int] = []
    length = 0
    with (
        (folder / ("tokens.u32" if wide else "tokens.u16")).open("wb") as tokens,
        (folder / "characters.u16").open("wb") as characters,
    ):
        rest = iter(texts)
        while some := list(islice(rest, _TOGETHER)):
            for text, (ids, spans) in zip(some, tokenizer.encoded(some), strict=True):
                tokens.write(np.append(ids, tokenizer.sep_id).astype(kind).tobytes())
                characters.write(_counted(text, Encoded(ids, spans)))
                sizes.append(len(ids) + 1)
                digests.append(int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "little"))
                length += len(text)
        for file in (tokens, characters):
            _synced(file)
    for name, values in (("documents.i64", np.cumsum([0, *sizes], dtype=np.int64)),
                         ("digests.u64", np.array(digests, dtype=np.uint64))):  # fmt: skip
        with (folder / name).open("wb") as file:
            file.write(values.tobytes())
            _synced(file)
    index = {
        "format": FORMAT, **facts, "vocab_size": tokenizer.vocab_size, "documents": len(sizes), "tokens": sum(sizes),
        "characters": length,
    }  # fmt: skip
    with (folder / INDEX).open("w", encoding="utf-8") as file:
        file.write(json.dumps(index, indent=1) + "\n")


def _counted(text: str, found: Encoded) -> bytes:
    """Characters of each token and of the end token behind them: all of the text, whatever the tokenizer dropped."""
    spans = np.append(found.characters, 0)
    if len(spans) > 1:
        spans[-2] += len(text) - spans.sum()
    return np.minimum(spans, _MOST).astype(np.uint16).tobytes()


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _mapped(path: Path, kind: type, count: int) -> np.ndarray:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: is missing; {_remedy(path.parent)}") from error
    if size != count * np.dtype(kind).itemsize:
        raise InputError(f"{path}: has {size} bytes where {count * np.dtype(kind).itemsize} are due; "
                         f"{_remedy(path.parent)}")  # fmt: skip
    return np.memmap(path, dtype=kind, mode="r") if size else np.empty(0, dtype=kind)


def _remedy(path: Path) -> str:
    return f"removing {path}, which is made again, would work"
