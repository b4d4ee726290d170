r"""Folders of fine-tuned models: a backbone with a head, which says something about a sequence.

The files are those of ``folder``; the spec has four sections more, and no denoiser is ever made of it:

    head        what ``SequenceHead``, or of tokens ``TokenHead``, takes
    readout     ``class``, ``multilabel``, ``regression`` or ``tokens``, with what its constructor takes
    pattern     the attention that the backbone was trained with, on clean tokens
    labels      names of the classes, labels or numbers; the keys they were read from; whether both strands are averaged
                and longer sequences cropped; whether it was trained on masked sequences
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.card import predictor_card
from dnadiff.checkpoints.checks import check_sizes
from dnadiff.checkpoints.folder import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    Spec,
    any_spec,
    build_backbone,
    check_weights,
    load_tokenizer,
    made,
    model_folder,
    section_of,
    weight_shapes,
    write_model,
)  # fmt: skip
from dnadiff.data import alphabet
from dnadiff.data.example_batches import Frame, RowFrame
from dnadiff.data.targets import KINDS
from dnadiff.data.text_frame import TextFrame
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES, NucleotideTokenizer
from dnadiff.errors import InputError, did_you_mean
from dnadiff.models.attention import BlockCausal, Full
from dnadiff.models.heads import (
    ClassReadout,
    LabelReadout,
    NumberReadout,
    Predictor,
    SequenceHead,
    TokenHead,
    TokenReadout,
)

READOUTS: dict[str, Callable[..., nn.Module]] = {
    "class": ClassReadout, "multilabel": LabelReadout, "regression": NumberReadout, "tokens": TokenReadout,
}  # fmt: skip
HEADS = {"sequence": SequenceHead, "token": TokenHead}
PATTERNS = {"full": Full, "block_causal": BlockCausal}
_LABELS = {"names": list, "keys": list, "both_strands": bool, "crop": bool, "masked": bool}


def build_predictor(spec: Spec) -> Predictor:
    """The predictor a spec describes, with fresh weights.

    Raises:
        InputError: Something is missing, unknown, or does not fit.
    """
    backbone = build_backbone(spec)
    head = made(HEADS, section_of(spec, "head"), "head")
    readout = made(READOUTS, section_of(spec, "readout"), "readout")
    return Predictor(backbone, head, readout, made(PATTERNS, section_of(spec, "pattern"), "pattern"))


def frame_of(spec: Spec, tokenizer: Tokenizer = NUCLEOTIDES) -> RowFrame:
    """How sequences, or texts by their tokenizer, become the rows that the predictor of a spec reads."""
    if isinstance(tokenizer, TextTokenizer):
        ends, segments = bool(spec.get("ends")), bool(section_of(spec, "backbone").get("segments"))
        return TextFrame(tokenizer, int(spec["length"]), bool(spec.get("bos")), ends, segments)
    return Frame(int(spec["length"]), bool(spec.get("bos")), bool(spec.get("n_token")))


def pattern_of(spec: Spec) -> dict[str, Any]:
    """The section of the attention that the denoiser of a spec was trained with, on clean tokens."""
    if spec["parameterization"]["name"] == "next_token":
        return {"name": "block_causal", "block_size": 1}
    size = spec.get("block_size")
    return {"name": "block_causal", "block_size": size} if size else {"name": "full"}


def save_predictor(
    folder: Path, predictor: Predictor, spec: Spec, provenance: Mapping[str, Any],
    tokenizer: Tokenizer = NUCLEOTIDES,
) -> None:  # fmt: skip
    """Writes a folder, whole or not at all; one that is already there is replaced.

    Args:
        folder: Where to.
        predictor: Its weights are stored as float32.
        spec: What ``build_predictor`` makes it from.
        provenance: How the weights came about, plain JSON values.
        tokenizer: How letters are numbered.

    Raises:
        InputError: The weights are not what the spec describes, or the folder cannot be written to.
        ResourceError: The disk is full.
    """
    count = sum(value.numel() for value in predictor.state_dict().values())
    text = predictor_card(spec, provenance, count, text=isinstance(tokenizer, TextTokenizer))
    write_model(folder, predictor, tokenizer, spec, provenance, text, build_predictor)


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model: sequences or texts in, probabilities or numbers out.

    Attributes:
        predictor: In evaluation mode.
        frame: How sequences, or texts, become its rows.
        kind: ``class``, ``multilabel``, ``regression`` or ``tokens``.
        names: Of the classes, labels or numbers, in the order of the columns.
        both_strands: Whether the outputs of a sequence and its reverse complement are averaged, as in its validation.
        crop: Whether the middle is read of sequences that are too long, of text the beginning; else they are refused.
        masked: Whether it was trained on masked sequences, so that it can guide generation.
    """

    predictor: Predictor
    frame: RowFrame
    kind: str
    names: tuple[str, ...]
    both_strands: bool = False
    crop: bool = False
    masked: bool = False

    def predict(
        self, sequences: Sequence[str | tuple[str, str] | np.ndarray], *, batch_size: int = 64,
        both_strands: bool | None = None, progress: Callable[[int], None] = lambda _: None,
    ) -> np.ndarray | list[np.ndarray]:  # fmt: skip
        """Probabilities of classes or labels, or numbers in the targets' units, (n, T) float64; of bases a list.

        Of a model that labels bases, the probabilities of their classes: an array (length, T) a sequence, NaN at N.

        Args:
            sequences: Nucleotide letters, or codes A 0, C 1, G 2, T 3, N 4, hidden 5; any lengths. Of models of text
                sentences, pairs of them, or token ids.
            batch_size: Sequences at once.
            both_strands: Average over both strands before the readout; None does as in the model's validation.
            progress: Called with the number of sequences that are done since the last call.

        Raises:
            InputError: A letter is no nucleotide, a sequence is empty, unknown or too long, or text has strands.
        """
        if both_strands and isinstance(self.frame, TextFrame):
            raise InputError("--both-strands: text has one strand; leave it out")
        codes = [self._codes(number, sequence) for number, sequence in enumerate(sequences, 1)]
        both = self.both_strands if both_strands is None else both_strands
        return predictions(
            self.predictor, self.frame, codes, batch_size=batch_size, both_strands=both, progress=progress
        )

    def check(self, codes: np.ndarray, place: str) -> None:
        """Nothing if a sequence can be read.

        Args:
            codes: Its bases, or token ids.
            place: Where it comes from, for the message.

        Raises:
            InputError: It has no known base, or is longer than a row and may not be cropped.
        """
        self.frame.check_known(codes, place)
        most, unit = self.frame.bases, self.frame.unit
        if len(codes) > most and not self.crop:
            raise InputError(f"{place}: found {len(codes):,} {unit}; {most:,}, the most this model reads, would work")

    def _codes(self, number: int, sequence: str | tuple[str, str] | np.ndarray) -> np.ndarray:
        place = f"sequence {number}"
        codes = self.frame.codes(sequence, place)
        self.check(codes, place)
        return codes


def predictions(
    predictor: Predictor, frame: RowFrame, sequences: Sequence[np.ndarray], *, batch_size: int = 64,
    both_strands: bool = False, progress: Callable[[int], None] = lambda _: None,
) -> np.ndarray | list[np.ndarray]:  # fmt: skip
    """What a predictor says of sequences, (n, T) float64, computed in float32 where its weights are.

    Of one with a ``TokenHead``, what it says of their bases: an array (length, T) a sequence, NaN at N.

    Args:
        predictor: It is left in the mode it is in: evaluation mode, usually.
        frame: How sequences become rows.
        sequences: Codes, or token ids of text, an array each.
        batch_size: Sequences at once.
        both_strands: Average the outputs of a sequence and its reverse complement, before the readout.
        progress: Called with the number of sequences that are done since the last call.
    """
    device, per_base = next(predictor.parameters()).device, isinstance(predictor.head, TokenHead)

    def outputs(part: Sequence[np.ndarray]) -> Tensor:
        rows = {name: torch.from_numpy(array).to(device) for name, array in frame.rows(part).items()}
        return predictor(**rows)

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, len(sequences), batch_size):
            part = sequences[start : start + batch_size]
            out = outputs(part)
            if both_strands:
                other = outputs([alphabet.reverse_complement(codes) for codes in part])
                out = (out + (_turned(other, frame, part) if per_base else other)) / 2
            found = predictor.readout(out).double().cpu().numpy()
            yield from _of_bases(found, frame, part) if per_base else found
            progress(len(part))

    with torch.inference_mode():
        rows = list(parts())
    return rows if per_base else np.array(rows).reshape(len(rows), predictor.head.linear.out_features)


def _turned(outputs: Tensor, frame: Frame, sequences: Sequence[np.ndarray]) -> Tensor:
    """Outputs (B, N, T) of the other strands in the order of these."""
    back = outputs.clone()
    for row, codes in enumerate(sequences):
        place = slice(frame.bos, frame.bos + len(codes))
        back[row, place] = outputs[row, place].flip(0)
    return back


def _of_bases(found: np.ndarray, frame: Frame, sequences: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """What is said of each sequence's bases, (length, T), out of rows (B, N, T)."""
    for row, codes in zip(found, sequences, strict=True):
        yield np.where((codes == alphabet.N)[:, None], np.nan, row[frame.bos : frame.bos + len(codes)])


def load_predictor(path: str | Path) -> FineTuned:
    """The fine-tuned model of a model folder or a run folder of ``finetune``, on the CPU, in evaluation mode.

    Raises:
        InputError: There is none, it is damaged, or it is a denoiser.
    """
    folder = model_folder(path)
    manifest.verify(folder, (CONFIG, WEIGHTS, TOKENIZER))
    spec = _read_spec(folder)
    tokenizer = load_tokenizer(folder)
    if not isinstance(tokenizer, NucleotideTokenizer | TextTokenizer):
        raise InputError(
            f"{folder}: reads neither nucleotides nor text; a model that dna-diff finetune made would work"
        )
    shapes = weight_shapes(folder / WEIGHTS)
    check_sizes(shapes, section_of(spec, "head"), str(folder / CONFIG), "head")
    check_weights(shapes, spec, folder / WEIGHTS, build_predictor)
    predictor = build_predictor(spec)
    predictor.load_state_dict(load_file(folder / WEIGHTS))
    labels, kind = spec["labels"], spec["readout"]["name"]
    return FineTuned(
        predictor.eval(),
        frame_of(spec, tokenizer),
        kind,
        tuple(labels["names"]),
        both_strands=labels["both_strands"],
        crop=labels["crop"],
        masked=labels["masked"],
    )


def _read_spec(folder: Path) -> dict[str, Any]:
    spec, place = any_spec(folder), folder / CONFIG
    if "head" not in spec:
        raise InputError(f"{folder}: is a denoiser, not a fine-tuned model; what finetune makes of it would work")
    labels = {"masked": False, **section_of(spec, "labels")}  # folders of older versions do not say
    spec, head = {**spec, "labels": labels}, section_of(spec, "head")
    for key, kind in _LABELS.items():
        if type(labels.get(key)) is not kind:
            raise InputError(f"{place}: found labels.{key}={labels.get(key)!r:.60}; the file as it was written works")
    names, kind = labels["names"], section_of(spec, "readout").get("name")
    if kind not in KINDS:
        raise InputError(f"{place}: found readout.name={kind!r:.60}; {did_you_mean(str(kind), KINDS)}")
    if (kind == "tokens") != (head.get("name") == "token"):
        raise InputError(f"{place}: found head.name={head.get('name')!r:.60} with {kind}; the file as it was works")
    if len(names) != head.get("outputs") or not all(isinstance(name, str) for name in names):
        raise InputError(f"{place}: found {len(names)} labels.names; one an output, {head.get('outputs')}, would work")
    return spec
