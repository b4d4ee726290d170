"""``dna-diff evaluate``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.flags import one_of, seed_and_threads, shard, whole
from dnadiff.verbs.parser import Verb
from dnadiff.verbs.walk import block_size

ASKED = ("split", "samples", "windows", "both_strands", "batch_size", "block_size", "dtype", "seed")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser; what was left out is None, and the recipe's default."""
    splits = ("test", "valid", "train")
    parser.add_argument("run", metavar="RUN", help="run folder; with a FASTA file a model folder works too")
    parser.add_argument(
        "data",
        nargs="*",
        default=[],  # else a missing RUN is told together with what may be missing
        metavar="FASTA|BED|TEXT",
        help="genomes or texts to score whole, or regions of the run's genome (default: the held-out split)",
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--split", type=one_of(*splits), metavar="|".join(splits), help="default: test")
    parser.add_argument("--samples", type=whole(1), metavar="M", help="Monte-Carlo draws a window (default: 1)")
    parser.add_argument("--windows", type=whole(1), metavar="N", help="score N windows only (default: all)")
    parser.add_argument(
        "--generate",
        type=whole(0),
        metavar="N",
        help="write N targets and compare them, of models that are given sources or beginnings (default: 100 of pairs)",
    )
    parser.add_argument("--bleu", action="store_true", help="compare written texts by BLEU too; needs sacrebleu")
    parser.add_argument("--both-strands", action="store_const", const=True, help="average the bound over both strands")
    parser.add_argument(
        "--batch-size", type=whole(1), metavar="B", help="windows at once; changes no figure (default: 64)"
    )
    block_size(parser)
    shard(parser, "windows; -o PART.npz")
    parser.add_argument("--merge", nargs="+", metavar="PART", help="report of the parts that all shards wrote")
    parser.add_argument("--dtype", type=one_of("fp32", "bf16"), metavar="fp32|bf16", help="default: fp32")
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    many = args.merge is not None or args.shard is not None or len(args.data) > 1
    if many and (args.generate is not None or args.bleu):
        flag = "--bleu" if args.bleu else f"--generate {args.generate}"
        raise InputError(f"{flag}: targets are written of one data set at once; leave it out")
    asked = {name: vars(args)[name] for name in ASKED if vars(args)[name] is not None}
    if args.merge is not None:
        _merge(args, asked, argv)
    elif args.shard is not None:
        from dnadiff.recipes.evaluate_shards import evaluate_shard
        from dnadiff.recipes.scoring import Asked
        from dnadiff.recipes.shards import Shard

        if len(args.data) > 1:
            raise InputError(f"{args.data[1]}: a second one after {args.data[0]}; shards are of one")
        evaluate_shard(args.run, args.out, Shard(*args.shard), Asked(_only(args.data), **asked), quiet=args.quiet)
    elif len(args.data) > 1:
        from dnadiff.recipes.evaluate_several import evaluate_several
        from dnadiff.recipes.scoring import Asked

        several = [Asked(data, **asked) for data in args.data]
        evaluate_several(args.run, several, args.out, quiet=args.quiet, argv=argv)
    else:
        from dnadiff.recipes.evaluate import evaluate

        written = {"generate": args.generate, "bleu": args.bleu}
        evaluate(args.run, _only(args.data), args.out, **asked, **written, quiet=args.quiet, argv=argv)


def _only(data: list[str]) -> str | None:
    return data[0] if data else None


def _merge(args: argparse.Namespace, asked: dict, argv: list[str]) -> None:
    given = [f"--{name.replace('_', '-')}" for name in (*asked, *(["shard"] if args.shard else []))]
    if args.data or given:
        raise InputError(
            f"{(args.data or given)[0]}: contradicts --merge, whose parts say what was scored; leave it out"
        )
    from dnadiff.recipes.evaluate_shards import merge

    merge(args.run, args.merge, args.out, quiet=args.quiet, argv=argv)


VERB = Verb("score held-out sequence, in bits per base", arguments, run)
