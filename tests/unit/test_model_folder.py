"""Model folders: what is written is what is read, and what was damaged is refused with one line."""

import hashlib
import json
import random
import shutil
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

import dnadiff
from dnadiff.checkpoints import folder as folders
from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.card import card
from dnadiff.checkpoints.folder import (
    build_denoiser,
    load,
    load_tokenizer,
    model_hash,
    read_provenance,
    read_spec,
    save_model,
)
from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from tests.oracle import BASES, MASK
from tests.tiny import SPEC, tiny_denoiser

FILES = {"model.safetensors", "config.json", "tokenizer.json", "provenance.json", "README.md", "MANIFEST.sha256"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    facts = provenance(["dna-diff", "train", "a genome.fa"], 7, {"a genome.fa": "ab" * 32})
    save_model(run / "model", tiny_denoiser(), NucleotideTokenizer(), SPEC, {**facts, "step": 120})
    return run


@pytest.fixture
def model(published, tmp_path):
    return shutil.copytree(published / "model", tmp_path / "model")


def rewrite(model, name, text):
    """Edits a file as someone would who also updates the manifest."""
    (model / name).write_text(text)
    (model / manifest.NAME).write_text(manifest.manifest_of(model))


def test_round_trip(published):
    denoiser = tiny_denoiser()
    for path in (published, published / "model", str(published)):
        loaded = load(path)
        assert not loaded.training
        x = torch.tensor([[MASK, 7, MASK]])
        assert torch.equal(loaded(x, None), denoiser(x, None))
    assert dnadiff.load(published).process.mask_id == MASK
    assert read_spec(published) == SPEC
    assert load_tokenizer(published).fingerprint() == NucleotideTokenizer().fingerprint()
    assert read_provenance(published)["step"] == 120


def test_files_and_manifest(published):
    model = published / "model"
    assert {path.name for path in model.iterdir()} == FILES
    sums = manifest.read_manifest(model)
    assert set(sums) == FILES - {"MANIFEST.sha256"}
    for name, digest in sums.items():
        assert hashlib.sha256((model / name).read_bytes()).hexdigest() == digest
    assert model_hash(published) == sums["model.safetensors"]
    checked = subprocess.run(["sha256sum", "--check", "--strict", "MANIFEST.sha256"], cwd=model, capture_output=True)
    assert checked.returncode == 0


def test_provenance_and_card(published):
    facts = read_provenance(published)
    assert facts["command"] == "dna-diff train 'a genome.fa'"
    assert facts["seed"] == 7 and facts["inputs"] == {"a genome.fa": "ab" * 32}
    assert facts["versions"]["torch"] == torch.__version__
    card = (published / "model" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: dnadiff\n")
    for fact in ("step | 120", "dna-diff train 'a genome.fa'", "ab" * 32, "windows of 16 bases"):
        assert fact in card


def test_every_bit_flip_is_noticed(model):
    rng = random.Random(0)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        clean = (model / name).read_bytes()
        for _ in range(20):
            place = rng.randrange(len(clean) * 8)
            bad = bytearray(clean)
            bad[place // 8] ^= 1 << place % 8
            (model / name).write_bytes(bad)
            with pytest.raises(InputError, match=r"damaged") as caught:
                load(model)
            assert name in str(caught.value) and "\n" not in str(caught.value)
        (model / name).write_bytes(clean[: len(clean) // 2])
        with pytest.raises(InputError, match="damaged"):
            load(model)
        (model / name).write_bytes(clean)
    load(model)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "MANIFEST.sha256"])
def test_missing_files(model, name):
    (model / name).unlink()
    with pytest.raises(InputError, match=name):
        load(model)


@pytest.mark.parametrize("line", ["gibberish", "ab  model.safetensors", f"{'a' * 64}  ../model.safetensors"])
def test_strange_manifests(model, line):
    (model / manifest.NAME).write_text(line + "\n")
    with pytest.raises(InputError, match=r"MANIFEST\.sha256:1"):
        load(model)


def change_weights(model, change):
    weights = load_file(model / "model.safetensors")
    change(weights)
    save_file(weights, model / "model.safetensors")
    (model / manifest.NAME).write_text(manifest.manifest_of(model))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda w: w.pop("vocab_embed.embedding"), "lacks vocab_embed.embedding"),
        (lambda w: w.update(surprise=torch.zeros(1)), "has surprise"),
        (lambda w: w.update({"output_layer.linear.bias": torch.zeros(13)}), r"output_layer.linear.bias is F32 \[13\]"),
        (lambda w: w.update({"output_layer.linear.bias": torch.zeros(12).half()}), r"bias is F16 \[12\]; F32 \[12\]"),
    ],
)
def test_weights_that_do_not_fit(model, change, found):
    change_weights(model, change)
    with pytest.raises(InputError, match=found):
        load(model)


def test_weights_that_are_none(model):
    rewrite(model, "model.safetensors", "not tensors at all")
    with pytest.raises(InputError, match="no safetensors file"):
        load(model)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"format": 2}, "format 2"),
        ({"head": {"name": "mean"}}, "load_predictor"),
        ({"backbone": {"name": "dti"}}, "did you mean dit"),
        ({"backbone": {**SPEC["backbone"], "depth": 3}}, "depth"),
        ({"backbone": None}, "backbone"),
        ({"parameterization": {"name": "subs", "mask_id": 3, "allowed": [7, 12]}}, "vocab_size=12"),
        ({"process": {"name": "absorbing", "schedule": {"name": "os.system"}}}, "loglinear"),
        ({"process": {"name": "absorbing", "schedule": {"name": "cosine", "eps": 0.1, "beta": 1}}}, "beta"),
    ],
)
def test_specs_that_cannot_be_built(model, change, found):
    rewrite(model, "config.json", json.dumps({**SPEC, **change}))
    with pytest.raises(InputError, match=found) as caught:
        load(model)
    assert "\n" not in str(caught.value)


def test_absurd_sizes_are_refused_before_they_are_allocated(model):
    huge = {**SPEC, "backbone": {**SPEC["backbone"], "hidden_size": 2**20, "n_heads": 2**10}}
    rewrite(model, "config.json", json.dumps(huge))
    with pytest.raises(InputError, match="would work"):
        load(model)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_config_that_is_not_an_object(model, text):
    rewrite(model, "config.json", text)
    with pytest.raises(InputError, match=r"config\.json"):
        load(model)


def test_places_without_a_model(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds neither"):
        load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="not published"):
        load(tmp_path)


def test_replacing_is_all_or_nothing(model, monkeypatch):
    before = model_hash(model)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "save_file", full)
    with pytest.raises(dnadiff.errors.ResourceError, match="No space"):
        save_model(model, tiny_denoiser(1), NucleotideTokenizer(), SPEC, {})
    assert model_hash(model) == before
    assert [path.name for path in model.parent.iterdir()] == ["model"], "nothing half-written is left"
    monkeypatch.undo()
    save_model(model, tiny_denoiser(1), NucleotideTokenizer(), SPEC, {})
    assert model_hash(model) != before


def test_saving_weights_that_are_not_the_specs(tmp_path):
    other = {**SPEC, "backbone": {**SPEC["backbone"], "n_blocks": 2}}
    with pytest.raises(InputError, match="lacks"):
        save_model(tmp_path / "model", tiny_denoiser(), NucleotideTokenizer(), other, {})
    assert not list(tmp_path.iterdir())


def test_equal_models_give_equal_bytes(model, tmp_path):
    save_model(tmp_path / "again", tiny_denoiser(), NucleotideTokenizer(), SPEC, read_provenance(model))
    assert manifest.read_manifest(tmp_path / "again") == manifest.read_manifest(model)


def test_provenance_beside_an_output(tmp_path):
    write_provenance(tmp_path / "x.fa", {"seed": 3})
    assert json.loads((tmp_path / "x.fa.provenance.json").read_text()) == {"seed": 3}


def test_build_denoiser_takes_the_spec_at_its_word():
    denoiser = build_denoiser(
        {
            **SPEC,
            "time_conditioning": True,
            "process": {"name": "absorbing", "schedule": {"name": "cosine", "eps": 0.1}},
        }
    )
    assert denoiser.time_conditioning and denoiser.process.schedule.eps == 0.1
    assert denoiser.parameterization.allowed == BASES and denoiser.process.mask_id == MASK


def test_the_card_of_a_model_of_pairs_names_commands_that_take_it(tmp_path):
    spec = {**SPEC, "pairs": {"source_length": None}}
    save_model(tmp_path / "m", tiny_denoiser(), NucleotideTokenizer(), spec, {})
    text = (tmp_path / "m" / "README.md").read_text()
    assert "dna-diff sample FOLDER --pairs sources.tsv" in text and "synthetic.fa" not in text


@pytest.mark.parametrize(
    ("algo", "title", "gives"),
    [
        ("mdlm", "# A discrete diffusion model of DNA", "that is not known given those that are."),
        ("ar", "# An autoregressive model of DNA", "given those before it."),
        ("bd3lm", "# A block diffusion model of DNA", "that are and all before it."),
        ("udlm", "# A discrete diffusion model of DNA", "any of them may be false."),
        ("mlm", "# A masked language model of DNA", "that is not known given those that are."),
    ],
)
def test_the_card_says_what_its_method_gives(algo, title, gives):
    text = card({**SPEC, "algo": algo}, {}, 12)
    assert title in text and gives in text
    assert ("masked-diffusion" in text) == (algo == "mdlm")
