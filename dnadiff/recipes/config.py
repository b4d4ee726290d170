"""``dna-diff config``: which presets there are, and what some settings amount to."""

from pathlib import Path

from dnadiff.config import compose, groups, to_json
from dnadiff.errors import InputError, did_you_mean


def ls(group: str | None = None) -> None:
    """Prints the presets of every group, or of one, each with its description.

    Raises:
        InputError: There is no such group.
    """
    found = groups()
    if group is not None and group not in found:
        raise InputError(f"{group}: no such group of presets; {did_you_mean(group, found)}")
    for name in found if group is None else [group]:
        print(f"{name}:")
        for preset, file in found[name].items():
            print(f"  {f'{name}={preset}':<22} {description(file)}")


def show(overrides: list[str]) -> None:
    """Prints the configuration that presets and overrides amount to, as YAML.

    Raises:
        InputError: An override cannot be used.
    """
    import yaml

    print(yaml.safe_dump(to_json(compose(overrides)), sort_keys=False, default_flow_style=None), end="")


def description(preset: Path) -> str:
    """What a preset says of itself: its first comment that is no instruction to Hydra."""
    comments = (line[1:].strip() for line in preset.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")
