"""Every method trains, publishes, and is scored by what its folder says, whatever the batch, on one strand or both."""

import json

import pytest

from dnadiff.checkpoints.folder import build_objective, load, read_spec
from dnadiff.data.genome import open_genome
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import score
from dnadiff.recipes.evaluate import evaluate
from dnadiff.recipes.inputs import held_out_windows
from dnadiff.recipes.run_folder import run_config, run_split
from dnadiff.recipes.sample import sample
from dnadiff.recipes.walk import Walk
from tests.runs import run, write_genome

METHODS = {
    "mdlm": {},
    "mdlm with importance sampling": {"estimator": "time", "algo__importance_sampling": "true"},
    "mdlm with complementary masks": {"algo__complementary": "true"},
    "mdlm without carry-over": {"algo__carry_over": "false"},
    "mdlm without zero masking": {"algo__zero_mask": "false"},
    "mdlm in steps": {"algo__T": 1000},
    "blocks": {"algo": "bd3lm", "block_size": 5},
    "blocks of 1": {"algo": "bd3lm", "block_size": 1},
    "d3pm": {"algo": "d3pm"},
    "sedd": {"algo": "sedd"},
    "udlm": {"algo": "udlm"},
    "ar": {"algo": "ar"},
    "mlm": {"algo": "mlm"},
}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


@pytest.fixture(scope="module", params=METHODS)
def trained(request, genome, tmp_path_factory):
    changes = METHODS[request.param]
    return request.param, run(genome, tmp_path_factory.mktemp("run") / "run", train__steps=2, **changes)


def test_a_method_trains_and_is_scored_by_what_its_folder_says(trained):
    """One figure on forward strands, from the spec alone, whatever the batch; another one on both strands."""
    name, folder = trained
    config, spec, denoiser = run_config(str(folder)), read_spec(folder / "model"), load(folder / "model")
    report = evaluate(str(folder), split="valid", seed=3, quiet=True)
    row, line = report["rows"][0], report["protocol"][1]
    if name in ("ar", "blocks of 1"):
        assert row["name"] == "model (exact)"
        ones = " in blocks of 1" if name != "ar" else ""
        assert line.startswith(f"exact -log2 p{ones}, every base given those before it, fp32;")
    else:
        assert row["name"] == "model (bound)"
        assert line.startswith("upper bound on -log2 p, ") and "1 draw a window, seed 3, fp32" in line
    assert 0.5 < row["bits_per_base"] < 12  # two steps from uniform; ablations pay for shown bases

    windows = held_out_windows(config, open_genome(config.data.path), run_split(str(folder))["valid"])
    batches = [windows.__getitems__(range(i, min(i + 2, len(windows)))) for i in range(0, len(windows), 2)]
    scores = score(denoiser, build_objective(spec["objective"], denoiser.process), batches, seed=3)
    assert scores.bits_per_base == pytest.approx(row["bits_per_base"], rel=1e-5)
    assert spec["bos"] == (name in ("ar", "blocks", "blocks of 1")) and spec["algo"] == config.algo.name

    both = evaluate(str(folder), split="valid", seed=3, both_strands=True, quiet=True)
    assert both["protocol"][0].endswith("both strands, averaged")
    assert both["rows"][0]["bases"] == row["bases"] and both["rows"][0]["bits_per_base"] != row["bits_per_base"]


DEFAULT = {"d3pm": "posterior", "udlm": "posterior", "sedd": "analytic", "ar": "autoregressive"}


def test_a_method_is_sampled_by_what_suits_it(trained, tmp_path):
    name, folder = trained
    sample(folder, tmp_path / "x.fa", n=2, length=8, seed=1, quiet=True)
    lines = (tmp_path / "x.fa").read_text().splitlines()
    assert [len(line) for line in lines[1::2]] == [8, 8] and set("".join(lines[1::2])) <= set("ACGT")
    facts = json.loads((tmp_path / "x.fa.provenance.json").read_text())
    assert facts["sampler"] == DEFAULT.get(name, "first_hitting")
    other = "posterior" if facts["sampler"] != "posterior" else "first_hitting"
    with pytest.raises(InputError, match=f"--sampler {other}: needs a model .* {facts['sampler']}.* would work"):
        sample(folder, tmp_path / "y.fa", seed=1, quiet=True, walk=Walk(other))


def test_exact_likelihoods_take_no_samples(genome, tmp_path):
    folder = run(genome, tmp_path / "run", algo="ar", train__steps=1)
    with pytest.raises(InputError, match=r"--samples 2: the likelihood of .* is exact and draws nothing"):
        evaluate(str(folder), samples=2, quiet=True)


def test_windows_with_bos_are_the_same_bases_for_every_method(genome, tmp_path):
    counts = set()
    for number, algo in enumerate(("ar", "mdlm", "udlm")):
        folder = run(genome, tmp_path / str(number), algo=algo, data__bos="true", train__steps=1)
        row = evaluate(str(folder), split="valid", seed=1, quiet=True)["rows"][0]
        counts.add((row["windows"], row["bases"]))
    assert len(counts) == 1
