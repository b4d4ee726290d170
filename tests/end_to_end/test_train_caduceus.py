"""Caduceus from the command line: trained with every method of whole windows, scored, sampled, resumed and refused."""

import json

import pytest
import torch

from dnadiff.checkpoints.folder import build_denoiser, load, read_spec
from dnadiff.cli import main
from dnadiff.config import compose, to_json
from dnadiff.errors import InputError
from dnadiff.models.caduceus import Caduceus
from dnadiff.models.rc import ReverseComplement
from dnadiff.recipes import training_plan
from dnadiff.recipes.train import train
from dnadiff.training.optim import optimizer_of
from tests.runs import log_of, run, weights_hash, write_genome

SMALL = {"model": "caduceus", "model__hidden_size": 16, "model__n_heads": 4}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


@pytest.fixture(scope="module")
def trained(genome, tmp_path_factory):
    return run(genome, tmp_path_factory.mktemp("run") / "run", **SMALL, train__steps=40, train__checkpoint_every=20)


def test_it_learns_is_scored_and_sampled(trained, tmp_path, capsys):
    backbone = load(trained).backbone
    assert isinstance(backbone, ReverseComplement) and isinstance(backbone.backbone, Caduceus)
    assert "CADUCEUS (hidden_size 16, n_blocks 1, both strands alike)" in (trained / "model" / "README.md").read_text()
    assert main(["evaluate", str(trained), "-o", str(tmp_path / "r.json"), "--seed", "1", "-q"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["bits_per_base"] < 1.9
    capsys.readouterr()
    assert main(["sample", str(trained), "-n", "2", "--seed", "1", "-q"]) == 0
    sequences = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(">")]
    assert [len(line) for line in sequences] == [32, 32] and set("".join(sequences)) <= set("ACGT")


@pytest.mark.parametrize("algo", ["udlm", "mlm"])
def test_other_methods_of_whole_windows_train_it(genome, tmp_path, algo):
    folder = run(genome, tmp_path / "run", **SMALL, algo=algo, model__rc="false", train__steps=1)
    assert read_spec(folder)["backbone"]["adaln"] == (algo != "mlm")
    assert isinstance(load(folder).backbone, Caduceus)


def test_it_resumes_bit_for_bit(genome, trained, tmp_path):
    part = run(genome, tmp_path / "part", **SMALL, train__steps=20, train__checkpoint_every=20)
    values = json.loads((part / "config.json").read_text())
    values["train"]["steps"] = 40
    (part / "config.json").write_text(json.dumps(values))
    assert main(["train", "--resume", str(part), "-q"]) == 0
    assert weights_hash(part) == weights_hash(trained) and log_of(part)[-1] == log_of(trained)[-1]


@pytest.mark.parametrize("name", ["mdlm_dna_mlm", "mdlm_dna"])
def test_the_published_experiment_takes_two_steps_at_reduced_size(genome, tmp_path, name):
    small = {
        "model.hidden_size": 16, "model.n_blocks": 2, "model.length": 32, "optim.batch_size": 4, "train.steps": 2,
        "optim.warmup_steps": 1, "train.val_windows": 4, "data.split": "blocks", "seed": 1,
    }  # fmt: skip
    config = compose([f"experiment={name}", *(f"{key}={value}" for key, value in small.items())])
    folder = train(config, genome, str(tmp_path / "first"), quiet=True)
    assert len(log_of(folder)) >= 1 and read_spec(folder)["algo"] == ("mlm" if name.endswith("mlm") else "mdlm")
    if name == "mdlm_dna":
        first = compose(["experiment=mdlm_dna_mlm", *(f"{key}={value}" for key, value in small.items())])
        base = train(first, genome, str(tmp_path / "base"), quiet=True)
        config = compose([f"experiment={name}", f"init_from={base}", *(f"{k}={v}" for k, v in small.items())])
        assert train(config, genome, str(tmp_path / "second"), quiet=True).exists()


def test_the_published_experiment_is_what_the_paper_says():
    first, second = compose(["experiment=mdlm_dna_mlm"]), compose(["experiment=mdlm_dna"])
    assert (first.algo.name, first.train.steps, first.optim.lr) == ("mlm", 10_000, 8e-3)
    assert (second.algo.name, second.train.steps, second.optim.lr) == ("mdlm", 50_000, 1e-3)
    for config in (first, second):
        assert config.model.length == config.optim.batch_size == 1024 and not config.time_conditioning
        assert (config.model.backbone, config.model.rc, config.optim.weight_decay) == ("caduceus", True, 0.1)
    with torch.device("meta"):
        network = build_denoiser(training_plan.spec_of(second)).backbone
    assert sum(p.numel() for p in network.parameters()) == 470_230  # 470,702 with the published padding to 16 tokens


def test_rates_of_decay_are_no_matrices(genome):
    denoiser = build_denoiser(training_plan.spec_of(compose(["model=caduceus_nano"])))
    names = {id(p): name for name, p in denoiser.named_parameters()}
    for optimizer in ("adamw", "muon"):
        made = optimizer_of(denoiser, name=optimizer, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
        decayed = {names[id(p)] for group in made.param_groups for p in group["params"] if group["weight_decay"]}
        assert len({names[id(p)] for group in made.param_groups for p in group["params"]}) == len(names)
        assert any(name.endswith("x_proj.weight") for name in decayed)
        assert not any(name.endswith(("A_log", ".D", "norm.weight", "bias")) for name in decayed)
        if optimizer == "muon":
            inside = {names[id(p)] for p in made.parts[0].param_groups[0]["params"]}
            assert "backbone.backbone.layers.1.mixer.in_proj.weight" in inside
            assert not any("embeddings" in name or "A_log" in name or "conv1d" in name for name in inside)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["model.backbone=rnn"], "model.backbone=rnn: there are: dit, caduceus, llama, gpt2, bert"),
        (
            ["model=tiny", "model.backbone=caduceus"],
            "model.n_heads=2: belongs to model.backbone=dit or llama or gpt2 or bert; 4 would work, or model=caduceus",
        ),
        (
            ["model=caduceus", "model.stem=3"],
            "model.stem=3: belongs to model.backbone=dit; 0 would work, or model=caduceus",
        ),
        (
            ["model=caduceus", "attention=sdpa"],
            "attention=sdpa: belongs to model.backbone=dit or llama or gpt2 or bert; leave it out",
        ),
        (["scan=torch"], "scan=torch: belongs to model.backbone=caduceus; leave it out"),
        (["model=caduceus", "scan=triton"], "scan=triton: there are: auto, torch, mamba_ssm"),
        (
            ["model=caduceus", "algo=ar"],
            "model.backbone=caduceus: a network from both ends sees bases to the right, which algo=ar predicts; "
            "model.backbone=dit would work",
        ),
        (
            ["model=caduceus_ph", "algo=bd3lm", "block_size=4"],
            "model.backbone=caduceus: a network from both ends sees bases to the right, which algo=bd3lm predicts; "
            "model.backbone=dit would work",
        ),
    ],
)
def test_what_cannot_be_is_refused(overrides, line):
    with pytest.raises(InputError) as caught:
        compose(overrides)
    assert str(caught.value) == line


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is refused without a GPU")
def test_kernels_are_refused_without_a_gpu(genome):
    config = compose(["model=caduceus_nano", "model.length=32", "scan=mamba_ssm", "data.split=blocks", "train.steps=1"])
    with pytest.raises(InputError, match="scan=mamba_ssm: runs on GPUs only and there is none; scan=torch works"):
        train(config, genome, dry_run=True, quiet=True)


def test_training_cannot_begin_with_another_network(genome, trained, tmp_path):
    with pytest.raises(
        InputError, match=r"was built with model\.backbone=caduceus, and this run has model\.backbone=dit; "
    ):
        run(genome, tmp_path / "a", init_from=trained, train__steps=1)
    with pytest.raises(
        InputError, match=r"was built with model\.rc=true, and this run has model\.rc=false; model\.rc=true would work$"
    ):
        run(genome, tmp_path / "b", **SMALL, model__rc="false", init_from=trained, train__steps=1)


def test_old_configurations_still_read():
    values = to_json(compose([]))
    assert values["model"]["backbone"] == "dit" and values["scan"] == "auto" and values["model"]["rc"] is False
