"""``dna-diff prepare``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("fasta", metavar="FASTA", help="FASTA file, plain, gzip or BGZF; - reads standard input")
    parser.add_argument("-o", "--out", metavar="STORE", help="folder to write (default: the cache)")
    parser.add_argument(
        "--drop-gaps", action="store_true", help="drop the gap characters - . * instead of refusing them"
    )
    parser.add_argument(
        "--rename-duplicates", action="store_true", help="number repeated names instead of refusing them"
    )
    parser.add_argument("--allow-truncated", action="store_true", help="accept a BGZF file without its end marker")
    parser.add_argument("--force", action="store_true", help="replace an existing store")


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.prepare import prepare

    prepare(
        args.fasta,
        args.out,
        drop_gaps=args.drop_gaps,
        rename_duplicates=args.rename_duplicates,
        allow_truncated=args.allow_truncated,
        force=args.force,
        quiet=args.quiet,
    )


VERB = Verb("turn a FASTA file into a genome store", arguments, run)
