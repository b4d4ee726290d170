"""``adapt`` from a small autoregressive run: what it takes over, what it reports, how it resumes, what it refuses."""

import json
import shutil

import pytest
import torch

from dnadiff.checkpoints.folder import load, model_hash, read_provenance, read_spec
from dnadiff.cli import main
from dnadiff.errors import InputError
from dnadiff.recipes.adapt import adapted
from dnadiff.recipes.run_folder import run_config, run_split
from tests.foreign import lightning
from tests.runs import log_of, run, weights_hash, write_genome

FEW = [
    "optim.batch_size=8", "train.val_every=100", "train.val_windows=16", "train.checkpoint_every=3", "train.log_every=2"
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An autoregressive run that has learned something."""
    place = tmp_path_factory.mktemp("source")
    changes = {
        "algo": "ar",
        "model__stem": 0,
        "train__steps": 60,
        "train__val_every": 60,
        "train__checkpoint_every": 60,
    }
    return run(write_genome(place / "genome.fa"), place / "ar", **changes)


def adapt(source, out, *words, to="bd3lm", steps=10):
    flags = ["--from", str(source), "--to", to, "--steps", str(steps), "-o", str(out), "--seed", "3"]
    return main(["adapt", *flags, *FEW, *words])


@pytest.fixture(scope="module")
def blocks(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("blocks") / "run"
    assert adapt(source, out, "--block-size", "4", "algo.ar_weight=0.5", "-q") == 0
    return out


def test_the_report_says_what_became_of_the_source(source, blocks):
    found = json.loads((blocks / "adapt.json").read_text())
    assert found["from"]["sha256"] == model_hash(source) == read_provenance(blocks)["init_from"]
    assert found["parameters"]["new"] == found["parameters"]["missing"] == []
    assert found["parameters"]["taken"] == sum(p.numel() for p in load(source).backbone.parameters())
    assert found["parameters"]["new_rows"] == ["vocab_embed.embedding[3]"]
    assert found["identity"]["largest_difference"] <= 1e-5
    assert found["to"]["tokens"] == 10 * 8 * 32
    costs = found["held_out"]
    assert costs["windows"] == 5 and costs["bound_after"]["bits"] < costs["bound_before"]["bits"]
    assert abs(costs["from_the_left_after"]["bits"] - costs["source"]["bits"]) < 0.2


def test_the_run_is_an_ordinary_one(source, blocks, tmp_path, capsys):
    """It holds out what the source held out, knows its settings, and is evaluated and sampled in blocks."""
    assert run_split(blocks) == run_split(source)
    spec = read_spec(blocks)
    assert (spec["algo"], spec["block_size"], spec["shift"], spec["length"]) == ("bd3lm", 4, True, 32)
    assert run_config(blocks).algo.grow == 2 and len(log_of(blocks)) > 2
    assert main(["evaluate", str(blocks), "--split", "valid", "--seed", "1", "-q", "-o", str(tmp_path / "a.json")]) == 0
    bits = json.loads((tmp_path / "a.json").read_text())["rows"][0]["bits_per_base"]
    assert 0 < bits < 2
    assert main(["sample", str(blocks), "-n", "1", "--length", "70", "--seed", "1", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len("".join(lines[1:])) == 70


def test_an_interrupted_adaptation_ends_as_an_uninterrupted_one(source, blocks, tmp_path):
    whole = json.loads((blocks / "adapt.json").read_text())
    assert adapt(source, tmp_path / "cut", "--block-size", "4", "algo.ar_weight=0.5", "-q") == 0
    for step in (tmp_path / "cut" / "checkpoints").glob("step-*"):
        if int(step.name.split("-")[1]) > 3:
            shutil.rmtree(step)
    (tmp_path / "cut" / "adapt.json").unlink()
    assert main(["adapt", "--resume", str(tmp_path / "cut"), "-q"]) == 0
    assert weights_hash(tmp_path / "cut") == weights_hash(blocks)
    assert json.loads((tmp_path / "cut" / "adapt.json").read_text()) == whole


def test_everything_at_once_and_without_shift(source, tmp_path, capsys):
    assert adapt(source, tmp_path / "m", to="mdlm", steps=4) == 0
    told = capsys.readouterr().err
    assert "identity" in told and "attention opening in" not in told  # 10 % of 4 steps is none
    assert "bits per base: the source, exact" in told
    spec = read_spec(tmp_path / "m")
    assert spec["algo"] == "mdlm" and spec["shift"] and spec["bos"]
    assert main(["sample", str(tmp_path / "m"), "-n", "1", "-q"]) == 0
    assert (
        adapt(source, tmp_path / "u", "algo.shift=false", "algo.opening=2", "algo.opening_by=reach", to="mdlm", steps=3)
        == 0
    )
    told = capsys.readouterr().err
    assert "the clean half in blocks of 1 is the source" in told and "attention opening in 2 steps (reach)" in told
    assert "shift" not in read_spec(tmp_path / "u")


def test_the_masks_row_is_made_anew_and_nothing_else(source, tmp_path):
    assert adapt(source, tmp_path / "a", "optim.lr=1e-12", "optim.lr_min=0", "-q", steps=1) == 0
    old, new = (load(folder).backbone.state_dict() for folder in (source, tmp_path / "a"))
    name = "vocab_embed.embedding"
    bases = old[name][7:11]
    assert (new[name][3] - bases.mean(0)).abs().max() < 0.1 * bases.std()
    old[name][3] = new[name][3]
    assert all(torch.allclose(new[key], old[key], atol=1e-9) for key in old)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--to", "mdlm", "--block-size", "4"], "--block-size 4: belongs to --to bd3lm; leave it out"),
        (["--to", "bd3lm", "model.n_blocks=3"], "model.n_blocks=3: contradicts"),
        (["--to", "bd3lm", "algo=mdlm"], "algo=mdlm: contradicts"),
        (["--to", "bd3lm", "train.steps=3"], "train.steps=3: is what a flag of adapt says"),
        (["--to", "bd3lm", "--block-size", "99"], "block_size=99: give a finite number at least 1 and at most 32"),
        (["--to", "bd3lm", "data.bos=false"], "data.bos=false: algo=bd3lm predicts every block"),
        (["--to", "mdlm", "algo.grow=3"], "algo.grow=3: belongs to algo=bd3lm"),
        (["--to", "bd3lm", "algo.clip=[1,2]"], "algo.grow=1: has blocks of its own sizes"),
    ],
)
def test_what_cannot_be_asked_for(source, tmp_path, capsys, words, line):
    assert main(["adapt", "--from", str(source), "--steps", "5", "-o", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and line in told[0]
    assert not (tmp_path / "out").exists()


def test_flags_that_are_missing_or_contradict(source, blocks, tmp_path, capsys):
    def refused(*words):
        assert main(["adapt", *words]) == 2
        return capsys.readouterr().err

    assert "adapt: --to is missing; --to bd3lm would work" in refused("--from", str(source))
    assert "--steps 3: contradicts --resume" in refused("--resume", str(blocks), "--steps", "3")
    assert f"{source}: was not adapted from another model" in refused("--resume", str(source))
    flags = ["--to", "mdlm", "--steps", "2", "-o", str(tmp_path / "x")]
    assert "is a model of algo=bd3lm; an autoregressive one (ar) would work" in refused("--from", str(blocks), *flags)


def test_a_model_folder_needs_a_genome_and_knows_no_split(source, tmp_path):
    config = adapted(str(source / "model"), "bd3lm", 100, None, [], 1)
    assert config.data.path is None and config.block_size == 16 and config.algo.grow == 20
    assert adapted(str(source), "bd3lm", 100, None, [], 1).data.path == run_config(source).data.path
    assert config.optim.warmup_steps == 3 and config.train.minutes is None
    with pytest.raises(InputError, match="genome"):
        from dnadiff.recipes.train import train

        train(config, None, str(tmp_path / "x"), quiet=True)


def test_pairs_leave_what_cut_the_sources_windows_behind(source):
    config = adapted(str(source), "mdlm", 100, None, ["data.pairs=true", "data.path=pairs.csv"], 1)
    assert config.data.pairs and config.data.split == "auto" and config.data.path == "pairs.csv"
    assert run_config(source).data.split == "blocks" == adapted(str(source), "mdlm", 100, None, [], 1).data.split


def test_the_published_ar2diff(source, tmp_path, capsys):
    """Falsified and repaired: scored by the bound of uniform noise, sampled in ten steps from eight candidates."""
    out = tmp_path / "run"
    assert adapt(source, out, to="sundae", steps=3) == 0
    assert "sundae, two repairs" in capsys.readouterr().err
    assert read_spec(out)["parameterization"]["name"] == "revise"
    sampled = ["sample", str(out), "-n", "2", "--temperature", "0.2", "--seed", "1", "-q"]
    assert main(sampled) == 0
    first = capsys.readouterr().out
    assert main([*sampled, "--sampler", "revising", "--steps", "10", "--candidates", "8"]) == 0
    assert capsys.readouterr().out == first
    assert main([*sampled, "--candidates", "1"]) == 0
    assert capsys.readouterr().out != first


def test_a_converted_baseline_begins_as_itself(tmp_path):
    """The causal baseline of MDLM knows tokens that a model of bases never draws; among the bases both agree."""
    from dnadiff.recipes.adapt_report import checked_identity

    ckpt, model = lightning(tmp_path / "ar.ckpt", "ar"), tmp_path / "model"
    assert main(["convert", str(ckpt), "-o", str(model), "--tokenizer", "nucleotide", "-q"]) == 0
    for to in ("bd3lm", "mdlm"):
        for shift in ("true", "false"):
            config = adapted(str(model), to, 10, None, [f"algo.shift={shift}"], 1)
            assert checked_identity(config)["largest_difference"] <= 1e-5
