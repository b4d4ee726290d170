"""Weights shared out over two ranks train as replicas do, and their checkpoints are anybody's."""

import json
import math
import os
import signal

import pytest
import torch

from benchmarks import chaos
from benchmarks.chaos_signals import wait_for_lines
from dnadiff.checkpoints.folder import load
from dnadiff.cli import main
from dnadiff.training.steps import Steps
from dnadiff.training.writer import newest_state, read_checkpoint
from tests.reliability.test_ranks import FINE, start, together
from tests.runs import log_of, write_genome

SHARDED = {"train.parallel": "fsdp"}
CLIPPED = FINE | {"optim.clip": 0.05, "train.val_every": 2, "train.log_every": 3, "train.val_windows": 10}


pytestmark = pytest.mark.usefixtures("no_child_left")


@pytest.fixture
def genome(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    return write_genome(tmp_path / "g.fa")


def trained(genome, folder, settings, **options):
    """The run folder of two ranks."""
    words = ["train", genome, *chaos.words(settings), "-o", str(folder / "run"), "-q"]
    assert together(folder, words, **options) == [0, 0], (folder / "stderr-0").read_text()
    return folder / "run"


def assert_same_training(one, other, steps=range(1, 6)):
    """Losses within 1e-6, weights, averages and moments within rounding, whole and of one format."""
    for step in steps:
        a, b = (read_checkpoint(run / "checkpoints" / f"step-{step}") for run in (one, other))
        assert a["running"]["nats"] > 0 and b["running"]["nats"] == pytest.approx(a["running"]["nats"], rel=1e-6)
        assert a["running"]["count"] == b["running"]["count"]
        for part in (lambda s: s["denoiser"], lambda s: s["ema"]["shadow"]):
            assert part(a).keys() == part(b).keys()
            assert all(torch.allclose(part(a)[name], part(b)[name], atol=2e-6) for name in part(a))
        assert json.dumps(a["optimizer"], default=shape) == json.dumps(b["optimizer"], default=shape)
    for a, b in zip(log_of(one), log_of(other), strict=True):
        assert a.keys() == b.keys()
        same = [(float(a[key] or math.nan), float(b[key] or math.nan)) for key in a]
        assert all(x == pytest.approx(y, rel=1e-4, nan_ok=True) for x, y in same)
    published = [load(run).state_dict() for run in (one, other)]
    assert all(torch.allclose(published[0][name], published[1][name], atol=2e-6) for name in published[0])


def shape(tensor):
    return list(tensor.shape)


def note_slices(folder):
    """Makes a rank write down how many weights it holds and how many there are."""

    def prepare(rank):
        before = Steps.on_train_start

        def on_train_start(steps, trainer, module):
            before(steps, trainer, module)
            held = sum(p.to_local().numel() for p in module.parameters())
            averaged = sum(p.to_local().numel() for p in module.ema.shadow.values())
            (folder / f"weights-{rank}").write_text(f"{held} {averaged} {sum(p.numel() for p in module.parameters())}")

        Steps.on_train_start = on_train_start

    return prepare


def test_slices_train_as_one_process_does(genome, tmp_path):
    settings = CLIPPED | {"optim.name": "muon", "optim.accumulate": 2, "train.checkpoint_every": 5}
    two = tmp_path / "two"
    assert main(["train", genome, *chaos.words(settings), "-o", str(tmp_path / "one"), "-q"]) == 0
    run = trained(genome, two, settings | SHARDED, prepare=note_slices(two))
    assert_same_training(tmp_path / "one", run, steps=[5])
    assert max(float(row["grad_norm"] or 0) for row in log_of(run)) > 0.05, "the gradient was clipped"
    held = [list(map(int, (two / f"weights-{rank}").read_text().split())) for rank in (0, 1)]
    assert held[0][0] + held[1][0] == held[0][2] and max(held[0][0], held[1][0]) < 0.6 * held[0][2]
    assert [row[0] for row in held] == [row[1] for row in held]


@pytest.mark.slow
def test_slices_train_as_replicas_do(genome, tmp_path):
    runs = [trained(genome, tmp_path / name, CLIPPED | {"train.parallel": name}) for name in ("ddp", "fsdp")]
    assert_same_training(*runs, steps=[1, 2, 4, 5])  # what a step cost is set to zero once it is logged


@pytest.mark.slow
def test_slices_go_on_as_one_process_and_as_replicas_and_back(genome, tmp_path):
    runs = {}
    for first, then in (("ddp", "ddp"), ("fsdp", "ddp"), ("ddp", "fsdp"), ("fsdp", "fsdp"), ("fsdp", "alone")):
        folder = tmp_path / f"{first}-{then}"
        run = trained(genome, folder, FINE | {"train.steps": 3, "train.parallel": first})
        words = ["train", "--resume", str(run), "train.steps=5", "-q"]
        if then == "alone":
            assert main([*words, "train.parallel=ddp"]) == 0
        else:
            assert together(folder / "again", [*words, f"train.parallel={then}"]) == [0, 0]
        runs[first, then] = run
    for run in runs.values():
        assert_same_training(runs["ddp", "ddp"], run)


@pytest.mark.slow
def test_a_complete_run_publishes_its_model_again(genome, tmp_path):
    run = trained(genome, tmp_path / "two", FINE | SHARDED)
    before = (run / "model" / "model.safetensors").read_bytes()
    (run / "model" / "model.safetensors").unlink()
    assert together(tmp_path / "again", ["train", "--resume", str(run), "-q"]) == [0, 0]
    assert (run / "model" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_stops_both_before_the_step(genome, tmp_path):
    def prepare(rank):
        before = Steps.on_before_optimizer_step

        def spoilt(steps, trainer, module, optimizer):
            if rank == 1 and module.step == 3:
                next(module.parameters()).grad.to_local().fill_(math.nan)
            before(steps, trainer, module, optimizer)

        Steps.on_before_optimizer_step = spoilt

    words = ["train", genome, *chaos.words(FINE | SHARDED), "-o", str(tmp_path / "run"), "-q"]
    assert together(tmp_path / "two", words, prepare=prepare) == [3, 3]
    assert newest_state(tmp_path / "run" / "checkpoints", print)["step"] == 3
    assert "the gradient (norm nan) is not finite" in (tmp_path / "two" / "stderr-0").read_text()


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_both_after_a_checkpoint(genome, tmp_path):
    run = tmp_path / "run"
    endless = FINE | SHARDED | {"train.steps": 10**6, "train.checkpoint_every": 10**6, "train.log_every": 1}
    pids = start(tmp_path / "two", ["train", genome, *chaos.words(endless), "-o", str(run), "-q"])
    wait_for_lines(run, 2)
    os.kill(pids[1], signal.SIGTERM)
    assert [chaos.ended(pid, 10) for pid in pids] == [143, 143]
    assert newest_state(run / "checkpoints", print)["step"] == int(log_of(run)[-1]["step"])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["train.parallel=fsdp"], "train.parallel=fsdp: shares the weights out over processes and there is one"),
        (["train.parallel=fdsp"], "train.parallel=fdsp: did you mean fsdp?"),
        (["train.parallel=fsdp", "compile=true"], "compile=true: cannot follow the weights of train.parallel=fsdp"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(genome, tmp_path, capfd, settings, told):
    assert main(["train", genome, *chaos.words(FINE), *settings, "-o", str(tmp_path / "run"), "-q"]) == 2
    assert told in capfd.readouterr().err and not (tmp_path / "run").exists()
