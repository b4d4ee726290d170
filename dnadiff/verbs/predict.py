"""``dna-diff predict``: its flags and the recipe it reaches."""

import argparse

from dnadiff.verbs.flags import whole
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("model", metavar="MODEL", help="folder that dna-diff finetune wrote")
    parser.add_argument(
        "data", metavar="FASTA|CSV", help="sequences: FASTA, or a table with a column sequence (of text: sentence)"
    )
    parser.add_argument("-o", "--out", metavar="TSV", default="-", help="file to write (default: -)")
    parser.add_argument(
        "--both-strands", action="store_true", help="average both strands, as is done anyway if validation did"
    )
    parser.add_argument("--batch-size", type=whole(1), default=64, metavar="B", help="sequences at once (default: 64)")
    parser.add_argument("-j", "--threads", type=whole(1), metavar="N", help="processor threads (default: all cores)")


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.predict import predict

    predict(
        args.model, args.data, args.out, both_strands=args.both_strands, batch_size=args.batch_size,
        quiet=args.quiet, argv=argv,
    )  # fmt: skip


VERB = Verb("predict labels or numbers of sequences", arguments, run)
