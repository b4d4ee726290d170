"""What a stranger's spec may hold: plain values of the types the constructors ask for, in sizes the weights bear out.

Names in a spec are keys of closed tables, so nothing can be imported. What is left is damage and malice: text where a
number is due, NaN, a vocabulary of 10**12, a billion blocks. All of it is refused before a layer is built.
"""

import math
import typing
from collections.abc import Callable, Mapping
from typing import Any

from dnadiff.errors import InputError

_LONGEST = 1 << 30  # tokens of a window
_WORDS = {
    int: "a whole number of 0 or more", float: "a finite number", bool: "true or false", str: "a name",
    tuple[int, ...]: "a list of whole numbers of 0 or more",
}  # fmt: skip

Shapes = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type of tensors by name."""


def check_head(spec: Mapping[str, Any], place: str) -> None:
    """Refuses a spec whose window length, switches or names of classes are impossible.

    Args:
        spec: Its ``length``, ``bos``, ``time_conditioning``, ``shift``, ``classes`` and ``label`` are looked at.
        place: Where it comes from, for the message.

    Raises:
        InputError: One of them is.
    """
    for key, kind in (("length", int), ("bos", bool), ("time_conditioning", bool), ("shift", bool), ("label", str)):
        value = spec.get(key, kind())
        if type(value) is not kind:
            raise InputError(f"{place}: found {key}={value!r:.60}; {_WORDS[kind]} would work")
    if not 1 <= spec.get("length", 0) <= _LONGEST:
        raise InputError(f"{place}: found length={spec.get('length')}; 1 to {_LONGEST:,} would work")
    classes = spec.get("classes", [])
    if not (isinstance(classes, list) and all(type(name) is str for name in classes)):
        raise InputError(f"{place}: found classes={classes!r:.60}; a list of names would work")


def check_arguments(constructor: Callable[..., Any], arguments: Mapping[str, Any], where: str) -> None:
    """Compares arguments with the annotations of a constructor, where those are plain types.

    Raises:
        InputError: One has another type, is negative, or is not finite.
    """
    hints = typing.get_type_hints(constructor.__init__)
    for key, value in arguments.items():
        kind = hints.get(key)
        if kind in _WORDS and not _fits(value, kind):
            raise InputError(f"{where}.{key}: found {value!r:.60}; {_WORDS[kind]} would work")


def check_sizes(found: Shapes, section: Mapping[str, Any], place: str, name: str = "backbone") -> None:
    """Refuses sizes that no file of these weights has: a billion blocks take a day to build even without memory.

    Args:
        found: The tensors that are there.
        section: One of the spec.
        place: Where it comes from, for the message.
        name: The section's.

    Raises:
        InputError: A size is larger than the weights are many.
    """
    weights = sum(math.prod(shape) for shape, _ in found.values())
    for key, value in section.items():
        most = len(found) if key == "n_blocks" else weights
        if type(value) is int and value > most:
            has = f"the file has {weights:,} weights in {len(found):,} tensors"
            raise InputError(f"{place}: found {name}.{key}={value:,}, but {has}; the config.json of these would work")


def _fits(value: object, kind: object) -> bool:
    if kind is int:
        return type(value) is int and value >= 0
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind == tuple[int, ...]:
        return isinstance(value, list | tuple) and all(_fits(item, int) for item in value)
    return type(value) is kind
