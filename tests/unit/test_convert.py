"""What ``dna-diff convert`` makes of tokenizers and configurations, and what it refuses by name."""

import json
import sys
import types

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel

from dnadiff.checkpoints.folder import build_objective, load, load_tokenizer, read_spec
from dnadiff.checkpoints.upstream_spec import pickled_settings
from dnadiff.cli import main
from dnadiff.data.tokenizers import IdsTokenizer, NucleotideTokenizer, tokenizer_from_json
from dnadiff.errors import InputError
from dnadiff.recipes.convert import convert
from tests.foreign import IDS, bd3lm_as_pickled, lightning, mdlm_config, state_dict, weights

NUCLEOTIDES = {token: i for i, token in enumerate(NucleotideTokenizer.tokens)}


def refusal(tmp_path, source, *flags):
    """The line with which a checkpoint is refused; nothing is written."""
    out = tmp_path / "refused"
    with pytest.raises(InputError) as caught:
        convert(str(source), str(out), **dict(flags))
    assert not out.exists() and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def foreign_class(monkeypatch):
    """Makes a class of a library that is not there when the checkpoint is read."""

    def make(library, name):
        module = types.ModuleType(library)
        kind = type(name, (), {"__module__": library})
        setattr(module, name, kind)
        monkeypatch.setitem(sys.modules, library, module)
        return kind

    return make


def test_a_slow_nucleotide_tokenizer_is_recognised(tmp_path, foreign_class, capsys):
    tokenizer = foreign_class("tokenization_caduceus", "CaduceusTokenizer")()
    tokenizer.__dict__ |= {"_vocab_str_to_int": NUCLEOTIDES, "_mask_token": AddedToken("[MASK]")}
    convert(str(lightning(tmp_path / "a.ckpt", tokenizer=tokenizer)), str(tmp_path / "model"))
    assert isinstance(load_tokenizer(tmp_path / "model"), NucleotideTokenizer)
    assert load(tmp_path / "model").process.mask_id == 3
    assert "warning" not in capsys.readouterr().err
    assert main(["sample", str(tmp_path / "model"), "-n", "2", "--seed", "1", "-q"]) == 0
    sequences = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(">")]
    assert [len(line) for line in sequences] == [32, 32] and set("".join(sequences)) <= set("ACGT")


def test_a_fast_nucleotide_tokenizer_is_recognised(tmp_path, foreign_class):
    tokenizer = foreign_class("tokenization_utils_fast", "PreTrainedTokenizerFast")()
    inside = Tokenizer(WordLevel({token: i for token, i in NUCLEOTIDES.items() if i > 6}, unk_token="[UNK]"))
    inside.add_special_tokens([token for token, i in NUCLEOTIDES.items() if i < 7])
    tokenizer.__dict__ |= {"_tokenizer": inside, "_special_tokens_map": {"mask_token": "[MASK]"}}
    convert(str(lightning(tmp_path / "a.ckpt", tokenizer=tokenizer)), str(tmp_path / "model"))
    found = load_tokenizer(tmp_path / "model")  # added tokens were numbered behind the bases: ids, and the right mask
    assert isinstance(found, IdsTokenizer) and found.mask_id == inside.token_to_id("[MASK]")
    inside = Tokenizer(WordLevel(NUCLEOTIDES, unk_token="[UNK]"))
    tokenizer.__dict__["_tokenizer"] = inside
    convert(str(lightning(tmp_path / "b.ckpt", tokenizer=tokenizer)), str(tmp_path / "nucleotides"))
    assert isinstance(load_tokenizer(tmp_path / "nucleotides"), NucleotideTokenizer)


def test_without_a_tokenizer_the_model_handles_ids_with_one_warning(tmp_path, capsys):
    source = lightning(tmp_path / "a.ckpt", tokenizer=None)
    convert(str(source), str(tmp_path / "model"))
    assert capsys.readouterr().err.count("warning") == 1
    assert load_tokenizer(tmp_path / "model").to_json() == {
        "name": "ids", "vocab_size": 12, "mask_id": 3, "pad_id": None, "bos_id": None, "sep_id": None,
    }  # fmt: skip
    assert main(["sample", str(tmp_path / "model")]) == 2
    assert "has a tokenizer of ids; one of nucleotides would work" in capsys.readouterr().err


def test_a_tokenizer_can_be_given(tmp_path, capsys):
    source = lightning(tmp_path / "a.ckpt")
    (tmp_path / "dna").mkdir()
    (tmp_path / "dna" / "tokenizer.json").write_text(json.dumps({"model": {"vocab": NUCLEOTIDES}}))
    for number, given in enumerate(("nucleotide", str(tmp_path / "dna"))):
        out = tmp_path / f"model{number}"
        convert(str(source), str(out), tokenizer=given)
        assert isinstance(load_tokenizer(out), NucleotideTokenizer)
    convert(str(source), str(tmp_path / "again"), tokenizer=str(tmp_path / "model0"))
    assert isinstance(load_tokenizer(tmp_path / "again"), NucleotideTokenizer)
    assert "warning" not in capsys.readouterr().err


def test_tokenizers_that_do_not_fit_are_refused(tmp_path):
    source, text = lightning(tmp_path / "a.ckpt"), tmp_path / "text"
    text.mkdir()
    assert "has no vocabulary that is read here; a folder with tokenizer.json" in refusal(
        tmp_path, source, ("tokenizer", str(text))
    )
    (text / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"the": 0, "cat": 1}}}))
    assert "its definition cannot be read" in refusal(tmp_path, source, ("tokenizer", str(text)))
    (text / "tokenizer.json").write_text("{")
    assert "is not JSON" in refusal(tmp_path, source, ("tokenizer", str(text)))
    other = lightning(tmp_path / "b.ckpt", tokenizer={**IDS, "mask_token_id": 11})
    line = refusal(tmp_path, other, ("tokenizer", "nucleotide"))
    assert line.startswith("--tokenizer nucleotide: has 12 tokens and mask 3, ") and " has 12 and 11;" in line
    ten = bd3lm_as_pickled(tmp_path / "c.ckpt")
    assert " has 10 and 9;" in refusal(tmp_path, ten, ("tokenizer", "nucleotide"))


def test_a_tokenizer_that_says_nothing_needs_one_given(tmp_path, foreign_class):
    mute = foreign_class("someones_library", "Tokenizer")()
    source = lightning(tmp_path / "a.ckpt", tokenizer=mute)
    line = refusal(tmp_path, source)
    assert '{"name": "ids", "vocab_size": 12, "mask_id": ID} in DIR/tokenizer.json would work' in line
    (tmp_path / "tokenizer.json").write_text('{"name": "ids", "vocab_size": 12, "mask_id": 5}')
    convert(str(source), str(tmp_path / "model"), tokenizer=str(tmp_path))
    assert load(tmp_path / "model").process.mask_id == 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"parameterization": "sed"}, "parameterization=sed"),
        ({"backbone": "dimamba"}, "backbone=dimamba"),
        ({"diffusion": "uniform"}, "diffusion=uniform"),
        ({"noise__type": "polynomial"}, "noise.type=polynomial"),
        ({"model__n_heads": "two"}, "model.n_heads=two"),
        ({"model__length": 0}, "model.length=0"),
        ({"model__n_blocks": True}, "model.n_blocks=True"),
        ({"model__hidden_size": "${model.length}"}, "model.hidden_size=${model.length}"),
        ({"model__n_heads": None}, "lacks model.n_heads"),
        ({"time_conditioning": "yes"}, "time_conditioning=yes"),
        ({"model__n_blocks": 3}, "lacks blocks.2."),
        ({"model__n_blocks": 1}, "has blocks.1."),
        ({"model__hidden_size": 32}, "would work"),
        ({"model__n_heads": 5}, "hidden_size=64, n_heads=5"),
    ],
)
def test_configurations_that_do_not_fit_are_refused_by_their_key(tmp_path, change, told):
    assert told in refusal(tmp_path, lightning(tmp_path / "a.ckpt", config=mdlm_config(**change)))


def test_missing_and_unexpected_weights_are_named(tmp_path):
    stored = state_dict()
    more = {**stored, "backbone.adapter.weight": torch.zeros(3)}
    source = lightning(tmp_path / "a.ckpt", state_dict=more)
    assert "has adapter.weight (1 too many)" in refusal(tmp_path, source, ("weights", "raw"))
    less = {name: value for name, value in stored.items() if not name.endswith("norm_final.weight")}
    source = lightning(tmp_path / "b.ckpt", state_dict=less)
    assert "lacks output_layer.norm_final.weight (1 missing)" in refusal(tmp_path, source, ("weights", "raw"))
    twice = {**stored, "vocab_embed.embedding": torch.zeros(12, 64)}
    source = lightning(tmp_path / "c.ckpt", state_dict=twice)
    assert "has vocab_embed.embedding twice" in refusal(tmp_path, source)
    none = {name: value for name, value in stored.items() if "embedding" not in name}
    source = lightning(tmp_path / "d.ckpt", state_dict=none)
    assert "lacks vocab_embed.embedding" in refusal(tmp_path, source, ("weights", "raw"))


def test_averages_that_do_not_fit_are_refused(tmp_path):
    source = lightning(tmp_path / "a.ckpt", ema=None)
    assert "has no averaged weights (NoneType); --weights raw would work" in refusal(tmp_path, source)
    shadow = list(weights("mdlm").values())
    source = lightning(tmp_path / "b.ckpt", ema={"shadow_params": shadow[1:]})
    assert "averages 29 of 30 parameters" in refusal(tmp_path, source)
    source = lightning(tmp_path / "c.ckpt", ema={"shadow_params": [*shadow[1:], shadow[0]]})
    assert "would work" in refusal(tmp_path, source)


def test_other_files_and_flags_are_refused(tmp_path):
    assert "no such file" in refusal(tmp_path, tmp_path / "nowhere.ckpt")
    (tmp_path / "text").write_text("not a checkpoint")
    assert "is no checkpoint that torch.save wrote" in refusal(tmp_path, tmp_path / "text")
    torch.save(weights("mdlm"), tmp_path / "bare.pt")
    assert "is no Lightning checkpoint of MDLM or BD3-LM" in refusal(tmp_path, tmp_path / "bare.pt")
    assert "has no config.json" in refusal(tmp_path, tmp_path)
    source = lightning(tmp_path / "a.ckpt")
    assert "--weights ema: " in refusal(tmp_path, tmp_path, ("weights", "ema"))
    assert "--weights old: ema and raw would work" in refusal(tmp_path, source, ("weights", "old"))
    with pytest.raises(InputError, match="exists and is not empty"):
        convert(str(source), str(tmp_path))


def test_folders_whose_method_is_not_known_are_refused(tmp_path):
    config = {"model_type": "bd3lm", "cross_attn": False, "time_conditioning": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "time_conditioning=True" in refusal(tmp_path, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "opt"}))
    known = "mdlm, bd3lm, caduceus, llama, gpt2, bert and roberta would work"
    assert f"model_type=opt; {known}" in refusal(tmp_path, tmp_path)


def block_config(tmp_path, algo, **top):
    values = {
        "algo": {"name": "bd3lm", "parameterization": "subs", **algo},
        "block_size": 8,
        "model": mdlm_config()["model"],
    }
    return pickled_settings({**values, **top}, tmp_path)


def test_configurations_of_block_models(tmp_path):
    assert block_config(tmp_path, {}).block_size == 8 and block_config(tmp_path, {}).bos
    assert not block_config(tmp_path, {"ignore_bos": False}).bos
    assert block_config(tmp_path, {}, block_size="${model.length}").block_size == 32
    whole = block_config(tmp_path, {"name": "mdlm"}, block_size="${model.length}")
    assert (whole.algo, whole.block_size, whole.bos) == ("mdlm", None, False)
    assert block_config(tmp_path, {"cross_attn": False}).algo == "mdlm"
    ar = block_config(tmp_path, {"name": "ar", "parameterization": "ar", "time_conditioning": True})
    assert (ar.algo, ar.parameterization["name"], ar.time_conditioning) == ("ar", "next_token", False)
    sedd = block_config(tmp_path, {"name": "sedd", "parameterization": "sedd", "time_conditioning": True})
    assert (sedd.algo, sedd.parameterization["name"], sedd.time_conditioning) == ("sedd", "sedd", True)
    assert block_config(tmp_path, {"mdlm_loss_scale": True}).schedule["eps"] == 1e-3
    assert block_config(tmp_path, {"time_conditioning": True}).schedule["eps"] == 1e-3
    with pytest.raises(InputError, match="block_size=5; a divisor of model"):
        block_config(tmp_path, {}, block_size=5)
    with pytest.raises(InputError, match="name=ssd"):
        block_config(tmp_path, {"name": "ssd"})
    with pytest.raises(InputError, match="type=log"):
        block_config(tmp_path, {"time_conditioning": True}, noise={"type": "log"})


@pytest.mark.parametrize(
    ("kind", "schedule"),
    [
        ("loglinear", {"name": "loglinear", "eps": 1e-3}),
        ("cosinesqr", {"name": "cosine_squared", "eps": 1e-3}),
        ("geometric", {"name": "geometric", "sigma_min": 1e-4, "sigma_max": 20.0}),
    ],
)
def test_noise(tmp_path, kind, schedule):
    convert(str(lightning(tmp_path / "a.ckpt", config=mdlm_config(noise__type=kind))), str(tmp_path / "model"))
    assert read_spec(tmp_path / "model")["process"]["schedule"] == schedule


@pytest.mark.parametrize(
    ("changes", "algo", "parameterization", "objective"),
    [
        ({}, "mdlm", {"name": "subs"}, {"name": "masked_nelbo", "estimator": "count"}),
        ({"T": 1000}, "mdlm", {"name": "subs"}, {"name": "discrete_nelbo", "T": 1000}),
        (
            {"parameterization": "d3pm", "T": 50, "time_conditioning": True, "subs_masking": True},
            "d3pm",
            {"name": "d3pm", "subs_masking": True},
            {"name": "discrete_nelbo", "T": 50, "reconstruction": True},
        ),
        (
            {"parameterization": "sedd", "time_conditioning": True},
            "sedd",
            {"name": "sedd"},
            {"name": "score_entropy", "estimator": "count"},
        ),
    ],
)
def test_methods_keep_their_parts(tmp_path, changes, algo, parameterization, objective):
    convert(str(lightning(tmp_path / "a.ckpt", config=mdlm_config(**changes))), str(tmp_path / "model"))
    spec, denoiser = read_spec(tmp_path / "model"), load(tmp_path / "model")
    assert spec["algo"] == algo and spec["objective"] == objective
    kept = {key: value for key, value in spec["parameterization"].items() if key not in ("mask_id", "allowed")}
    assert kept == parameterization
    assert build_objective(spec["objective"], denoiser.process) is not None


def test_ids_are_read_and_written_as_numbers():
    tokenizer = IdsTokenizer(10, 9, bos_id=0)
    assert tokenizer.encode("7 0\n9").tolist() == [7, 0, 9] and tokenizer.encode("").shape == (0,)
    assert tokenizer.decode([7, 0, 9]) == "7 0 9"
    assert tokenizer_from_json(tokenizer.to_json()).fingerprint() == tokenizer.fingerprint()
    for text in ("ACGT", "10", "-1", "²"):
        with pytest.raises(InputError, match="0 to 9 would work"):
            tokenizer.encode(text)
    for wrong in ({"vocab_size": 10}, {"vocab_size": "10", "mask_id": 9}, {"vocab_size": 10, "mask_id": 10}):
        with pytest.raises(InputError, match="would work"):
            tokenizer_from_json({"name": "ids", **wrong})


def test_a_configuration_that_repeats_its_parts_without_end_is_refused(tmp_path):
    part = [1]
    for _ in range(30):
        part = [part] * 10
    source = lightning(tmp_path / "a.ckpt", config={**mdlm_config(), "extra": part})
    assert "more than 100,000 values" in refusal(tmp_path, source)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model__dropout": float("inf")}, "model.dropout=inf; a finite number would work"),
        ({"model__hidden_size": 10**6000}, "lacks model.hidden_size"),
    ],
)
def test_numbers_beyond_those_of_a_machine_are_refused_by_their_key(tmp_path, change, told):
    assert told in refusal(tmp_path, lightning(tmp_path / "a.ckpt", config=mdlm_config(**change)))


@pytest.mark.parametrize(
    ("text", "told"),
    [('["gpt2"]', "model_type=['gpt2']; a text"), ('"mdlm", "dropout": 1' + 400 * "0", "dropout=1000")],
)
def test_odd_values_in_the_configuration_of_a_folder_are_refused(tmp_path, text, told):
    sizes = '"hidden_dim": 4, "n_blocks": 1, "n_heads": 1, "model_length": 4'
    (tmp_path / "config.json").write_text(f'{{{sizes}, "model_type": {text}}}')
    assert told in refusal(tmp_path, tmp_path)
