"""``dna-diff bench audit``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="folders of coordinates: train/CLASS.csv.gz, test/CLASS.csv.gz"
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--clean", metavar="DIR", help="write the data set without test stretches that overlap train")


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.audit import audit

    audit(args.data, args.out, clean=args.clean, quiet=args.quiet, argv=argv)


VERB = Verb("score rules that need no model on labelled data, and find leaks", arguments, run)
