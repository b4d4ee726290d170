"""``dna-diff completion``: the words of every verb, read from its parser, for the recipe that writes scripts."""

import argparse

from dnadiff.verbs.flags import OneOf, one_of
from dnadiff.verbs.parser import Verb

SHELLS = ("bash", "zsh", "fish")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument("shell", type=one_of(*SHELLS), metavar="|".join(SHELLS), help="the shell to print a script for")
    parser.epilog = (
        "bash: put `source <(dna-diff completion bash)` into ~/.bashrc. zsh: put `source <(dna-diff completion zsh)` "
        "into ~/.zshrc, behind compinit. fish: `dna-diff completion fish > ~/.config/fish/completions/dna-diff.fish`."
    )


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.completion import Words, script, settings
    from dnadiff.verbs import VERBS, parser_of

    table = {}
    for name, verb in VERBS.items():
        actions = parser_of(name).actions()
        places = [action for action in actions if not action.option_strings]
        flags = {flag: _values(action) for action in actions for flag in action.option_strings}
        first = _values(places[0]) if places else None
        takes = any("key=value" in str(action.metavar) for action in places)
        known = settings("finetune" if name == "finetune" else "config") if takes else []
        word, _, second = name.partition(" ")
        found = Words(verb.summary, flags, (second,) if second else first or (), tuple(known))
        table[word] = table[word].joined(found) if word in table else found
    print(script(args.shell, table), end="")


def _values(action: argparse.Action) -> tuple[str, ...] | None:
    """The words an argument may be: none in particular is ``()``; None takes no value."""
    if action.nargs == 0:
        return None
    return action.type.choices if isinstance(action.type, OneOf) else ()


VERB = Verb("print a script that completes words in a shell", arguments, run)
