"""``dna-diff cite``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run folder: add the papers behind what it used")
    parser.add_argument("--all", action="store_true", help="add every paper that dnadiff builds on")


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    if args.run is not None and args.all:
        raise InputError(f"--all: contradicts {args.run}; leave one of them out")
    from dnadiff.recipes.cite import cite

    cite(args.run, everything=args.all)


VERB = Verb("print what to cite, as BibTeX", arguments, run)
