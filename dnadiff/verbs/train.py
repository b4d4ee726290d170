"""``dna-diff train``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.flags import seed_and_threads
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "words", nargs="*", metavar="GENOME | key=value", help="a FASTA file or store; settings to change"
    )
    parser.add_argument("-o", "--out", metavar="RUN", help="run folder to write")
    parser.add_argument(
        "--resume", metavar="RUN", help="go on where a run stopped; train.steps= or train.minutes= may move its end"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    seed_and_threads(parser)
    parser.epilog = "`dna-diff config ls` lists the presets, `dna-diff config show key=value ...` what they amount to."


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    genomes = [word for word in args.words if "=" not in word]
    if len(genomes) > 1:
        raise InputError(f"{genomes[1]}: a second genome after {genomes[0]}; give one, and settings as key=value")
    overrides = [word for word in args.words if "=" in word]
    if args.resume is not None:
        _resume(args, genomes, overrides, argv)
        return
    if args.seed is not None:
        if any(word.startswith("seed=") for word in overrides):
            raise InputError("--seed: contradicts seed=; give one of them")
        overrides.append(f"seed={args.seed}")
    from dnadiff.config import compose
    from dnadiff.recipes.taken_over import with_source

    config = compose(with_source(overrides))
    from dnadiff.recipes.train import train

    data = genomes[0] if genomes else None
    train(config, data, args.out, dry_run=args.dry_run, quiet=args.quiet, argv=argv)


def _resume(args: argparse.Namespace, genomes: list[str], overrides: list[str], argv: list[str]) -> None:
    given = {"-o": args.out, "--seed": args.seed, "GENOME": genomes[0] if genomes else None}
    for flag, value in given.items():
        if value is not None:
            raise InputError(f"{flag} {value}: contradicts --resume, which takes it from {args.resume}; leave it out")
    from dnadiff.recipes.train import resume

    resume(args.resume, overrides, dry_run=args.dry_run, quiet=args.quiet, argv=argv)


VERB = Verb("train a model on a genome", arguments, run)
