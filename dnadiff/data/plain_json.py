"""Reading JSON that somebody else may have written.

A configuration, a spec or an index is a flat object of a few kilobytes. A file that is huge, nested a million deep, or
holds what JSON has no numbers for (NaN, Infinity) is damaged or made to do harm, and is refused before it costs memory.
Nothing is ever resolved or executed: a string such as ``${oc.env:HOME}`` is a string.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from dnadiff.errors import InputError

MOST_BYTES = 16 << 20


def read_json(path: str | Path, remedy: str, *, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
        path: The file.
        remedy: What would work, the end of an error's line.
        most: Largest size of the file, bytes.

    Raises:
        InputError: It is missing, too large, no JSON, or no object.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > most:
            raise InputError(f"{path}: found {size:,} bytes, where {most:,} are the most; {remedy}")
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deep; {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__} where an object is due; {remedy}")
    return value


def check_letters(text: str, place: str) -> str:
    """The text, if all of it can be written: JSON can name halves of letters, which are none.

    Args:
        text: Read from JSON.
        place: Where, for the message.

    Raises:
        InputError: It holds half a letter.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise InputError(f"{place}: holds {half}, half of a letter; whole ones would work") from error
    return text


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
