"""Two processes train the same model as one: same samples, same noise, same loss; they fail and stop together."""

import os
import signal
import socket

import pytest
import torch

from benchmarks import chaos
from benchmarks.chaos_signals import wait_for_lines
from dnadiff.cli import main
from dnadiff.training.module import DiffusionModule
from dnadiff.training.writer import newest_state, read_checkpoint
from tests.runs import SETTINGS, log_of, write_genome

FINE = SETTINGS | {"train.steps": 5, "train.checkpoint_every": 1, "train.keep": 9, "train.log_every": 99}


pytestmark = pytest.mark.usefixtures("no_child_left")


@pytest.fixture
def genome(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    return write_genome(tmp_path / "g.fa")


def start(folder, words, world=2, prepare=lambda rank: None):
    """The pids of ranks that run a command, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    pids = []
    for rank in range(world):

        def act(rank=rank):
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
            names |= {"GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "x"}
            os.environ.update({name: str(value) for name, value in names.items()})
            prepare(rank)
            return main(words)

        pids.append(chaos.child(act, folder / f"stderr-{rank}"))
    return pids


def together(folder, words, **options):
    """The exit codes of ranks that run a command."""
    codes = [chaos.ended(pid, 60) for pid in start(folder, words, **options)]
    assert None not in codes
    return codes


def note_samples(folder):
    """Makes a rank write down the samples and the masks of every micro-batch."""

    def prepare(rank):
        from dnadiff.diffusion import MaskedNELBO

        before = MaskedNELBO.noise

        def noise(self, batch, draws):
            noised = before(self, batch, draws)
            if not torch.is_inference_mode_enabled():
                with (folder / f"samples-{rank}").open("a") as file:
                    for number, row, weight in zip(draws.item_ids, noised.xt, noised.weight, strict=True):
                        file.write(f"{number} {row.tolist()} {weight.max():.6f}\n")
            return noised

        MaskedNELBO.noise = noise

    return prepare


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_ranks_see_the_samples_and_masks_of_one_and_reach_the_same_loss(genome, tmp_path, accumulate):
    settings, seen, states, logs = FINE | {"optim.accumulate": accumulate}, {}, {}, {}
    for world in (1, 2):
        folder, run = tmp_path / f"{world}", tmp_path / f"run-{world}"
        words = ["train", genome, *chaos.words(settings), "-o", str(run), "-q"]
        assert together(folder, words, world=world, prepare=note_samples(folder)) == [0] * world
        lines = [line for file in folder.glob("samples-*") for line in file.read_text().splitlines()]
        seen[world] = {line for line in lines if int(line.split()[0]) >= 8}  # the plan has tried the first ones too
        states[world] = [read_checkpoint(run / "checkpoints" / f"step-{n}") for n in range(1, 6)]
        logs[world] = log_of(run)
    assert seen[1] == seen[2] and len(seen[1]) >= 8 * 4
    for one, two in zip(states[1], states[2], strict=True):
        assert two["running"]["nats"] == pytest.approx(one["running"]["nats"], rel=1e-6)
        assert two["running"]["count"] == one["running"]["count"]
        assert all(torch.allclose(one["denoiser"][n], two["denoiser"][n], atol=1e-5) for n in one["denoiser"])
    for one, two in zip(logs[1], logs[2], strict=True):
        assert float(two["valid_bits_per_base"]) == pytest.approx(float(one["valid_bits_per_base"]), abs=2e-5)


def test_a_run_of_two_ranks_goes_on_with_one(genome, tmp_path):
    run = tmp_path / "run"
    words = ["train", genome, *chaos.words(FINE), "-o", str(run), "-q"]
    assert together(tmp_path / "two", words) == [0, 0]
    assert main(["train", "--resume", str(run), "train.steps=6", "-q"]) == 0
    assert newest_state(run / "checkpoints", print)["step"] == 6


def test_what_is_not_finite_on_one_rank_stops_both_before_the_step(genome, tmp_path):
    def prepare(rank):
        before = DiffusionModule.training_step

        def training_step(module, batch, index):
            loss = before(module, batch, index)
            if rank == 1 and module.step == 3:
                module.tally.add(torch.tensor([31]), torch.tensor([float("nan")]), torch.ones(1))
            return loss

        DiffusionModule.training_step = training_step

    words = ["train", genome, *chaos.words(FINE), "-o", str(tmp_path / "run"), "-q"]
    assert together(tmp_path / "two", words, prepare=prepare) == [3, 3]
    assert newest_state(tmp_path / "run" / "checkpoints", print)["step"] == 3
    for rank in (0, 1):
        told = (tmp_path / "two" / f"stderr-{rank}").read_text()
        assert "step 4: the loss is not finite, samples 31; no weight was changed" in told


def test_a_signal_to_one_rank_stops_both_after_a_checkpoint(genome, tmp_path):
    run = tmp_path / "run"
    endless = FINE | {"train.steps": 10**6, "train.checkpoint_every": 10**6, "train.log_every": 1}
    pids = start(tmp_path / "two", ["train", genome, *chaos.words(endless), "-o", str(run), "-q"])
    wait_for_lines(run, 2)
    os.kill(pids[1], signal.SIGTERM)
    assert [chaos.ended(pid, 10) for pid in pids] == [143, 143]
    assert newest_state(run / "checkpoints", print)["step"] == int(log_of(run)[-1]["step"])


def test_a_batch_that_two_cannot_share_is_refused(genome, tmp_path):
    settings = [word for word in chaos.words(FINE) if not word.startswith("optim.batch_size=")]
    words = ["train", genome, *settings, "optim.batch_size=9", "-o", str(tmp_path / "run"), "-q"]
    assert together(tmp_path / "two", words) == [2, 2]
    assert "batch_size=9: cannot be shared by 2 processes" in (tmp_path / "two" / "stderr-1").read_text()
