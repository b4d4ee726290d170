"""The plan of a run: what it reports, what it refuses, and that a dry run leaves nothing."""

import subprocess
import sys

import pytest
import torch

from dnadiff.checkpoints.folder import build_denoiser
from dnadiff.config import compose
from dnadiff.errors import InputError, ResourceError
from dnadiff.recipes import run_folder, training_plan
from dnadiff.recipes.train import train
from dnadiff.training import hardware
from tests.runs import run, settings, write_genome


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


def test_a_dry_run_prints_the_plan_and_writes_nothing(genome, tmp_path, capsys):
    folder = train(settings(train__minutes=2), genome, str(tmp_path / "deep" / "run"), dry_run=True)
    assert folder == tmp_path / "deep" / "run" and list(tmp_path.iterdir()) == []
    report = dict(line.split(maxsplit=1) for line in capsys.readouterr().err.splitlines())
    assert report["bases"] == "4,000 bp" and report["overlap"] == "of train and held-out: 0 bp"
    assert report["windows"].startswith("32 bp; 3,") and "held out for validation" in report["windows"]
    denoiser = build_denoiser(training_plan.spec_of(settings()))
    n = sum(p.numel() for p in denoiser.parameters())
    assert report["model"] == f"{n:,} parameters (1 blocks of width 32)"
    assert report["objective"] == "mdlm, count estimator, no time conditioning"
    assert report["step"].startswith("256 bases, ") and " in fp32 (" in report["step"]
    assert report["length"].startswith("6 steps or 2 minutes: about ") and report["seed"] == "1"


def test_a_seed_is_drawn_printed_and_recorded(genome, tmp_path, capsys):
    config = settings(seed="null", train__steps=1)
    train(config, genome, str(tmp_path / "run"))
    seed = next(line.split()[1] for line in capsys.readouterr().err.splitlines() if line.startswith("seed"))
    assert config.seed is None  # the caller's configuration is not written to
    assert f'"seed": {seed}' in (tmp_path / "run" / "config.json").read_text()


def test_no_genome_is_refused():
    with pytest.raises(InputError, match=r"no genome; dna-diff train genome\.fa"):
        train(settings())


def test_a_folder_that_holds_something_is_refused(genome, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"exists and is not empty; another -o would work$"):
        train(settings(), genome, str(tmp_path))
    with pytest.raises(InputError, match="exists and is not empty"):
        train(settings(), genome, str(tmp_path / "notes.txt"))
    folder = run(genome, tmp_path / "run", train__steps=1)
    with pytest.raises(InputError, match=r"another -o would work; dna-diff train --resume .*run continues it"):
        train(settings(), genome, str(folder))


def test_the_default_folder_is_the_first_free_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "g-1").mkdir(parents=True)
    assert str(run_folder.free_folder(None, "some/g.fa.gz")) == "runs/g-2"


def test_only_one_process_trains_in_a_folder(tmp_path):
    code = (
        f"from pathlib import Path; from dnadiff.recipes.run_folder import alone\nwith alone(Path('{tmp_path}')): pass"
    )
    with run_folder.alone(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "another process is training it" in done.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_too_small_a_disk_is_told_before_training(genome, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "room_needed", lambda folder, job: 1 << 60)
    with pytest.raises(ResourceError, match=r"run: 1,099,511,627,776\.0 MiB are needed"):
        train(settings(), genome, str(tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is refused without a GPU")
@pytest.mark.parametrize("name", ["flash", "flex"])
def test_attention_that_cannot_train_here_is_refused(genome, name):
    with pytest.raises(InputError, match=f"attention={name}: trains on GPUs only"):
        train(settings(attention=name), genome, dry_run=True, quiet=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a processor does")
@pytest.mark.parametrize(
    ("told", "flags", "attention"),
    [
        ({}, {"amx_bf16"}, "products"),
        ({"precision": "fp32"}, {"amx_bf16"}, "sdpa"),
        ({"attention": "sdpa"}, {"amx_bf16"}, "sdpa"),
        ({"precision": "bf16"}, {"avx512f"}, "sdpa"),
        ({"attention": "products"}, {"avx512f"}, "products"),
    ],
)
def test_attention_goes_by_products_where_the_processor_multiplies_bf16(told, flags, attention, monkeypatch):
    monkeypatch.setattr(hardware, "processor_flags", lambda: flags)
    config, denoiser = settings(**told), build_denoiser(training_plan.spec_of(settings()))
    training_plan._implement(denoiser, config)
    assert denoiser.backbone.attention == attention


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is refused without a GPU")
def test_compiling_without_a_compiler_is_refused(genome, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match="compile=true: no C"):
        train(settings(compile="true"), genome, dry_run=True, quiet=True)


@pytest.mark.parametrize(
    ("told", "gpu", "sharded", "compiled"),
    [
        (["train.steps=2000"], True, False, True),
        (["train.steps=1999"], True, False, False),
        (["train.minutes=5"], True, False, True),
        (["train.steps=2000"], True, True, False),
        (["train.steps=2000"], False, False, False),
        (["train.steps=1", "compile=true"], True, False, True),
        (["train.steps=2000", "compile=false"], True, False, False),
    ],
)
def test_short_training_is_not_compiled(told, gpu, sharded, compiled, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert training_plan._compiled(compose(told), sharded) == compiled


@pytest.mark.skipif(torch.cuda.is_available(), reason="reads the processor's flags")
@pytest.mark.parametrize(("flags", "precision"), [({"avx512f"}, "fp32"), ({"amx_bf16"}, "bf16")])
def test_precision_is_what_the_processor_is_fast_in(monkeypatch, flags, precision):
    monkeypatch.setattr(hardware, "processor_flags", lambda: flags)
    assert training_plan.precision_of("auto") == precision
    assert training_plan.precision_of("bf16") == "bf16"


def test_n_as_a_token_is_one_the_model_may_write():
    assert training_plan.spec_of(compose(["data.n_policy=token"]))["parameterization"]["allowed"] == [7, 8, 9, 10, 11]
    assert training_plan.spec_of(compose([]))["parameterization"]["allowed"] == [7, 8, 9, 10]


def test_the_schedule_of_the_spec_has_the_keys_of_its_kind():
    config = compose(["estimator=time", "noise=geometric"])
    schedule = training_plan.spec_of(config)["process"]["schedule"]
    assert schedule == {"name": "geometric", "sigma_min": 0.001, "sigma_max": 20.0}
