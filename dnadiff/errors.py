"""Errors a user can do something about. Each carries the exit code of the command line.

The message is one line: which input, what was found, what would work. The command line prints it after
``dna-diff: error:`` and nothing else; Python callers catch ``DnadiffError``.
"""

import difflib
from collections.abc import Iterable


class DnadiffError(Exception):
    """Anything dnadiff refuses to do, with a reason."""

    exit_code = 1


class InputError(DnadiffError):
    """A file, flag or configuration value that cannot be used."""

    exit_code = 2


class DivergedError(DnadiffError):
    """Training met a loss or a gradient that is not finite."""

    exit_code = 3


class ResourceError(DnadiffError):
    """Not enough disk or memory."""

    exit_code = 4


def printable(text: str) -> str:
    r"""The text with line ends, terminal escapes and all else that is not printable written as escapes (``\n``).

    Names of files and sequences come from strangers; shown raw, they could move the cursor or forge a line of output.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of an error message: the choice nearest to a word that is none of them, or all choices if none is near.

    Args:
        word: What was found.
        choices: What would work.
    """
    choices = list(choices)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(choices)}"
