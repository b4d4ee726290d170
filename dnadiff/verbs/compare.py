"""``dna-diff compare``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import seed_and_threads, whole
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("real", metavar="REAL", help="FASTA file or store of real sequence")
    parser.add_argument("synthetic", metavar="SYNTHETIC", help="FASTA file of generated sequence")
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--picture", metavar="PNG", help="picture to write")
    parser.add_argument("--run", metavar="RUN", help="run folder whose loss the picture shows too")
    parser.add_argument(
        "-k", type=whole(1), nargs="+", default=[3, 4, 6], metavar="K", help="k-mer lengths (default: 3 4 6)"
    )
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.compare import compare

    compare(
        args.real,
        args.synthetic,
        args.out,
        picture=args.picture,
        k=tuple(args.k),
        run=args.run,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


VERB = Verb("compare real and synthetic sequences", arguments, run)
