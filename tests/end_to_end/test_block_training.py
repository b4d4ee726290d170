"""Ways to train a block model: searched or fixed noise levels, many block sizes at once, from a base."""

import csv
import shutil

import pytest
import torch

from dnadiff.checkpoints.folder import load, model_hash, read_provenance, read_spec
from dnadiff.cli import main
from dnadiff.config import compose
from dnadiff.diffusion import (
    AbsorbingProcess,
    Batch,
    BlockNELBO,
    Clip,
    CountSearch,
    LogLinear,
    MixedBlockNELBO,
    PublishedSearch,
)
from dnadiff.errors import InputError
from dnadiff.random import Draws
from dnadiff.recipes.evaluate import evaluate
from dnadiff.recipes.train import resume
from dnadiff.training import writer
from dnadiff.training.validation import HeldOut
from tests.runs import run, weights_hash, write_genome

BLOCKS = {"algo": "bd3lm", "block_size": 4}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


@pytest.fixture(scope="module")
def base(genome, tmp_path_factory):
    """Masked diffusion as one block."""
    return run(genome, tmp_path_factory.mktemp("base") / "run", algo="bd3lm", block_size=32)


def clips(folder):
    with (folder / "log.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["valid_bits_per_base"]]
    return [(row["step"], row["clip_low"], row["clip_high"]) for row in rows]


@pytest.mark.parametrize("estimator", ["count", "time"])
def test_a_search_moves_the_noise_levels_and_survives_an_interruption(genome, tmp_path, estimator):
    changes = {**BLOCKS, "algo__clip_search": "true", "estimator": estimator, "train__val_every": 2}
    if estimator == "time":
        changes["train__val_windows"] = 4  # 36 candidates
    whole = run(genome, tmp_path / "whole", **changes)
    found = clips(whole)
    assert [step for step, *_ in found] == ["2", "4", "6"]
    levels = [(float(low), float(high)) for _, low, high in found]
    everything = (1.0, 4.0) if estimator == "count" else (0.001, 1.0)
    assert any(level != everything for level in levels)
    assert all(everything[0] <= low <= high <= everything[1] for low, high in levels)
    state = writer.newest_state(whole / "checkpoints", print)
    assert state["clip"] == list(levels[-1])
    cut = run(genome, tmp_path / "cut", **changes, train__steps=3)
    resume(str(cut), ["train.steps=6"], quiet=True)
    assert weights_hash(cut) == weights_hash(whole)


def test_what_is_searched_is_trained_on_and_validation_stays_whole(genome, tmp_path, monkeypatch):
    """Every step after a validation draws from the range that the log names; figures are of all levels."""
    seen = []
    before = BlockNELBO.noise

    def noise(objective, batch, draws):
        seen.append(tuple(objective.clip))
        return before(objective, batch, draws)

    monkeypatch.setattr(BlockNELBO, "noise", noise)
    monkeypatch.setattr(HeldOut, "clip", lambda held_out, module: Clip(2, 3) if held_out.search else None)
    run(genome, tmp_path / "run", **BLOCKS, algo__clip_search="true")
    trial, steps = seen[:2], seen[2:]
    assert set(trial) == {(1, 4)} and steps[:4] == [(1, 4)] * 4
    assert (1, 4) in steps[4:] and steps.count((2, 3)) == 2  # validations at 4 and 6, steps 5 and 6


def test_searching_changes_nothing_else(genome, tmp_path, monkeypatch):
    """With the range left at everything, a searched run is the run without a search."""
    monkeypatch.setattr(CountSearch, "choose", lambda search, total: Clip(1, 4))
    one = run(genome, tmp_path / "one", **BLOCKS, algo__clip_search="true")
    two = run(genome, tmp_path / "two", **BLOCKS)
    assert weights_hash(one) == weights_hash(two)


def test_the_search_of_a_batch_cut_in_two_adds_up(base):
    denoiser = load(base)
    search = CountSearch(denoiser.process, 4)
    x0 = torch.randint(7, 11, (6, 32), generator=torch.Generator().manual_seed(1))
    batches = [Batch(x0[i], torch.ones_like(x0[i], dtype=torch.bool)) for i in (slice(0, 6), slice(0, 2), slice(2, 6))]
    draws = [Draws(0, range(*i)) for i in ((0, 6), (0, 2), (2, 6))]
    with torch.no_grad():
        whole, *parts = (search.measure(denoiser, batch, draw) for batch, draw in zip(batches, draws, strict=True))
        assert whole.shape == (3, 4) and whole[0].sum() == 6 * 8
        torch.testing.assert_close(sum(parts), whole)
        times = PublishedSearch(denoiser.process, 4).measure(denoiser, batches[0], draws[0])
    assert times.shape == (36,) and times.isfinite().all()


def test_a_fixed_range(genome, tmp_path):
    clipped = run(genome, tmp_path / "clipped", **BLOCKS, algo__clip="[4,4]", train__steps=2)
    assert clips(clipped) == [("2", "4", "4")]
    spec = read_spec(clipped)
    assert spec["objective"] == {"name": "block_nelbo", "block_size": 4, "estimator": "count"}


def test_one_model_many_block_sizes(genome, tmp_path):
    folder = run(genome, tmp_path / "run", **BLOCKS, algo__block_sizes="[1,4,32]")
    cut = run(genome, tmp_path / "cut", **BLOCKS, algo__block_sizes="[1,4,32]", train__steps=3)
    resume(str(cut), ["train.steps=6"], quiet=True)
    assert weights_hash(cut) == weights_hash(folder)
    assert read_spec(folder)["block_size"] == 4
    figures = {
        size: evaluate(str(folder), split="valid", seed=1, block_size=size, quiet=True)["rows"][0]["bits_per_base"]
        for size in (1, 4, 32)
    }
    assert len(set(figures.values())) == 3
    assert main(["sample", str(folder), "-n", "1", "--block-size", "1", "-q", "-o", str(tmp_path / "a.fa")]) == 0


def test_every_size_has_its_turn_and_a_step_has_one():
    objective = MixedBlockNELBO(AbsorbingProcess(LogLinear(), 3), [1, 4, 16])
    sizes = [objective.for_step(3, step).block_size for step in range(300)]
    assert sizes == [objective.for_step(3, step).block_size for step in range(300)]
    assert sizes != [objective.for_step(4, step).block_size for step in range(300)]
    counts = [sizes.count(size) for size in (1, 4, 16)]
    assert sum(counts) == 300 and min(counts) > 70  # 100 expected, standard deviation 8


def test_a_run_begins_with_the_weights_of_a_base(genome, base, tmp_path):
    """At a rate of nearly 0 a fine-tuned model is its base, with another block size."""
    tuned = run(genome, tmp_path / "run", **BLOCKS, init_from=base, optim__lr=1e-12, optim__lr_min=0, train__steps=1)
    ours, theirs = load(tuned).backbone.state_dict(), load(base).backbone.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-9) for name in ours)
    assert read_spec(tuned)["block_size"] == 4 and read_spec(base)["block_size"] == 32
    assert read_provenance(tuned)["init_from"] == model_hash(base)


def test_a_base_is_needed_only_once(genome, base, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    changes = {**BLOCKS, "init_from": tmp_path / "base"}
    whole = run(genome, tmp_path / "whole", **changes)
    cut = run(genome, tmp_path / "cut", **changes, train__steps=3)
    shutil.rmtree(tmp_path / "base")
    resume(str(cut), ["train.steps=6"], quiet=True)
    assert weights_hash(cut) == weights_hash(whole)


def test_bases_that_do_not_fit(genome, base, tmp_path, capsys):
    with pytest.raises(InputError, match=r"this run has model\.n_blocks=2; model\.n_blocks=1 would work"):
        run(genome, tmp_path / "a", **BLOCKS, init_from=base, model__n_blocks=2)
    with pytest.raises(InputError, match="nowhere"):
        run(genome, tmp_path / "b", **BLOCKS, init_from=tmp_path / "nowhere")
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["algo.clip=[1]"], "algo.clip=[1.0]: give the lowest and the highest noise level, such as [1,16]"),
        (["algo.clip=[3,2]"], "algo.clip=[3.0, 2.0]: give the lowest and the highest noise level, such as [1,16]"),
        (["algo.clip=[1,17]"], "algo.clip=[1.0, 17.0]: give whole numbers of masked bases from 1 to 16"),
        (["algo.clip=[0.5,1]"], "algo.clip=[0.5, 1.0]: give whole numbers of masked bases from 1 to 16"),
        (["algo.clip=[0,1]", "estimator=time"], "algo.clip=[0.0, 1.0]: give times above 0, at most 1"),
        (
            ["algo.clip=[1,2]", "algo.clip_search=true"],
            "algo.clip_search=true: chooses algo.clip itself; leave one out",
        ),
        (
            ["algo.block_sizes=[1,4]"],
            "algo.block_sizes=[1, 4]: lacks block_size=16, which the model is scored with; add it",
        ),
        (["algo.block_sizes=[0,16]"], "algo.block_sizes=0: give a finite number at least 1 and at most 256"),
        (
            ["algo.block_sizes=[4,16]", "algo.clip_search=true"],
            "algo.block_sizes=[4, 16]: needs all noise levels, whose best part differs by size; leave algo.clip and "
            "clip_search out",
        ),
    ],
)
def test_settings_that_contradict_each_other(overrides, line):
    with pytest.raises(InputError) as caught:
        compose(["algo=bd3lm", *overrides])
    assert str(caught.value) == line


@pytest.mark.parametrize("key", ["algo.clip=[1,2]", "algo.clip_search=true", "algo.block_sizes=[1,2]"])
def test_settings_of_blocks_alone(key):
    with pytest.raises(InputError, match="belongs to algo=bd3lm; leave it out of algo=mdlm"):
        compose([key])


@pytest.mark.parametrize("name", ["bd3lm_base", "bd3lm_tune", "blocks_cpu"])
def test_the_experiments_train(genome, tmp_path, name):
    """Two steps of each at a reduced size; everything else is as the preset says."""
    small = {"optim__lr": 3e-4, "optim__lr_min": 0, "train__steps": 2, "train__val_every": 2}
    folder = run(genome, tmp_path / "run", experiment=name, block_size=8, data__split="blocks", **small)
    assert read_spec(folder)["objective"]["block_size"] == 8
    assert [bool(low) for _, low, _ in clips(folder)] == [True]
