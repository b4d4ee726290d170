"""What doctor finds wrong: every problem is made on purpose, and ends as one line and exit code 2."""

import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from dnadiff.cli import main
from dnadiff.recipes import doctor, machine, overfit, versions
from dnadiff.recipes.overfit import Outcome, overfit_finding
from dnadiff.recipes.versions import EXTRAS, LEAST, older, version_findings

ROOT = Path(__file__).parents[2]
SOUND = {**LEAST, **EXTRAS, "torch": "2.13.0+cpu"}


def found(**changes):
    """The findings by name for the least versions that work, some of them changed; None takes a package away."""
    there = SOUND | {name.replace("_", "-"): version for name, version in changes.items()}
    return {finding.name: finding for finding in version_findings(there.get)}


def told(monkeypatch, capsys, *words, **changes):
    """Exit code, lines and error line of doctor where some versions are changed; torch must not be needed."""
    there = SOUND | {name.replace("_", "-"): version for name, version in changes.items()}
    monkeypatch.setattr(doctor, "version_findings", lambda: version_findings(there.get))
    code = main(["doctor", *words])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_the_floors_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = dict(line.split(",")[0].split(">=") for line in project["dependencies"])
    extras = project["optional-dependencies"]
    assert floors == LEAST
    assert EXTRAS == {
        name: least
        for line in [*extras["gpu"], *extras["text"], *extras["track"]]
        for name, least in [line.split(">=")]
        if name in EXTRAS
    }


def test_a_sound_environment_has_no_problem():
    assert {finding.mark for finding in found().values()} == {"ok"}


@pytest.mark.parametrize(
    ("version", "least", "answer"),
    [
        ("2.9.1", "2.10", True),
        ("2.10.0+cpu", "2.10", False),
        ("2.10", "2.10.0", False),
        ("2.6.10", "2.6.4", False),
        ("1.26.4", "2", True),
        ("0.9.2.1", "0.9.2.2", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version, least, answer):
    assert older(version, least) is answer


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"lightning": "2.6.2"}, "lightning", "2.6.2 is a malicious upload"),
        ({"lightning": "2.6.3"}, "lightning", "2.6.3 is a malicious upload"),
        ({"pytorch_lightning": "2.6.3"}, "pytorch-lightning", "2.6.3 is a malicious upload"),
        ({"lightning": "2.6.1"}, "lightning", "2.6.1 is too old"),
        ({"torch": "2.9.1+cu128"}, "torch", "CVE-2026-24747); pip install 'torch>=2.10' would work"),
        ({"numpy": "1.26.4"}, "numpy", "1.26.4 is too old"),
        ({"einops": None}, "einops", "missing; pip install 'einops>=0.8' would work"),
    ],
)
def test_a_version_that_stops_the_user_is_a_problem(changes, name, words):
    finding = found(**changes)[name]
    assert finding.mark == "problem" and words in finding.text


def test_an_old_extra_is_worth_a_note():
    finding = found(transformers="4.57.0")["transformers"]
    assert finding.mark == "note" and "CVE-2026-4372" in finding.text
    assert found(wandb=None)["wandb"] == ("ok", "wandb", "not installed (optional)")
    assert "pytorch-lightning" not in found(pytorch_lightning="2.6.1")


def test_a_malicious_release_is_named_and_nothing_is_imported(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "compute_findings", lambda: pytest.fail("torch was used"))
    monkeypatch.setattr(doctor, "overfit", lambda: pytest.fail("torch was used"))
    code, lines, err = told(monkeypatch, capsys, lightning="2.6.2")
    assert code == 2 and err.count("\n") == 1
    assert err.startswith("dna-diff: error: lightning: 2.6.2 is a malicious upload that steals credentials")
    assert "problem  lightning        2.6.2 is a malicious upload" in "\n".join(lines)
    assert "note     processor        not looked at" in "\n".join(lines)
    assert "all good" not in lines


def test_all_problems_are_told_together(monkeypatch, capsys):
    code, lines, err = told(monkeypatch, capsys, torch="2.8.0", rich=None)
    assert code == 2 and "torch: 2.8.0 is too old" in err and "; rich: missing" in err
    assert [line.split()[1] for line in lines if line.startswith("problem")] == ["torch", "rich"]


def test_doctor_imports_no_lightning():
    """Two malicious releases ran when they were imported, so the verb that warns of them must not import them."""
    code = (
        "import sys; from dnadiff.recipes import doctor, overfit; overfit.overfit(steps=1)"
        "; list(doctor.version_findings()); list(doctor.compute_findings()); sys.exit('lightning' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_windows_is_told_what_works(monkeypatch):
    monkeypatch.setattr(versions.platform, "system", lambda: "Windows")
    assert found()["python"].mark == "problem" and "WSL" in found()["python"].text


# ---------------------------------------------------------------------------------------------------------------------
# the machine


def computed(name):
    """The finding of a name."""
    return next(finding for finding in machine.compute_findings() if finding.name == name)


def test_torch_without_numpy_is_a_problem(monkeypatch):
    def unavailable(array):
        raise RuntimeError("Numpy is not available")

    assert computed("torch and numpy").mark == "ok"
    monkeypatch.setattr(torch, "from_numpy", unavailable)
    assert computed("torch and numpy").mark == "problem"
    assert "(Numpy is not available)" in computed("torch and numpy").text


def test_a_torch_that_fails_is_a_problem_and_not_an_internal_error(monkeypatch, capsys):
    def broken():
        raise ImportError("libcudart.so.13: cannot open shared object file")
        yield

    monkeypatch.setattr(doctor, "compute_findings", broken)
    assert main(["doctor", "--no-train"]) == 2
    assert "torch: fails (ImportError: libcudart.so.13: cannot open" in capsys.readouterr().err


def test_a_failing_overfit_test_is_a_problem(monkeypatch, capsys):
    def broken():
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(doctor, "overfit", broken)
    assert main(["doctor"]) == 2
    assert "overfit test: fails (RuntimeError: could not create a primitive)" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "chosen"), [({"avx512_bf16"}, "fp32"), ({"amx_bf16"}, "bf16")])
def test_bf16_is_what_training_would_choose(monkeypatch, flags, chosen):
    """Only AMX makes bf16 fast on a processor; doctor and the plan of a training ask the same function."""
    from dnadiff.recipes import training_plan
    from dnadiff.training import hardware

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "processor_flags", lambda: flags)
    assert computed("bf16").text.endswith("trains in it" if chosen == "bf16" else "trains in fp32")
    assert training_plan.precision_of("auto") == chosen


def test_a_missing_compiler_is_a_note(monkeypatch):
    from dnadiff.training import hardware

    monkeypatch.setattr(hardware, "compiler", lambda: None)
    assert computed("C++ compiler").mark == "note"


def test_fewer_threads_than_cores_are_a_note():
    assert machine._threads(1, 8).mark == "note" and machine._threads(8, 8).mark == "ok"


def test_attention_on_gpus_needs_what_is_installed(monkeypatch):
    monkeypatch.setattr(versions, "installed", lambda name: None)
    assert machine._attention(False) == "sdpa (flex and flash train on GPUs only)"
    assert machine._attention(True) == "sdpa, flex"
    monkeypatch.setattr(versions, "installed", lambda name: "2.8")
    assert machine._attention(True) == "sdpa, flex, flash"


def test_memory_is_what_the_container_leaves(tmp_path):
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir(), cgroup.mkdir()
    assert machine.available_memory(proc, cgroup) is None
    (proc / "meminfo").write_text("MemTotal:  16777216 kB\nMemAvailable:    8388608 kB\n")
    assert machine.available_memory(proc, cgroup) == 8 * 2**30
    (cgroup / "memory.max").write_text("max\n")
    assert machine.available_memory(proc, cgroup) == 8 * 2**30
    (cgroup / "memory.max").write_text(f"{3 * 2**30}\n")
    (cgroup / "memory.current").write_text(f"{2 * 2**30}\n")
    assert machine.available_memory(proc, cgroup) == 2**30
    assert machine.memory_finding(2**30).mark == "note" and machine.memory_finding(8 * 2**30).mark == "ok"
    assert machine.memory_finding(None).text == "the system does not say"


def test_a_full_disk_is_a_problem(monkeypatch, tmp_path):
    assert machine.disk_finding("here", tmp_path / "not" / "yet").mark == "ok"
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("", (), {"free": 2**29})())
    finding = machine.disk_finding("here", tmp_path)
    assert finding.mark == "problem" and "only 0.5 GiB left" in finding.text


def test_a_folder_that_cannot_be_written_to_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.os, "access", lambda path, mode: mode != os.W_OK)
    finding = machine.disk_finding("cache", tmp_path)
    assert finding.mark == "problem" and "cannot be written to" in finding.text


# ---------------------------------------------------------------------------------------------------------------------
# the overfit test


def test_a_sound_machine_overfits():
    outcome = overfit.overfit(seconds=600)
    assert outcome.bits < 1 and 20 < outcome.steps < overfit.STEPS
    finding = overfit_finding(outcome)
    assert finding.mark == "ok" and f"after {outcome.steps} steps" in finding.text


def test_lost_updates_are_noticed(monkeypatch):
    """An optimiser that changes nothing leaves the loss at the 2 bits of a guess."""
    monkeypatch.setattr(torch.optim.Optimizer, "step", lambda self, closure=None: None)
    monkeypatch.setattr("dnadiff.training.optim.Joint.step", lambda self, closure=None: None)
    outcome = overfit.overfit(steps=12)
    assert outcome.steps == 12 and outcome.bits == pytest.approx(2, abs=1e-4)
    assert overfit_finding(outcome._replace(steps=overfit.STEPS)).mark == "problem"


def test_a_slow_machine_is_told_apart_from_a_broken_one():
    assert overfit_finding(Outcome(1.8, 7, 10.3)).mark == "note"
    assert overfit_finding(Outcome(1.8, overfit.STEPS, 9.0)).mark == "problem"
    assert overfit_finding(Outcome(math.nan, 3, 0.2)).mark == "problem"
    assert overfit.overfit(seconds=0).steps == 1


# ---------------------------------------------------------------------------------------------------------------------
# a genome


def test_a_sound_machine_and_genome(tmp_path, capsys):
    genome = tmp_path / "g.fa"
    genome.write_text(">a\nACGT\nacgu\n>b x\nGGNNR\nGG\n")
    assert main(["doctor", str(genome), "--no-train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all good" and not any(line.startswith("problem") for line in lines)
    assert "ok       genome           2 contigs, 15 bp" in lines
    assert "ok       GC               66.7 %" in lines  # 8 of the 12 known bases
    assert "ok       unknown bases    20.00 %" in lines  # N, N and R of 15
    assert "note     normalised       uracil to t: 1" in lines
    assert "note     normalised       ambiguous to n: 1" in lines


def test_doctor_refuses_what_prepare_would(tmp_path, capsys):
    genome = tmp_path / "g.fa"
    genome.write_text(">a\nACGT\n>a\nGG\n")
    assert main(["doctor", str(genome), "--no-train"]) == 2
    expected = f"genome: {genome}: found the name a twice; prepare --rename-duplicates would work"
    assert capsys.readouterr().err == f"dna-diff: error: {expected}\n"
    genome.write_text(">a\nACGT\nAC1T\n")
    assert main(["doctor", str(genome), "--no-train"]) == 2
    assert capsys.readouterr().err.startswith(f"dna-diff: error: {genome}:3:3: found ")
