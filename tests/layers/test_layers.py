"""The house rules, read from the source: who may import whom, how long a file may be, what may not be written.

The chain is cli -> recipes -> training -> evaluation -> checkpoints -> {diffusion -> models, data}; everybody may
import errors and random; nobody imports the command line or the recipes.
"""

import ast
import functools
import importlib
import re
import sys
from pathlib import Path

import pytest

from dnadiff import schema
from dnadiff.checkpoints.folder import BACKBONES
from dnadiff.data.targets import KINDS
from dnadiff.data.tokenizers import TOKENIZERS
from dnadiff.diffusion.schedule import SCHEDULES
from dnadiff.evaluation.metrics import METRICS
from dnadiff.models import heads
from dnadiff.models.attention import BACKENDS
from dnadiff.models.scan import SCANS
from dnadiff.schema import finetune

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "dnadiff").rglob("*.py"))
SOURCES = sorted([*PACKAGE, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
TEXTS = [
    file
    for file in [
        *SOURCES,
        *(ROOT / "configs").rglob("*.yaml"),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "notebooks").glob("*.ipynb"),
    ]
    if file != Path(__file__)
] + [
    ROOT / "pyproject.toml",
    ROOT / "constraints.txt",
    ROOT / "Makefile",
    ROOT / "CITATION.cff",
    ROOT / "dnadiff" / "references.bib",
    ROOT / ".ci" / "run",
]

BASE = {"__version__", "errors", "random"}
INSIDE = {  # layer -> what of dnadiff it may import
    "errors": set(),
    "random": set(),
    "schema": {"errors", "schema"},
    "config": {"errors", "schema"},
    "upstream_keys": {"errors", "config"},
    "models": BASE | {"models"},
    "diffusion": BASE | {"diffusion", "models.attention", "models.cache", "models.chosen", "models.opening"},
    "data": BASE | {"data"},
    "checkpoints": BASE | {"checkpoints", "diffusion", "models", "data"},
    "evaluation": BASE | {"evaluation", "checkpoints", "diffusion", "models", "data"},
    "training": BASE | {"training", "evaluation", "checkpoints", "diffusion", "models", "data"},
    "recipes": BASE
    | {
        "__version__",
        "recipes",
        "config",
        "upstream_keys",
        "schema",
        "training",
        "evaluation",
        "checkpoints",
        "diffusion",
        "models",
        "data",
    },
    "verbs": {"errors", "config", "recipes", "verbs"},
    "cli": {"__version__", "errors", "verbs"},
    "__main__": {"cli"},
    "__init__": set(),
}
OUTSIDE = {  # layer -> the packages it may import besides the standard library; None is any but lightning
    "errors": set(),
    "random": {"numpy", "torch"},
    "schema": set(),
    "config": {"hydra", "omegaconf"},
    "upstream_keys": set(),
    "models": {"torch", "einops", "flash_attn", "mamba_ssm"},
    "diffusion": {"torch", "einops"},
    "data": {"torch", "numpy", "pyfaidx", "Bio", "tokenizers", "pyarrow", "datasets"},
    "checkpoints": {"torch", "numpy", "safetensors", "transformers", "huggingface_hub"},
    "evaluation": {"torch", "numpy", "sklearn", "matplotlib", "sacrebleu"},
    "training": None,
    "recipes": None,
    "verbs": set(),
    "cli": set(),
    "__main__": set(),
    "__init__": set(),
}
ONLY_IN_FUNCTIONS = {
    "flash_attn",
    "mamba_ssm",
    "transformers",
    "wandb",
    "huggingface_hub",
    "tokenizers",
    "pyarrow",
    "datasets",
    "sacrebleu",
    "matplotlib",
    "hydra",
    "omegaconf",
    "yaml",
}
NOT_IN_DATA = "torch"  # importing the data layer costs no torch; only these modules of it do
DATA_WITH_TORCH = {"collate"}


@functools.cache
def parsed(source):
    """The tree of a source, which several rules read."""
    return ast.parse(source)


def layer_of(file):
    return file.relative_to(ROOT / "dnadiff").with_suffix("").parts[0]


def imports(tree):
    """Every import of a module: its dotted name and whether it stands at the top."""
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            package = node.module in ("dnadiff", *(f"dnadiff.{name}" for name in INSIDE))
            names = [f"{node.module}.{alias.name}" for alias in node.names] if package else [node.module]
            yield from ((name, id(node) in top) for name in names)


def violations(file, source):
    """What a module imports and may not."""
    layer, found = layer_of(file), []
    for name, at_top in imports(parsed(source)):
        root, _, rest = name.partition(".")
        if root == "dnadiff":
            parts = rest.split(".")
            if parts[0] not in INSIDE[layer] and ".".join(parts[:2]) not in INSIDE[layer]:
                found.append(name)
        elif root not in sys.stdlib_module_names:
            allowed = OUTSIDE[layer]
            lightning_outside = root in ("lightning", "pytorch_lightning") and layer != "training"
            if (
                lightning_outside
                or (allowed is not None and root not in allowed)
                or (at_top and root in ONLY_IN_FUNCTIONS)
            ):
                found.append(name)
            if layer == "data" and root == NOT_IN_DATA and at_top and file.stem not in DATA_WITH_TORCH:
                found.append(name)
    return found


def broken(rule, files):
    """What a rule finds wrong, by file."""
    found = {str(file.relative_to(ROOT)): list(rule(file, file.read_text())) for file in files}
    return {name: wrong for name, wrong in found.items() if wrong}


def test_imports_keep_to_the_layers():
    assert broken(violations, PACKAGE) == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("models/x.py", "import numpy"),
        ("models/x.py", "from dnadiff.diffusion.process import AbsorbingProcess"),
        ("models/x.py", "import flash_attn"),
        ("diffusion/x.py", "from dnadiff.models.dit import DiT"),
        ("diffusion/x.py", "from dnadiff.models import dit"),
        ("data/x.py", "from dnadiff.diffusion import objective"),
        ("data/x.py", "import torch"),
        ("evaluation/x.py", "import lightning"),
        ("recipes/x.py", "def f():\n    import lightning.pytorch"),
        ("training/x.py", "from dnadiff.recipes.train import train"),
        ("recipes/x.py", "from dnadiff import cli"),
        ("checkpoints/x.py", "from dnadiff.evaluation.likelihood import score"),
        ("cli.py", "import torch"),
        ("verbs/x.py", "import dnadiff.training.module"),
    ],
)
def test_the_rule_sees_a_forbidden_import(module, line):
    assert violations(ROOT / "dnadiff" / module, line)


def too_long(file, source):
    """What of a module has more lines than it may have."""
    if len(source.splitlines()) > 400:
        yield "split it"
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_doc = ast.get_docstring(node) is not None
            doc = node.body[0].end_lineno - node.body[0].lineno + 1 if has_doc else 0
            length = node.end_lineno - node.lineno + 1 - doc
            if length > 60:
                yield f"{node.name} has {length} lines"


def test_files_and_functions_are_short():
    assert broken(too_long, SOURCES) == {}


def undocumented(file, source):
    """What of a module is public and says nothing."""
    tree = parsed(source)
    if not ast.get_docstring(tree):
        yield "say what the module is about"
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            yield node.name
        for method in node.body if public and isinstance(node, ast.ClassDef) else []:
            named = isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
            if named and not ast.get_docstring(method):
                yield f"{node.name}.{method.name}"


def test_every_public_name_is_documented():
    assert broken(undocumented, PACKAGE) == {}


@pytest.mark.parametrize(
    ("rule", "source", "found"),
    [
        (too_long, "x = 1\n" * 401, "split it"),
        (too_long, "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
        (undocumented, "def _f(): pass", "say what the module is about"),
        (undocumented, "'A module.'\ndef f(): pass", "f"),
        (undocumented, "'A module.'\nclass A:\n    'A class.'\n    def f(self): pass", "A.f"),
    ],
)
def test_the_rules_see_what_is_long_or_undocumented(rule, source, found):
    assert list(rule(ROOT / "dnadiff" / "x.py", source)) == [found]


def forbidden(file, source):
    """Calls, keywords, attributes, statements and names that the package does without."""
    if file.stem in ("utils", "helpers", "misc", "common"):
        yield file.stem
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Assert):
            yield "assert: raise an InputError, or nothing"
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            bare = isinstance(node.func, ast.Name)
            if bare and name in ("hasattr", "eval", "exec", "__import__"):
                yield name
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if "trust_remote_code" in keywords:
                yield "trust_remote_code"
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "torch.load":
                safe = keywords.get("weights_only")
                if not (isinstance(safe, ast.Constant) and safe.value is True):
                    yield "torch.load without weights_only=True"
            if "allow_pickle" in keywords and ast.unparse(keywords["allow_pickle"]) != "False":
                yield "allow_pickle"
        elif isinstance(node, ast.Attribute) and re.search(r"trainer\._|_connector|fit_loop\._", ast.unparse(node)):
            yield f"private Lightning: {ast.unparse(node)}"
        elif isinstance(node, ast.Attribute) and node.attr == "estimated_stepping_batches":
            yield "estimated_stepping_batches"


def test_the_package_does_without():
    assert broken(forbidden, PACKAGE) == {}


@pytest.mark.parametrize(
    "line",
    [
        "hasattr(x, 'y')",
        "eval('1')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "self.trainer._data_connector",
        "assert x",
    ],
)
def test_the_rule_sees_a_forbidden_word(line):
    assert list(forbidden(ROOT / "dnadiff" / "x.py", line))
    assert list(forbidden(ROOT / "dnadiff" / "utils.py", ""))


def test_the_project_speaks_of_itself_alone():
    """No folder of a particular machine, no package registry, nothing left for later."""
    later = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X"))
    wrong = re.compile(rf"(?<![\w.]){'/'}(work|root|home|tmp|mnt|Users)/|pypi\.org|files\.pythonhosted|\b({later})\b")
    for file in TEXTS:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not wrong.search(line), f"{file.relative_to(ROOT)}:{number}: {line}"


def test_the_schema_names_what_the_tables_hold():
    assert set(schema.NOISES) == set(SCHEDULES)
    assert set(schema.ATTENTIONS) == {"auto", *BACKENDS}
    assert set(schema.SCANS) == {"auto", *SCANS}
    assert set(schema.BACKBONES) == set(BACKBONES)
    assert "nucleotide" in TOKENIZERS
    assert finetune.POOLINGS == heads.POOLINGS and finetune.LABEL_KINDS == ("auto", *KINDS)
    assert finetune.METRICS == METRICS


def test_public_names_are_there():
    dnadiff = importlib.import_module("dnadiff")
    for name in dnadiff.__all__:
        assert getattr(dnadiff, name) is not None
    assert set(dnadiff.__all__) == set(dir(dnadiff))
    with pytest.raises(AttributeError, match="no attribute 'Denoizer'"):
        _ = dnadiff.Denoizer
