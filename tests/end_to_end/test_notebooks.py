"""Every notebook runs from top to bottom on data that a fresh clone has, and is stored without its outputs.

The code cells run as one script in the notebook's folder, so no Jupyter is needed, and in this process, where torch is
loaded already. Behind the cell tagged ``parameters`` smaller values are put in, as tools that run notebooks with
parameters do.
"""

import json
import tempfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALLER = {
    "01_train_on_a_genome": {
        "GENOME": str(ROOT / "data" / "lambda_phage.fa.gz"), "STEPS": 2, "SEQUENCES": 2, "WINDOWS": 4,
    },
    "02_block_diffusion": {
        "GENOME": str(ROOT / "data" / "lambda_phage.fa.gz"), "STEPS": 2, "SIZES": [1, 4, 16], "WINDOWS": 4,
        "LENGTH": 320,
    },
    "03_finetune": {"EPOCHS": 0.02, "BASELINES": False},
    "04_text": {"STEPS": 2, "MORE": 2, "WINDOWS": 4, "TEXTS": 1},
}  # fmt: skip
SHOWS = {
    "01_train_on_a_genome": [
        "48,502 bp",
        "Markov order 0",
        "bits per base",
        ">synthetic_1 seed=7",
        "filled",
        "shuffled",
    ],
    "02_block_diffusion": [
        "model (exact)",
        "steadiest range",
        "320 bases in",
        "blocks of 16,  4 bases at once:  65 calls for 256 bases",
        "TTGACA",
    ],
    "03_finetune": [
        "4,904 sequences, up to 70 bp",
        "fine-tuned (positions)",
        "fixed split",
        "deepest drop at position",
    ],
    "04_text": [
        "largest difference at the first step: ",
        "bits per character, model (exact)",
        "bits per character, model (bound)",
        "--- blocks\nROMEO:",
        "generative perplexity",
        "'To be, or ",
    ],
}


def as_script(notebook, values):
    """The code cells in order, with the values behind the parameters, each of which the cell must name."""
    parts = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        parts.append(f"# cell {number}\n{''.join(cell['source'])}")
        if "parameters" in cell["metadata"].get("tags", []):
            names = {}
            exec("".join(cell["source"]), names)
            assert set(values) <= set(names)
            parts += [f"{name} = {value!r}" for name, value in values.items()]
    return "\n\n".join(parts) + "\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch, capsys):
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(path.parent.iterdir())
    script = as_script(json.loads(path.read_text()), SMALLER[path.stem])
    exec(compile(script, str(path), "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert [word for word in SHOWS[path.stem] if word not in shown] == []
    assert sorted(path.parent.iterdir()) == before, "a notebook writes outside its temporary folder"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type != "code" or (cell.outputs == [] and cell.execution_count is None)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    names = {}
    exec(parameters[0].source, names)
    for name, value in names.items():
        if name.isupper() and isinstance(value, str):
            assert (path.parent / value).exists(), f"{name}: {value}"
