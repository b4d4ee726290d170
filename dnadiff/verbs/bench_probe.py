"""``dna-diff bench probe``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.embed import vectors
from dnadiff.verbs.flags import layer, one_of, seed_and_threads
from dnadiff.verbs.parser import Verb

KINDS = ("auto", "class", "multilabel", "regression")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("model", metavar="MODEL", help="run or model folder, of any method or fine-tuned")
    parser.add_argument("data", metavar="DATA", help="labelled sequences: a table, FASTA, or a folder, as of finetune")
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument(
        "--layer",
        type=layer("all"),
        default="last",
        metavar="N|last|all",
        help="block whose states are taken; 0: the embeddings (default: last)",
    )
    parser.add_argument("--label", default="label", metavar="KEY[,KEY]", help="columns or words (default: label)")
    parser.add_argument(
        "--kind",
        type=one_of(*KINDS),
        default="auto",
        metavar="|".join(KINDS),
        help="what the labels are (default: auto)",
    )
    vectors(parser)
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.embed import How
    from dnadiff.recipes.probe import probe

    probe(
        args.model,
        args.data,
        args.out,
        layers={"last": None, "all": "all"}.get(args.layer, [args.layer]),
        how=How(None, args.pooling, args.both_strands, args.dtype),
        keys=tuple(args.label.split(",")),
        kind=args.kind,
        batch_size=args.batch_size,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


VERB = Verb("linear and nearest-neighbour probes of a model on labelled data", arguments, run)
