"""A fine-tuned model as a classifier of a sampler's rows: what ``predict`` says of the same half-hidden bases."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dnadiff.checkpoints.class_guide import class_guide
from dnadiff.checkpoints.predictor import FineTuned, frame_of
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from tests.labels import SPEC, tiny_predictor
from tests.oracle import BOS, MASK, VOCAB

CODES = [np.array(row, dtype=np.uint8) for row in ([0, 5, 2, 3, 5, 5, 1], [5, 5, 5, 5, 5, 5, 5], [3, 3, 0, 1, 2, 2, 0])]
TOKENS = torch.from_numpy(np.stack([NucleotideTokenizer.from_codes[codes] for codes in CODES]))
POSITIONS = {"head": {**SPEC["head"], "pooling": "positions", "length": 16}}


def tuned(kind="class", names=("no", "yes"), both_strands=False, masked=True, **changes):
    changes = {"readout": {"name": kind}, **changes}
    return FineTuned(tiny_predictor(**changes), frame_of({**SPEC, **changes}), kind, names, both_strands, masked=masked)


MODELS = {
    "classes": tuned(),
    "labels": tuned("multilabel"),
    "both strands averaged": tuned(both_strands=True),
    "weights for every position": tuned(**POSITIONS),
    "reads [BOS]": tuned(bos=True, **POSITIONS),
    "both": tuned("multilabel", both_strands=True, bos=True, **POSITIONS),
}


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_it_says_what_predict_says(name, lead):
    model, x = MODELS[name], F.pad(TOKENS, (lead, 0), value=BOS)
    for column, label in enumerate(model.names):
        guide = class_guide(model, label, lead=lead)
        want = torch.from_numpy(model.predict(CODES)[:, column]).float()
        with torch.no_grad():
            torch.testing.assert_close(guide(x).exp(), want, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(guide(F.one_hot(x, VOCAB).float()), guide(x))
            torch.testing.assert_close(guide(F.one_hot(x, VOCAB + 4).float()), guide(x))


def test_tokens_that_are_no_bases_are_shown_as_masks():
    guide = class_guide(MODELS["classes"], "yes")
    strange = TOKENS.clone()
    strange[TOKENS == MASK] = torch.tensor([NucleotideTokenizer.n_id, NucleotideTokenizer.sep_id, 13]).repeat(4)[:10]
    with torch.no_grad():
        assert torch.equal(guide(strange), guide(TOKENS))


def test_what_cannot_guide_is_refused():
    numbers = tuned(
        names=("a", "b"), kind="regression", readout={"name": "regression", "mean": [0, 0], "deviation": [1, 1]}
    )
    for model, label, told in (
        (numbers, "a", "found a predictor of kind regression; one of class or multilabel would work"),
        (tuned(masked=False), "yes", "finetune with data.masked=true would work"),
        (tuned(), "yess", "label yess: did you mean yes"),
    ):
        with pytest.raises(InputError, match=told):
            class_guide(model, label)
    with pytest.raises(InputError, match="found rows of 17 bases; 16, the most this classifier reads"):
        class_guide(tuned(), "yes")(torch.full((1, 17), MASK))
