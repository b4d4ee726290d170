"""Completion: the bash script is run by bash on typed lines; the others are made of the same words."""

import shutil
import subprocess

import pytest

from dnadiff.cli import main
from dnadiff.config import groups, leaves
from dnadiff.recipes.completion import settings
from dnadiff.verbs import VERBS, parser_of

BREAKS = " \t\n\"'><=;|&(:"  # what bash splits words at unless it is told otherwise
BASH = shutil.which("bash")


@pytest.fixture
def printed(capsys):
    """Prints a shell's script."""

    def script(shell):
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return script


@pytest.fixture
def completed(printed, tmp_path):
    """What bash would offer behind a line, once it has read the script."""
    if BASH is None:
        pytest.skip("bash is not installed")
    (tmp_path / "script").write_text(printed("bash"))

    def offers(line, breaks=BREAKS):
        code = (
            'source "$1"; COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$3; _dna_diff; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        words = [BASH, "--norc", "-c", code, "bash", str(tmp_path / "script"), line, breaks]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.split()

    return offers


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dna-diff sa", ["sample"]),
        ("dna-diff --v", ["--version"]),
        ("dna-diff sample run --samp", ["--sampler"]),
        ("dna-diff sample run --sampler f", ["first_hitting"]),
        ("dna-diff evaluate run --split ", ["test", "valid", "train"]),
        ("dna-diff config s", ["show"]),
        ("dna-diff completion ", ["bash", "zsh", "fish"]),
        ("dna-diff train genome.fa optim.lr", ["optim.lr=", "optim.lr_min="]),
        ("dna-diff config show data.rev", ["data.reverse_complement="]),
        ("dna-diff train --dry", ["--dry-run"]),
        ("dna-diff nothing -", []),
    ],
)
def test_bash_completes(completed, line, offered):
    assert completed(line) == offered


def test_bash_offers_every_verb_and_every_flag(completed):
    words = list(dict.fromkeys(verb.split()[0] for verb in VERBS))
    assert completed("dna-diff ") == [*words, "--help", "--version"]
    for word in words:
        parsers = [parser_of(verb) for verb in VERBS if verb.split()[0] == word]
        flags = {flag for parser in parsers for action in parser.actions() for flag in action.option_strings}
        assert set(completed(f"dna-diff {word} -")) == flags


def test_bash_offers_second_words(completed):
    assert completed("dna-diff bench ") == [verb.split()[1] for verb in VERBS if verb.startswith("bench ")]


def test_bash_leaves_file_names_to_the_shell(completed, printed):
    """No words of its own: ``complete -o default`` then offers files."""
    for line in ("dna-diff prepare gen", "dna-diff train ", "dna-diff sample run -o ", "dna-diff cite ru"):
        assert completed(line) == []
    assert "\ncomplete -o default -F _dna_diff dna-diff\n" in printed("bash")


def test_bash_completes_presets_behind_the_equals_sign(completed):
    """bash replaces only what follows the last word break, so only that may be given back."""
    names = list(groups()["model"])
    assert completed("dna-diff train genome.fa model=") == names
    assert completed("dna-diff train genome.fa model=n") == ["nano"]
    assert completed("dna-diff train genome.fa model=n", breaks=" \t\n") == ["model=nano"]


def test_the_settings_are_those_of_the_configuration():
    assert {word for word in settings() if word.endswith("=")} == {f"{key}=" for key in leaves()}
    assert "experiment=demo" in settings() and "model=tiny" in settings()


def test_zsh_gets_the_same_words(printed):
    """The tables of verbs and flags are those of bash, which are run above."""
    bash, zsh = printed("bash"), printed("zsh")
    tables = bash[bash.index('    case "$verb $before"') : bash.rindex("    esac")]
    assert tables in zsh and zsh.endswith("compdef _dna_diff dna-diff\n")
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=zsh, text=True, check=True)


def test_fish_gets_the_same_words(printed):
    lines = printed("fish").splitlines()
    assert all(line.startswith("complete -c dna-diff ") and line.count("'") % 2 == 0 for line in lines)
    for verb, parts in VERBS.items():
        if " " not in verb:
            assert f"complete -c dna-diff -f -n __fish_use_subcommand -a {verb} -d '{parts.summary}'" in lines
    sample = "complete -c dna-diff -n '__fish_seen_subcommand_from sample'"
    names = "first_hitting ancestral remdm posterior analytic revising autoregressive"
    assert f"{sample} -l sampler -x -a '{names}'" in lines
    assert f"{sample} -l seed -r" in lines and f"{sample} -s q" in lines
    if shutil.which("fish"):
        subprocess.run(["fish", "--no-execute"], input="\n".join(lines), text=True, check=True)


def test_another_shell_is_refused(capsys):
    assert main(["completion", "csh"]) == 2
    assert "argument bash|zsh|fish: 'csh': " in capsys.readouterr().err
