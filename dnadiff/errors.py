"""Errors a user can do something about. Each carries the exit code of the command line.

The message is one line: which input, what was found, what would work. The command line prints it after ``dna-diff: error:``
and nothing else; Python callers catch ``DnadiffError``.
"""


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
