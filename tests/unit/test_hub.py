"""Models by path or by name on the hub; tests reach no network, so the hub is asked without one."""

import sys

import pytest
import torch

import dnadiff
from dnadiff.checkpoints import hub
from dnadiff.checkpoints.folder import load, read_provenance, read_spec, save_model
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from tests.oracle import MASK
from tests.tiny import SPEC, tiny_denoiser


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "run" / "model", tiny_denoiser(), NucleotideTokenizer(), SPEC, {"step": 7})
    return tmp_path / "run"


def test_round_trip(model, tmp_path):
    pretrained = dnadiff.Pretrained.from_pretrained(model)
    pretrained.save_pretrained(tmp_path / "copy")
    again = dnadiff.Pretrained.from_pretrained(str(tmp_path / "copy"))
    x = torch.tensor([[MASK, 7, MASK]])
    assert torch.equal(again.denoiser(x, None), tiny_denoiser()(x, None))
    assert (again.spec, again.provenance) == (pretrained.spec, pretrained.provenance) == (SPEC, {"step": 7})
    assert again.tokenizer.fingerprint() == NucleotideTokenizer().fingerprint()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "MANIFEST.sha256"):
        assert (tmp_path / "copy" / name).read_bytes() == (model / "model" / name).read_bytes()


def test_changed_weights_are_saved_and_changed_shapes_refused(model, tmp_path):
    pretrained = dnadiff.Pretrained.from_pretrained(model)
    with torch.no_grad():
        pretrained.denoiser.backbone.output_layer.linear.bias.add_(1.0)
    pretrained.save_pretrained(tmp_path / "copy")
    assert torch.equal(
        load(tmp_path / "copy").backbone.output_layer.linear.bias, pretrained.denoiser.backbone.output_layer.linear.bias
    )
    pretrained.denoiser.backbone.vocab_embed.embedding = torch.nn.Parameter(torch.zeros(13, 16))
    with pytest.raises(InputError, match="vocab_embed"):
        pretrained.save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_only_plain_files_are_fetched_and_loaded(model, monkeypatch):
    asked = {}

    def snapshot_download(repo_id, **kwargs):
        asked.update(kwargs, repo_id=repo_id)
        return str(model / "model")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    loaded = dnadiff.Pretrained.from_pretrained("some-one/dna.model", revision="v1")
    assert loaded.spec == SPEC
    assert asked == {
        "repo_id": "some-one/dna.model", "revision": "v1",
        "allow_patterns": ["*.safetensors", "*.json", "MANIFEST.sha256"],
    }  # fmt: skip


def test_a_name_without_network_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="some-one/model: no such folder, and the hub did not give it") as caught:
        dnadiff.Pretrained.from_pretrained("some-one/model")
    assert "\n" not in str(caught.value)
    assert main(["convert", "some-one/model", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_name_without_the_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        dnadiff.Pretrained.from_pretrained("some-one/model")


@pytest.mark.parametrize("source", ["nowhere", "../up", "a/b/c", "/absolute/path", "a b/c", "-x/y"])
def test_what_is_no_name_is_a_path(source):
    assert str(hub.fetched(source)) == source
    with pytest.raises(InputError, match="no such folder"):
        dnadiff.Pretrained.from_pretrained(source)


def test_a_revision_belongs_to_the_hub(model):
    with pytest.raises(InputError, match="revision=v1: belongs to a name on the hub"):
        dnadiff.Pretrained.from_pretrained(model, revision="v1")


def test_a_folder_wins_over_a_name(model, monkeypatch):
    monkeypatch.chdir(model.parent)
    assert read_spec("run/model") == dnadiff.Pretrained.from_pretrained("run/model").spec
    assert read_provenance("run/model") == {"step": 7}
