r"""A labelled data set: its parts, what its labels mean, and what two parts have in common.

The parts that a data set names are kept as they are, and one that it does not name is drawn out of the training part.
Two other protocols are common: the validation part drawn anew for every seed, the test part as it is (Caduceus draws a
tenth five times), and folds, each of which is the test part once; as many folds as examples leave one out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnadiff.data import alphabet
from dnadiff.data.examples import Example, read_class, read_examples
from dnadiff.data.layouts import PARTS, Source, sources_of, text_sources_of
from dnadiff.data.located import Contigs, read_located
from dnadiff.data.pair_windows import Pair
from dnadiff.data.parts import Part, drawn, fold, joined, shared
from dnadiff.data.sentences import read_sentences
from dnadiff.data.targets import Meaning, meaning_of
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Labelled:
    """A data set.

    Attributes:
        path: Where it was found.
        meaning: Of its labels.
        train: What is learnt from.
        valid: What the best weights are chosen on; None if none was wanted.
        test: What is scored once; None if none was wanted.
        digests: SHA-256 of each file, or folder of text files, by its path.
        shared: Examples of the test part whose sequence, on either strand, or text is in one of the other parts too.
        dev_tested: Whether the test part is what the data call their validation part, as in GLUE.
    """

    path: str
    meaning: Meaning
    train: Part
    valid: Part | None
    test: Part | None
    digests: dict[str, str]
    shared: int
    dev_tested: bool = False

    @property
    def noun(self) -> str:
        """What the examples are, in the plural."""
        return "texts" if self.train.texts else "sequences"

    @property
    def parts(self) -> dict[str, Part]:
        """The parts there are, by name."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


def read_labelled(
    path: str | Path,
    keys: Sequence[str] = ("label",),
    *,
    kind: str = "auto",
    genome: Sequence[str] = (),
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    redraw: bool = False,
    one_of: tuple[int, int] | None = None,
    seed: int = 0,
    tokenizer: TextTokenizer | None = None,
) -> Labelled:
    """The data set of a file or folder, see ``layouts``.

    Args:
        path: Where it is.
        keys: Columns, or words of descriptions, that hold the labels.
        kind: ``class``, ``multilabel``, ``regression``, ``tokens`` or ``auto``.
        genome: FASTA files or stores that hold the bases of a data set of coordinates, see ``located``; none if the
            data set holds its sequences.
        valid_fraction: Share of the training part to validate on if the data name no such part; 0 for none.
        test_fraction: Share of the training part to test on if the data name no such part; 0 for none.
        redraw: Draw the validation part anew, out of what the data name training and validation part.
        one_of: The number of a fold, from 1, and how many there are: it is the test part, out of all examples.
        seed: Decides which examples are drawn, and which are in which fold.
        tokenizer: Numbers text, which the data are; None if they are nucleotides.

    Raises:
        InputError: A file cannot be read, an example cannot be used, or a part is empty.
    """
    digests: dict[str, str] = {}
    contigs = Contigs(genome) if genome else None
    sources = sources_of(path, located=bool(genome)) if tokenizer is None else text_sources_of(path)
    examples = _by_part(sources, tuple(keys), contigs, tokenizer, digests)
    digests |= contigs.digests if contigs else {}
    if not examples["train"]:
        raise InputError(f"{path}: no example is of split=train; those to train on would work")
    meaning = meaning_of(examples["train"], keys, kind)
    parts = {name: _part(found, meaning) for name, found in examples.items() if found}
    if one_of is not None:
        parts["train"], parts["test"] = fold(joined(*parts.values()), *one_of, seed)
        parts.pop("valid", None)
    elif redraw and "valid" in parts:
        parts["train"] = joined(parts["train"], parts.pop("valid"))
    for name, share in (("test", test_fraction), ("valid", valid_fraction)):
        if name not in parts and share:
            parts["train"], parts[name] = drawn(parts["train"], share, (name, seed), f"{path}: {name}_fraction")
    train, valid, test = (parts.get(name) for name in ("train", "valid", "test"))
    common = shared(test, *(part for part in (train, valid) if part)) if test else 0
    dev_tested = one_of is None and any(source.renamed for source in sources)
    return Labelled(str(path), meaning, train, valid, test, digests, common, dev_tested)


def read_sequences(path: str | Path, tokenizer: TextTokenizer | None = None) -> tuple[list[Example], dict[str, str]]:
    """The sequences of a file, whatever labels it has, and its SHA-256 by its path.

    Args:
        path: The file.
        tokenizer: Numbers text, which the file holds; None if it holds nucleotides.

    Raises:
        InputError: The file cannot be read, or a sequence has no bases.
    """
    digests: dict[str, str] = {}
    if tokenizer is not None:
        return read_sentences(path, (), tokenizer, digests), digests
    return list(read_examples(path, (), digests)), digests


def _by_part(
    sources: list[Source], keys: tuple[str, ...], contigs: Contigs | None, tokenizer: TextTokenizer | None,
    digests: dict[str, str],
) -> dict[str, list[Example]]:  # fmt: skip
    """All examples by the part they belong to; those that nobody assigns are for training."""
    found: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
    for source in sources:
        if source.label is not None:
            _check_one_class(source, keys)
        for example in _examples(source, keys, contigs, tokenizer, digests):
            found[source.part or part_said(example)].append(example)
    return found


def _examples(
    source: Source, keys: tuple[str, ...], contigs: Contigs | None, tokenizer: TextTokenizer | None,
    digests: dict[str, str],
) -> Iterator[Example]:  # fmt: skip
    if tokenizer is not None:
        return iter(read_sentences(source.path, keys, tokenizer, digests))
    if contigs is not None:
        return read_located(source.path, keys, source.label, contigs, digests)
    if source.label is not None:
        return read_class(source.path, source.label, digests)
    return read_examples(source.path, keys, digests)


def _check_one_class(source: Source, keys: tuple[str, ...]) -> None:
    if len(keys) > 1:
        named = ", ".join(keys)
        raise InputError(
            f"{source.path}: holds the class {source.label}, which {named} cannot name; one key would work"
        )


def part_said(example: Example | Pair) -> str:
    """The part that an example itself belongs to: ``train``, ``valid`` or ``test``, the first if it says nothing.

    Raises:
        InputError: It names another one.
    """
    if example.split is None:
        return "train"
    if example.split.lower() not in PARTS:
        raise InputError(f"{example.place}: found split={example.split}; {did_you_mean(example.split, PARTS)}")
    return PARTS[example.split.lower()]


def _part(examples: list[Example], meaning: Meaning) -> Part:
    names, codes = tuple(e.name for e in examples), tuple(e.codes for e in examples)
    texts = tuple(e.sentences for e in examples if e.sentences)
    unknown = next((e for e in examples if not texts and (e.codes == alphabet.N).all()), None)
    if unknown is not None:
        raise InputError(f"{unknown.place}: found nothing but N; one known base or more would work")
    return Part(names, codes, meaning.targets(examples), texts=texts)
