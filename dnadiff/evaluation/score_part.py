"""The scores of some of the windows as a file, so that several processes can share an evaluation.

A part is an ``.npz`` file of plain arrays: what the model and each Markov chain pay for every window, to the last bit,
and as JSON what was scored and how. The parts of all shards give the very figures of one process, because everything
that is reported is a function of the windows' scores.
"""

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.data import atomic
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import Scores, joined

FORMAT = 1
_BOMB_RATIO, _LEAST_BOMB = 100, 64 << 20  # scores are random numbers, which hardly shrink


@dataclass(frozen=True)
class ScorePart:
    """What some windows cost.

    Attributes:
        about: What was scored and how, plain JSON values; equal in all parts of one evaluation.
        shard: Which part of how many, from 1.
        model: What the model pays.
        floors: What Markov chains pay, by order; empty without a baseline.
    """

    about: Mapping[str, Any]
    shard: tuple[int, int]
    model: Scores
    floors: Mapping[int, Scores]


def save_part(path: Path, part: ScorePart) -> None:
    """Writes a part, whole or not at all.

    Raises:
        InputError: The place cannot be written to.
        ResourceError: The disk is full.
    """
    orders = sorted(part.floors)
    arrays = {"orders": np.array(orders, dtype=np.int64)} | _arrays("model", part.model)
    for order in orders:
        arrays |= _arrays(f"order_{order}", part.floors[order])
    head = json.dumps({"format": FORMAT, "shard": part.shard, "about": part.about})
    content = io.BytesIO()
    np.savez_compressed(content, head=np.array(head), **arrays)
    temporary = path.with_name(f".{path.name}.tmp")
    with atomic.disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_part(path: Path) -> ScorePart:
    """The part that ``save_part`` wrote.

    Raises:
        InputError: The file is missing, damaged or something else.
    """
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            unpacked = sum(member.file_size for member in file.zip.infolist())
            if unpacked > _LEAST_BOMB + _BOMB_RATIO * path.stat().st_size:
                raise InputError(
                    f"{path}: unpacks to {unpacked:,} bytes; a part written by dna-diff evaluate would work"
                )
            head = json.loads(str(file["head"]))
            model = _scores("model", file)
            floors = {int(order): _scores(f"order_{int(order)}", file) for order in file["orders"]}
        number, of = head["shard"]
        if head["format"] != FORMAT:
            raise InputError(f"{path}: found format {head['format']!r}; this version of dnadiff reads {FORMAT}")
        return ScorePart(dict(head["about"]), (int(number), int(of)), model, floors)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a part written by dna-diff evaluate --shard would work") from error
    except InputError:
        raise
    except Exception as error:  # whatever a damaged archive makes the readers do
        raise InputError(f"{path}: cannot be read; a part written by dna-diff evaluate --shard would work") from error


def merged(parts: Sequence[tuple[str, ScorePart]]) -> ScorePart:
    """All parts of one evaluation as one.

    Args:
        parts: Each with a name for messages, in any order.

    Raises:
        InputError: A part is missing or there twice, parts are of different evaluations, or no window has a base.
    """
    first_name, first = parts[0]
    seen: dict[int, str] = {}
    for name, part in parts:
        for key in sorted(first.about.keys() | part.about.keys()):
            if part.about.get(key) != first.about.get(key):
                found, wanted = (json.dumps(about.get(key)) for about in (part.about, first.about))
                raise InputError(f"{name}: has {key} {found} where {first_name} has {wanted}; parts of one would work")
        number, of = part.shard
        if of != first.shard[1]:
            raise InputError(f"{name}: is one of {of} parts and {first_name} one of {first.shard[1]}; equal ones work")
        if number in seen:
            raise InputError(f"{name}: is part {number} of {of}, as {seen[number]} is; each once would work")
        seen[number] = name
    if missing := [str(number) for number in range(1, first.shard[1] + 1) if number not in seen]:
        raise InputError(f"parts {', '.join(missing)} of {first.shard[1]} are missing; all of them would work")
    floors = {order: joined([part.floors[order] for _, part in parts]) for order in first.floors}
    return ScorePart(first.about, (1, 1), joined([part.model for _, part in parts]), floors)


def _arrays(name: str, scores: Scores) -> dict[str, np.ndarray]:
    letters = {} if scores.characters is None else {f"{name}_characters": scores.characters}
    return {f"{name}_ids": scores.item_ids, f"{name}_bits": scores.bits, f"{name}_counts": scores.counts, **letters}


def _scores(name: str, file: Mapping[str, np.ndarray]) -> Scores:
    letters = file.get(f"{name}_characters")
    scores = Scores(file[f"{name}_ids"], file[f"{name}_bits"], file[f"{name}_counts"], letters)
    lengths = {
        len(array) for array in (scores.item_ids, scores.bits, scores.counts, *([letters] * (letters is not None)))
    }
    if scores.bits.ndim != 2 or len(lengths) != 1:
        raise ValueError(f"arrays of {name} do not fit together")
    return scores
