r"""``dna-diff completion``: scripts that complete words in bash, zsh and fish.

A script is plain text made once from the parsers and the presets, so that the tabulator key starts no Python. It knows
verbs, flags and the words a flag may take; where settings may stand, the keys of the configuration and the presets;
everywhere else, file names. bash splits words at ``=``, so its script reads the line itself and gives back what follows
the sign.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dnadiff.config import SCHEMAS, groups, leaves


@dataclass(frozen=True)
class Words:
    """What can stand behind a verb.

    Attributes:
        summary: One line about the verb.
        flags: Of every flag the words it takes: none in particular is ``()``, None takes no value.
        first: Words that the first argument may be; none in particular is ``()``.
        settings: Those that may follow, each with its equals sign, and presets.
    """

    summary: str
    flags: Mapping[str, tuple[str, ...] | None]
    first: tuple[str, ...]
    settings: tuple[str, ...]

    def joined(self, other: "Words") -> "Words":
        """What can stand behind the first word that two verbs share."""
        summary, settings = f"{self.summary}; {other.summary}", dict.fromkeys((*self.settings, *other.settings))
        return Words(summary, {**self.flags, **other.flags}, (*self.first, *other.first), tuple(settings))


def script(shell: str, verbs: Mapping[str, Words]) -> str:
    """The script of a shell.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        verbs: The verbs and their words.
    """
    return SHELLS[shell](verbs)


def settings(name: str = "config") -> list[str]:
    """The keys of a configuration, each with its equals sign, and every ``group=preset``.

    Args:
        name: One of ``config.SCHEMAS``.
    """
    schema = SCHEMAS[name]
    presets = [f"{group}={preset}" for group, files in groups(schema).items() for preset in files]
    return [*(f"{key}=" for key in leaves(schema)), *presets]


_BASH = """\
_dna_diff() {{
    local line=${{COMP_LINE:0:COMP_POINT}} words word before verb choices="" flags="" first="" settings=""
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local last=$(( ${{#words[@]}} - 1 ))
    word=${{words[last]}} before=${{words[last-1]}} verb=${{words[1]}}
    COMPREPLY=()
    if (( last == 1 )); then
        COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$word"))
        return
    fi
{cases}
    if [[ -n $choices ]]; then
        [[ $choices == - ]] || COMPREPLY=($(compgen -W "$choices" -- "$word"))
        return
    fi
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$word"))
    elif (( last == 2 )) && [[ -n $first ]]; then
        COMPREPLY=($(compgen -W "$first" -- "$word"))
    elif [[ -n $settings && -n $word ]]; then
        COMPREPLY=($(compgen -W "$settings" -- "$word"))
        [[ ${{#COMPREPLY[@]}} == 1 && ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2> /dev/null
        [[ $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${{COMPREPLY[@]#"${{word%"${{word##*=}}"}}"}}")
    fi
}}
complete -o default -F _dna_diff dna-diff
"""

_ZSH = """\
_dna_diff() {{
    local word=${{words[CURRENT]}} before=${{words[CURRENT-1]}} verb=${{words[2]}}
    local choices="" flags="" first="" settings=""
    if (( CURRENT == 2 )); then
        compadd -- {verbs} --help --version
        return
    fi
{cases}
    if [[ -n $choices ]]; then
        if [[ $choices == - ]]; then _files; else compadd -- ${{=choices}}; fi
        return
    fi
    if [[ $word == -* ]]; then
        compadd -- ${{=flags}}
    elif (( CURRENT == 3 )) && [[ -n $first ]]; then
        compadd -- ${{=first}}
    else
        [[ -n $settings && -n $word ]] && compadd -S '' -- ${{=settings}}
        _files
    fi
}}
compdef _dna_diff dna-diff
"""


def _posix(template: str) -> Callable[[Mapping[str, Words]], str]:
    """A script of bash or zsh, which share the tables: what may follow a flag, and what belongs to a verb."""

    def write(verbs: Mapping[str, Words]) -> str:
        lines = ['    case "$verb $before" in']
        for verb, words in verbs.items():
            for flag, values in words.flags.items():
                if values is not None:
                    lines.append(f'        "{verb} {flag}") choices="{" ".join(values) or "-"}" ;;')
        lines += ["    esac", "    case $verb in"]
        for verb, words in verbs.items():
            shown = " ".join(flag for flag in words.flags)
            parts = [f'flags="{shown}"', f'first="{" ".join(words.first)}"', f'settings="{" ".join(words.settings)}"']
            lines.append(f"        {verb}) {' '.join(parts)} ;;")
        lines.append("    esac")
        return template.format(verbs=" ".join(verbs), cases="\n".join(lines))

    return write


def _fish(verbs: Mapping[str, Words]) -> str:
    lines = []
    for verb, words in verbs.items():
        lines.append(f"complete -c dna-diff -f -n __fish_use_subcommand -a {verb} -d '{_quoted(words.summary)}'")
        seen = f"complete -c dna-diff -n '__fish_seen_subcommand_from {verb}'"
        for flag, values in words.flags.items():
            name = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            takes = "" if values is None else f" -x -a '{' '.join(values)}'" if values else " -r"
            lines.append(f"{seen} {name}{takes}")
        if words.first:
            lines.append(f"{seen} -f -a '{' '.join(words.first)}'")
        if words.settings:
            lines.append(f"{seen} -a '{' '.join(words.settings)}'")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Text as it stands between single quotes of fish."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


SHELLS = {"bash": _posix(_BASH), "zsh": _posix(_ZSH), "fish": _fish}
"""Shells, and what writes their scripts."""
