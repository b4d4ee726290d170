"""``dna-diff evaluate``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import dtype, one_of, seed_and_threads, whole
from dnadiff.verbs.parser import Verb
from dnadiff.verbs.walk import block_size


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    splits = ("test", "valid", "train")
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="FASTA|BED",
        help="a genome to score whole, or regions of the run's genome (default: the held-out split)",
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--split", type=one_of(*splits), default="test", metavar="|".join(splits), help="default: test")
    parser.add_argument(
        "--samples", type=whole(1), default=1, metavar="M", help="Monte-Carlo draws a window (default: 1)"
    )
    parser.add_argument("--windows", type=whole(1), metavar="N", help="score N windows only (default: all)")
    parser.add_argument("--both-strands", action="store_true", help="average the bound over both strands")
    parser.add_argument(
        "--batch-size", type=whole(1), default=64, metavar="B", help="windows at once; changes no figure"
    )
    block_size(parser)
    dtype(parser)
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.evaluate import evaluate

    evaluate(
        args.run,
        args.data,
        args.out,
        split=args.split,
        samples=args.samples,
        windows=args.windows,
        both_strands=args.both_strands,
        batch_size=args.batch_size,
        block_size=args.block_size,
        dtype=args.dtype,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


VERB = Verb("score held-out sequence, in bits per base", arguments, run)
