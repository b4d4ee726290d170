"""A file of llama2.c with its tokenizer, made a model of text in blocks: converted, scored, sampled, adapted."""

import json

import numpy as np
import pytest

from dnadiff.checkpoints.folder import load_tokenizer, read_spec
from dnadiff.cli import main
from tests.llama2c import SHAPE, arrays, logits, write, write_tokenizer

FEW = ["optim.batch_size=4", "train.val_every=100", "train.val_windows=4", "train.checkpoint_every=100"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Documents of a line each."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("texts") / "stories.txt"
    path.write_text("".join("".join(rng.choice(["ab", "c", "abc", " ", "a"], 9)).strip() + "\n" for _ in range(60)))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    place = tmp_path_factory.mktemp("source")
    model, words = write(place / "model.bin", arrays()), write_tokenizer(place / "tok.bin")
    assert main(["convert", str(model), "-o", str(place / "ar"), "--tokenizer", str(words), "-q"]) == 0
    return place / "ar"


def test_the_source_is_scored_and_sampled_as_a_model_of_text(source, texts, tmp_path):
    one = tmp_path / "one.txt"
    one.write_text("abc abc\n")
    assert main(["evaluate", str(source), str(one), "-q", "-o", str(tmp_path / "a.json")]) == 0
    row = json.loads((tmp_path / "a.json").read_text())["rows"][0]
    ids = [1, *load_tokenizer(source).encode("abc abc"), 1]  # the end of a text is the beginning of the next
    of = logits(arrays(), ids)
    p = np.exp(of - of.max(1, keepdims=True))
    nats = -np.log(p[np.arange(len(ids) - 1), ids[1:]] / p[:-1].sum(1))
    assert row["nats_per_token"] == pytest.approx(nats.mean(), abs=1e-4)
    assert (
        main(["sample", str(source), "-n", "2", "--length", "9", "--seed", "1", "-q", "-o", str(tmp_path / "s.jsonl")])
        == 0
    )
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 2


def test_it_becomes_a_model_of_blocks(source, texts, tmp_path):
    flags = ["--from", str(source), "--to", "bd3lm", "--block-size", "4", "--steps", "6", "--seed", "1", "-q"]
    out = tmp_path / "run"
    assert main(["adapt", *flags, str(texts), "-o", str(out), "text.documents=line", *FEW]) == 0
    found = json.loads((out / "adapt.json").read_text())
    assert found["parameters"]["new_rows"] == [f"embed.weight[{SHAPE['size']}]"]
    assert found["identity"]["largest_difference"] <= 1e-5
    assert found["held_out"]["bits_per"] == "token"
    assert found["held_out"]["bound_after"]["bits"] < found["held_out"]["bound_before"]["bits"]
    spec = read_spec(out)
    assert spec["backbone"]["name"] == "llama" and spec["shift"] and spec["text"]["wrap"] is False
    assert load_tokenizer(out).fingerprint() == load_tokenizer(source).fingerprint()
    assert (
        main(["sample", str(out), "-n", "1", "--length", "20", "--seed", "1", "-q", "-o", str(tmp_path / "s.jsonl")])
        == 0
    )


def test_it_learns_pairs_which_are_no_documents(source, tmp_path):
    (tmp_path / "pairs.csv").write_text("source,target\n" + "".join(f"{'ab' * n},c\n" for n in range(1, 40)))
    flags = ["--from", str(source), "--to", "bd3lm", "--block-size", "4", "--steps", "2", "--seed", "1", "-q"]
    words, out = [str(tmp_path / "pairs.csv"), "data.pairs=true", "data.source_length=4", *FEW], tmp_path / "run"
    assert main(["adapt", *flags, *words, "-o", str(out)]) == 0
    assert read_spec(out)["pairs"] and json.loads((out / "adapt.json").read_text())["held_out"]["bits_per"] == "token"


def test_a_tokenizer_is_the_sources(source, texts, tmp_path, capsys):
    flags = ["--from", str(source), "--to", "bd3lm", "--steps", "6", "-o", str(tmp_path / "run")]
    assert main(["adapt", *flags, str(texts), "tokenizer=bytes"]) == 2
    assert "tokenizer=bytes: contradicts" in capsys.readouterr().err
