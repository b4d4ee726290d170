"""``dna-diff bench audit``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import one_of
from dnadiff.verbs.parser import Verb

_KINDS = ("auto", "class", "multilabel", "regression", "tokens")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "data", nargs="+", metavar="DATA",
        help="labelled sequences as finetune reads them, or coordinates: train/CLASS.csv.gz, test/CLASS.csv.gz",
    )  # fmt: skip
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--clean", metavar="DIR", help="write the data set without test examples that train holds")
    parser.add_argument(
        "--genome", action="append", default=[], metavar="FASTA",
        help="the bases of coordinates, FASTA or store; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--label", action="append", metavar="KEY", help="column of the labels (default: label); several times for many"
    )
    parser.add_argument(
        "--kind", type=one_of(*_KINDS), default="auto", metavar="|".join(_KINDS), help="what the labels are"
    )


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.audit import audit

    audit(
        args.data, args.out, clean=args.clean, genome=args.genome, label=args.label or ["label"], kind=args.kind,
        quiet=args.quiet, argv=argv,
    )  # fmt: skip


VERB = Verb("score rules that need no model on labelled data, and find leaks", arguments, run)
