"""``dna-diff embed``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import dtype, layer, one_of, whole
from dnadiff.verbs.parser import Verb

POOLINGS = ("mean", "max", "first")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("model", metavar="MODEL", help="run or model folder, of any method or fine-tuned")
    parser.add_argument("data", metavar="FASTA|CSV", help="sequences: FASTA, or a table with a column sequence")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="file to write, .npz or .parquet")
    parser.add_argument(
        "--layer",
        type=layer(),
        default="last",
        metavar="N|last",
        help="block whose states are taken; 0: the embeddings (default: last)",
    )
    vectors(parser)
    parser.add_argument("-j", "--threads", type=whole(1), metavar="N", help="processor threads (default: all cores)")


def vectors(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of how sequences become vectors, but for the layer."""
    parser.add_argument(
        "--pooling",
        type=one_of(*POOLINGS),
        default="mean",
        metavar="|".join(POOLINGS),
        help="how the states of a sequence become one vector (default: mean)",
    )
    parser.add_argument("--both-strands", action="store_true", help="average the vectors of both strands")
    parser.add_argument("--batch-size", type=whole(1), default=64, metavar="B", help="sequences at once (default: 64)")
    dtype(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.embed import How, embed

    number = None if args.layer == "last" else args.layer
    how = How(number, args.pooling, args.both_strands, args.dtype)
    embed(args.model, args.data, args.out, how, batch_size=args.batch_size, quiet=args.quiet, argv=argv)


VERB = Verb("a vector for each sequence, from the hidden states of a model", arguments, run)
