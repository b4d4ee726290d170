"""``dna-diff doctor``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("fasta", nargs="?", metavar="FASTA", help="a genome to check too")
    parser.add_argument("--no-train", action="store_true", help="leave out the ten seconds of training a small model")


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.doctor import doctor

    doctor(args.fasta, train=not args.no_train)


VERB = Verb("check this machine and, if given, a genome", arguments, run)
