"""``dna-diff sample``: its flags and the recipe they reach."""

import argparse
from dataclasses import replace

from dnadiff.errors import InputError
from dnadiff.verbs.flags import dtype, real, seed_and_threads, shard, whole
from dnadiff.verbs.parser import Verb
from dnadiff.verbs.walk import walk_flags, walk_of

OWN = ("rows_per_call", "stop_at_end", "min_complexity")  # of the settings, those that other verbs do not have

ALONE = ("prompt", "prompts", "fill", "length", "shard", "resume")  # what --pairs has no use for


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("run", metavar="RUN", help="run or model folder")
    parser.add_argument(
        "-o",
        "--out",
        metavar="FASTA",
        default="-",
        help="file to write; .gz compresses; of text .jsonl or .txt (default: -)",
    )
    parser.add_argument(
        "-n",
        "--number",
        type=whole(1),
        metavar="N",
        help="sequences, of text for each prompt (default: 10), or for each source (default: 1)",
    )
    parser.add_argument(
        "--length", type=whole(1), metavar="L", help="bases or tokens each (default: the training window)"
    )
    walk_flags(parser)
    parser.add_argument(
        "--batch-size", type=whole(1), default=64, metavar="B", help="sequences at once; changes no sequence"
    )
    parser.add_argument(
        "--rows-per-call",
        type=whole(1),
        metavar="N",
        help="sequences the network reads together: faster in blocks, rounded another way (default: 1 on a CPU)",
    )
    parser.add_argument(
        "--stop-at-end", action="store_true", help="end at [SEP], for models of blocks trained with it (default: no)"
    )
    parser.add_argument(
        "--min-complexity",
        type=real(0, 1),
        metavar="SHARE",
        help="in blocks: end where 256 bases have less than this share of the entropy of random ones (default: never)",
    )
    shard(parser, "sequences; `cat` of all parts in order is the whole")
    parser.add_argument(
        "--resume", action="store_true", help="go on where a killed process stopped; leave a finished FASTA as it is"
    )
    text = parser.add_argument_group("models of text")
    text.add_argument("--prompt", metavar="TEXT", help="what every text begins with")
    text.add_argument("--prompts", metavar="FILE", help="prompts, one a line or JSON lines; N texts for each")
    text.add_argument(
        "--fill", action="store_true", help="fill every [MASK] of the prompts with a token, and add nothing behind"
    )
    parser.add_argument(
        "--pairs", metavar="FILE", help="write the targets of its sources: CSV, TSV, JSON lines or Parquet"
    )
    dtype(parser)
    seed_and_threads(parser)


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    if args.pairs is not None:
        _targets(args, argv)
        return
    from dnadiff.recipes.sample import sample
    from dnadiff.recipes.shards import Shard

    sample(
        args.run,
        args.out,
        n=10 if args.number is None else args.number,
        length=args.length,
        walk=replace(walk_of(args), **{name: vars(args)[name] for name in OWN}),
        batch_size=args.batch_size,
        dtype=args.dtype,
        seed=args.seed,
        shard=Shard(*args.shard or (1, 1)),
        resume=args.resume,
        prompt=args.prompt,
        prompts=args.prompts,
        fill=args.fill,
        quiet=args.quiet,
        argv=argv,
    )


def _targets(args: argparse.Namespace, argv: list[str]) -> None:
    for name in ALONE:
        if vars(args)[name]:
            raise InputError(f"--{name}: has no use beside --pairs; leave it out")
    from dnadiff.recipes.pair_samples import sample_targets

    candidates, args.candidates = args.candidates, None  # of every sampler here
    sample_targets(
        args.run,
        args.pairs,
        args.out,
        n=args.number or 1,
        walk=replace(walk_of(args), **{name: vars(args)[name] for name in OWN}),
        candidates=candidates,
        batch_size=args.batch_size,
        dtype=args.dtype,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


VERB = Verb("generate sequences", arguments, run)
