"""``dna-diff bench zeroshot``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import seed_and_threads, whole
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("model", metavar="MODEL", help="run or model folder")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="FASTA, table of sequences or store (default: the test split of the run)",
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("-n", "--n", type=whole(1), default=1000, metavar="N", help="pairs at most (default: 1000)")
    parser.add_argument("--samples", type=whole(1), default=1, metavar="M", help="draws a sequence (default: 1)")
    parser.add_argument("--both-strands", action="store_true", help="average the scores of both strands")
    parser.add_argument("--batch-size", type=whole(1), default=64, metavar="B", help="sequences at once (default: 64)")
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.zeroshot import zeroshot

    zeroshot(
        args.model,
        args.data,
        args.out,
        n=args.n,
        samples=args.samples,
        both_strands=args.both_strands,
        batch_size=args.batch_size,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


VERB = Verb("how often a model prefers real sequence to its shuffle", arguments, run)
