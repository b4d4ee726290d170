"""The world that mistakes are made in: built once, copied for every test."""

import shutil

import pytest

from benchmarks import chaos
from tests.reliability.mistakes import build


@pytest.fixture(scope="session")
def first_world(tmp_path_factory):
    """A genome, a store and a run of it; read only."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        build(folder)
    return folder


@pytest.fixture
def world(first_world, tmp_path, monkeypatch):
    """A copy of it, as the current folder."""
    folder = shutil.copytree(first_world, tmp_path / "world")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def no_child_left():
    """No process that a test started outlives it."""
    yield
    chaos.kill_all()
