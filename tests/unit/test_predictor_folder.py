"""Folders of fine-tuned models: written and read back, told from denoisers, and refused when they are damaged."""

import json
import shutil

import numpy as np
import pytest
import torch

import dnadiff
from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.folder import build_denoiser, save_model
from dnadiff.checkpoints.predictor import frame_of, load_predictor, pattern_of, predictions, save_predictor
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from tests import tiny
from tests.labels import SPEC, tiny_predictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    save_predictor(path, tiny_predictor(), SPEC, {"step": 7})
    return path


def test_a_folder_gives_the_same_predictions(folder):
    model, codes = dnadiff.load_predictor(folder), np.array([0, 1, 2, 3, 3], dtype=np.uint8)
    assert (model.kind, model.names, model.frame) == ("class", ("no", "yes"), frame_of(SPEC))
    wanted = predictions(tiny_predictor(), model.frame, [codes])
    assert np.array_equal(model.predict(["acgut"]), wanted) and np.array_equal(model.predict([codes]), wanted)
    both = predictions(tiny_predictor(), model.frame, [codes], both_strands=True)
    assert np.array_equal(model.predict(["ACGTT"], both_strands=True), both)
    told = []
    model.predict(["ACGTT"] * 5, batch_size=2, progress=told.append)
    assert told == [2, 2, 1]


def test_numbers_come_back_in_their_units(tmp_path):
    readout = {"name": "regression", "mean": [5.0, 0.0], "deviation": [2.0, 1.0]}
    spec = {**SPEC, "readout": readout, "labels": {**SPEC["labels"], "names": ["a", "b"], "both_strands": True}}
    predictor = tiny_predictor(readout=readout)
    save_predictor(tmp_path / "m", predictor, spec, {})
    outputs = predictions(predictor, frame_of(spec), [np.array([0, 1], dtype=np.uint8)], both_strands=True)
    assert np.array_equal(load_predictor(tmp_path / "m").predict(["AC"]), outputs)


@pytest.mark.parametrize(
    ("sequence", "told"),
    [
        ("", "sequence 2: found no A, C, G or T; one base or more would work"),
        ("NNN", "sequence 2: found no A, C, G or T; one base or more would work"),
        ("ACX", "sequence 2: position 3: found 'X', a protein letter"),
        ("A" * 17, "sequence 2: found 17 bases; 16, the most this model reads, would work"),
    ],
)
def test_sequences_that_cannot_be_read_are_refused(folder, sequence, told):
    with pytest.raises(InputError, match=told):
        load_predictor(folder).predict(["ACGT", sequence])


def test_a_predictor_is_no_denoiser_and_the_other_way_round(folder, tmp_path):
    with pytest.raises(InputError, match="is a fine-tuned model, not a denoiser; dna-diff predict"):
        dnadiff.load(folder)
    save_model(tmp_path / "d", build_denoiser(tiny.SPEC), NucleotideTokenizer(), tiny.SPEC, {})
    with pytest.raises(InputError, match="is a denoiser, not a fine-tuned model; what finetune makes of it"):
        load_predictor(tmp_path / "d")


def edited(folder, new, change):
    shutil.copytree(folder, new)
    spec = json.loads((new / "config.json").read_text())
    change(spec)
    (new / "config.json").write_text(json.dumps(spec))
    (new / manifest.NAME).write_text(manifest.manifest_of(new))
    return new


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s["head"].update(outputs=3), r"config.json: found 2 labels.names; one an output, 3, would work"),
        (
            lambda s: s["head"].update(width=10**9),
            r"config.json: found head\.width=1,000,000,000, but",
        ),
        (lambda s: s["head"].update(width=8), r"model\.safetensors: head\.linear\.weight is F32 \[2, 16\]"),
        (lambda s: s["head"].update(pooling="max"), r"config.json: pooling=max: "),
        (lambda s: s["head"].update(dropout="a"), r"config.json: head\.dropout: found 'a'; a finite number"),
        (lambda s: s["readout"].update(name="clas"), r"config.json: found readout\.name='clas'; did you mean class"),
        (lambda s: s["pattern"].update(name="none"), r"config.json: pattern\.name=none: there are: full, block_causal"),
        (
            lambda s: s["labels"].update(names="ab"),
            r"config.json: found labels\.names='ab'; the file as it was",
        ),
        (lambda s: s["labels"].update(names=[1, 2]), r"config.json: found 2 labels\.names; one an output"),
        (lambda s: s.pop("labels"), r"labels: found None in the spec"),
        (lambda s: s.update(length=0), r"config.json: found length=0"),
    ],
)
def test_a_spec_that_describes_no_predictor_is_refused(folder, tmp_path, change, told):
    with pytest.raises(InputError, match=told) as caught:
        load_predictor(edited(folder, tmp_path / "m", change))
    assert "\n" not in str(caught.value)


def test_the_card_says_how_to_use_it(folder):
    text = (folder / "README.md").read_text()
    assert "one of the classes no, yes" in text and "dna-diff predict FOLDER" in text and "| step | 7 |" in text


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({}, {"name": "full"}),
        ({"block_size": 4}, {"name": "block_causal", "block_size": 4}),
        ({"parameterization": {"name": "next_token"}}, {"name": "block_causal", "block_size": 1}),
    ],
)
def test_a_backbone_keeps_the_attention_it_was_trained_with(changes, pattern):
    assert pattern_of({**tiny.SPEC, **changes}) == pattern


def test_weights_are_stored_as_float32(tmp_path):
    save_predictor(tmp_path / "m", tiny_predictor().to(torch.float64), SPEC, {})
    assert {p.dtype for p in load_predictor(tmp_path / "m").predictor.parameters()} == {torch.float32}
