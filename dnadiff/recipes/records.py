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
        walked = self.walked(items)
        step = -(-batch_size // self._together) * self._together
        for start in range(0, len(walked), step):
            batch = walked[start : start + step]
            if isinstance(self.sampler, BlockSampler):
                yield from self._as_made(self.sampler, batch, items, progress)
            else:
                yield self._whole(batch, items, progress)

    def walked(self, items: range) -> range:
        """The numbers that are walked to make some: all that belong to their calls, wanted or not.

        Number i is read together with the others of i // rows_per_call, whichever shard or batch it is made in and
        however many are asked for, so it is always rounded in the same way.
        """
        if not items:
            return items
        return range(items.start // self._together * self._together, -(-items.stop // self._together) * self._together)

    @property
    def _together(self) -> int:
        return self.sampler.rows_per_call or 1

    def _whole(self, batch: range, items: range, progress: Progress) -> Text:
        """Those records of a batch that are wanted, all at once."""
        draws, width = Draws(self.seed, batch), self.length + self.model.bos
        tokens = self.sampler(self._start(len(batch), width), draws, allowed=self._bases(), progress=progress)
        rows = tokens[:, int(self.model.bos) :].cpu().numpy()
        records = [
            fasta_record(_name(item), self.model.tokenizer.decode(row), self._described())
            for item, row in zip(batch, rows, strict=True)
            if item in items
        ]
        return Text(b"".join(records), len(records))

    def _as_made(self, sampler: BlockSampler, batch: range, items: range, progress: Progress) -> Iterator[Text]:
        """Those records of a batch that are wanted, line by line; those of a call end together."""
        width, growing = self.length + self.model.bos, []
        x, draws = self._start(len(batch), 1 + self.model.bos), Draws(self.seed, batch)
        for piece in sampler.pieces(x, draws, length=width, allowed=self._bases(), progress=progress):
            wanted = [(row, item) for row, item in enumerate(batch[piece.rows]) if item in items]
            if piece.start == 0:
                growing = [_Growing(self._header(item)) for _, item in wanted]
            for record, (row, _) in zip(growing, wanted, strict=True):
                record.add(self._letters(piece.tokens[row]))
            if piece.start + piece.tokens.shape[1] == width:
                yield Text(b"".join(record.end() for record in growing), len(growing))
            elif growing[0].text:
                yield Text(growing[0].take(), 0)

    def _letters(self, tokens: Tensor) -> str:
        """The bases among some tokens (N,)."""
        ids = tokens.cpu().numpy()
        return self.model.tokenizer.decode(ids[np.isin(ids, self.model.tokenizer.base_ids)])

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

    def _header(self, item: int) -> bytes:
        return fasta_header(_name(item), self._described())

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
