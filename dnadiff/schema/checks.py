"""What the sections of a configuration check their values with."""

import math
from collections.abc import Iterable

from dnadiff.errors import InputError, did_you_mean


def require(ok: bool, line: str) -> None:
    """Nothing if ``ok``.

    Raises:
        InputError: With the line, otherwise.
    """
    if not ok:
        raise InputError(line)


def choice(key: str, value: str, choices: Iterable[str]) -> None:
    """Nothing if the value is one of the choices.

    Raises:
        InputError: Otherwise, with the nearest choice.
    """
    if value not in choices:
        raise InputError(f"{key}={value}: {did_you_mean(value, choices)}")


def number(key: str, value: float | None, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Nothing if a number, or None, lies in [low, high], or (low, high] with ``open_low``.

    Raises:
        InputError: Otherwise; NaN and infinities are always outside.
    """
    if value is None:
        return
    inside = (low < value if open_low else low <= value) and value <= high and math.isfinite(value)
    sign = "above" if open_low else "at least"
    bound = f"{sign} {low:g}" + ("" if high == math.inf else f" and at most {high:g}")
    require(inside, f"{key}={value}: give a finite number {bound}")
