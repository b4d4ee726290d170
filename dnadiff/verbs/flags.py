"""Argument types, and the flags that several verbs share."""

import argparse
from collections.abc import Callable

from dnadiff.errors import did_you_mean


def whole(low: int) -> Callable[[str], int]:
    """An argument type: a whole number of at least ``low``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return value

    return parse


def real(above: float, most: float) -> Callable[[str], float]:
    """An argument type: a number above ``above`` and at most ``most``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = above
        if not above < value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above {above:g} and at most {most:g}")
        return value

    return parse


class OneOf:
    """An argument type: one of some words.

    Args:
        *choices: The words.
    """

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def __call__(self, text: str) -> str:
        """The word, if it is one of them."""
        if text not in self.choices:
            raise argparse.ArgumentTypeError(f"{text!r}: {did_you_mean(text, self.choices)}")
        return text


def one_of(*choices: str) -> OneOf:
    """An argument type: one of some words."""
    return OneOf(*choices)


def seed(text: str) -> int:
    """An argument type: any integer."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def layer(*words: str) -> Callable[[str], int | str]:
    """An argument type: the number of a layer, ``last``, or one of some other words.

    Args:
        *words: What else it may be.
    """

    def parse(text: str) -> int | str:
        if text in ("last", *words):
            return text
        if not (text.isascii() and text.isdigit()):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not the number of a layer, from 0, or {', '.join(('last', *words))}"
            )
        return int(text)

    return parse


def shard(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds ``--shard``, a number and how many there are.

    Args:
        parser: The verb's.
        what: What a shard is a part of.
    """
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help=f"only part I of N of the {what}, from 1; needs --seed"
    )


def _shard(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    known = slash and all(word.isascii() and word.isdigit() for word in (number, of))
    if not known or not 1 <= int(number) <= int(of):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 1/4, 2/4, 3/4 or 4/4")
    return int(number), int(of)


def seed_and_threads(parser: argparse.ArgumentParser) -> None:
    """Adds ``--seed`` and ``--threads``."""
    parser.add_argument("--seed", type=seed, metavar="N", help="seed; drawn, printed and recorded when left out")
    parser.add_argument("-j", "--threads", type=whole(1), metavar="N", help="processor threads (default: all cores)")


def dtype(parser: argparse.ArgumentParser) -> None:
    """Adds ``--dtype``."""
    parser.add_argument(
        "--dtype",
        type=one_of("fp32", "bf16"),
        default="fp32",
        metavar="fp32|bf16",
        help="precision of the network (default: fp32)",
    )
