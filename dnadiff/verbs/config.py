"""``dna-diff config``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.flags import one_of
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "action",
        type=one_of("ls", "show", "translate"),
        metavar="ls|show|translate",
        help="list presets, show a configuration, or put a command of MDLM or BD3-LM into dnadiff's words",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="GROUP | key=value | COMMAND",
        help="a group to list; settings to show; 'python main.py ...' in quotation marks",
    )


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.config import ls, show, translated

    if args.action == "show":
        show(args.words)
    elif args.action == "translate":
        translated(args.words, quiet=args.quiet)
    elif len(args.words) > 1:
        raise InputError(f"{args.words[1]}: a second group after {args.words[0]}; give one")
    else:
        ls(args.words[0] if args.words else None)


VERB = Verb("list the presets, show or translate a configuration", arguments, run)
