r"""From sequences to vectors: a trained backbone's hidden states, pooled over the bases of each sequence.

    tokens (B, N) --backbone, layer l--> states (B, N, D) --pooling--> vectors (B, D)

Every method's backbone serves, and so does that of a fine-tuned model. It reads clean sequence as a predictor does:
noise level 0, and the attention that it was trained with, so that a state of an autoregressive model knows the bases to
its left, one of a block model those of its own block besides, and all others both sides.

Poolings:

    mean    over the known bases
    max     of each component, over the known bases
    first   the first token, [BOS] where there is one; only for attention that sees all positions

Only sequences of equal length are read together, so that there is no padding: a vector depends on its own sequence and,
but for rounding, on nothing else. An N that is no token of the model is neither seen nor pooled.

Shapes: B batch, N tokens, D width.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.folder import (
    CONFIG,
    any_spec,
    build_backbone,
    load,
    load_tokenizer,
    made,
    model_folder,
    section_of,
)
from dnadiff.checkpoints.predictor import PATTERNS, load_predictor, pattern_of
from dnadiff.data import alphabet
from dnadiff.data.example_batches import Frame, codes_of
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError, did_you_mean
from dnadiff.models.attention import BlockCausal, Pattern
from dnadiff.models.layers import blocks_to_run
from dnadiff.random import key64

POOLINGS = ("mean", "max", "first")
FARTHEST = 64  # times the training window; beyond it the distances within a sequence mean nothing to the model


@dataclass(frozen=True)
class Embedder:
    """A backbone that turns sequences into vectors.

    Attributes:
        backbone: In evaluation mode; has ``features(tokens, sigma, *, pattern, valid, layer)`` and ``blocks``.
        pattern: The attention that it was trained with, on clean tokens.
        window: Bases of a row that it was trained on.
        bos: Whether its rows begin with [BOS].
        n_token: Whether N is a token like the others.
    """

    backbone: nn.Module
    pattern: Pattern
    window: int
    bos: bool = False
    n_token: bool = False

    @property
    def layers(self) -> int:
        """Number of the last layer; 0 is what the first block reads."""
        return len(self.backbone.blocks)

    def embed(
        self, sequences: Sequence[str | np.ndarray], *, layer: int | None = None, pooling: str = "mean",
        both_strands: bool = False, batch_size: int = 64, progress: Callable[[int], None] = lambda _: None,
    ) -> np.ndarray:  # fmt: skip
        """A vector a sequence, (n, D) float32.

        Args:
            sequences: Nucleotide letters, or codes A 0, C 1, G 2, T 3, N 4; any lengths, one sequence or more.
            layer: 0 to ``layers``; None is the last.
            pooling: One of ``POOLINGS``.
            both_strands: Average the vectors of a sequence and its reverse complement.
            batch_size: Sequences at once; changes no vector by more than rounding.
            progress: Called with the number of sequences read since the last call; both strands are two.

        Raises:
            InputError: A letter is no nucleotide, a sequence is empty, unknown or far too long, or the layer or the
                pooling is none of this model's.
        """
        self.check(layer, pooling)
        codes = [codes_of(sequence, f"sequence {number}") for number, sequence in enumerate(sequences, 1)]
        for number, one in enumerate(codes, 1):
            self.check_length(one, f"sequence {number}")
        if not codes:
            raise InputError("sequences: found none; one or more would work")
        strands = [codes, [alphabet.reverse_complement(one) for one in codes]][: 1 + both_strands]
        found = [self._ordered(one, layer, pooling, batch_size, progress) for one in strands]
        return np.mean(found, axis=0)

    def check(self, layer: int | None, pooling: str) -> None:
        """Refuses a layer or a pooling that this model has not.

        Raises:
            InputError: With the reason.
        """
        blocks_to_run(layer, self.layers)
        if pooling not in POOLINGS:
            raise InputError(f"pooling={pooling}: {did_you_mean(pooling, POOLINGS)}")
        if pooling == "first" and isinstance(self.pattern, BlockCausal):
            raise InputError("pooling=first: the first token of this model does not see the others; mean would work")

    def check_length(self, codes: np.ndarray, place: str) -> None:
        """Refuses a sequence so long that the model knows nothing of it.

        Args:
            codes: Its bases.
            place: Where it comes from, for the message.

        Raises:
            InputError: It is longer than ``FARTHEST`` training windows.
        """
        most = FARTHEST * self.window
        if len(codes) > most:
            raise InputError(
                f"{place}: found {len(codes):,} bases; the model was trained on {self.window:,}, and {most:,} or fewer "
                "would work"
            )

    def _ordered(
        self, codes: list[np.ndarray], layer: int | None, pooling: str, batch_size: int, progress: Callable[[int], None]
    ) -> np.ndarray:
        """The vectors in the order of the sequences."""
        rows, vectors = zip(*self._batches(codes, layer, pooling, batch_size, progress), strict=True)
        out = np.empty((len(codes), vectors[0].shape[1]), dtype=np.float32)
        out[np.concatenate(rows)] = np.concatenate(vectors)
        return out

    def _batches(
        self, codes: list[np.ndarray], layer: int | None, pooling: str, batch_size: int, progress: Callable[[int], None]
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Which sequences, all of one length, and their vectors."""
        device = next(self.backbone.parameters()).device
        by_length = sorted(range(len(codes)), key=lambda i: len(codes[i]))
        for length, equal in groupby(by_length, key=lambda i: len(codes[i])):
            numbers, frame = list(equal), Frame(length + self.bos, self.bos, self.n_token)
            for start in range(0, len(numbers), batch_size):
                part = numbers[start : start + batch_size]
                rows = frame.rows([codes[i] for i in part])
                tokens, valid, given = (
                    torch.from_numpy(rows[name]).to(device) for name in ("tokens", "valid", "given")
                )
                with torch.inference_mode():
                    vectors = self._pooled(tokens, valid, given, layer, pooling)
                yield part, vectors.cpu().numpy()
                progress(len(part))

    def _pooled(self, tokens: Tensor, valid: Tensor, given: Tensor, layer: int | None, pooling: str) -> Tensor:
        shown = valid | given
        seen = None if bool(shown.all()) else shown
        sigma = torch.zeros(len(tokens), device=tokens.device)
        states = self.backbone.features(tokens, sigma, pattern=self.pattern, valid=seen, layer=layer).float()
        if pooling == "first":
            return states[:, 0]
        if pooling == "max":
            return states.masked_fill(~valid[..., None], -torch.inf).amax(1)
        return (states * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)


def load_embedder(path: str | Path) -> Embedder:
    """The backbone of a model folder or a run folder, of any method or fine-tuned, on the CPU, in evaluation mode.

    Raises:
        InputError: There is no model, it is damaged, or it reads no nucleotides.
    """
    spec = _spec(path)
    backbone = load_predictor(path).predictor.backbone if "head" in spec else load(path).backbone
    return _embedder(spec, backbone)


def untrained_embedder(path: str | Path, seed: int) -> Embedder:
    """A network of the same shape that has learnt nothing: what the shape alone is worth.

    Layers that begin at zero, which would hide all others from each other, are drawn too.

    Args:
        path: Model folder or run folder.
        seed: Of the weights.

    Raises:
        InputError: There is no model, it is damaged, or it reads no nucleotides.
    """
    spec = _spec(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key64("untrained", seed) >> 1)
        backbone = build_backbone(spec)
        for module in backbone.modules():
            if isinstance(module, nn.Linear) and not module.weight.any():
                module.reset_parameters()
    return _embedder(spec, backbone.eval())


def _spec(path: str | Path) -> dict:
    folder = model_folder(path)
    manifest.verify(folder, (CONFIG,))
    if not isinstance(load_tokenizer(folder), NucleotideTokenizer):
        raise InputError(f"{folder}: reads no nucleotides; a model trained on DNA would work")
    return any_spec(folder)


def _embedder(spec: dict, backbone: nn.Module) -> Embedder:
    tuned = "head" in spec
    pattern = section_of(spec, "pattern") if tuned else pattern_of(spec)
    n_token = spec["n_token"] if tuned else NucleotideTokenizer.n_id in spec["parameterization"]["allowed"]
    bos = bool(spec.get("bos", False))
    return Embedder(backbone, made(PATTERNS, pattern, "pattern"), int(spec["length"]) - bos, bos, bool(n_token))
