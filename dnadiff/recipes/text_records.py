"""The records of ``sample`` for models of text: JSON lines, a text each, from nothing, behind a prompt, or into gaps.

A row begins as a *start*: tokens that are given and masks that are not. A prompt has its masks behind it; a text to
fill has them where it says ``[MASK]``, one token each. Samples of one start are made together, those of another apart,
for their rows may be of other lengths.

A text ends at its first end token where every window of the model was a document, or where sampling was told to stop
there; elsewhere an end token divides documents, and a blank line is written in its place.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dnadiff.data.documents import END, KEY, documents, has_records
from dnadiff.data.partial_fasta import Text
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.diffusion import Sampler
from dnadiff.errors import InputError
from dnadiff.random import Draws
from dnadiff.recipes.model import Model
from dnadiff.recipes.walk import Walk, sampler_for

MASK = "[MASK]"
SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True)
class TextRecorder:
    """Makes the records of sample numbers; that of a number is the same whatever the others.

    Attributes:
        model: What is sampled.
        samplers: What walks rows, by their length.
        ends: Whether a text ends at its first end token.
        seed: With the number it decides every draw.
        starts: How the rows begin, token ids (N,) each, [BOS] left out.
        each: Samples of a start: those of start i are the numbers from i * each on.
    """

    model: Model[TextTokenizer]
    samplers: Mapping[int, Sampler]
    ends: bool
    seed: int
    starts: tuple[np.ndarray, ...]
    each: int

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(map(len, self.starts))

    def records(self, items: range, batch_size: int, progress: Callable[[int], None]) -> Iterator[Text]:
        """The records of some numbers from 0, in order.

        Args:
            items: The numbers.
            batch_size: How many are drawn at once, at least 1.
            progress: Told of every call of the network by how many tokens there are more.
        """
        for start, walked, wanted in self._runs(items):
            sampler = self.samplers[len(start)]
            step = -(-batch_size // (sampler.rows_per_call or 1)) * (sampler.rows_per_call or 1)
            for first in range(0, len(walked), step):
                batch = walked[first : first + step]
                rows = sampler(self._rows(start, len(batch)), Draws(self.seed, batch), progress=progress).cpu().numpy()
                made = [self._record(item, row, start) for item, row in zip(batch, rows, strict=True) if item in wanted]
                yield Text(b"".join(made), len(made))

    def walked(self, items: range) -> range:
        """As many numbers as are walked to make some."""
        return range(sum(len(walked) for _, walked, _ in self._runs(items)))

    def _runs(self, items: range) -> Iterator[tuple[np.ndarray, range, range]]:
        """The starts of some numbers, the numbers walked for each, all that belong to their calls, and those wanted."""
        for i, start in enumerate(self.starts):
            low, high = max(items.start, i * self.each) - i * self.each, min(items.stop - i * self.each, self.each)
            if low < high:
                together = self.samplers[len(start)].rows_per_call or 1
                first, last = low // together * together, -(-high // together) * together
                at = i * self.each
                yield start, range(at + first, at + last), range(at + low, at + high)

    def _rows(self, start: np.ndarray, count: int) -> torch.Tensor:
        bos = [self.model.tokenizer.bos_id] * self.model.bos
        row = torch.from_numpy(np.concatenate([np.array(bos, dtype=np.int64), start]))
        return row.to(next(self.model.denoiser.parameters()).device).repeat(count, 1)

    def _record(self, item: int, row: np.ndarray, start: np.ndarray) -> bytes:
        tokens = row[int(self.model.bos) :]
        text = readable(tokens, start, self.model.tokenizer, ends=self.ends)
        return json.dumps({"sample": item + 1, KEY: text}, ensure_ascii=False).encode() + b"\n"


def text_recorder(
    model: Model[TextTokenizer], walk: Walk, seed: int, starts: Sequence[np.ndarray], each: int
) -> TextRecorder:
    """What makes the records of some starts.

    Args:
        model: What is sampled.
        walk: How.
        seed: Decides every draw.
        starts: How the rows begin.
        each: Samples of a start.

    Raises:
        InputError: A setting is impossible, or does not go with the model.
    """
    samplers = {length: sampler_for(model, walk, length) for length in {len(start) for start in starts}}
    return TextRecorder(model, samplers, model.documents or walk.stop_at_end, seed, tuple(starts), each)


def readable(tokens: np.ndarray, start: np.ndarray, tokenizer: TextTokenizer, *, ends: bool) -> str:
    """The text of a row.

    Args:
        tokens: The row, (N,).
        start: How it began, (N,).
        tokenizer: The model's.
        ends: Whether it ends at the first end token that was not given.
    """
    at = np.flatnonzero(tokens == tokenizer.sep_id)
    if ends:
        own = at[start[at] == tokenizer.mask_id]
        tokens, at = (tokens[: own[0]], at[at < own[0]]) if len(own) else (tokens, at)
    pieces = [tokenizer.text(piece) for piece in np.split(tokens, at)]
    return "\n\n".join(piece for piece in pieces if piece)


def starts_of(model: Model[TextTokenizer], prompts: Sequence[str], length: int | None, fill: bool) -> list[np.ndarray]:
    """How the rows of some prompts begin; without prompts there is one start, all masks.

    Args:
        model: What will be sampled.
        prompts: Texts to go on behind, or to fill.
        length: Tokens of a row, the prompt's among them; None is the training window.
        fill: Whether the prompts have gaps and nothing comes behind them.

    Raises:
        InputError: A prompt is too long, or has no gap where gaps are to be filled.
    """
    tokenizer, longest = model.tokenizer, length or model.window
    if not fill:
        heads = [tokenizer.encode(prompt) for prompt in prompts] or [np.empty(0, dtype=np.int64)]
        for head, prompt in zip(heads, prompts, strict=False):
            if len(head) >= longest:
                raise InputError(
                    f"--prompt {prompt[:20]!r}: has {len(head)} tokens and a row {longest}; a shorter one, or a larger "
                    "--length, would work"
                )
        return [np.append(head, np.full(longest - len(head), tokenizer.mask_id)) for head in heads]
    if not prompts:
        raise InputError(f"--fill: there is nothing to fill; --prompt 'a text with {MASK}' would work")
    if length is not None:
        raise InputError(f"--length {length}: a text that is filled keeps its length; leave it out")
    for prompt in prompts:
        if MASK not in prompt:
            raise InputError(f"--fill: {prompt[:20]!r} has no {MASK}; one for every token to fill would work")
    return [_with_gaps(prompt, tokenizer) for prompt in prompts]


def prompts_of(prompt: str | None, file: str | None) -> list[str]:
    """The prompts of a command.

    Args:
        prompt: A prompt.
        file: A text with one on every line, or JSON lines.

    Raises:
        InputError: The file cannot be read, or both were given.
    """
    if file is None:
        return [] if prompt is None else [prompt]
    if prompt is not None:
        raise InputError("--prompts: contradicts --prompt; leave one out")
    found = list(documents(file, "auto" if has_records(file) else "line"))
    if not found:
        raise InputError(f"{file}: found no prompt; one on every line would work")
    return found


def check_text_out(out: str | Path) -> None:
    """Refuses an output that is no kind of text.

    Raises:
        InputError: Its name ends in something else than .txt and .jsonl, or these with .gz.
    """
    name = str(out).removesuffix(".gz")
    if name != "-" and not name.startswith("/dev/") and not name.endswith(SUFFIXES):
        raise InputError(f"-o {out}: texts are written as .jsonl or .txt; a name that ends in one of them would work")


def plain(lines: bytes) -> bytes:
    """JSON lines as plain text: the texts, each followed by a line that reads ``<|endoftext|>``."""
    texts = [json.loads(line)[KEY] for line in lines.splitlines()]
    return "".join(f"{text}\n{END}\n" for text in texts).encode()


def form_of(out: str | Path) -> Callable[[bytes], bytes]:
    """How JSON lines are written to an output: as they are to .jsonl, elsewhere as plain text."""
    return bytes if str(out).removesuffix(".gz").endswith(".jsonl") else plain


def _with_gaps(text: str, tokenizer: TextTokenizer) -> np.ndarray:
    pieces = [tokenizer.encode(piece) for piece in text.split(MASK)]
    gap = np.array([tokenizer.mask_id])
    return np.concatenate([part for piece in pieces for part in (gap, piece)][1:])
