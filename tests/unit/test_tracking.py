"""Weights & Biases: a stand-in shows what is handed over; the real package is tried where it is installed."""

import importlib.machinery
import importlib.util
import sys
import types

import pytest

from dnadiff.cli import main
from dnadiff.config import compose
from dnadiff.errors import InputError
from dnadiff.training.log import Log
from dnadiff.training.tracking import Tracker, check_tracking

LINE = {"step": 10, "samples": 80, "tokens": 2560, "train_bits_per_base": 1.9}
SETTINGS = {"project": "dna", "name": None, "offline": True, "config": {"seed": 1}, "origin": {"time": "then"}}


@pytest.fixture
def wandb(monkeypatch):
    """A module in the package's place that notes its calls."""
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    module.calls = []

    class Run:
        def log(self, figures, step):
            module.calls.append(("log", figures, step))

        def finish(self, exit_code):
            module.calls.append(("finish", exit_code))

    def init(**settings):
        module.calls.append(("init", settings))
        return Run()

    module.init, module.Settings, module.Error = init, lambda **settings: settings, type("Error", (Exception,), {})
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_every_line_of_the_log_is_handed_over(wandb, tmp_path):
    log = Log(tmp_path, tracker=Tracker(tmp_path, **SETTINGS))
    log.write(LINE)
    log.close()
    (_, init), *rest = wandb.calls
    assert (init["project"], init["name"], init["mode"], init["dir"]) == (
        "dna",
        tmp_path.name,
        "offline",
        str(tmp_path),
    )
    assert init["config"] == {"seed": 1}
    figures = {name: value for name, value in LINE.items() if name != "step"}
    assert rest == [("log", figures, 10), ("finish", 0)]


def test_a_resumed_run_keeps_its_identity_and_another_run_has_another(wandb, tmp_path):
    for origin in ({"time": "then"}, {"time": "then"}, {"time": "now"}):
        Tracker(tmp_path, **{**SETTINGS, "origin": origin})
    first, again, other = (settings["id"] for _, settings in wandb.calls)
    assert first == again != other
    assert all(settings["resume"] == "allow" for _, settings in wandb.calls)


def test_a_run_that_fails_ends_as_failed(wandb, tmp_path):
    log = Log(tmp_path, tracker=Tracker(tmp_path, **SETTINGS))
    try:
        raise ValueError
    except ValueError:
        log.close()
    assert wandb.calls[-1] == ("finish", 1)


def test_what_the_package_refuses_is_one_line(wandb, tmp_path):
    def init(**settings):
        raise wandb.Error("api_key not configured (no-tty)\ncall wandb.login()")

    wandb.init = init
    with pytest.raises(InputError, match=r"^logger=wandb: api_key not configured \(no-tty\); wandb login, or"):
        Tracker(tmp_path, **{**SETTINGS, "offline": False})


def test_without_the_package_nothing_begins(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'dnadiff\[track\]' would work"):
        check_tracking()
    (tmp_path / "genome.fa").write_text(">chr1\n" + "ACGTTGCA" * 4000 + "\n")
    words = ["train", str(tmp_path / "genome.fa"), "-o", str(tmp_path / "run"), "logger=wandb", "model=nano", "-q"]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("dna-diff: error: logger=wandb: Weights & Biases is not installed")
    assert not (tmp_path / "run").exists()


def test_settings():
    assert compose([]).logger == "tensorboard"
    config = compose(["logger=wandb", "wandb.offline=true", "wandb.name=a name"])
    assert (config.logger, config.wandb.project, config.wandb.name, config.wandb.offline) == (
        "wandb", "dnadiff", "a name", True,
    )  # fmt: skip
    with pytest.raises(InputError, match="add logger=wandb or leave them out"):
        compose(["wandb.offline=true"])
    with pytest.raises(InputError, match="did you mean wandb"):
        compose(["logger=wandbb"])


@pytest.mark.slow  # it starts a service of its own
def test_the_real_package_offline(tmp_path):
    pytest.importorskip("wandb")
    log = Log(tmp_path, tracker=Tracker(tmp_path, **SETTINGS))
    log.write(LINE)
    log.close()
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
