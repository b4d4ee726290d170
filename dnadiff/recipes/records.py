"""The records of ``sample``: FASTA text of a model's sequences, as they are made.

A model of whole sequences makes its records a batch at a time. A model of blocks makes them from left to right, so a
record is handed on line by line and memory does not grow with its length. Rows that are walked together grow together,
but a file holds one record after the other: the first is handed on as it grows, the others wait as text, one byte a
base.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnadiff.data.fasta_writer import LineWrap, fasta_header, fasta_record
from dnadiff.data.partial_fasta import Text
from dnadiff.diffusion import BlockSampler, Sampler
from dnadiff.diffusion.block_sampler import Piece
from dnadiff.random import Draws
from dnadiff.recipes.model import Model

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Recorder:
    """Makes the records of sequence numbers; that of a number is the same whatever the others.

    Attributes:
        model: What is sampled.
        sampler: Walks it.
        seed: With the number it decides every draw.
        length: Bases of a sequence.
    """

    model: Model
    sampler: Sampler
    seed: int
    length: int

    def records(self, items: range, batch_size: int, progress: Progress) -> Iterator[Text]:
        """The records of some numbers from 0, in order.

        Args:
            items: The numbers.
            batch_size: How many are drawn at once, at least 1.
            progress: Told of every call of the network by how many bases there are more.
        """
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            if isinstance(self.sampler, BlockSampler):
                yield from self._as_made(self.sampler, batch, progress)
            else:
                yield self._whole(batch, progress)

    def _whole(self, items: range, progress: Progress) -> Text:
        """All records of a batch at once."""
        draws, width = Draws(self.seed, items), self.length + self.model.bos
        tokens = self.sampler(self._start(len(items), width), draws, allowed=self._bases(), progress=progress)
        rows = tokens[:, int(self.model.bos) :].cpu().numpy()
        records = [
            fasta_record(_name(item), self.model.tokenizer.decode(row), self._described())
            for item, row in zip(items, rows, strict=True)
        ]
        return Text(b"".join(records), len(records))

    def _as_made(self, sampler: BlockSampler, items: range, progress: Progress) -> Iterator[Text]:
        """The records of a batch, line by line, those of a call ending together."""
        width, growing = self.length + self.model.bos, []
        x = self._start(len(items), 1 + self.model.bos)
        pieces = sampler.pieces(
            x, Draws(self.seed, items), length=width, allowed=self._bases(), progress=progress
        )  # fmt: skip
        for piece in pieces:
            if piece.start == 0:
                growing = [_Growing(fasta_header(_name(item), self._described())) for item in items[piece.rows]]
            for record, letters in zip(growing, self._letters(piece), strict=True):
                record.add(letters)
            if piece.start + piece.tokens.shape[1] == width:
                yield Text(b"".join(record.end() for record in growing), len(growing))
            elif growing[0].text:
                yield Text(growing[0].take(), 0)

    def _letters(self, piece: Piece) -> Iterator[str]:
        """The bases of each row of a piece."""
        for row in piece.tokens.cpu().numpy():
            yield self.model.tokenizer.decode(row[np.isin(row, self.model.tokenizer.base_ids)])

    def _start(self, rows: int, width: int) -> Tensor:
        """Masks (rows, width), behind [BOS] if the model wants it."""
        x = self.model.denoiser.process.prior(rows, width, device=next(self.model.denoiser.parameters()).device)
        if self.model.bos:
            x[:, 0] = self.model.tokenizer.bos_id
        return x

    def _bases(self) -> Tensor:
        """The tokens that are bases, (V,) bool; a model may know N or [SEP] too, and neither is one."""
        bases = torch.zeros(self.model.denoiser.backbone.vocab_size, dtype=torch.bool)
        bases[list(self.model.tokenizer.base_ids)] = True
        return bases

    def _described(self) -> str:
        return f"seed={self.seed} {self.model.name}"


class _Growing:
    """A record under way.

    Attributes:
        text: What of it was not handed on yet.
    """

    def __init__(self, header: bytes) -> None:
        self.text, self._wrap = bytearray(header), LineWrap()

    def add(self, letters: str) -> None:
        """Some more bases."""
        self.text += self._wrap.add(letters)

    def take(self) -> bytes:
        """The text, which is handed on."""
        text = bytes(self.text)
        self.text.clear()
        return text

    def end(self) -> bytes:
        """The rest."""
        return self.take() + self._wrap.end()


def _name(item: int) -> str:
    return f"synthetic_{item + 1}"
