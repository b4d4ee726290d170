"""``dna-diff bench run``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.finetune import check_model
from dnadiff.verbs.flags import one_of, whole
from dnadiff.verbs.parser import Verb

_FOLDS = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "words", nargs="*", metavar="SUITE | key=value",
        help="genomic_benchmarks, gue, nucleotide_transformer, or own for any labelled data; settings to change",
    )  # fmt: skip
    parser.add_argument("--model", required=True, metavar="RUN", help="a run or model folder, or 'scratch'")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder that holds the tasks of the suite")
    parser.add_argument("--tasks", nargs="+", default=[], metavar="T", help="only these (default: all that are there)")
    parser.add_argument(
        "--seeds", nargs="+", default=[], metavar="N", help="of the fine-tunings (default: the suite's)"
    )
    parser.add_argument(
        "--protocol", type=one_of("fixed", "redrawn", "folds", "leave_one_out"), metavar="P",
        help="fixed: parts as given; redrawn: a validation part drawn for every seed; folds; leave_one_out "
        "(default: the suite's)",
    )  # fmt: skip
    parser.add_argument("--folds", type=whole(2), metavar="K", help=f"with --protocol folds (default: {_FOLDS})")
    parser.add_argument("--name", metavar="NAME", help="the model's in the table (default: that of its folder)")
    parser.add_argument(
        "-o", "--out", metavar="DIR",
        help="runs and tables; the same command goes on there, another --model joins (default: runs/bench-SUITE)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("-j", "--threads", type=whole(1), metavar="N", help="processor threads (default: all cores)")
    parser.epilog = "Settings are those of `dna-diff finetune`; `dna-diff config show finetune` lists them."


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    settings = [word for word in (*args.words, *args.tasks, *args.seeds) if "=" in word]
    names = [word for word in args.words if "=" not in word]
    if len(names) != 1:
        found = f"{names[1]}: one word too many" if names else "bench run: no suite"
        raise InputError(f"{found}; SUITE, and settings as key=value, would work")
    if args.folds is not None and args.protocol != "folds":
        raise InputError(f"--folds {args.folds}: needs --protocol folds; leave it out")
    if args.model != "scratch":
        check_model(settings, args.model)
    from dnadiff.recipes.bench_run import Benchmark, bench_run

    wanted = Benchmark(
        names[0], args.model, args.data, tuple(word for word in args.tasks if "=" not in word), args.protocol,
        tuple(_seed(word) for word in args.seeds if "=" not in word),
        (args.folds or _FOLDS) if args.protocol == "folds" else 0, args.name, tuple(settings),
    )  # fmt: skip
    bench_run(wanted, args.out, dry_run=args.dry_run, quiet=args.quiet, argv=argv)


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"--seeds {text}: is not a whole number; --seeds 1 2 3 would work") from None


VERB = Verb(
    "fine-tune a model on the tasks of a suite, into a table beside floors and published figures", arguments, run
)
