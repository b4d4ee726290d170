"""Composing a configuration: what is accepted means what was typed, and every mistake is one line that helps."""

import itertools
import json
import re

import hydra
import pytest
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from dnadiff.config import Config, compose, configs_folder, from_json, groups, leaves, to_json
from dnadiff.errors import InputError


def refusal(*overrides):
    with pytest.raises(InputError) as caught:
        compose(list(overrides))
    line = str(caught.value)
    assert "\n" not in line
    return line


def misspellings(key):
    """The key with one letter, or its dot, left out, doubled, swapped with the next, or replaced."""
    for i in range(len(key)):
        yield key[:i] + key[i + 1 :]
        yield key[:i] + key[i] + key[i:]
        yield key[:i] + key[i + 1 : i + 2] + key[i] + key[i + 2 :]
        yield key[:i] + "z" + key[i + 1 :]


@pytest.mark.parametrize("key", leaves())
def test_a_key_misspelt_by_one_letter_is_answered_with_the_right_key(key):
    known = {*leaves(), *groups(), "train"}
    for wrong in sorted(set(misspellings(key)) - known)[::4]:
        line = refusal(f"{wrong}=1")
        assert line.startswith(f"{wrong}: unknown key; did you mean ")
        named = re.search(r"did you mean (.*)\?", line)[1]
        # A misspelling may lie one letter from a second key too, as optim.emps between optim.eps and optim.ema does.
        assert named == key or one_letter_apart(wrong, named), line


def one_letter_apart(a, b):
    return (
        a in set(misspellings(b)) or b in set(misspellings(a)) or sum(x != y for x, y in zip(a, b, strict=False)) <= 1
    )


@pytest.mark.parametrize("group", groups())
def test_a_misspelt_preset_is_answered_with_the_right_one(group):
    for preset in groups()[group]:
        line = refusal(f"{group}={preset}x")
        assert line == f"{group}={preset}x: no such preset of {group}; did you mean {preset}?"


def test_a_key_without_its_section_is_answered_with_the_whole_key():
    assert refusal("lr=1e-4") == "lr: unknown key; did you mean optim.lr?"


SEPARATE = ("model", "data", "noise", "optim")  # groups whose presets say nothing of one another's section


def chosen_together():
    """Every preset of every group once: those of separate groups side by side, the others alone."""
    for several in itertools.zip_longest(*(groups()[group] for group in SEPARATE)):
        yield {group: preset for group, preset in zip(SEPARATE, several, strict=True) if preset}
    for group, presets in groups().items():
        if group not in SEPARATE:
            yield from ({group: preset} for preset in presets)


def test_every_preset_composes_and_is_what_its_file_says():
    seen = 0
    for chosen in chosen_together():
        extra = ["estimator=time"] * ("noise" in chosen) + ["task=text"] * ("tokenizer" in chosen)
        config = to_json(compose([*(f"{group}={preset}" for group, preset in chosen.items()), *extra]))
        for group, preset in chosen.items():
            file = groups()[group][preset]
            everywhere = "@package _global_" in file.read_text()
            holds(config if everywhere else config[group], file)
            seen += 1
    assert seen == sum(map(len, groups().values()))


def holds(section, file):
    values = yaml.safe_load(file.read_text())
    values.pop("defaults", None)
    for key, value in flat(values):
        found = section
        for part in key:
            found = found[part]
        assert found == (float(value) if isinstance(found, float) else value), (file, key)


def flat(values, prefix=()):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def test_presets_are_described_and_hold_no_code():
    files = [file for presets in groups().values() for file in presets.values()]
    assert len(files) >= 15
    for file in [*files, configs_folder() / "config.yaml"]:
        text = file.read_text()
        assert text.startswith("# "), file
        assert "${" not in text and "_target_" not in text, file


def test_the_published_sizes():
    small, medium = compose(["model=small"]).model, compose(["model=medium"]).model
    assert (small.hidden_size, small.n_blocks, small.n_heads, small.length) == (768, 12, 12, 1024)
    assert (medium.hidden_size, medium.n_blocks, medium.n_heads, medium.length) == (1024, 24, 16, 1024)


def test_overrides_win_over_the_experiment_in_any_order():
    for overrides in (["experiment=demo", "train.minutes=7"], ["train.minutes=7", "experiment=demo"]):
        config = compose(overrides)
        assert (config.train.minutes, config.model.length) == (7, 256)
    assert compose(["model=tiny", "experiment=demo"]).model.hidden_size == 128


@pytest.mark.parametrize(
    ("path", "bed"),
    [
        ("my genome,x=1.fa", "it's.bed"),
        ('say"hi".fa', "a\\b\\"),
        ("(1)[2]{3}.fa", "~me"),
        ("1e5", "no"),
        ("ünï.fa", "*"),
        ("a\\'b", "nullable"),
    ],
)
def test_text_is_taken_as_typed(path, bed):
    config = compose([f"data.path={path}", f"data.bed={bed}"])
    assert (config.data.path, config.data.bed) == (path, bed)


def test_contigs_are_listed_with_or_without_brackets():
    for valid, test in (("XV,XVI", "[no, 1e5,01]"), ("['XV',\"XVI\"]", "no,1e5,01")):
        config = compose([f"data.valid={valid}", f"data.test={test}"])
        assert (config.data.valid, config.data.test) == (["XV", "XVI"], ["no", "1e5", "01"])


def test_numbers_and_switches_have_their_types():
    config = compose(
        ["optim.lr=1e-4", "seed=7", "train.steps=10", "train.minutes=null", "compile=true", "data.workers=2"]
    )
    assert config.optim.lr == 1e-4 and isinstance(config.optim.lr, float)
    assert (config.seed, config.train.steps, config.train.minutes, config.compile) == (7, 10, None, "true")
    config = compose(["optim.betas=[0.9,0.95]", "model.adaln=false"])
    assert config.optim.betas == [0.9, 0.95] and config.model.adaln is False


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optim.lr=abc", "optim.lr=abc: expected a number, such as 3e-4"),
        ("optim.lr=", "optim.lr=: expected a number, such as 3e-4"),
        ("optim.lr=nan", "optim.lr=nan: give a finite number above 0"),
        ("optim.lr=inf", "optim.lr=inf: give a finite number above 0"),
        ("optim.lr=-1", "optim.lr=-1.0: give a finite number above 0"),
        ("optim.lr=1,2", "optim.lr=1,2: holds several values; give one"),
        ("optim.lr=null", "optim.lr=null: expected a number, such as 3e-4"),
        ("optim.betas=[0.9]", "optim.betas=[0.9]: give two numbers from 0 to below 1, such as [0.9,0.999]"),
        ("optim.betas=3", "optim.betas=3: expected a list of numbers, such as [0.9,0.999]"),
        ("optim.ema=1", "optim.ema=1.0: give a decay from 0 to below 1, such as 0.9999"),
        ("optim.accumulate=3", "optim.accumulate=3: does not divide optim.batch_size=32"),
        ("optim.schedule=cosine", "optim.schedule=cosine: decays until the last step; give train.steps"),
        ("seed=1.5", "seed=1.5: expected a whole number"),
        ("seed=true", "seed=true: expected a whole number"),
        ("compile=yes", "compile=yes: there are: auto, true, false"),
        ("precision=fp16", "precision=fp16: did you mean bf16?"),
        ("attention=flahs", "attention=flahs: did you mean flash?"),
        ("estimator=null", "estimator=null: there are: auto, count, time"),
        ("time_conditioning=maybe", "time_conditioning=maybe: expected true or false"),
        ("model.length=0", "model.length=0: give a finite number at least 4"),
        ("model.length=512.5", "model.length=512.5: expected a whole number"),
        ("model.hidden_size=129", "model.hidden_size=129: is not a multiple of model.n_heads=2"),
        (
            "model.hidden_size=102",
            "model.hidden_size=102: leaves heads 51 wide with model.n_heads=2; the rotary positions need an even width",
        ),
        ("model.stem=4", "model.stem=4: is centred on a base, so its width is odd; 0 is none"),
        ("model.dropout=1", "model.dropout=1.0: give a finite number at least 0 and at most 0.999"),
        ("data.reverse_complement=2", "data.reverse_complement=2.0: give a finite number at least 0 and at most 1"),
        ("data.split=contigs", "data.split=contigs: did you mean contig?"),
        ("data.split=bed", "data.split=bed: no BED file; give data.bed=FILE"),
        ("data.extend=true", "data.extend=true: lengthens the intervals of a BED file; give data.bed=FILE"),
        ("data.valid=chr1", "data.valid and data.test: one is empty; name contigs for both"),
        ("data.gap=100", "data.gap=100: is shorter than a window; give at least 256"),
        (
            "data.test_fraction=0.95",
            "data.valid_fraction + data.test_fraction = 1: nothing left to train on; give less than 1",
        ),
        (
            "noise=cosine",
            "noise=cosine: the count estimator is exact for every schedule; add estimator=time or leave it out",
        ),
        (
            "noise.eps=0.1",
            "noise.eps=0.1: the count estimator is exact for every schedule; add estimator=time or leave it out",
        ),
        ("train.minutes=null", "train.steps and train.minutes: both are empty, so training would never end; give one"),
        ("train.keep=0", "train.keep=0: give a finite number at least 1"),
        ("genome", "genome: is not key=value; for example train.minutes=5 or model=tiny"),
        ("data.path=${HOME}", "data.path=${HOME}: interpolation is not supported; write the value"),
        ("optim.lr=${seed}", "optim.lr=${seed}: interpolation is not supported; write the value"),
    ],
)
def test_a_bad_value_is_one_line(override, told):
    assert refusal(override) == told


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["data.bed=a.bed", "data.split=contig"], "data.split=contig: contradicts data.bed; leave one out"),
        (["data.bed=a.bed", "data.valid=a", "data.test=b"], "data.bed: contradicts data.valid and data.test"),
        (
            ["data.valid=a", "data.test=b", "data.split=blocks"],
            "data.split=blocks: contradicts data.valid and data.test",
        ),
        (["data.valid=a,b", "data.test=b,c"], "data.valid and data.test: both hold b; name each contig once"),
        (["data.split=contig", "data.gap=512"], "data.gap: parts the blocks of data.split=blocks"),
        (
            ["time_conditioning=true", "model.adaln=false"],
            "time_conditioning=true: the noise level enters through adaptive",
        ),
        (["estimator=time", "noise=geometric", "noise.sigma_min=0"], "noise.sigma_min=0: the geometric schedule needs"),
        (["estimator=time", "noise=cosine", "noise.eps=0"], "noise.eps=0: the cosine schedule needs an eps above 0"),
        (["estimator=time", "noise.sigma_min=30"], "noise.sigma_min=30: must be below noise.sigma_max=20"),
    ],
)
def test_values_that_contradict_each_other_are_refused(overrides, told):
    assert refusal(*overrides).startswith(told)


@pytest.mark.parametrize(
    "override",
    [
        "model._target_=os.system",
        "_target_=os.system",
        "hydra.run.dir=x",
        "+model.x=1",
        "++seed=1",
        "~seed",
        "~seed=1",
        "model/a=b",
    ],
)
def test_nothing_of_hydra_leaks_through(override):
    refusal(override)


def test_a_section_is_not_a_value():
    assert refusal("train=3").startswith("train: is a section, not a value; it holds train.steps, ")


def test_plain_json_and_back_is_the_same():
    for overrides in (
        [],
        ["experiment=demo"],
        ["estimator=time", "noise=geometric", "optim.lr=1e-5", "data.path=a b.fa"],
    ):
        config = compose(overrides)
        assert from_json(json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"modle": {"length": 3}}, "modle.length: unknown key; did you mean model.length?"),
        ({"optim": {"lr": "fast"}}, "optim.lr=fast: expected a number, such as 3e-4"),
        (
            {"data": {"path": "${oc.env:HOME}"}},
            "data.path=${oc.env:HOME}: interpolation is not supported; write the value",
        ),
        ({"model": {"length": -1}}, "model.length=-1: give a finite number at least 4"),
    ],
)
def test_json_is_checked_like_overrides(values, told):
    with pytest.raises(InputError, match=re.escape(told)):
        from_json(values)


def test_what_one_reading_sets_is_not_there_in_the_next():
    assert from_json({"optim": {"lr": 0.5}}).optim.lr == 0.5
    assert from_json({}) == Config()


def test_overrides_are_not_written_to():
    overrides = ["model=tiny", "data.valid=a,b", "data.test=c"]
    compose(overrides)
    assert overrides == ["model=tiny", "data.valid=a,b", "data.test=c"]
    assert compose([]) == compose([]) and isinstance(compose([]), Config)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.minutes=7", "experiment=demo", "model=tiny", "optim.betas=[0.9,0.95]", "data.path=null"],
        ["estimator=time", "noise=cosine", "model.adaln=true", "model.length=64"],
    ],
)
def test_keys_set_after_the_presets_give_what_hydra_composes_in_one_go(overrides):
    first = compose([word for word in overrides if word.startswith(("experiment", "model=", "noise=", "estimator"))])
    ConfigStore.instance().store(name="schema", node=Config)
    with hydra.initialize_config_dir(str(configs_folder().resolve()), version_base="1.3"):
        whole = OmegaConf.to_object(hydra.compose("config", overrides=overrides))
    assert compose(overrides) == whole
    assert compose(overrides) != first, "the keys say something"
