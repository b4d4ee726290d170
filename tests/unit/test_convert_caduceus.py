"""Published folders of Caduceus: converted weights give the published logits, and what does not fit is named."""

import json

import pytest
import torch

from dnadiff.checkpoints.folder import load, load_tokenizer, read_provenance, read_spec
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.convert import convert
from tests.published_caduceus import LAYERS, WIDTH, published_logits, published_weights, write_folder
from tests.runs import run, write_genome

X = torch.tensor([[7, 8, 3, 10, 10, 11, 3, 9, 8, 7, 7], [9, 3, 3, 8, 7, 10, 9, 9, 3, 10, 8]])
BOTH = pytest.mark.parametrize("rcps", [False, True], ids=["ph", "ps"])


def refusal(tmp_path, source, **options):
    """The line with which a folder is refused; nothing is written."""
    with pytest.raises(InputError) as caught:
        convert(str(source), str(tmp_path / "refused"), **options)
    assert not (tmp_path / "refused").exists() and "\n" not in str(caught.value)
    return str(caught.value)


def with_seconds(weights):
    """The weights with every shared one under its second name too."""
    more = dict(weights)
    for name, value in weights.items():
        if "mamba_fwd.in_proj" in name or "mamba_fwd.out_proj" in name:
            more[name.replace("mamba_fwd", "mamba_rev")] = value.clone()
        if "word_embeddings" in name and name.endswith("weight"):
            more["lm_head.lm_head.weight" if "embedding.weight" in name else "lm_head.weight"] = value.clone()
    assert len(more) == len(weights) + 2 * LAYERS + 1
    return more


@BOTH
def test_a_folder_gives_the_published_logits(tmp_path, rcps, capsys):
    weights = published_weights(rcps)
    source = write_folder(tmp_path / "published", weights, rcps=rcps)
    folder = convert(str(source), str(tmp_path / "model"))
    denoiser = load(folder)
    with torch.no_grad():
        ours = denoiser.backbone.double()(X, torch.zeros(2))
    torch.testing.assert_close(ours, published_logits(weights, X, rcps)[..., :12], atol=1e-10, rtol=0)
    assert isinstance(load_tokenizer(folder), NucleotideTokenizer) and "warning" not in capsys.readouterr().err
    spec = read_spec(folder)
    assert (spec["algo"], spec["length"], "rc" in spec["backbone"]) == ("mlm", 1024, rcps)
    assert read_provenance(folder)["converted from"] == f"caduceus-{'ps' if rcps else 'ph'} folder"


@BOTH
def test_shared_weights_may_be_stored_twice_in_any_type_and_file(tmp_path, rcps):
    weights = published_weights(rcps)
    want = load(convert(str(write_folder(tmp_path / "a", weights, rcps=rcps)), str(tmp_path / "model"))).state_dict()
    twice = with_seconds(weights)
    for number, stored in enumerate((twice, {name: value.clone() for name, value in twice.items()})):
        source = write_folder(tmp_path / f"b{number}", stored, rcps=rcps)
        if number:
            (source / "model.safetensors").unlink()
            torch.save(stored, source / "pytorch_model.bin")
        got = load(convert(str(source), str(tmp_path / f"model{number}"))).state_dict()
        assert got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)
    half = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    got = load(convert(str(write_folder(tmp_path / "c", half, rcps=rcps)), str(tmp_path / "half"))).state_dict()
    name = next(name for name in want if name.endswith("x_proj.weight"))
    assert torch.equal(got[name], want[name].half().float())


def test_it_is_sampled_and_diffusion_begins_with_it(tmp_path, capsys):
    source = write_folder(tmp_path / "published", published_weights(rcps=True))
    (source / "tokenizer_config.json").write_text('{"model_max_length": 32}')
    folder = convert(str(source), str(tmp_path / "model"), tokenizer="nucleotide")
    capsys.readouterr()
    assert main(["sample", str(folder), "-n", "2", "--seed", "1", "-q"]) == 0
    sequences = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(">")]
    assert [len(line) for line in sequences] == [32, 32] and set("".join(sequences)) <= set("ACGT")
    tuned = run(
        write_genome(tmp_path / "g.fa"), tmp_path / "run", model="caduceus", model__hidden_size=WIDTH,
        model__n_blocks=LAYERS, model__n_heads=4, init_from=folder, optim__lr=1e-12, optim__lr_min=0, train__steps=1,
    )  # fmt: skip
    own, theirs = load(tuned).state_dict(), load(folder).state_dict()
    assert (
        all(torch.allclose(own[name], theirs[name], atol=1e-6) for name in theirs)
        and read_spec(tuned)["algo"] == "mdlm"
    )


def test_an_unsaid_length_is_taken_and_told(tmp_path, capsys):
    source = write_folder(tmp_path / "published", published_weights(rcps=False), rcps=False)
    (source / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    folder = convert(str(source), str(tmp_path / "model"))
    assert read_spec(folder)["length"] == 1024
    assert "warning      it does not say how long its windows were: taken to be 1,024" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bidirectional": False}, "bidirectional=False; True would work"),
        ({"bidirectional_strategy": "ew_multiply"}, "bidirectional_strategy=ew_multiply; add would work"),
        ({"bidirectional_weight_tie": False}, "bidirectional_weight_tie=False"),
        ({"rms_norm": False}, "rms_norm=False"),
        ({"ssm_cfg": {"d_state": 8}}, "ssm_cfg.d_state=8; 16 would work"),
        ({"ssm_cfg": {"bias": 0}}, "ssm_cfg.bias=0; False would work"),
        ({"norm_epsilon": 1e-6}, "norm_epsilon=1e-06"),
        ({"complement_map": None}, "does not pair A 7 with T 10"),
        ({"complement_map": {str(i): i for i in range(16)}}, "does not pair A 7 with T 10"),
        ({"d_model": None}, "lacks d_model"),
        ({"n_layer": 3}, "lacks backbone.layers.2."),
        ({"n_layer": 1}, "has backbone.layers.1."),
        ({"d_model": 24}, "would work"),
        ({"rcps": "yes"}, "rcps=yes"),
        ({"model_type": "mamba"}, "model_type=mamba; mdlm, bd3lm, caduceus, llama, gpt2, bert and roberta would work"),
    ],
    ids=str,
)
def test_configurations_that_do_not_fit_are_refused_by_their_key(tmp_path, change, told):
    assert told in refusal(tmp_path, write_folder(tmp_path / "a", published_weights(rcps=True), **change))


def test_weights_that_do_not_fit_are_named(tmp_path):
    weights = published_weights(rcps=True)
    layer = "caduceus.backbone.layers.0.mixer.submodule"
    less = {name: value for name, value in weights.items() if not name.endswith("norm_f.weight")}
    assert "lacks backbone.norm_f.weight (1 missing)" in refusal(tmp_path, write_folder(tmp_path / "a", less))
    more = {**weights, "score.weight": torch.zeros(2, WIDTH)}
    assert "has backbone.score.weight (1 too many)" in refusal(tmp_path, write_folder(tmp_path / "b", more))
    other = with_seconds(weights)
    other[f"{layer}.mamba_rev.in_proj.weight"] = other[f"{layer}.mamba_rev.in_proj.weight"] + 1
    line = refusal(tmp_path, write_folder(tmp_path / "c", other))
    assert "layers.0.mixer.mamba_rev.in_proj.weight is not the weight it is shared with" in line
    head = with_seconds(weights)
    head["lm_head.lm_head.weight"] = head["lm_head.lm_head.weight"] * 2
    assert "lm_head.weight is not the weight it is shared with" in refusal(tmp_path, write_folder(tmp_path / "d", head))
    rows = {**weights, "caduceus.backbone.embeddings.word_embeddings.embedding.weight": torch.zeros(24, WIDTH)}
    assert "has 24 tokens; Caduceus's 12 tokens, padded to 16 or not" in refusal(
        tmp_path, write_folder(tmp_path / "e", rows)
    )
    doubled = {**weights, f"{layer}.in_proj.weight": torch.zeros(1)}
    assert "has layers.0.mixer.in_proj.weight twice" in refusal(tmp_path, write_folder(tmp_path / "f", doubled))
    empty = write_folder(tmp_path / "g", weights)
    (empty / "model.safetensors").unlink()
    assert "has neither model.safetensors nor pytorch_model.bin" in refusal(tmp_path, empty)


def test_another_tokenizer_is_refused(tmp_path):
    source = write_folder(tmp_path / "a", published_weights(rcps=True))
    (tmp_path / "ids").mkdir()
    (tmp_path / "ids" / "tokenizer.json").write_text(json.dumps({"name": "ids", "vocab_size": 12, "mask_id": 3}))
    assert "reads nucleotides; leave it out" in refusal(tmp_path, source, tokenizer=str(tmp_path / "ids"))
    assert "holds one set of weights" in refusal(tmp_path, source, weights="raw")
