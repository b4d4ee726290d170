"""The section ``algo``: what each preset sets, what is refused and why, and what the spec says of it."""

import pytest

from dnadiff import schema
from dnadiff.checkpoints.folder import build_denoiser, build_objective, scoring_section
from dnadiff.config import compose, from_json, to_json
from dnadiff.diffusion import DiscreteNELBO, MaskedLM, MaskedNELBO, NextTokenNLL, ScoreEntropy, UniformNELBO
from dnadiff.errors import InputError
from dnadiff.recipes.methods import likelihood_in_words, method_of, training_in_words
from dnadiff.recipes.training_plan import spec_of
from tests.tiny import SPEC


def refusal(*overrides):
    with pytest.raises(InputError) as caught:
        compose(list(overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["algo.name=mdm"], "algo.name=mdm: did you mean mdlm?"),
        (
            ["algo=sedd", "estimator=count"],
            "estimator=count: sedd learns ratios at a time and needs to draw one; leave it out",
        ),
        (
            ["algo=udlm", "estimator=count"],
            "estimator=count: udlm replaces bases and masks none, so there is nothing to count; leave it out",
        ),
        (
            ["algo=d3pm", "estimator=count"],
            "estimator=count: algo.T=1000 has steps, which counting masks does away with; leave it out",
        ),
        (
            ["algo.T=50", "estimator=count"],
            "estimator=count: algo.T=50 has steps, which counting masks does away with; leave it out",
        ),
        (
            ["algo=ar", "estimator=time"],
            "estimator=time: the likelihood of ar is exact and estimates nothing; leave it out",
        ),
        (
            ["algo=ar", "estimator=count"],
            "estimator=count: the likelihood of ar is exact and estimates nothing; leave it out",
        ),
        (["algo=mlm", "estimator=time"], "estimator=time: mlm hides 15 % of the bases at no time; leave it out"),
        (
            ["algo=ar", "model.stem=9"],
            "model.stem=9: a stem sees bases to the right, which algo=ar predicts; model.stem=0 would work",
        ),
        (
            ["algo=ar", "data.bos=false"],
            "data.bos=false: algo=ar predicts every base from those before it and begins with [BOS]",
        ),
        (["algo=ar", "time_conditioning=true"], "time_conditioning=true: algo=ar has no noise level; leave it out"),
        (["algo=mlm", "time_conditioning=true"], "time_conditioning=true: algo=mlm has no noise level; leave it out"),
        (["algo=ar", "noise=cosine"], "noise=cosine: algo=ar has no noise; leave it out"),
        (["algo=mlm", "noise.eps=0.1"], "noise.eps=0.1: algo=mlm has no schedule; leave it out"),
        (["algo=sedd", "algo.T=10"], "algo.T=10: belongs to algo=mdlm or d3pm; leave it out of algo=sedd"),
        (
            ["algo=d3pm", "algo.carry_over=false"],
            "algo.carry_over=false: belongs to algo=mdlm; leave it out of algo=d3pm",
        ),
        (
            ["algo=udlm", "algo.zero_mask=false"],
            "algo.zero_mask=false: belongs to algo=mdlm; leave it out of algo=udlm",
        ),
        (["algo.subs_masking=true"], "algo.subs_masking=true: belongs to algo=d3pm; leave it out of algo=mdlm"),
        (
            ["algo=sedd", "algo.importance_sampling=true"],
            "algo.importance_sampling=true: belongs to algo=mdlm; leave it out of algo=sedd",
        ),
        (
            ["algo.importance_sampling=true", "algo.T=10"],
            "algo.importance_sampling=true: draws times, and algo.T=10 has steps; leave one out",
        ),
        (
            ["algo.complementary=true", "algo.T=10"],
            "algo.complementary=true: goes with the plain bound; leave the other keys of algo out",
        ),
        (
            ["algo.complementary=true", "estimator=time"],
            "estimator=time: algo.complementary=true complements numbers of masks; estimator=count would work",
        ),
        (
            ["algo=sedd", "algo.complementary=true"],
            "algo.complementary=true: belongs to algo=mdlm; leave it out of algo=sedd",
        ),
        (["algo=d3pm", "algo.T=0"], "algo.T=0: d3pm takes steps; algo.T=1000 would work"),
        (["algo.T=-1"], "algo.T=-1: give a finite number at least 0"),
        (
            ["algo=sedd", "model.adaln=false"],
            "time_conditioning=true: the noise level enters through adaptive norms; set model.adaln=true",
        ),
        (
            ["algo=udlm", "noise.eps=0"],
            "noise.eps=0: leaves infinite noise at t=1, which the network would be told; give 1e-3",
        ),
        (
            ["estimator=time", "noise=log_uniform", "noise.sigma_min=0"],
            "noise.sigma_min=0: the log_uniform schedule needs a sigma_min above 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(overrides, line):
    assert refusal(*overrides) == line


@pytest.mark.parametrize("order", [["algo=ar", "model=nano"], ["model=nano", "algo=ar"]])
def test_ar_sets_what_it_needs_whatever_model_is_chosen(order):
    config = compose(order)
    assert (config.model.stem, config.data.bos, config.estimator) == (0, True, "auto")
    assert spec_of(config)["bos"] is True and spec_of(config)["backbone"]["stem"] == 0
    assert compose(["model=nano"]).model.stem == 9


@pytest.mark.parametrize("algo", ["d3pm", "sedd", "udlm"])
def test_methods_that_are_told_the_time_have_what_tells_it(algo):
    config = compose([f"algo={algo}", "model=nano"])
    assert config.time_conditioning and config.model.adaln and config.estimator == "time"
    assert not compose([f"algo={algo}", "time_conditioning=false"]).time_conditioning


@pytest.mark.parametrize(
    ("overrides", "training", "scoring", "words", "likelihood"),
    [
        (
            [],
            MaskedNELBO,
            MaskedNELBO,
            "mdlm, count estimator, no time conditioning",
            "upper bound on -log2 p, count estimator",
        ),
        (
            ["estimator=time"],
            MaskedNELBO,
            MaskedNELBO,
            "mdlm, time estimator, no time conditioning",
            "upper bound on -log2 p, time estimator",
        ),
        (
            ["algo.carry_over=false"],
            MaskedNELBO,
            MaskedNELBO,
            "mdlm, no carry over, count estimator, no time conditioning",
            "upper bound on -log2 p, count estimator",
        ),
        (
            ["algo.T=1000"],
            DiscreteNELBO,
            DiscreteNELBO,
            "mdlm, 1000 steps, no time conditioning",
            "upper bound on -log2 p, one of 1000 steps drawn",
        ),
        (
            ["algo=d3pm"],
            DiscreteNELBO,
            DiscreteNELBO,
            "d3pm, 1000 steps, conditioned on time",
            "upper bound on -log2 p, one of 1000 steps drawn",
        ),
        (
            ["algo=sedd"],
            ScoreEntropy,
            ScoreEntropy,
            "sedd, time estimator, conditioned on time",
            "upper bound on -log2 p, score entropy, count estimator",
        ),
        (
            ["algo=udlm"],
            UniformNELBO,
            UniformNELBO,
            "udlm, time estimator, conditioned on time",
            "upper bound on -log2 p, uniform noise at a time drawn",
        ),
        (
            ["algo=ar"],
            NextTokenNLL,
            NextTokenNLL,
            "ar, exact likelihood",
            "exact -log2 p, every base given those before it",
        ),
        (
            ["algo=mlm"],
            MaskedLM,
            MaskedNELBO,
            "mlm, 15 % of the bases, no time conditioning",
            "upper bound on -log2 p, count estimator",
        ),
    ],
)
def test_a_method_is_built_from_its_spec_and_says_what_it_is(overrides, training, scoring, words, likelihood):
    config = compose(overrides)
    spec = spec_of(config)
    process = build_denoiser(spec).process
    trained, scored = (build_objective(s, process) for s in (method_of(config).training, spec["objective"]))
    assert (type(trained), type(scored)) == (training, scoring)
    assert training_in_words(config) == words and likelihood_in_words(spec["objective"]) == likelihood
    assert scored.exact == (words == "ar, exact likelihood")


def test_reconstruction_is_scored_where_something_is_reconstructed():
    """And left out of training where upstream leaves it out."""
    of = {name: method_of(compose([name])) for name in ("algo=udlm", "algo=d3pm", "algo.carry_over=false", "algo=mlm")}
    assert not of["algo=udlm"].training.get("reconstruction") and of["algo=udlm"].scoring["reconstruction"]
    assert of["algo=d3pm"].training["reconstruction"] and of["algo.carry_over=false"].training["reconstruction"]
    assert "reconstruction" not in of["algo=mlm"].scoring  # it fills in masks and copies the rest


def test_every_method_has_a_preset_and_survives_json():
    for algo in schema.ALGOS:
        config = compose([f"algo={algo}"])
        assert config.algo.name == algo and from_json(to_json(config)) == config


def test_n_as_a_token_is_noise_of_udlm_too():
    spec = spec_of(compose(["algo=udlm", "data.n_policy=token"]))
    assert spec["process"]["tokens"] == spec["parameterization"]["allowed"] == [7, 8, 9, 10, 11]


def test_specs_of_before_are_scored_by_counting():
    assert "objective" not in SPEC and scoring_section(SPEC) == {"name": "masked_nelbo", "estimator": "count"}


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"name": "nelbo"}, "objective.name=nelbo: "),
        ({"name": "masked_nelbo", "estimate": 1}, "objective=masked_nelbo: .*unexpected keyword argument 'estimate'"),
        ({"name": "discrete_nelbo"}, "objective=discrete_nelbo: .*missing 1 required"),
    ],
)
def test_a_damaged_objective_is_one_line(section, line):
    with pytest.raises(InputError, match=line):
        build_objective(section, build_denoiser(SPEC).process)
