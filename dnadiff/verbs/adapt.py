"""``dna-diff adapt``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.flags import one_of, seed_and_threads, whole
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "words", nargs="*", metavar="DATA | key=value",
        help="a FASTA file or store, or a text (default: what the run --from has); settings to change",
    )  # fmt: skip
    parser.add_argument("--from", dest="source", metavar="AR", help="run or model folder of an autoregressive model")
    parser.add_argument(
        "--to",
        type=one_of("bd3lm", "mdlm", "sundae"),
        metavar="bd3lm|mdlm|sundae",
        help="blocks, everything at once, or AR2Diff as it was published",
    )
    parser.add_argument("--steps", type=whole(1), metavar="N", help="optimiser steps")
    parser.add_argument("--block-size", type=whole(1), metavar="K", help="last size of the blocks (default: 16)")
    parser.add_argument("-o", "--out", metavar="RUN", help="run folder to write")
    parser.add_argument("--resume", metavar="RUN", help="go on where an adaptation stopped")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    seed_and_threads(parser)
    parser.epilog = (
        "Blocks grow from 1 during algo.grow steps, or attention opens during algo.opening steps; algo.shift=false "
        "reads every base at its own place, algo.ar_weight=0.1 keeps the model's reading from left to right. "
        "RUN/adapt.json tells what was taken over and what held-out windows cost before and after."
    )


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    data = [word for word in args.words if "=" not in word]
    overrides = [word for word in args.words if "=" in word]
    if len(data) > 1:
        raise InputError(f"{data[1]}: more data after {data[0]}; give one place, and settings as key=value")
    place = data[0] if data else None
    if args.resume is not None:
        _resume(args, place, overrides, argv)
        return
    for flag, value in (("--from AR", args.source), ("--to bd3lm", args.to), ("--steps N", args.steps)):
        if value is None:
            raise InputError(f"adapt: {flag.split()[0]} is missing; {flag} would work")
    from dnadiff.recipes.adapt import adapt

    adapt(
        args.source, args.to, args.steps, place, args.out, block_size=args.block_size, overrides=overrides,
        seed=args.seed, dry_run=args.dry_run, quiet=args.quiet, argv=argv,
    )  # fmt: skip


def _resume(args: argparse.Namespace, data: str | None, overrides: list[str], argv: list[str]) -> None:
    given = {
        "--from": args.source, "--to": args.to, "--steps": args.steps, "--block-size": args.block_size,
        "-o": args.out, "--seed": args.seed, "DATA": data, "--dry-run": args.dry_run or None,
    }  # fmt: skip
    for flag, value in given.items():
        if value is not None:
            raise InputError(f"{flag} {value}: contradicts --resume, which takes it from {args.resume}; leave it out")
    from dnadiff.recipes.adapt import resume

    resume(args.resume, overrides, quiet=args.quiet, argv=argv)


VERB = Verb("make a diffusion model of an autoregressive one", arguments, run)
