"""Tokenizers of pieces of words, as the Hugging Face ``tokenizers`` library runs them, from plain local files.

What is read: ``tokenizer.json`` (that library's own form, with the roles of the specials from
``special_tokens_map.json`` or ``tokenizer_config.json`` if one is there), ``vocab.json`` with ``merges.txt`` (GPT-2's
byte-level pairs; Radford et al. 2019), or ``vocab.txt`` (BERT's word pieces; Devlin et al. 2019; lower case unless
``tokenizer_config.json`` has ``do_lower_case`` false). A byte-level vocabulary can also be trained on a text (Sennrich
et al. 2016). All are kept as one JSON text inside the model folder; nothing is pickled.

A vocabulary without a mask gets one behind its last token, as MDLM gives GPT-2's 50,257 tokens a 50,258th.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnadiff.data.plain_json import read_json
from dnadiff.data.tokenizer import Encoded, TextTokenizer, check_ids
from dnadiff.errors import InputError

if TYPE_CHECKING:
    import tokenizers

ROLES: dict[str, tuple[str, ...]] = {
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
    "bos": ("[BOS]", "<s>", "<|begin_of_text|>", "<|endoftext|>", "[CLS]"),
    "eos": ("[EOS]", "</s>", "<|end_of_text|>", "<|endoftext|>", "[SEP]"),
    "pad": ("[PAD]", "<pad>", "<|pad|>"),
}
"""What the special tokens are usually called, the likeliest first, where no file says which token has a role."""

_FALLBACKS = {"bos": "cls_token", "eos": "sep_token"}  # as upstream takes BERT's
_WORKS = "a folder with tokenizer.json, with vocab.json and merges.txt, or with vocab.txt would work"
_MOST_BYTES = 64 << 20


class SubwordTokenizer(TextTokenizer):
    """A tokenizer of the ``tokenizers`` library with the ids of its special tokens.

    Args:
        definition: The library's JSON, as text.
        mask_id: Id of the mask; may be the first behind the vocabulary.
        bos_id: Id that begins a text.
        sep_id: Id that ends one.
        pad_id: Id of the padding; None if no token is one.

    Raises:
        InputError: The definition cannot be read, or an id lies outside the vocabulary.
    """

    name = "subwords"

    def __init__(self, definition: str, *, mask_id: int, bos_id: int, sep_id: int, pad_id: int | None = None) -> None:
        self._inner = _parsed(definition)
        self.mask_id, self.bos_id, self.sep_id, self.pad_id = mask_id, bos_id, sep_id, pad_id
        size = self._inner.get_vocab_size(with_added_tokens=True)
        self.vocab_size = size + (mask_id == size)
        padding = {} if pad_id is None else {pad_id: "[PAD]"}
        self._named = padding | {bos_id: "[BOS]", sep_id: "[EOS]", mask_id: "[MASK]"}
        added = self._inner.get_added_tokens_decoder()
        self.special_ids = tuple(sorted({*self._named, *(i for i, token in added.items() if token.special)}))
        check_ids(list(self._named), self.vocab_size)

    def encoded(self, texts: Sequence[str]) -> list[Encoded]:
        """The pieces of some texts."""
        return [_spans(found) for found in self._inner.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """The text of the pieces; mask, beginning, end and padding as ``[MASK]`` and the like.

        Raises:
            InputError: An id is not in the vocabulary.
        """
        pieces: list[str] = []
        held: list[int] = []
        for i in check_ids(ids, self.vocab_size).tolist():
            if i in self._named:
                pieces += [self._inner.decode(held, skip_special_tokens=False), self._named[i]]
                held = []
            else:
                held.append(i)
        return "".join([*pieces, self._inner.decode(held, skip_special_tokens=False)])

    def to_json(self) -> dict[str, Any]:
        """Its name, its special ids and the library's own JSON."""
        ids = {key: getattr(self, key) for key in ("mask_id", "bos_id", "sep_id", "pad_id")}
        return {"name": self.name, **ids, "definition": json.loads(self._inner.to_str())}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SubwordTokenizer":
        """The tokenizer that ``to_json`` described.

        Raises:
            InputError: It describes none.
        """
        ids = {key: value.get(key) for key in ("mask_id", "bos_id", "sep_id", "pad_id")}
        wrong = next(
            (key for key, i in ids.items() if type(i) is not int and not (key == "pad_id" and i is None)), None
        )
        if wrong or not isinstance(value.get("definition"), dict):
            raise InputError(
                f"tokenizer '{cls.name}': {wrong or 'definition'} is missing; what to_json gave would work"
            )
        return cls(json.dumps(value["definition"]), **ids)


def read_subwords(folder: str | Path, asked: str = "tokenizer.path=") -> SubwordTokenizer:
    """The tokenizer of a local folder.

    Args:
        folder: The folder.
        asked: What named it, for messages.

    Raises:
        InputError: There is none, it is damaged, or nothing says which tokens begin and end a text.
    """
    path = Path(folder)
    if (path / "tokenizer.json").is_file():
        return _from_library(path, asked)
    if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        return _gpt2(path, asked)
    if (path / "vocab.txt").is_file():
        return _bert(path, asked)
    raise InputError(f"{asked}{folder}: has no vocabulary that is read here; {_WORKS}")


def train_bpe(texts: Iterable[str], vocab_size: int) -> SubwordTokenizer:
    """A byte-level vocabulary of pairs, trained on some texts; the same for the same texts.

    Args:
        texts: Documents.
        vocab_size: Tokens, the 256 bytes and four specials among them; fewer if the texts have fewer pairs.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    specials = ["[BOS]", "[EOS]", "[MASK]", "[PAD]"]
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=specials, show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )  # fmt: skip
    return SubwordTokenizer(inner.to_str(), mask_id=2, bos_id=0, sep_id=1, pad_id=3)


def _parsed(definition: str, place: str = "tokenizer") -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer

    try:
        inner = Tokenizer.from_str(definition)
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{place}: its definition cannot be read ({error}); a fresh copy would work") from error
    inner.no_truncation()
    inner.no_padding()
    inner.encode_special_tokens = True  # "[MASK]" in a text is six characters, not the mask
    return inner


def _spans(found: "tokenizers.Encoding") -> Encoded:
    """Ids, and how far each token reaches beyond those before it: pieces of one character share its offsets."""
    ends = np.maximum.accumulate(np.array([end for _, end in found.offsets], dtype=np.int64))
    return Encoded(np.array(found.ids, dtype=np.int64), np.diff(ends, prepend=0))


def _from_library(path: Path, asked: str) -> SubwordTokenizer:
    file = path / "tokenizer.json"
    value = read_json(file, "a fresh copy would work", most=_MOST_BYTES)
    if value.get("name") == SubwordTokenizer.name:
        return SubwordTokenizer.from_json(value)
    inner = _parsed(json.dumps(value), f"{asked}{path}")
    return _with_roles(inner, _stated_roles(path), f"{asked}{path}")


def _gpt2(path: Path, asked: str) -> SubwordTokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    inner = Tokenizer(_model(models.BPE, path, "vocab.json", "merges.txt"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([word for word in ROLES["eos"] if inner.token_to_id(word) is not None])
    return _with_roles(inner, {}, f"{asked}{path}")


def _bert(path: Path, asked: str) -> SubwordTokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    inner = Tokenizer(_model(models.WordPiece, path, "vocab.txt", unk_token="[UNK]"))
    stated, file = {}, path / "tokenizer_config.json"
    if file.is_file():
        stated = read_json(file, "a fresh copy would work", most=_MOST_BYTES)
    inner.normalizer = normalizers.BertNormalizer(lowercase=stated.get("do_lower_case") is not False)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    words = ("[UNK]", "[SEP]", "[CLS]", "[PAD]", "[MASK]")
    inner.add_special_tokens([word for word in words if inner.token_to_id(word) is not None])
    return _with_roles(inner, {}, f"{asked}{path}")


def _model(kind: Any, path: Path, *names: str, **options: str) -> Any:  # noqa: ANN401 (classes of the library)
    try:
        return kind.from_file(*(str(path / name) for name in names), **options)
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{path / names[0]}: cannot be read ({error}); a fresh copy would work") from error


def _stated_roles(path: Path) -> dict[str, str]:
    """The special tokens by role, as the files beside a ``tokenizer.json`` have them."""
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (path / name).is_file():
            value = read_json(path / name, "a fresh copy would work", most=_MOST_BYTES)
            found = {key: _content(token) for key, token in value.items() if key.endswith("_token")}
            for role, other in _FALLBACKS.items():
                found[f"{role}_token"] = found.get(f"{role}_token") or found.get(other, "")
            return {role: found[f"{role}_token"] for role in ROLES if found.get(f"{role}_token")}
    return {}


def _content(token: object) -> str:
    """A token's text: itself, or what the object of an added token holds."""
    inner = token.get("content") if isinstance(token, dict) else token
    return inner if isinstance(inner, str) else ""


def _with_roles(inner: "tokenizers.Tokenizer", stated: Mapping[str, str], place: str) -> SubwordTokenizer:
    ids = {}
    for role, words in ROLES.items():
        known = [inner.token_to_id(word) for word in ((stated[role],) if role in stated else words)]
        ids[role] = next((i for i in known if i is not None), None)
    for role in ("bos", "eos"):
        if ids[role] is None:
            what = "begins" if role == "bos" else "ends"
            raise InputError(
                f"{place}: nothing says which token {what} a text; {role}_token in its tokenizer_config.json would work"
            )
    mask = inner.get_vocab_size(with_added_tokens=True) if ids["mask"] is None else ids["mask"]
    return SubwordTokenizer(inner.to_str(), mask_id=mask, bos_id=ids["bos"], sep_id=ids["eos"], pad_id=ids["pad"])
