"""The verbs of the command line: their flags, and the recipe each one calls.

A verb imports its recipe when it runs, so help needs nothing but the standard library. Flags are checked here as far as
they can be without opening a file.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from dnadiff.errors import InputError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are the project's own and name what was probably meant."""

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The arguments; flags and other words may come in any order."""
        args, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            word = unknown[0].partition("=")[0]
            hint = did_you_mean(word, self._option_string_actions) if word.startswith("-") else "one word too many"
            raise InputError(f"{word}: unknown to {self.prog}; {hint}")
        return args

    def error(self, message: str) -> NoReturn:
        """Nothing: raises the message instead of printing the usage and leaving."""
        raise InputError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Verb:
    """One verb: its line in the help, its arguments, and what runs it.

    Attributes:
        summary: One line.
        arguments: Adds the verb's arguments to a parser.
        run: Runs the verb on the parsed arguments and the words of the command line.
    """

    summary: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[str]], None]


def _whole(low: int) -> Callable[[str], int]:
    """An argument type: a whole number of at least ``low``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return value

    return parse


def _real(above: float, most: float) -> Callable[[str], float]:
    """An argument type: a number above ``above`` and at most ``most``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = above
        if not above < value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above {above:g} and at most {most:g}")
        return value

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    """An argument type: one of some words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r}: {did_you_mean(text, choices)}")
        return text

    return parse


def _seed(text: str) -> int:
    """An argument type: any integer."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _seed_and_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_seed, metavar="N", help="seed; drawn, printed and recorded when left out")
    parser.add_argument("-j", "--threads", type=_whole(1), metavar="N", help="processor threads (default: all cores)")


def _dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype", type=_one_of("fp32", "bf16"), default="fp32", metavar="fp32|bf16", help="default: fp32"
    )


def _prepare_arguments(parser: argparse.ArgumentParser) -> None:
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


def _prepare(args: argparse.Namespace, argv: list[str]) -> None:
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


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="GENOME | key=value", help="a FASTA file or store; settings to change"
    )
    parser.add_argument("-o", "--out", metavar="RUN", help="run folder to write")
    parser.add_argument(
        "--resume", metavar="RUN", help="go on where a run stopped; train.steps= or train.minutes= may move its end"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    _seed_and_threads(parser)
    parser.epilog = "`dna-diff config ls` lists the presets, `dna-diff config show key=value ...` what they amount to."


def _train(args: argparse.Namespace, argv: list[str]) -> None:
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

    config = compose(overrides)
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


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    samplers = ("first_hitting", "ancestral")
    parser.add_argument("run", metavar="RUN", help="run or model folder")
    parser.add_argument("-o", "--out", metavar="FASTA", default="-", help="file to write; .gz compresses (default: -)")
    parser.add_argument("-n", "--number", type=_whole(1), default=10, metavar="N", help="sequences (default: 10)")
    parser.add_argument("--length", type=_whole(1), metavar="L", help="bases each (default: the training window)")
    parser.add_argument(
        "--sampler",
        type=_one_of(*samplers),
        default=samplers[0],
        metavar="|".join(samplers),
        help=f"default: {samplers[0]}",
    )
    parser.add_argument("--steps", type=_whole(1), metavar="T", help="steps of the ancestral sampler")
    parser.add_argument(
        "--tokens-per-step", type=_whole(1), metavar="K", help="bases first_hitting reveals at once (1 is exact)"
    )
    parser.add_argument("--temperature", type=_real(0, 100), default=1.0, metavar="X", help="default: 1")
    parser.add_argument(
        "--nucleus", type=_real(0, 1), default=1.0, metavar="P", help="keep the likeliest bases up to P (1: all)"
    )
    parser.add_argument(
        "--batch-size", type=_whole(1), default=64, metavar="B", help="sequences at once; changes no sequence"
    )
    _dtype(parser)
    _seed_and_threads(parser)


def _sample(args: argparse.Namespace, argv: list[str]) -> None:
    if args.steps is not None and args.sampler != "ancestral":
        raise InputError("--steps: belongs to --sampler ancestral; first_hitting takes --tokens-per-step")
    if args.tokens_per_step is not None and args.sampler != "first_hitting":
        raise InputError("--tokens-per-step: belongs to --sampler first_hitting; ancestral takes --steps")
    from dnadiff.recipes.sample import sample

    sample(
        args.run,
        args.out,
        n=args.number,
        length=args.length,
        sampler=args.sampler,
        steps=args.steps,
        tokens_per_step=args.tokens_per_step or 1,
        temperature=args.temperature,
        nucleus=args.nucleus,
        batch_size=args.batch_size,
        dtype=args.dtype,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    splits = ("test", "valid", "train")
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="FASTA|BED",
        help="a genome to score whole, or regions of the run's genome (default: the held-out split)",
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument(
        "--split", type=_one_of(*splits), default="test", metavar="|".join(splits), help="default: test"
    )
    parser.add_argument(
        "--samples", type=_whole(1), default=1, metavar="M", help="Monte-Carlo draws a window (default: 1)"
    )
    parser.add_argument("--windows", type=_whole(1), metavar="N", help="score N windows only (default: all)")
    parser.add_argument("--both-strands", action="store_true", help="average the bound over both strands")
    parser.add_argument(
        "--batch-size", type=_whole(1), default=64, metavar="B", help="windows at once; changes no figure"
    )
    _dtype(parser)
    _seed_and_threads(parser)


def _evaluate(args: argparse.Namespace, argv: list[str]) -> None:
    from dnadiff.recipes.evaluate import evaluate

    evaluate(
        args.run,
        args.data,
        args.out,
        split=args.split,
        samples=args.samples,
        windows=args.windows,
        both_strands=args.both_strands,
        batch_size=args.batch_size,
        dtype=args.dtype,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("real", metavar="REAL", help="FASTA file or store of real sequence")
    parser.add_argument("synthetic", metavar="SYNTHETIC", help="FASTA file of generated sequence")
    parser.add_argument("-o", "--out", metavar="FILE", help="report.json or .tsv; - writes TSV to standard output")
    parser.add_argument("--picture", metavar="PNG", help="picture to write")
    parser.add_argument("--run", metavar="RUN", help="run folder whose loss the picture shows too")
    parser.add_argument(
        "-k", type=_whole(1), nargs="+", default=[3, 4, 6], metavar="K", help="k-mer lengths (default: 3 4 6)"
    )
    _seed_and_threads(parser)


def _compare(args: argparse.Namespace, argv: list[str]) -> None:
    from dnadiff.recipes.compare import compare

    compare(
        args.real,
        args.synthetic,
        args.out,
        picture=args.picture,
        k=tuple(args.k),
        run=args.run,
        seed=args.seed,
        quiet=args.quiet,
        argv=argv,
    )


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", type=_one_of("ls", "show"), metavar="ls|show", help="list presets, or show a configuration"
    )
    parser.add_argument("words", nargs="*", metavar="GROUP | key=value", help="a group to list; settings to show")


def _config(args: argparse.Namespace, argv: list[str]) -> None:
    from dnadiff.recipes.config import ls, show

    if args.action == "show":
        show(args.words)
    elif len(args.words) > 1:
        raise InputError(f"{args.words[1]}: a second group after {args.words[0]}; give one")
    else:
        ls(args.words[0] if args.words else None)


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fasta", nargs="?", metavar="FASTA", help="a genome to check too")


def _doctor(args: argparse.Namespace, argv: list[str]) -> None:
    from dnadiff.recipes.doctor import doctor

    doctor(args.fasta)


VERBS = {
    "prepare": Verb("turn a FASTA file into a genome store", _prepare_arguments, _prepare),
    "train": Verb("train a model on a genome", _train_arguments, _train),
    "sample": Verb("generate sequences", _sample_arguments, _sample),
    "evaluate": Verb("score held-out sequence, in bits per base", _evaluate_arguments, _evaluate),
    "compare": Verb("compare real and synthetic sequences", _compare_arguments, _compare),
    "config": Verb("list the presets, show a configuration", _config_arguments, _config),
    "doctor": Verb("check this machine and, if given, a genome", _doctor_arguments, _doctor),
}


def parser_of(verb: str) -> Parser:
    """The argument parser of one verb."""
    parser = Parser(prog=f"dna-diff {verb}", description=VERBS[verb].summary, allow_abbrev=False)
    VERBS[verb].arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but results and errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the messages of the libraries underneath")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser
