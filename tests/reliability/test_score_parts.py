"""Shards and ranks of an evaluation give the report of one process, to the last digit."""

import json
import os
import signal
import socket

import numpy as np
import pytest
import torch

from benchmarks import chaos
from dnadiff.checkpoints.folder import build_denoiser, save_model
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.evaluation import score_part
from dnadiff.evaluation.likelihood import Scores
from dnadiff.evaluation.score_part import ScorePart, merged, read_part, save_part
from tests.runs import SPEC, untrained

HOW = ["--split", "train", "--windows", "50", "--samples", "2", "--batch-size", "8", "--seed", "3", "-q"]


pytestmark = pytest.mark.usefixtures("no_child_left")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with weights that have opinions, so that every window pays something else."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(folder / "cache"))
        untrained(folder)
        denoiser, generator = build_denoiser(SPEC), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in denoiser.parameters():
                parameter.normal_(std=0.2, generator=generator)
        save_model(folder / "model", denoiser, NucleotideTokenizer(), SPEC, {})
        yield str(folder)


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The report of one process, as written."""
    out = tmp_path_factory.mktemp("whole") / "report.json"
    assert main(["evaluate", run, *HOW, "--both-strands", "-o", str(out)]) == 0
    return out.read_text()


def parts_of(run, folder, of, *more):
    parts = [str(folder / f"{number}.npz") for number in range(1, of + 1)]
    for number, part in enumerate(parts, 1):
        assert main(["evaluate", run, *HOW, *more, "--shard", f"{number}/{of}", "-o", part]) == 0
    return parts


def refusal(capfd, *command):
    capfd.readouterr()
    assert main(["evaluate", *command]) == 2
    told = capfd.readouterr().err
    assert told.startswith("dna-diff: error: ") and told.count("\n") == 1
    return told


@pytest.mark.parametrize("of", [1, 2, 4])
def test_merged_shards_are_the_report_of_one_process(run, whole, tmp_path, of):
    parts = parts_of(run, tmp_path, of, "--both-strands")
    assert main(["evaluate", run, "--merge", *reversed(parts), "-o", str(tmp_path / "report.json"), "-q"]) == 0
    assert (tmp_path / "report.json").read_text() == whole
    assert json.loads(whole)["rows"][0]["windows"] == 50


def test_a_killed_shard_leaves_nothing_and_a_finished_one_is_left_alone(run, tmp_path, capfd):
    out = tmp_path / "1.npz"
    command = ["evaluate", run, *HOW[:-1], "--shard", "1/2", "-o", str(out)]

    def killed():
        np.savez_compressed = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
        return main(command)

    assert chaos.ended(chaos.child(killed, tmp_path / "stderr"), 60) == -signal.SIGKILL and not out.exists()
    assert main(command) == 0
    made = out.stat().st_mtime_ns
    capfd.readouterr()
    assert main(command) == 0
    assert "nothing to do" in capfd.readouterr().err and out.stat().st_mtime_ns == made
    assert "1.npz: was made with settings" in refusal(capfd, *command[1:], "--samples", "1")
    assert "1.npz: was made with shard" in refusal(capfd, *command[1:], "--shard", "2/2")


def test_ranks_gather_their_scores(run, whole, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in (0, 1):

        def act(rank=rank):
            names = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in names.items()})
            return main(["evaluate", run, *HOW, "--both-strands", "-o", str(tmp_path / "report.json")])

        pids.append(chaos.child(act, tmp_path / "stderr"))
    assert [chaos.ended(pid, 60) for pid in pids] == [0, 0], (tmp_path / "stderr").read_text()
    assert (tmp_path / "report.json").read_text() == whole


def test_what_does_not_belong_together_is_refused(run, tmp_path, capfd):
    one, two = parts_of(run, tmp_path, 2)
    (tmp_path / "other").mkdir()
    other = parts_of(run, tmp_path / "other", 1, "--dtype", "bf16")[0]
    assert "parts 2 of 2 are missing" in refusal(capfd, run, "--merge", one)
    assert "is part 1 of 2, as" in refusal(capfd, run, "--merge", one, one)
    assert '"dtype": "bf16"' in refusal(capfd, run, "--merge", one, other)
    assert "no such file" in refusal(capfd, run, "--merge", str(tmp_path / "3.npz"))
    (tmp_path / "4.npz").write_bytes(b"PK not an archive")
    assert "4.npz: cannot be read" in refusal(capfd, run, "--merge", str(tmp_path / "4.npz"))
    (tmp_path / "run").mkdir()
    save_model(tmp_path / "run" / "model", build_denoiser(SPEC), NucleotideTokenizer(), SPEC, {})
    assert "holds scores of another model" in refusal(capfd, str(tmp_path / "run"), "--merge", one, two)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard", "1/2", "-o", "x.npz"], "--seed: is missing"),
        (["--shard", "1/2", "--seed", "1", "-o", "x.json"], "-o x.json: a part holds scores"),
        (["--shard", "1/2", "--seed", "1"], "a name that ends in .npz would work"),
        (["--shard", "1/99", "--seed", "1", "-o", "x.npz"], "batches of 64 windows cannot be shared by 99"),
        (["--merge", "1.npz", "--seed", "1"], "--seed: contradicts --merge"),
        (["--merge", "1.npz", "--both-strands"], "--both-strands: contradicts --merge"),
        (["--merge", "1.npz", "--shard", "1/2"], "--shard: contradicts --merge"),
        (["more.fa", "--merge", "1.npz"], "more.fa: contradicts --merge"),
    ],
)
def test_impossible_shards_are_refused(run, tmp_path, monkeypatch, capfd, words, told):
    monkeypatch.chdir(tmp_path)
    assert told in refusal(capfd, run, *words)
    assert not list(tmp_path.iterdir())


def test_a_part_is_read_back_to_the_last_bit(tmp_path):
    scores = Scores(np.array([3, 5]), np.array([[0.1, 0.2], [1 / 3, 2e-17]]), np.array([7, 9]))
    floor = Scores(np.array([3]), np.array([[2.5]]), np.array([7]))
    save_part(tmp_path / "p.npz", ScorePart({"seed": 1}, (2, 3), scores, {0: floor, 4: floor}))
    part = read_part(tmp_path / "p.npz")
    assert (part.about, part.shard, list(part.floors)) == ({"seed": 1}, (2, 3), [0, 4])
    for one, other in ((part.model, scores), (part.floors[4], floor)):
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("item_ids", "bits", "counts"))
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_a_part_without_a_base_is_a_part(tmp_path):
    nothing = Scores(np.empty(0, int), np.empty((0, 1)), np.empty(0, int))
    some = Scores(np.array([3]), np.array([[2.5]]), np.array([7]))
    parts = [("a", ScorePart({}, (1, 2), nothing, {})), ("b", ScorePart({}, (2, 2), some, {}))]
    assert merged(parts).model.bits_per_base == 2.5 / 7


def test_another_format_is_named(tmp_path, monkeypatch):
    some = Scores(np.array([3]), np.array([[2.5]]), np.array([7]))
    monkeypatch.setattr(score_part, "FORMAT", 2)
    save_part(tmp_path / "p.npz", ScorePart({}, (1, 1), some, {}))
    monkeypatch.undo()
    with pytest.raises(score_part.InputError, match=r"p\.npz: found format 2; this version of dnadiff reads 1"):
        read_part(tmp_path / "p.npz")
