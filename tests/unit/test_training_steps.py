"""What surrounds the steps of a run: guard, validation, log, checkpoints, the end."""

import numpy as np
import pytest
import torch

from dnadiff.checkpoints.folder import load
from dnadiff.cli import main
from dnadiff.data.genome import open_genome
from dnadiff.diffusion import MaskedNELBO
from dnadiff.errors import ResourceError
from dnadiff.evaluation.likelihood import score
from dnadiff.recipes import train as recipe
from dnadiff.recipes.inputs import held_out_windows
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.training import writer
from dnadiff.training.module import DiffusionModule
from tests.runs import log_of, run, settings, write_genome


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


@pytest.fixture(scope="module")
def finished(genome, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield run(genome, tmp_path_factory.mktemp("runs") / "run")


def test_the_log_has_a_line_where_it_should_and_ends_with_a_held_out_figure(finished):
    lines = log_of(finished)
    assert [line["step"] for line in lines] == ["2", "4", "6"]
    assert [bool(line["train_bits_per_base"]) for line in lines] == [True, True, True]
    assert [bool(line["valid_bits_per_base"]) for line in lines] == [False, True, True]  # at 4, and at the end
    assert [(line["samples"], line["tokens"]) for line in lines] == [("16", "512"), ("32", "1024"), ("48", "1536")]
    assert {line["empty_windows"] for line in lines} == {"0"} and lines[0]["lr"] == "1.000e-02"


def test_a_validation_after_the_last_step_has_a_line_of_its_own(genome, tmp_path):
    lines = log_of(run(genome, tmp_path / "run", train__steps=5))
    assert [(line["step"], bool(line["train_bits_per_base"])) for line in lines[2:]] == [("5", False)]
    assert lines[2]["valid_bits_per_base"]


def test_the_figure_is_that_of_the_published_average(finished):
    config, parts = run_config(str(finished)), run_split(str(finished))
    dataset = held_out_windows(config, open_genome(config.data.path), parts.valid)
    numbers = np.arange(min(8, len(dataset))) * len(dataset) // min(8, len(dataset))
    denoiser = load(finished)
    scores = score(denoiser, MaskedNELBO(denoiser.process), [dataset.__getitems__(numbers)], seed=config.seed)
    last = log_of(finished)[-1]
    assert float(last["valid_bits_per_base"]) == pytest.approx(scores.bits_per_base, abs=2e-5)
    assert float(last["valid_standard_error"]) == pytest.approx(scores.standard_error, abs=2e-5)


def test_training_goes_on_with_the_raw_weights(finished, genome, tmp_path):
    """Validating more often changes no weight, and what is published is not what is trained."""
    other = run(genome, tmp_path / "run", train__val_every=1)
    one, two = (writer.read_checkpoint(folder / "checkpoints" / "step-6") for folder in (finished, other))
    assert all(torch.equal(one["denoiser"][name], two["denoiser"][name]) for name in one["denoiser"])
    averaged, raw = load(finished).backbone.state_dict(), one["denoiser"]
    assert all(torch.equal(averaged[n], one["ema"]["shadow"][f"backbone.{n}"]) for n in averaged)
    assert any(not torch.equal(averaged[n], raw[f"backbone.{n}"]) for n in averaged)


def test_checkpoints_and_files_of_a_run(finished):
    assert [path.name for path in writer.checkpoints(finished / "checkpoints")] == ["step-3", "step-6"]
    names = {path.name for path in finished.iterdir()} - {".lock"}
    wanted = "baseline.npz checkpoints config.json log.csv model provenance.json split.json tensorboard"
    assert names == set(wanted.split())


def test_accumulating_changes_no_weight(finished, genome, tmp_path):
    other = run(genome, tmp_path / "run", optim__accumulate=2)
    one, two = load(finished).state_dict(), load(other).state_dict()
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    for a, b in zip(log_of(finished), log_of(other), strict=True):
        assert float(a["train_bits_per_base"]) == pytest.approx(float(b["train_bits_per_base"]), abs=2e-5)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_never_taken(genome, tmp_path, monkeypatch, capsys, what):
    before, seen = DiffusionModule.training_step, []

    def training_step(module, batch, index):
        loss = before(module, batch, index)
        if module.step == 4:
            seen.append((module, {n: p.detach().clone() for n, p in module.named_parameters()}))
            if what == "loss":
                nats = torch.tensor([float("inf"), 1.0, float("nan")])
                module.tally.add(torch.tensor([34, 35, 39]), nats, torch.ones(3))
            else:  # a gradient without a cause in the loss
                loss = loss + sum((p * float("nan")).sum() * 0 for p in list(module.parameters())[:1])
        return loss

    monkeypatch.setattr(DiffusionModule, "training_step", training_step)
    config = settings()
    monkeypatch.setattr("dnadiff.config.compose", lambda overrides: config)
    assert main(["train", genome, "-o", str(tmp_path / "run"), "-q"]) == 3
    told = {"loss": "the loss is not finite, samples 34, 39;", "gradient": "the gradient (norm nan) is not finite"}
    err = capsys.readouterr().err
    assert err.startswith("dna-diff: error: step 5: ") and told[what] in err and err.count("\n") == 1
    module, weights = seen[0]
    assert all(torch.equal(p, weights[n]) for n, p in module.named_parameters())
    state = writer.newest_state(tmp_path / "run" / "checkpoints", print)
    assert state["step"] == 3 and all(torch.isfinite(t).all() for t in state["denoiser"].values())
    load(tmp_path / "run")  # the model of step 3 is whole


def test_windows_without_a_base_are_counted(tmp_path):
    """A genome of which half is N: with min_valid=0 some windows hold nothing to learn from."""
    path = tmp_path / "n.fa"
    path.write_text(">a\n" + "ACGT" * 500 + "N" * 2000 + "ACGT" * 1000 + "\n")
    folder = run(str(path), tmp_path / "run", data__min_valid=0, data__valid_fraction=0.2)
    assert sum(int(line["empty_windows"]) for line in log_of(folder)) > 3


def test_the_time_limit_ends_a_run_with_validation_and_checkpoint(genome, tmp_path):
    folder = run(genome, tmp_path / "run", train__steps="null", train__minutes=0.005, train__checkpoint_every=10**6)
    (checkpoint,) = writer.checkpoints(folder / "checkpoints")
    last = log_of(folder)[-1]
    assert checkpoint.name == f"step-{last['step']}" and last["valid_bits_per_base"]


def test_a_full_disk_ends_a_run_with_the_last_checkpoint_intact(genome, tmp_path, monkeypatch):
    before = writer.check_space

    def full(folder, needed):
        if (folder / "step-3").exists():
            raise ResourceError("full")
        before(folder, needed)

    monkeypatch.setattr(writer, "check_space", full)
    with pytest.raises(ResourceError):
        run(genome, tmp_path / "run")
    assert writer.newest_state(tmp_path / "run" / "checkpoints", print)["step"] == 3


def test_the_last_line_states_the_held_out_figure_beside_the_best_floor(genome, tmp_path, capsys):
    recipe.train(settings(train__steps=2), genome, str(tmp_path / "run"))
    lines = capsys.readouterr().err.splitlines()
    figure = log_of(tmp_path / "run")[-1]["valid_bits_per_base"]
    assert lines[-2].startswith("trained      2 steps; the model is in ")
    assert lines[-1].startswith(f"held out     {float(figure):.4f} ± ")
    assert " validation windows; Markov best (order " in lines[-1] and "beats no Markov floor yet" in lines[-1]
