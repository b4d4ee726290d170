"""``dna-diff bench``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import one_of
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "action", type=one_of("audit"), metavar="audit", help="score rules that need no model, and find leaks"
    )
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="folders of coordinates: train/CLASS.csv.gz, test/CLASS.csv.gz"
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--clean", metavar="DIR", help="write the data set without test stretches that overlap train")


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.audit import audit

    audit(args.data, args.out, clean=args.clean, quiet=args.quiet, argv=argv)


VERB = Verb("look at labelled data sets before models do", arguments, run)
