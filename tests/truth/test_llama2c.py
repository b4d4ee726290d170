"""llama2.c's file: the network against the same arithmetic in NumPy, the tokenizer against the plain loop."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from dnadiff.checkpoints.folder import load, load_tokenizer
from dnadiff.checkpoints.llama2c import read_llama2c
from dnadiff.cli import main
from dnadiff.data.llama_tokenizer import read_llama2c_tokenizer
from dnadiff.data.tokenizers import tokenizer_from_json
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal
from tests.llama2c import PIECES, SHAPE, arrays, logits, write, write_tokenizer

TOKENS = [1, 260, 5, 269, 5, 261, 0, 262]
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


@pytest.mark.parametrize("tied", [True, False])
def test_the_network_computes_what_llama2c_computes(tmp_path, tied):
    weights = arrays(tied=tied)
    model = read_llama2c(write(tmp_path / "model.bin", weights))
    with torch.no_grad():
        found = model.denoiser.backbone(torch.tensor([TOKENS]), torch.zeros(1), pattern=BlockCausal(1))[0]
    np.testing.assert_allclose(found[:, : SHAPE["size"]].numpy(), logits(weights, TOKENS), **CLOSE)
    assert model.denoiser.backbone.vocab_size == SHAPE["size"] + 1


def test_the_masks_row_lies_between_the_tokens_and_takes_no_id(tmp_path):
    weights = arrays()
    model = read_llama2c(write(tmp_path / "model.bin", weights))
    rows = model.denoiser.backbone.embed.weight.detach().numpy()
    np.testing.assert_array_equal(rows[:-1], weights["tok"])
    far = np.abs(rows[-1] - weights["tok"].mean(0)) / weights["tok"].std()
    assert 0 < far.max() < 0.1
    assert model.spec["parameterization"]["mask_id"] == SHAPE["size"] == model.tokenizer.mask_id


def naive(tokenizer, text):
    """The loop of llama2.c: of all neighbours, join the first of the best."""
    ids, pieces = [], {piece: i for i, piece in enumerate(tokenizer.pieces) if i > 258}
    for character in f" {text}":
        ids += [pieces[character]] if character in pieces else [3 + byte for byte in character.encode()]
    while True:
        unions = [(tokenizer.pieces[a] + tokenizer.pieces[b], i) for i, (a, b) in enumerate(pairwise(ids))]
        scored = [(tokenizer.scores[pieces[u]], i) for u, i in unions if u in pieces]
        if not scored:
            return ids
        best = max(score for score, _ in scored)
        i = next(i for score, i in scored if score == best)
        ids[i : i + 2] = [pieces[tokenizer.pieces[ids[i]] + tokenizer.pieces[ids[i + 1]]]]


def test_the_tokenizer_joins_the_best_first(tmp_path):
    tokenizer = read_llama2c_tokenizer(write_tokenizer(tmp_path / "tok.bin"), SHAPE["size"])
    shown = [[tokenizer.pieces[i] for i in tokenizer.encode(text)] for text in ("abc", "aaa", "ab", "é!")]
    assert shown == [[" a", "bc"], [" ", "aa", "a"], [" ab"], [" ", "é", "<0x21>"]]
    assert tokenizer.encoded(["abc ö"])[0].characters.tolist() == [1, 2, 1, 1, 0]
    rng = np.random.default_rng(0)
    for _ in range(200):
        text = "".join(rng.choice(list("aabbc é?"), rng.integers(0, 30)))
        assert tokenizer.encode(text).tolist() == (naive(tokenizer, text) if text else [])
        assert tokenizer.decode(tokenizer.encode(text)) == text == tokenizer.text([1, *tokenizer.encode(text)])
        assert tokenizer.encoded([text])[0].characters.sum() == len(text)


def test_the_tokenizer_survives_its_json_and_names_its_specials(tmp_path):
    tokenizer = read_llama2c_tokenizer(write_tokenizer(tmp_path / "tok.bin"), SHAPE["size"])
    again = tokenizer_from_json(tokenizer.to_json())
    assert again.fingerprint() == tokenizer.fingerprint()
    assert again.decode([1, *again.encode("ab"), again.mask_id, 2]) == "[BOS]ab[MASK][EOS]"
    with pytest.raises(InputError, match="found 271; 0 to 270 would work"):
        again.decode([271])
    with pytest.raises(InputError, match="a blank among them"):
        tokenizer_from_json({"name": "llama", "pieces": ["a"], "scores": [0.0]})
    assert len(PIECES) == SHAPE["size"] - 259


def test_convert_writes_a_model_folder(tmp_path, capsys):
    weights = arrays()
    model, words = write(tmp_path / "model.bin", weights), write_tokenizer(tmp_path / "tok.bin")
    assert main(["convert", str(model), "-o", str(tmp_path / "out"), "--tokenizer", str(words)]) == 0
    assert "warning" not in capsys.readouterr().err
    assert load_tokenizer(tmp_path / "out").name == "llama"
    with torch.no_grad():
        found = load(tmp_path / "out").backbone(torch.tensor([TOKENS]), torch.zeros(1), pattern=BlockCausal(1))[0]
    np.testing.assert_allclose(found[:, :-1].numpy(), logits(weights, TOKENS), **CLOSE)
    assert "text" in (tmp_path / "out" / "README.md").read_text()


def test_damaged_files_are_refused_in_one_line(tmp_path, capsys):
    model, words = write(tmp_path / "model.bin", arrays()), write_tokenizer(tmp_path / "tok.bin")
    whole = model.read_bytes()

    def refused(*flags):
        assert main(["convert", str(model), "-o", str(tmp_path / "out"), *flags]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and not (tmp_path / "out").exists()
        return lines[0]

    model.write_bytes(whole[:-4])
    assert f"has {len(whole) - 4:,} bytes, its header describes {len(whole):,}" in refused()
    model.write_bytes(b"24ka" + whole[4:])
    assert "version 0 would work" in refused()
    model.write_bytes(b"")
    assert "version 0 would work" in refused()
    model.write_bytes(whole)
    assert "--weights raw" in refused("--weights", "raw")
    assert "no such file" in refused("--tokenizer", str(tmp_path / "none"))
    words.write_bytes(words.read_bytes() + b"x")
    assert "1 bytes follow the last" in refused("--tokenizer", str(words))
