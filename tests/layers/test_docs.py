"""What the documents promise exists: links, commands, settings, names of modules, and the Python blocks run."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from dnadiff.config import SCHEMAS, compose, compose_finetune, groups, leaves
from dnadiff.upstream_keys import translate
from dnadiff.verbs import VERBS, name_in, parser_of
from tests.runs import run, write_genome

ROOT = Path(__file__).parents[2]
DOCS = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "data" / "README.md"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KEYS = {key for schema in SCHEMAS.values() for key in leaves(schema)}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"dna-diff ([a-z]+)((?: [^`|\n>]+)?)")
PACKAGES = "diffusion|models|data|evaluation|training|recipes|checkpoints|verbs"
NAME = re.compile(rf"`((?:{PACKAGES})(?:\.[a-z_]+)+(?:\.[A-Z]\w+)?)`")


def texts():
    """Every document and the prose of every notebook."""
    for path in DOCS:
        yield path, path.read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path, "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


TEXTS = list(texts())
EVERY_TEXT = pytest.mark.parametrize(("path", "text"), TEXTS, ids=[str(path.relative_to(ROOT)) for path, _ in TEXTS])


def prose_of(path, text):
    """What stands outside blocks of code; of the table of MDLM's settings only the column with this project's."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    if path.name != "from_mdlm.md":
        return prose
    return "\n".join(line.split("|")[2] if line.startswith("|") else line for line in prose.splitlines())


def commands(text):
    """The words behind ``dna-diff`` of every command in code: lines of blocks, and spans that have arguments."""
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", text, flags=re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    for line in [*(line for block in blocks for line in block.splitlines()), *spans]:
        for verb, rest in COMMAND.findall(line):
            words = shlex.split(rest)
            if words and "..." not in words and "--help" not in words:
                yield [verb, *words]


@EVERY_TEXT
def test_relative_links_lead_somewhere(path, text):
    for target in LINK.findall(text):
        if not target.startswith(("http:", "https:", "mailto:", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), f"{path.name}: {target}"


@EVERY_TEXT
def test_commands_are_understood(path, text):
    for words in commands(text):
        verb = name_in(words)
        assert verb in VERBS, f"{path.name}: dna-diff {verb}"
        args = parser_of(verb).parse(words[len(verb.split()) :])
        settings = [word for word in vars(args).get("words") or [] if "=" in word]
        if verb == "config" and args.action == "translate":
            translate(settings)
        elif verb in ("finetune", "bench run"):
            compose_finetune(settings)
        elif verb in ("train", "config") and settings:
            compose(settings)


@EVERY_TEXT
def test_settings_exist(path, text):
    """Every ``key=value`` in prose names a key or a preset; of a table of two programs, the column that is ours."""
    for span in re.findall(r"`([^`]+)`", prose_of(path, text)):
        for word in span.split():
            key, equals, value = word.partition("=")
            if equals and word != "key=value" and re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", key):
                known = value in groups()[key] if key in groups() and value else key in KEYS
                assert known, f"{path.name}: {word}"


def test_the_index_names_every_document():
    index = (ROOT / "docs" / "index.md").read_text()
    linked = {(ROOT / "docs" / target).resolve() for target in LINK.findall(index)}
    assert set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "index.md"} <= linked
    assert {path.resolve() for path in NOTEBOOKS} <= linked


@EVERY_TEXT
def test_names_in_code_exist(path, text):
    """A dotted name that begins like a package is a module, something in one, or a key of the configuration."""
    for name in NAME.findall(prose_of(path, text)):
        module, _, last = f"dnadiff.{name}".rpartition(".")
        assert name in KEYS or last in dir(importlib.import_module(module)), f"{path.name}: {name}"


def test_the_symbols_are_explained_by_real_classes():
    assert len(set(NAME.findall((ROOT / "docs" / "concepts.md").read_text()))) >= 10


def test_the_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    genome = write_genome(tmp_path / "genome.fa")
    run(genome, tmp_path / "run", model__length=64)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "howto" / "use_from_python.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, "use_from_python.md", "exec"), names)
    out = capsys.readouterr().out
    assert "2.0" in out.splitlines()[-1] and names["filled"].shape == (4, 32)
    assert names["tokenizer"].decode(names["filled"][0])[:10] == "ACGTACGTAC"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("```bash\ndna-diff sample run -n 5 -q | grep -v '>'\n```", [["sample", "run", "-n", "5", "-q"]]),
        ("Say `dna-diff cite run > run.bib` and `dna-diff train`.", [["cite", "run"]]),
        ("Plain words: dna-diff is a command, `dna-diff VERB --help` too.", []),
    ],
)
def test_commands_are_found_in_code_only(line, found):
    assert list(commands(line)) == found
