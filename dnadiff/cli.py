"""The command line ``dna-diff VERB ...``: verbs, their flags, one-line errors and exit codes.

Only the standard library is imported here, so ``--help`` answers at once; a verb imports its recipe when it runs.
Results go to standard output or to ``-o``, everything else to standard error.

Exit codes: 0 ok; 1 internal error; 2 usage, configuration or input; 3 training diverged; 4 no disk or memory;
130 interrupted, 141 the reader of a pipe went away, 143 terminated.
"""

import argparse
import errno
import logging
import os
import sys
import traceback
import warnings

from dnadiff import __version__
from dnadiff.errors import DnadiffError, InputError, ResourceError, did_you_mean, printable
from dnadiff.verbs import VERBS, name_in, parser_of

LONGEST = 2000  # characters of an error message

DESCRIPTION = "Discrete diffusion on DNA: train on a genome, generate, score and compare sequences."

EXAMPLES = """\
examples:
  dna-diff prepare genome.fa.gz -o genome.store
  dna-diff train genome.store -o run train.minutes=30
  dna-diff evaluate run
  dna-diff sample run -n 100 --seed 7 -o synthetic.fa
  dna-diff compare genome.fa.gz synthetic.fa --picture compare.png

Every verb has its own help: dna-diff VERB --help"""


def top_help(first: str = "") -> str:
    """The help of the command as a whole, or that of the verbs of two words that share the first.

    Args:
        first: The word that is shared; all verbs without it.
    """
    width = max(map(len, VERBS)) + 2
    shown = {name: verb for name, verb in VERBS.items() if not first or name.startswith(f"{first} ")}
    verbs = "\n".join(f"  {name:{width}}{verb.summary}" for name, verb in shown.items())
    if first:
        usage, own = f"dna-diff {first} VERB ...", f"dna-diff {first} VERB --help"
        return f"usage: {usage}\n\nverbs:\n{verbs}\n\nEach has its own help: {own}"
    flags = f"  {'-h, --help':{width}}this text\n  {'--version':{width}}the version"
    return f"usage: dna-diff VERB ...\n\n{DESCRIPTION}\n\nverbs:\n{verbs}\n\nflags:\n{flags}\n\n{EXAMPLES}"


def main(argv: list[str] | None = None) -> int:
    """The exit code of one command.

    Args:
        argv: The words after the command's name; None takes the process's.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        _run(words)
        sys.stdout.flush()
    except SystemExit as end:  # help, or a run that was told to end and has saved its work
        return int(end.code or 0)
    except KeyboardInterrupt:
        print("dna-diff: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        line, code = _explained(error)
        print(f"dna-diff: error: {_shortened(printable(line))}", file=sys.stderr)
        return code
    return 0


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(top_help())
        if not words:
            raise InputError(f"no verb; there are: {', '.join(VERBS)}")
        return
    if words[1:] in (["-h"], ["--help"]) and any(name.startswith(f"{words[0]} ") for name in VERBS):
        print(top_help(words[0]))
        return
    if words[0] == "--version":
        print(f"dna-diff {__version__}")
        return
    name = name_in(words)
    if name not in VERBS:
        raise InputError(f"{name}: no such verb; {did_you_mean(name, VERBS)}")
    args = parser_of(name).parse(words[len(name.split()) :])
    with warnings.catch_warnings():
        _set_up(args)
        VERBS[name].run(args, ["dna-diff", *words])


def _set_up(args: argparse.Namespace) -> None:
    """Verbosity and threads, before anything heavy is imported."""
    if not args.verbose:
        warnings.simplefilter("ignore")
    level = logging.INFO if args.verbose else logging.ERROR if args.quiet else logging.WARNING
    logging.basicConfig(level=level, format="%(name)s: %(message)s")
    threads = vars(args).get("threads")
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


def _explained(error: Exception) -> tuple[str, int]:
    """What an exception means to the user, in one line, and the exit code."""
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, DnadiffError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{error.filename or 'output'}: no space left on the disk; free some or write elsewhere",
            ResourceError.exit_code,
        )
    memory = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    memory |= isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or memory:
        told = "use a smaller batch (train: more optim.accumulate), a shorter length or a smaller model"
        return f"not enough memory; {told}", ResourceError.exit_code
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", InputError.exit_code
    return f"internal error, rerun with --debug ({type(error).__name__}: {first})", DnadiffError.exit_code


def _shortened(line: str) -> str:
    """The line without its middle if it is very long, as the name of a file or key can be."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 500]} ... {line[-500:]}"
