"""``dna-diff compare``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.flags import one_of, seed_and_threads, whole
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("real", metavar="REAL", help="FASTA file or store of real sequence, or a text")
    parser.add_argument("synthetic", metavar="SYNTHETIC", help="FASTA file of generated sequence, or generated texts")
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--picture", metavar="PNG", help="picture to write")
    parser.add_argument("--run", metavar="RUN", help="run folder whose loss the picture shows too")
    parser.add_argument("-k", type=whole(1), nargs="+", metavar="K", help="k-mer lengths (default: 3 4 6)")
    parser.add_argument("--task", type=one_of("dna", "text"), default="dna", metavar="dna|text", help="default: dna")
    parser.add_argument(
        "--judge", metavar="RUN", help="model of text, or a folder of GPT-2, whose perplexity of the texts is shown"
    )
    parser.add_argument(
        "--convention",
        type=one_of("bd3lm", "mdlm"),
        metavar="bd3lm|mdlm",
        help="how the judge reads texts longer than its window: overlapping by half, or not (default: bd3lm)",
    )
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    of_text = {"--judge": args.judge, "--convention": args.convention}
    of_dna = {"--picture": args.picture, "--run": args.run, "-k": args.k}
    other = next((flag for flag, value in (of_dna if args.task == "text" else of_text).items() if value), None)
    if other is not None:
        raise InputError(f"{other}: belongs to --task {'dna' if args.task == 'text' else 'text'}; leave it out")
    if args.task == "text":
        _texts(args, argv)
        return
    from dnadiff.recipes.compare import compare

    compare(
        args.real,
        args.synthetic,
        args.out,
        picture=args.picture,
        k=tuple(args.k or (3, 4, 6)),
        run=args.run,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


def _texts(args: argparse.Namespace, argv: list[str]) -> None:
    from dnadiff.recipes.compare_texts import compare_texts

    compare_texts(
        args.real,
        args.synthetic,
        args.out,
        judge=args.judge,
        **({} if args.convention is None else {"convention": args.convention}),
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


VERB = Verb("compare real and synthetic sequences", arguments, run)
