"""A run that was stopped, by whatever means, goes on as if nothing had happened."""

import json
import os
import shutil
import signal
import time

import pytest
import torch

from benchmarks import chaos
from benchmarks.chaos_signals import SIGNALS, signal_alone, signal_ranks, wait_for_lines
from dnadiff.cli import main
from dnadiff.errors import InputError
from dnadiff.recipes.train import resume
from dnadiff.training.module import DiffusionModule
from dnadiff.training.writer import checkpoints, newest_state, read_checkpoint
from tests.runs import SETTINGS, log_of, run, weights_hash, write_genome

CHANGES = {"model__dropout": 0.2, "optim__accumulate": 2, "optim__name": "muon", "train__steps": 8}


pytestmark = pytest.mark.usefixtures("no_child_left")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


@pytest.fixture(scope="module")
def reference(genome, tmp_path_factory):
    return run(genome, tmp_path_factory.mktemp("runs") / "reference", **CHANGES)


@pytest.fixture
def stopped(genome, tmp_path):
    """A run of which step 8 is not there yet."""
    return run(genome, tmp_path / "run", **(CHANGES | {"train__steps": 7}))


def same(one, other, step=8):
    assert log_of(one) == log_of(other)
    assert weights_hash(one) == weights_hash(other)
    a, b = (read_checkpoint(folder / "checkpoints" / f"step-{step}") for folder in (one, other))
    for state in (a, b):
        del state["seconds"], state["processor_seconds"], state["log_bytes"]  # seconds take more or fewer digits
    flat_a, flat_b = (dict(flattened(state)) for state in (a, b))
    assert flat_a.keys() == flat_b.keys()
    assert all(torch.equal(flat_a[k], flat_b[k]) if torch.is_tensor(flat_a[k]) else flat_a[k] == flat_b[k]
               for k in flat_a)  # fmt: skip


def flattened(value, name=""):
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flattened(part, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from flattened(part, f"{name}.{number}")
    else:
        yield name, value


def kill_at(step):
    """An action that trains and is killed by kill -9 when a step begins."""

    def act(genome, folder):
        before = DiffusionModule.training_step

        def training_step(module, batch, index):
            if module.step == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(module, batch, index)

        DiffusionModule.training_step = training_step
        run(genome, folder, **CHANGES)
        return 0

    return act


@pytest.mark.parametrize("step", [0, 2, 5, 7])
def test_a_killed_run_continues_bit_for_bit(genome, reference, tmp_path, step):
    """Before the first checkpoint, between two, within the interval of the log."""
    folder = tmp_path / "run"
    assert chaos.finished(lambda: kill_at(step)(genome, folder), tmp_path) == -signal.SIGKILL
    assert len(checkpoints(folder / "checkpoints")) == step // 3
    resume(str(folder), quiet=True, argv=["dna-diff", "train", "--resume", "RUN"])
    same(folder, reference)
    (note,) = json.loads((folder / "provenance.json").read_text())["resumed"]
    assert note == {"command": "dna-diff train --resume RUN", "step": 3 * (step // 3)}


def test_a_run_may_be_made_longer_but_nothing_else_may_change(stopped, capsys):
    with pytest.raises(InputError, match=r"optim\.lr=1: a resumed run keeps its settings; only train\.steps, train"):
        resume(str(stopped), ["optim.lr=1"])
    with pytest.raises(InputError, match=r"train\.steps=x: expected a number or null"):
        resume(str(stopped), ["train.steps=x"])
    with pytest.raises(InputError, match=r"train\.steps=-1: give a finite number at least 1"):
        resume(str(stopped), ["train.steps=-1"])
    assert main(["train", "--resume", str(stopped), "train.steps=8"]) == 0
    assert "resumed      after step 7" in capsys.readouterr().err
    assert json.loads((stopped / "config.json").read_text())["train"]["steps"] == 8
    assert [line["step"] for line in log_of(stopped)][-2:] == ["7", "8"]  # step 7 was validated as the last one
    newest = [path.name for path in checkpoints(stopped / "checkpoints")]
    assert newest == ["step-7", "step-8"]


def test_longer_is_the_same_as_long_from_the_start(stopped, reference):
    resume(str(stopped), ["train.steps=8"], quiet=True)
    assert weights_hash(stopped) == weights_hash(reference)


def test_a_complete_run_publishes_its_model_again(genome, reference, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference, folder)
    shutil.rmtree(folder / "model")
    (folder / ".model.tmp-old-7").mkdir()
    (folder / "checkpoints" / ".step-9.tmp-7").mkdir()
    resume(str(folder), quiet=True)
    same(folder, reference)
    assert [path.name for path in folder.rglob(".*")] == [".lock"]


def test_the_newest_checkpoint_is_damaged_and_the_previous_one_is_used(reference, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(reference, folder)
    file = folder / "checkpoints" / "step-8" / "state.pt"
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    resume(str(folder))
    err = capsys.readouterr().err
    assert "step-8/state.pt: is damaged or was edited" in err and "resumed      after step 6" in err
    same(folder, reference)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda run: (run / "config.json").unlink(),
            r"config\.json: cannot be read \(No such file or directory\)",
        ),
        (lambda run: (run / "split.json").write_text("{}"), r"split\.json: is not the split that config\.json"),
        (lambda run: (run / "log.csv").write_text(""), r"log\.csv: has 0 bytes, fewer than the"),
        (lambda run: (run / "provenance.json").write_text("{"), r"provenance\.json: is not JSON"),
        (lambda run: [f.unlink() for f in run.rglob("state.pt")], "none of the 2 checkpoints can be read"),
        (lambda run: edit(run, "hidden_size", 16), "of another model"),
    ],
)
def test_what_cannot_be_continued_is_refused_in_one_line(reference, tmp_path, capsys, spoil, told):
    import re

    folder = tmp_path / "run"
    shutil.copytree(reference, folder)
    spoil(folder)
    assert main(["train", "--resume", str(folder), "-q"]) == 2
    err = capsys.readouterr().err
    assert re.search(told, err) and err.count("\n") == 1, err


def edit(folder, key, value):
    config = json.loads((folder / "config.json").read_text())
    config["model"][key] = value
    (folder / "config.json").write_text(json.dumps(config))


def test_another_genome_under_the_same_name_is_refused(tmp_path):
    genome = write_genome(tmp_path / "g.fa")
    folder = run(genome, tmp_path / "run", train__steps=1)
    write_genome(tmp_path / "g.fa", seed=5)
    with pytest.raises(InputError, match=r"g\.fa: is not the genome that .*run was trained on \(SHA-256"):
        resume(str(folder))


def test_a_dry_run_of_a_resumption_changes_nothing(stopped):
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}
    resume(str(stopped), ["train.steps=9"], dry_run=True, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*")} == before


def test_random_kills_leave_no_trace(tmp_path):
    result = chaos.kills(tmp_path, 3, 20, seed=1)
    assert result["kills"] == 3 and result["runs_with_the_same_weights"] == result["runs"] > 0
    assert result["differing_log_lines"] == 0


def test_faults_inside_the_checkpoint_write_leave_a_whole_checkpoint(tmp_path):
    result = chaos.faults(tmp_path, 4, {"memory": "/dev/shm"})
    assert result["survived"] == result["faults"] == 4, result


def test_damage_is_detected(tmp_path):
    result = chaos.damage(tmp_path, 30, 10)
    assert result["detected"] == 40, result["missed"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_after_a_checkpoint_and_the_run_can_go_on(tmp_path, number):
    outcome = signal_alone(tmp_path, number)
    assert outcome["right"], outcome
    folder, step = tmp_path / f"alone-{number.name}", outcome["checkpoint"]
    resume(str(folder), [f"train.steps={step + 2}"], quiet=True)
    assert newest_state(folder / "checkpoints", print)["step"] == step + 2


def test_a_second_interrupt_stops_at_once(genome, tmp_path):
    def slow():
        before = DiffusionModule.training_step

        def training_step(module, batch, index):
            if module.step == 4:
                time.sleep(30)
            return before(module, batch, index)

        DiffusionModule.training_step = training_step
        words = chaos.words(SETTINGS | {"train.log_every": 1, "train.checkpoint_every": 99})
        return main(["train", genome, *words, "-o", str(tmp_path / "run"), "-q"])

    pid = chaos.child(slow, tmp_path / "stderr")
    wait_for_lines(tmp_path / "run", 4)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGINT)  # a launcher passing on the same Ctrl-C
    assert chaos.ended(pid, 1.2) is None
    os.kill(pid, signal.SIGINT)
    assert chaos.ended(pid, 5) == 130
    assert not checkpoints(tmp_path / "run" / "checkpoints")
    told = (tmp_path / "stderr").read_text().splitlines()
    assert told == ["dna-diff: saving after this step; Ctrl-C again stops at once", "dna-diff: interrupted"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["rank 0", "rank 1", "launcher"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_any_of_two_ranks_stops_both(tmp_path, number, target):
    outcome = signal_ranks(tmp_path, number, target)
    assert outcome["right"], outcome
