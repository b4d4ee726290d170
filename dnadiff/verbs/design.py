"""``dna-diff design``: its flags and the recipe they reach."""

import argparse
from itertools import chain

from dnadiff.verbs.flags import dtype, seed_and_threads, whole
from dnadiff.verbs.parser import Verb
from dnadiff.verbs.walk import walk_flags, walk_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("run", metavar="RUN", help="run or model folder")
    parser.add_argument(
        "template", metavar="TEMPLATE", help="FASTA: A C G T are kept, N is free, R is A or G ...; - reads stdin"
    )
    parser.add_argument("-o", "--out", metavar="FASTA", default="-", help="file to write; .gz compresses (default: -)")
    parser.add_argument("-n", "--number", type=whole(1), default=1, metavar="N", help="designs each (default: 1)")
    parser.add_argument("--mask", metavar="BED", help="intervals of the templates in which every base is free")
    parser.add_argument("--gc", metavar="LOW-HIGH[:WINDOW]", help="share of G and C, overall or in every window")
    words = {"nargs": "+", "action": "extend", "type": _words, "default": []}
    parser.add_argument("--avoid", metavar="MOTIF", help="IUPAC motifs wanted on neither strand", **words)
    parser.add_argument("--avoid-sites", metavar="ENZYME", help="restriction enzymes that must not cut", **words)
    parser.add_argument("--max-homopolymer", type=whole(1), metavar="K", help="longest run of one base")
    walk_flags(parser)
    parser.add_argument(
        "--batch-size", type=whole(1), default=64, metavar="B", help="designs at once; changes no design"
    )
    dtype(parser)
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.design import design

    design(
        args.run,
        args.template,
        args.out,
        n=args.number,
        mask=args.mask,
        gc=args.gc,
        avoid=[*chain(*args.avoid)],
        avoid_sites=[*chain(*args.avoid_sites)],
        max_homopolymer=args.max_homopolymer,
        walk=walk_of(args),
        batch_size=args.batch_size,
        dtype=args.dtype,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


def _words(text: str) -> list[str]:
    """An argument type: words separated by commas."""
    words = text.split(",")
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty word; words separated by commas or blanks would work")
    return words


VERB = Verb("generate sequences that fit a template and keep to constraints", arguments, run)
