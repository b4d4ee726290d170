"""What a foreign tokenizer says of its vocabulary, read without running it.

Upstream pickles the tokenizer into the checkpoint, in any of these forms: a plain dictionary of ids, a fast tokenizer
of the Hugging Face libraries (a JSON text inside), or a slow one (its dictionary of tokens as an attribute). All that
is wanted are the ids of a few special tokens, and whether the vocabulary is the nucleotide one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.pickles import Stub, mapping, state
from dnadiff.data.plain_json import read_json
from dnadiff.data.subwords import SubwordTokenizer, read_subwords
from dnadiff.data.tokenizers import TOKENIZERS, IdsTokenizer, NucleotideTokenizer, Tokenizer, tokenizer_from_json
from dnadiff.errors import InputError

_MOST_BYTES = 64 << 20  # of the JSON of a tokenizer of text
ROLES = ("mask", "pad", "bos", "sep", "eos")
_TABLES = ("vocab", "encoder", "_vocab_str_to_int")  # attributes of slow tokenizers that number their tokens


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as far as it is known.

    Attributes:
        tokens: Id of each token; empty if they are not named.
        special: Id of the special tokens by role; a role that is known to be empty is None, an unknown one is absent.
    """

    tokens: Mapping[str, int]
    special: Mapping[str, int | None]

    def is_nucleotide(self) -> bool:
        """Whether it numbers its tokens as ``NucleotideTokenizer`` does."""
        return dict(self.tokens) == {token: i for i, token in enumerate(NucleotideTokenizer.tokens)}

    def mask_id(self, size: int) -> int | None:
        """Id of the mask in a model of ``size`` tokens; None if nothing says it.

        A vocabulary without a mask got one behind its last token, upstream's rule.
        """
        mask = self.special.get("mask", -1)
        if mask is None:
            return size - 1
        return mask if mask >= 0 else None

    def tokenizer(self, size: int, path: Path) -> Tokenizer:
        """The tokenizer of a model of ``size`` tokens: the nucleotide one if it fits, else one of bare ids.

        Args:
            size: V.
            path: The model, for messages.

        Raises:
            InputError: Nothing says which id is the mask.
        """
        if self.is_nucleotide() and size == NucleotideTokenizer.vocab_size:
            return NucleotideTokenizer()
        mask = self.mask_id(size)
        if mask is None:
            ids = json.dumps({"name": "ids", "vocab_size": size, "mask_id": "ID"}).replace('"ID"', "ID")
            raise InputError(f"{path}: its tokenizer does not say which id is the mask; --tokenizer DIR with {ids} in "
                             "DIR/tokenizer.json would work")  # fmt: skip
        known = {role: self.special.get(role) for role in ROLES}
        end = known["sep"] if known["sep"] is not None else known["eos"]
        return IdsTokenizer(size, mask, pad_id=known["pad"], bos_id=known["bos"], sep_id=end)


def unnamed_vocabulary(size: int) -> Vocabulary:
    """The vocabulary of a model of ``size`` tokens that comes without one.

    Its mask is taken to be behind the last token, as upstream puts it where the vocabulary has none (GPT-2's, which
    the published folders have), but with 12 tokens, the size of the nucleotide vocabulary, it is that one's.
    """
    twelve = size == NucleotideTokenizer.vocab_size
    return Vocabulary({}, {"mask": NucleotideTokenizer.mask_id if twelve else None})


def pickled_vocabulary(value: object) -> Vocabulary:
    """The vocabulary of a tokenizer out of a pickle; one that cannot be read is empty."""
    if isinstance(value, Mapping):
        ids = {role: value[f"{role}_token_id"] for role in ROLES if f"{role}_token_id" in value}
        return Vocabulary({}, {role: i for role, i in ids.items() if i is None or type(i) is int})
    found = state(value)
    tables = [_ids(found.get(name)) for name in _TABLES] + [_fast(found.get("_tokenizer"))]
    tokens = max(tables, key=len)
    return Vocabulary(tokens, _roles(found, tokens))


def folder_vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary of a folder's ``tokenizer.json`` if it is the nucleotide one, else None."""
    file = folder / "tokenizer.json"
    known = Vocabulary(_json_tokens(read_foreign(file)) if file.is_file() else {}, {})
    return known if known.is_nucleotide() else None


def folder_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of a folder, or of its name.

    Args:
        path: A folder with ``tokenizer.json``, or with the files of GPT-2 or BERT; or a name such as ``nucleotide``
            where there is no such folder.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    if path in TOKENIZERS and path != IdsTokenizer.name and not Path(path).is_dir():
        return tokenizer_from_json({"name": path})
    file = Path(path) / "tokenizer.json"
    if file.is_file():
        value = read_foreign(file)
        if "name" in value:
            return tokenizer_from_json(value)
        if Vocabulary(_json_tokens(value), {}).is_nucleotide():
            return NucleotideTokenizer()
    return read_subwords(path, "--tokenizer ")


def token_names(tokenizer: SubwordTokenizer) -> dict[str, int]:
    """Id of each token of a tokenizer of pieces of words by its name."""
    return _json_tokens(tokenizer.to_json()["definition"])


def read_foreign(path: Path) -> dict[str, Any]:
    """The object of a JSON file of somebody else's, which may hold the vocabulary of a text model.

    Raises:
        InputError: It is none.
    """
    return read_json(path, "copy or download it again", most=_MOST_BYTES)


def _roles(found: Mapping[str, object], tokens: Mapping[str, int]) -> dict[str, int | None]:
    """Ids of the special tokens, from the attributes of a tokenizer: one map in newer ones, one each in older ones."""
    named = mapping(found.get("_special_tokens_map"))
    roles: dict[str, int | None] = {}
    for role in ROLES:
        holder, key = (named, f"{role}_token") if f"{role}_token" in named else (found, f"_{role}_token")
        if key in holder:
            token = _text(holder[key])
            if token is None:
                roles[role] = None
            elif token in tokens:
                roles[role] = tokens[token]
    return roles


def _text(token: object) -> str | None:
    """A token's text: itself, or what an AddedToken holds."""
    if isinstance(token, Stub):
        return state(token).get("content") or next((part for part in token.args if isinstance(part, str)), "")
    return token if isinstance(token, str) else None


def _fast(value: object) -> dict[str, int]:
    """Token ids of a pickled fast tokenizer: its JSON text, which Python 3 pickles of protocol 2 spell in Latin-1."""
    inner = value.state if isinstance(value, Stub) else None
    if isinstance(inner, Stub) and inner.path == "_codecs.encode" and inner.args:
        inner = str(inner.args[0]).encode("latin-1", errors="replace")
    if not isinstance(inner, bytes):
        return {}
    try:
        return _json_tokens(json.loads(inner))
    except (ValueError, RecursionError):
        return {}


def _json_tokens(value: object) -> dict[str, int]:
    """Token ids of the JSON of a fast tokenizer: those of its model and those added to it."""
    if not isinstance(value, Mapping):
        return {}
    model = value.get("model")
    vocab = model.get("vocab") if isinstance(model, Mapping) else None
    tokens = _ids(vocab)
    if isinstance(vocab, list):  # unigram models: pairs of token and score
        tokens = {pair[0]: i for i, pair in enumerate(vocab) if isinstance(pair, list) and pair}
    added = value.get("added_tokens")
    for token in added if isinstance(added, Iterable) else []:
        if isinstance(token, Mapping) and type(token.get("id")) is int:
            tokens[str(token.get("content"))] = token["id"]
    return tokens


def _ids(value: object) -> dict[str, int]:
    return {token: i for token, i in mapping(value).items() if isinstance(token, str) and type(i) is int}
