"""``dna-diff finetune``: its flags and the recipe they reach."""

import argparse

from dnadiff.errors import InputError
from dnadiff.verbs.flags import seed_and_threads
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUN | DATA | key=value",
        help="a run or model folder, or 'scratch'; labelled sequences; settings to change",
    )
    parser.add_argument("-o", "--out", metavar="MODEL", help="folder to write")
    parser.add_argument(
        "--resume", metavar="MODEL", help="go on where it stopped; train.epochs= or train.minutes= may move its end"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    seed_and_threads(parser)
    parser.epilog = (
        "DATA is a table or FASTA with labels, or a folder: train.csv, dev.csv and test.csv; a FASTA file a class; "
        "train/CLASS/*.txt. `dna-diff config show finetune` lists the settings."
    )


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    places = [word for word in args.words if "=" not in word]
    overrides = [word for word in args.words if "=" in word]
    if args.resume is not None:
        _resume(args, places, overrides, argv)
        return
    if len(places) > 2:
        raise InputError(f"{places[2]}: one word too many; RUN and DATA, and settings as key=value, would work")
    if args.seed is not None:
        if any(word.startswith("seed=") for word in overrides):
            raise InputError("--seed: contradicts seed=; give one of them")
        overrides.append(f"seed={args.seed}")
    _check_places(places, overrides)
    keys = dict(zip(("start", "data.path"), places, strict=False))
    from dnadiff.config import compose_finetune

    config = compose_finetune([*overrides, *(f"{key}={value}" for key, value in keys.items())])
    if config.start != "scratch":
        check_model(overrides, config.start)
    from dnadiff.recipes.finetune import finetune

    finetune(config, args.out, dry_run=args.dry_run, quiet=args.quiet, argv=argv)


def _check_places(places: list[str], overrides: list[str]) -> None:
    given = {word.partition("=")[0] for word in overrides}
    if not places and "start" not in given:
        raise InputError("finetune: no model to begin with; dna-diff finetune RUN DATA would work, or scratch for RUN")
    if len(places) < 2 and "data.path" not in given:
        raise InputError("finetune: no labelled data; dna-diff finetune RUN DATA would work")


def check_model(overrides: list[str], start: str) -> None:
    """Refuses sizes for a model that has its own.

    Raises:
        InputError: An override is of one.
    """
    for word in overrides:
        key = word.partition("=")[0]
        if key.split(".")[0] == "model" and key != "model.dropout":
            raise InputError(f"{word}: contradicts {start}, which has its size; leave it out, or scratch for RUN")


def _resume(args: argparse.Namespace, places: list[str], overrides: list[str], argv: list[str]) -> None:
    given = {"-o": args.out, "--seed": args.seed, "RUN": places[0] if places else None}
    for flag, value in given.items():
        if value is not None:
            raise InputError(f"{flag} {value}: contradicts --resume, which takes it from {args.resume}; leave it out")
    from dnadiff.recipes.finetune import resume

    resume(args.resume, overrides, dry_run=args.dry_run, quiet=args.quiet, argv=argv)


VERB = Verb("fine-tune a model to predict labels or numbers", arguments, run)
