"""The flags that say how to sample, shared by the verbs that generate."""

import argparse
from typing import TYPE_CHECKING

from dnadiff.errors import InputError
from dnadiff.verbs.flags import one_of, real, whole

if TYPE_CHECKING:
    from dnadiff.recipes.walk import Walk


def walk_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    samplers = ("first_hitting", "ancestral")
    parser.add_argument(
        "--sampler",
        type=one_of(*samplers),
        default=samplers[0],
        metavar="|".join(samplers),
        help=f"default: {samplers[0]}",
    )
    parser.add_argument("--steps", type=whole(1), metavar="T", help="steps of the ancestral sampler")
    parser.add_argument(
        "--tokens-per-step", type=whole(1), metavar="K", help="bases first_hitting reveals at once (1 is exact)"
    )
    parser.add_argument("--temperature", type=real(0, 100), default=1.0, metavar="X", help="default: 1")
    parser.add_argument(
        "--nucleus", type=real(0, 1), default=1.0, metavar="P", help="keep the likeliest bases up to P (1: all)"
    )
    block_size(parser)


def block_size(parser: argparse.ArgumentParser) -> None:
    """Adds ``--block-size``."""
    parser.add_argument(
        "--block-size", type=whole(1), metavar="B", help="bases of a block (default: as the model was trained)"
    )


def walk_of(args: argparse.Namespace) -> "Walk":
    """The settings the flags amount to.

    Raises:
        InputError: A flag belongs to another sampler.
    """
    if args.steps is not None and args.sampler != "ancestral":
        raise InputError("--steps: belongs to --sampler ancestral; first_hitting takes --tokens-per-step")
    if args.tokens_per_step is not None and args.sampler != "first_hitting":
        raise InputError("--tokens-per-step: belongs to --sampler first_hitting; ancestral takes --steps")
    from dnadiff.recipes.walk import Walk

    return Walk(
        sampler=args.sampler,
        steps=args.steps,
        tokens_per_step=args.tokens_per_step or 1,
        temperature=args.temperature,
        nucleus=args.nucleus,
        block_size=args.block_size,
    )
