"""The wheel is complete: built, unpacked elsewhere and run from a third folder, it finds its presets."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("dnadiff-*.whl"))


def test_the_wheel_carries_the_presets_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    presets = {f"dnadiff/configs/{file.relative_to(ROOT / 'configs')}" for file in (ROOT / "configs").rglob("*.yaml")}
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "dnadiff").rglob("*.py")}
    assert presets | modules <= set(names)
    assert "dnadiff/references.bib" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "benchmarks", "data")) for name in names)


def test_the_installed_wheel_runs_from_another_folder(wheel, tmp_path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [
        "-m",
        "pip",
        "install",
        "-qq",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        "--target",
        str(target),
    ]
    subprocess.run([sys.executable, *install, str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def run(*words):
        command = [sys.executable, str(target / "bin" / "dna-diff"), *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=elsewhere, env=environment, check=True
        ).stdout

    assert "model=tiny" in run("config", "ls", "model")
    assert "length: 256" in run("config", "show", "experiment=demo")
    assert "sahoo2024simple" in run("cite", "--all")
    where = subprocess.run(
        [sys.executable, "-c", "import dnadiff; print(dnadiff.__file__)"],
        capture_output=True, text=True, cwd=elsewhere, env=environment, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(target)
