"""The verbs of the command line, one a file: their flags, and the recipe each one calls.

A verb imports its recipe when it runs, so help needs nothing but the standard library. Flags are checked here as far as
they can be without opening a file.
"""

from dnadiff.verbs import (
    adapt,
    bench_audit,
    bench_probe,
    bench_run,
    bench_zeroshot,
    cite,
    compare,
    completion,
    config,
    convert,
    design,
    doctor,
    embed,
    evaluate,
    finetune,
    predict,
    prepare,
    sample,
    train,
)
from dnadiff.verbs.parser import Parser, Verb

VERBS: dict[str, Verb] = {
    "prepare": prepare.VERB,
    "train": train.VERB,
    "sample": sample.VERB,
    "design": design.VERB,
    "evaluate": evaluate.VERB,
    "compare": compare.VERB,
    "finetune": finetune.VERB,
    "predict": predict.VERB,
    "embed": embed.VERB,
    "adapt": adapt.VERB,
    "bench audit": bench_audit.VERB,
    "bench run": bench_run.VERB,
    "bench probe": bench_probe.VERB,
    "bench zeroshot": bench_zeroshot.VERB,
    "convert": convert.VERB,
    "config": config.VERB,
    "doctor": doctor.VERB,
    "cite": cite.VERB,
    "completion": completion.VERB,
}
"""Every verb by name, in the order of the help; some names are two words, which share the first."""


def name_in(words: list[str]) -> str:
    """The name of the verb that a command begins with: its first word, or two where the first alone is none.

    Args:
        words: Behind the command's own name, at least one; they need not begin with a verb.
    """
    pair = any(name.startswith(f"{words[0]} ") for name in VERBS)
    return " ".join(words[:2]) if pair else words[0]


def parser_of(verb: str) -> Parser:
    """The argument parser of one verb."""
    parser = Parser(prog=f"dna-diff {verb}", description=VERBS[verb].summary, allow_abbrev=False)
    VERBS[verb].arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but results and errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the messages of the libraries underneath")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser
