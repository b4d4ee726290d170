r"""Labelled sequences as batches of token ids of one length.

A sequence stands at the left, after [BOS] where the model has one; what lies behind it is padding. A longer one than
fits keeps its middle, if cropping was allowed. As in the windows of a genome, sample number j decides everything: which
example (each epoch visits every one once, in another order), on which strand, and what of it is hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.hidden import hidden
from dnadiff.data.parts import Part
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.random import keyed_uniform, permuted


@dataclass(frozen=True)
class Frame:
    """How sequences become the rows of a batch.

    Attributes:
        length: Tokens of a row, [BOS] included.
        bos: Whether a row begins with [BOS].
        n_token: Whether N is a token like the others; else it is padding, neither seen nor pooled.
    """

    length: int
    bos: bool = False
    n_token: bool = False

    @property
    def bases(self) -> int:
        """Bases that fit into a row."""
        return self.length - self.bos

    def rows(self, sequences: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """A batch of sequences.

        Args:
            sequences: Codes, A 0, C 1, G 2, T 3, N 4, hidden 5; of longer ones the middle is taken.

        Returns:
            ``tokens`` (B, length) int64; ``valid`` (B, length) bool, True at bases that count; ``given`` (B, length)
            bool, True at [BOS].
        """
        tokenizer, shape = NucleotideTokenizer(), (len(sequences), self.length)
        tokens = np.full(shape, tokenizer.pad_id, dtype=np.int64)
        valid, given = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for row, codes in enumerate(sequences):
            first = max(0, len(codes) - self.bases) // 2
            codes = codes[first : first + self.bases]
            real = np.full(len(codes), True) if self.n_token else codes != alphabet.N
            place = slice(self.bos, self.bos + len(codes))
            tokens[row, place] = np.where(real, tokenizer.from_codes[codes], tokenizer.pad_id)
            valid[row, place] = real
        if self.bos:
            tokens[:, 0], given[:, 0] = tokenizer.bos_id, True
        return {"tokens": tokens, "valid": valid, "given": given}

    def labels(self, labels: Sequence[np.ndarray], sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Labels of bases where ``rows`` has the bases, (B, length) int64; -1 at N and where there is no base.

        Args:
            labels: Of each sequence, as long as it is.
            sequences: Their codes; none is longer than a row.
        """
        out = np.full((len(sequences), self.length), -1, dtype=np.int64)
        for row, (numbers, codes) in enumerate(zip(labels, sequences, strict=True)):
            out[row, self.bos : self.bos + len(codes)] = np.where(codes == alphabet.N, -1, numbers)
        return out


def codes_of(sequence: str | np.ndarray, place: str) -> np.ndarray:
    """The codes of a sequence given from Python, as letters or as codes already.

    Args:
        sequence: Nucleotide letters, or codes A 0, C 1, G 2, T 3, N 4.
        place: What it is called, for messages.

    Raises:
        InputError: A letter is no nucleotide, or no base is known.
    """
    try:
        codes = alphabet.encode(sequence) & alphabet.CODE_BITS if isinstance(sequence, str) else sequence
    except ValueError as error:
        raise InputError(f"{place}: {error}") from error
    check_known(codes, place)
    return codes


def check_known(codes: np.ndarray, place: str) -> None:
    """Refuses a sequence of which nothing can be said.

    Raises:
        InputError: It has no known base.
    """
    if not (codes != alphabet.N).any():
        raise InputError(f"{place}: found no A, C, G or T; one base or more would work")


class ExampleDataset:
    """Training samples of a part, in another order each epoch, without end.

    ``len(dataset)`` is the number of examples, an epoch.

    Args:
        part: The examples.
        frame: How they become rows.
        seed: Chooses order and strands.
        reverse_complement: Chance that a sample is read on the other strand, in [0, 1].
        masked: Whether bases are hidden, any number of them.
    """

    def __init__(
        self, part: Part, frame: Frame, *, seed: int, reverse_complement: float = 0.0, masked: bool = False
    ) -> None:
        self.part, self.frame, self.seed, self.reverse_complement = part, frame, seed, reverse_complement
        self.masked = masked
        self.length = frame.length

    def __len__(self) -> int:
        return len(self.part)

    def __getitems__(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """A batch: what ``Frame.rows`` gives, ``targets`` as the part has them, and ``item_ids``, the numbers.

        Targets that are labels of bases are what ``Frame.labels`` gives, in the order of the strand that is read.

        Args:
            numbers: Global sample numbers, 0 or more.
        """
        item_ids = np.asarray(numbers, dtype=np.int64)
        examples = self._examples(item_ids)
        minus = keyed_uniform(item_ids, "strand", self.seed) < self.reverse_complement
        codes = [self.part.codes[example] for example in examples.tolist()]
        strands = [alphabet.reverse_complement(x) if other else x for x, other in zip(codes, minus, strict=True)]
        if self.masked:
            strands = hidden(strands, item_ids, self.seed)
        targets = self.part.targets[examples]
        if self.part.per_base:
            turned = [labels[::-1] if other else labels for labels, other in zip(targets, minus, strict=True)]
            targets = self.frame.labels(turned, strands)
        return self.frame.rows(strands) | {"targets": targets, "item_ids": item_ids}

    def _examples(self, item_ids: np.ndarray) -> np.ndarray:
        epochs, slots = np.divmod(item_ids, len(self.part))
        examples = np.empty_like(slots)
        for epoch in np.unique(epochs).tolist():
            rows = epochs == epoch
            examples[rows] = permuted(slots[rows], len(self.part), "order", self.seed, epoch)
        return examples
