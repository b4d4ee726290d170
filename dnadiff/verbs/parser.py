"""What a verb is made of: its parser, whose errors are the project's own, and its entry in the table of verbs."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from dnadiff.errors import InputError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are the project's own and name what was probably meant."""

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The arguments; flags and other words may come in any order."""
        args, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            word = unknown[0].partition("=")[0]
            hint = did_you_mean(word, self._option_string_actions) if word.startswith("-") else "one word too many"
            raise InputError(f"{word}: unknown to {self.prog}; {hint}")
        return args

    def actions(self) -> list[argparse.Action]:
        """The arguments that were added, those of the help included."""
        return list(self._actions)

    def error(self, message: str) -> NoReturn:
        """Nothing: raises the message instead of printing the usage and leaving."""
        raise InputError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Verb:
    """One verb: its line in the help, its arguments, and what runs it.

    Attributes:
        summary: One line.
        arguments: Adds the verb's arguments to a parser.
        run: Runs the verb on the parsed arguments and the words of the command line.
    """

    summary: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[str]], None]
