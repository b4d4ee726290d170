"""The sections of a configuration that only text has a use for, and what each kind of data leaves to the other."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from dnadiff.schema.checks import choice, number, require

if TYPE_CHECKING:
    from dnadiff.schema import Config

TASKS = ("dna", "text")
TOKENIZERS = ("nucleotide", "bytes", "text8", "bpe", "folder", "model")
DOCUMENTS = ("auto", "blank", "line", "endoftext", "whole", "pieces")
DETOKENIZERS = ("none", "wikitext", "ptb", "lm1b", "lambada", "scientific_papers")
LEAST_BPE = 260  # the bytes and four specials

_OF_GENOMES = (
    "split", "bed", "extend", "valid", "test", "gap", "reverse_complement", "n_policy", "min_valid", "repeat_weight",
    "label", "classes",
)  # fmt: skip
"""Keys of the section ``data`` that only genomes have a use for."""


@dataclass
class TaskConfig:
    """What the tokens are.

    Attributes:
        name: ``dna``: nucleotides of one or more genomes. ``text``: pieces of documents.
    """

    name: str = "dna"

    def __post_init__(self) -> None:
        choice("task.name", self.name, TASKS)


@dataclass
class TokenizerConfig:
    """What a token is.

    Attributes:
        name: ``nucleotide``: a base. Of text ``bytes``; ``text8``: a letter or blank; ``bpe``: pieces of words, learned
            from the training part; ``folder``: the vocabulary of a local folder, such as GPT-2's or BERT's; ``model``:
            that of a run or model folder.
        path: That folder.
        vocab_size: Tokens of ``bpe``; of ``folder`` how many it must have, the mask included, None for any number.
    """

    name: str = "nucleotide"
    path: str | None = None
    vocab_size: int | None = None

    def __post_init__(self) -> None:
        choice("tokenizer.name", self.name, TOKENIZERS)
        of_folder = self.name in ("folder", "model")
        found = f"tokenizer.path={self.path}: belongs to tokenizer=folder or model; leave it out"
        require(of_folder or self.path is None, found)
        require(not of_folder or self.path is not None, f"tokenizer={self.name}: no folder; give tokenizer.path=FOLDER")
        sized = self.name in ("bpe", "folder")
        found = f"tokenizer.vocab_size={self.vocab_size}"
        require(sized or self.vocab_size is None, f"{found}: tokenizer={self.name} has a size of its own; leave it out")
        if self.name == "bpe":
            require(self.vocab_size is not None, "tokenizer=bpe: no size; tokenizer.vocab_size=1024 would work")
            number("tokenizer.vocab_size", self.vocab_size, LEAST_BPE)


@dataclass
class TextConfig:
    """How text is read and cut into windows.

    Attributes:
        documents: What a document of plain text is, as of ``data.documents``; files of records have their own.
        detokenizer: Restores text that somebody tokenized, by the rules of a published set; ``none`` changes nothing.
        wrap: Cut one stream of all documents into windows; false makes every document a window, with padding.
        window_ends: Begin every window with the beginning token and end it with the end token, as MDLM does.
    """

    documents: str = "auto"
    detokenizer: str = "none"
    wrap: bool = True
    window_ends: bool = False

    def __post_init__(self) -> None:
        choice("text.documents", self.documents, DOCUMENTS)
        choice("text.detokenizer", self.detokenizer, DETOKENIZERS)


def check_task(config: "Config") -> None:
    """Nothing if no setting belongs to the other kind of data.

    Raises:
        InputError: One does, by name.
    """
    if config.task.name == "text":
        bases = "tokenizer.name=nucleotide: numbers bases; tokenizer=bytes would work with task=text"
        require(config.tokenizer.name != "nucleotide", bases)
        require(not config.model.rc, "model.rc=true: text has one strand; leave it out of task=text")
        check_defaults("data", config.data, _OF_GENOMES, "task=dna")
        return
    found = f"tokenizer.name={config.tokenizer.name}: numbers text; add task=text or leave it out"
    require(config.tokenizer.name == "nucleotide", found)
    require(not config.model.segments, "model.segments=true: tells sentences apart; leave it out of task=dna")
    check_defaults("data", config.data, ("valid_path", "test_path"), "task=text")
    check_defaults("text", config.text, tuple(of.name for of in fields(config.text)), "task=text")


def check_defaults(section: str, given: object, keys: tuple[str, ...], owner: str) -> None:
    """Nothing if some keys of a section have their defaults.

    Args:
        section: Its name, for the message.
        given: The section.
        keys: Which of its keys.
        owner: What these belong to.

    Raises:
        InputError: One has another value.
    """
    usual = type(given)()
    for key in keys:
        value = getattr(given, key)
        shown = str(value).lower() if isinstance(value, bool) else value
        require(value == getattr(usual, key), f"{section}.{key}={shown}: belongs to {owner}; leave it out")
