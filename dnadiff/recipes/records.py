"""The records of ``sample``: FASTA text of a model's sequences, as they are made.

A model of whole sequences makes its records a batch at a time. A model of blocks makes them from left to right, so a
record is handed on line by line and memory does not grow with its length. Rows that are walked together grow together,
but a file holds one record after the other: the first is handed on as it grows, the others wait as text, one byte a
base. So do all where rules may end a record early, for its first line says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnadiff.data.fasta_writer import LineWrap, fasta_header, fasta_record
from dnadiff.data.partial_fasta import Text
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import BlockSampler, Sampler
from dnadiff.diffusion.stopping import EndToken
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
        x, draws = self._start(len(batch), min(width, 2 + self.model.bos)), Draws(self.seed, batch)
        for piece in sampler.pieces(x, draws, length=width, allowed=self._allowed(sampler, x), progress=progress):
            wanted = [(row, item) for row, item in enumerate(batch[piece.rows]) if item in items]
            if piece.start == 0:
                growing = [_Growing(self.model.tokenizer, self._header(item)) for _, item in wanted]
            for record, (row, item) in zip(growing, wanted, strict=True):
                record.add(piece.tokens[row])
                if piece.ended[row]:
                    record.header = self._header(item, self._cause(record))
            if piece.start + piece.tokens.shape[1] == width or piece.ended.all():
                yield Text(b"".join(record.end() for record in growing), len(growing))
            elif not sampler.stop and (text := growing[0].take()):
                yield Text(text, 0)

    def _cause(self, record: "_Growing") -> str:
        """What a record that has ended says of it; nothing if it has all its bases."""
        if record.bases == self.length:
            return ""
        return " ended=end-token" if record.at_end_token else " ended=low-complexity"

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

    def _allowed(self, sampler: BlockSampler, x: Tensor) -> Tensor:
        """Tokens of each position of x (B, N), (N, V) bool: bases, and where [SEP] ends a record [SEP] behind one."""
        allowed = self._bases().repeat(x.shape[1], 1)
        if any(isinstance(rule, EndToken) for rule in sampler.stop):
            allowed[1 + self.model.bos :, self.model.tokenizer.sep_id] = True
        return allowed

    def _header(self, item: int, cause: str = "") -> bytes:
        return fasta_header(_name(item), self._described() + cause)

    def _described(self) -> str:
        return f"seed={self.seed} {self.model.name}"


class _Growing:
    """A record under way.

    Attributes:
        header: Its first line; empty once it was handed on.
        at_end_token: Whether it has come to one.
    """

    def __init__(self, tokenizer: NucleotideTokenizer, header: bytes) -> None:
        self.header, self.at_end_token = header, False
        self._tokenizer, self._wrap, self._text = tokenizer, LineWrap(), bytearray()

    @property
    def bases(self) -> int:
        """How many it has."""
        return self._wrap.bases

    def add(self, tokens: Tensor) -> None:
        """Some more tokens (N,), of which bases count."""
        ids = tokens.cpu().numpy()
        self.at_end_token |= self._tokenizer.sep_id in ids
        self._text += self._wrap.add(self._tokenizer.decode(ids[np.isin(ids, self._tokenizer.base_ids)]))

    def take(self) -> bytes:
        """What was not handed on yet, as far as its lines are full."""
        text = self.header + bytes(self._text)
        self.header = b""
        self._text.clear()
        return text

    def end(self) -> bytes:
        """The rest."""
        return self.take() + self._wrap.end()


def _name(item: int) -> str:
    return f"synthetic_{item + 1}"
