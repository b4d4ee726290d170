"""``dna-diff config``: which presets there are, what some settings amount to, what upstream's are called here."""

import shlex
import sys
from pathlib import Path

from dnadiff.config import FinetuneConfig, compose, compose_finetune, groups, to_json
from dnadiff.errors import InputError, did_you_mean
from dnadiff.upstream_keys import translate


def ls(group: str | None = None) -> None:
    """Prints the presets of every group, or of one, each with its description.

    Raises:
        InputError: There is no such group.
    """
    found = {**groups(), **{"convention": groups(FinetuneConfig)["convention"]}}
    if group is not None and group not in found:
        raise InputError(f"{group}: no such group of presets; {did_you_mean(group, found)}")
    for name in found if group is None else [group]:
        print(f"{name}:")
        for preset, file in found[name].items():
            print(f"  {f'{name}={preset}':<22} {description(file)}")


def show(words: list[str]) -> None:
    """Prints the configuration that presets and overrides amount to, as YAML.

    Args:
        words: Overrides of training; behind the word ``finetune`` those of fine-tuning.

    Raises:
        InputError: An override cannot be used.
    """
    import yaml

    from dnadiff.recipes.taken_over import with_source

    config = compose_finetune(words[1:]) if words[:1] == ["finetune"] else compose(with_source(words))
    print(yaml.safe_dump(to_json(config), sort_keys=False, default_flow_style=None), end="")


def translated(command: list[str], *, quiet: bool = False) -> None:
    """Prints the ``dna-diff train`` command that a training command of MDLM or BD3-LM amounts to, and notes.

    Raises:
        InputError: A key of it has no counterpart.
    """
    if not command:
        raise InputError(
            "config translate: no command; dna-diff config translate 'python main.py model=small ...' works"
        )
    words, notes = translate(command)
    print(shlex.join(["dna-diff", "train", *words]))
    for note in [] if quiet else notes:
        print(f"left out     {note}", file=sys.stderr)


def description(preset: Path) -> str:
    """What a preset says of itself: its first comment that is no instruction to Hydra."""
    comments = (line[1:].strip() for line in preset.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")
