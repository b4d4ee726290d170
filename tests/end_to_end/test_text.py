"""Text from a file to a score and samples, by the verbs, with the same methods as nucleotides."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dnadiff.checkpoints.folder import load, load_tokenizer, read_spec
from dnadiff.cli import main
from dnadiff.models.attention import BlockCausal
from tests.foreign import lightning
from tests.runs import SETTINGS, weights_hash
from tests.vocabularies import bert_folder, gpt2_folder

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "to", "old", "red", "house", "while", "we", "sang"]
SMALL = [f"{key}={value}" for key, value in SETTINGS.items() if key not in ("data.split", "seed")]
RUNS = {
    "mdlm": [],
    "ar": ["algo=ar", "tokenizer=bpe", "tokenizer.vocab_size=270"],
    "blocks": ["algo=bd3lm", "block_size=4"],
}


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 9))).capitalize() + "." for _ in range(n)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a text, a cache and a trained model of every kind."""
    folder = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        (folder / "a.txt").write_text("\n\n".join(sentences(300, 1)))
        (folder / "b.txt").write_text("\n\n".join(sentences(60, 2)))
        (folder / "ptb.txt").write_text("the <unk> did n't say N N N\n" * 30)
        for name, words in RUNS.items():
            assert main(["train", "a.txt", "task=text", *words, *SMALL, "-o", name, "--seed", "1", "-q"]) == 0
        yield folder


def report(name, *words):
    """What evaluate or compare writes as JSON."""
    out = f"{name}.json"
    assert main([*words, "-o", out, "-q"]) == 0
    return json.loads(Path(out).read_text())


def texts(path):
    return [json.loads(line)["text"] for line in Path(path).read_text().splitlines()]


def test_a_run_is_what_a_run_of_nucleotides_is(world):
    names = {path.name for path in (world / "mdlm").iterdir()} - {".lock"}
    wanted = "baseline.npz checkpoints config.json log.csv model provenance.json split.json tensorboard"
    assert names == set(wanted.split())
    header = (world / "mdlm" / "log.csv").read_text().splitlines()[0].split(",")
    assert {"train_bits_per_token", "valid_bits_per_token"} <= set(header)
    split = json.loads((world / "mdlm" / "split.json").read_text())
    assert split == {"how": "documents", "train": ["a.txt", 0, 255], "valid": ["a.txt", 255, 270],
                     "test": ["a.txt", 270, 300]}  # fmt: skip
    assert load_tokenizer("mdlm").name == "bytes" and load_tokenizer("ar").vocab_size == 270
    assert read_spec("ar")["text"] == {"wrap": True, "window_ends": False}
    assert "An autoregressive model of text" in (world / "ar" / "model" / "README.md").read_text()


def test_the_likelihood_is_that_of_the_network_token_by_token(world):
    """The exact figure of the autoregressive model, computed again from the text without any of the data layer."""
    rows = report("ar_test", "evaluate", "ar", "--split", "test")["rows"]
    tokenizer, denoiser = load_tokenizer("ar"), load("ar")
    held = (world / "a.txt").read_text().split("\n\n")[270:]
    stream = np.concatenate([np.append(tokenizer.encode(text), tokenizer.sep_id) for text in held])
    nats = 0.0
    for start in range(0, len(stream), 31):  # windows of 32 tokens, [BOS] among them
        row = torch.tensor([[tokenizer.bos_id, *stream[start : start + 31]]])
        with torch.inference_mode():
            log_p = denoiser(row, None, pattern=BlockCausal(1))
        nats -= float(log_p[0, :-1].gather(-1, row[0, 1:, None]).double().sum())
    assert rows[0]["name"] == "model (exact)" and rows[0]["tokens"] == len(stream)
    assert rows[0]["nats_per_token"] == pytest.approx(nats / len(stream), rel=1e-5)
    assert rows[0]["perplexity"] == pytest.approx(math.exp(nats / len(stream)), rel=1e-4)
    assert rows[0]["characters"] == sum(map(len, held))
    assert rows[0]["bits_per_character"] == pytest.approx(nats / math.log(2) / sum(map(len, held)), rel=1e-5)
    assert rows[1]["name"] == "Markov order 0" and rows[0]["standard_error"] > 0


def test_several_texts_make_one_table(world):
    rows = report("zero", "evaluate", "mdlm", "b.txt", "ptb=ptb.txt", "--windows", "9", "--seed", "1")["rows"]
    assert [(row["data"], row["name"]) for row in rows] == [
        ("b.txt", "model (bound)"), ("b.txt", "Markov best (order 4)"),
        ("ptb=ptb.txt", "model (bound)"), ("ptb=ptb.txt", "Markov best (order 0)"),
    ]  # fmt: skip
    alone = report("alone", "evaluate", "mdlm", "b.txt", "--windows", "9", "--seed", "1")["rows"]
    assert alone[0] == {key: value for key, value in rows[0].items() if key != "data"}


def test_a_set_named_for_a_file_restores_its_text(world):
    rows = report("ptb", "evaluate", "mdlm", "ptb=ptb.txt")["rows"]
    assert rows[0]["characters"] == 30 * len("the ? didn't say 1 1 N")  # the last N has no blank behind it


def test_shards_of_a_text_merge_to_the_whole(world):
    whole = report("whole", "evaluate", "mdlm", "--seed", "3", "--batch-size", "4")
    for i in (1, 2):
        words = ["--seed", "3", "--batch-size", "4", "--shard", f"{i}/2", "-o", f"part{i}.npz", "-q"]
        assert main(["evaluate", "mdlm", *words]) == 0
    assert report("merged", "evaluate", "mdlm", "--merge", "part1.npz", "part2.npz") == whole


@pytest.mark.parametrize(("name", "together"), [("mdlm", "8"), ("ar", "1"), ("blocks", "2")])
def test_texts_go_on_behind_their_prompts_whatever_the_batch(world, name, together):
    (world / "prompts.txt").write_text("The cat\nA dog ran\n")
    words = ["sample", name, "-n", "3", "--seed", "5", "--prompts", "prompts.txt", "-q"]
    words += ["--tokens-per-step", together] if together != "1" else []
    assert main([*words, "-o", f"{name}_a.jsonl"]) == 0
    assert main([*words, "-o", f"{name}_b.jsonl", "--batch-size", "2"]) == 0
    made = texts(f"{name}_a.jsonl")
    assert made == texts(f"{name}_b.jsonl") and len(set(made)) == 6
    assert [text.startswith(prompt) for text, prompt in zip(made, ["The cat"] * 3 + ["A dog ran"] * 3, strict=True)]
    assert all(text.startswith("The cat") for text in made[:3]) and all(t.startswith("A dog ran") for t in made[3:])
    for i in (1, 2):
        assert main([*words, "-o", f"{name}_{i}.jsonl", "--shard", f"{i}/2"]) == 0
    assert texts(f"{name}_1.jsonl") + texts(f"{name}_2.jsonl") == made


def test_gaps_are_filled_and_nothing_else_changes(world, capsys):
    words = ["--prompt", "The c[MASK][MASK] sat", "--fill", "--seed", "1", "-n", "4", "-q"]
    assert main(["sample", "mdlm", *words, "-o", "filled.jsonl"]) == 0
    tokenizer = load_tokenizer("mdlm")
    for text in texts("filled.jsonl"):
        assert text.startswith("The c") and text.endswith(" sat") and len(tokenizer.encode(text)) >= len("The c sat")
    assert len(set(texts("filled.jsonl"))) > 1
    assert main(["sample", "mdlm", *words[:-3], "-n", "1", "-q"]) == 0
    assert capsys.readouterr().out.endswith(" sat\n<|endoftext|>\n")


def test_blocks_write_beyond_the_window_and_windows_slide(world):
    assert main(["sample", "blocks", "-n", "2", "--length", "90", "--seed", "1", "-q", "-o", "long.txt"]) == 0
    found = (world / "long.txt").read_text()
    assert found.count("<|endoftext|>\n") == 2
    assert (
        main(["sample", "mdlm", "-n", "1", "--length", "50", "--stride", "16", "--seed", "1", "-q", "-o", "s.jsonl"])
        == 0
    )
    assert len(texts("s.jsonl")) == 1
    assert (
        main(["sample", "blocks", "-n", "3", "--length", "400", "--stop-at-end", "--seed", "2", "-q", "-o", "e.jsonl"])
        == 0
    )
    assert any(len(text) < 350 for text in texts("e.jsonl"))


def test_a_judge_scores_generated_and_real_texts_alike(world):
    assert main(["sample", "mdlm", "-n", "4", "--length", "9", "--seed", "9", "-q", "-o", "judged.jsonl"]) == 0
    rows = report("judged", "compare", "a.txt", "judged.jsonl", "--task", "text", "--judge", "ar", "--seed", "1")[
        "rows"
    ]
    assert [row["name"] for row in rows] == ["synthetic", "real"] and rows[0]["texts"] == rows[1]["texts"] == 4
    tokenizer, denoiser = load_tokenizer("ar"), load("ar")
    nats, count = 0.0, 0
    for text in texts("judged.jsonl"):
        ids = tokenizer.encode(text)
        assert len(ids) <= 31
        row = torch.tensor([[tokenizer.bos_id, *ids]])
        with torch.inference_mode():
            log_p = denoiser(row, None, pattern=BlockCausal(1))
        nats -= float(log_p[0, :-1].gather(-1, row[0, 1:, None]).double().sum())
        count += len(ids)
    assert rows[0]["generative_perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)
    assert rows[0]["tokens"] == count and rows[1]["distinct_1"] <= 1
    without = report("bytes", "compare", "a.txt", "judged.jsonl", "--task", "text", "--seed", "1")["rows"]
    size = len("".join(texts("judged.jsonl")).encode())
    assert "generative_perplexity" not in without[0] and without[0]["tokens"] == size


def test_a_stopped_run_goes_on_bit_for_bit(world):
    words = ["a.txt", "task=text", "tokenizer=bpe", "tokenizer.vocab_size=264", *SMALL, "--seed", "1", "-q"]
    assert main(["train", *words, "-o", "whole"]) == 0
    half = [word if not word.startswith("train.steps") else "train.steps=3" for word in words]
    assert main(["train", *half, "-o", "half"]) == 0
    assert main(["train", "--resume", "half", "train.steps=6", "-q"]) == 0
    assert weights_hash(world / "half") == weights_hash(world / "whole")


def test_documents_as_windows_end_where_they_end(world):
    words = ["a.txt", "task=text", "text.wrap=false", "text.window_ends=true", *SMALL, "model.length=60", "--seed", "1"]
    kept = [word for word in words if word != "model.length=32"]
    assert main(["train", *kept, "-q", "-o", "padded"]) == 0
    row = report("padded", "evaluate", "padded")["rows"][0]
    held = (world / "a.txt").read_text().split("\n\n")[270:]
    assert row["windows"] == 30 and row["tokens"] == sum(len(text) + 2 for text in held)
    assert main(["sample", "padded", "-n", "4", "--seed", "1", "-q", "-o", "ends.jsonl"]) == 0
    assert not any("\n\n" in text for text in texts("ends.jsonl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "a.txt", "tokenizer=bytes"], "tokenizer.name=bytes: numbers text; add task=text or leave it out"),
        (
            ["train", "a.txt", "task=text", "data.reverse_complement=0"],
            "data.reverse_complement=0.0: belongs to task=dna",
        ),
        (["train", "a.txt", "task=text", "model.rc=true", "model.stem=0"], "model.rc=true: text has one strand"),
        (
            ["train", "a.txt", "task=text", "tokenizer.vocab_size=9"],
            "tokenizer.vocab_size=9: tokenizer=bytes has a size",
        ),
        (["train", "a.txt", "task=text", "tokenizer=gpt2"], "tokenizer.path=gpt2: has no vocabulary that is read here"),
        (["train", "a.txt", "task=text", "tokenizer=text8"], "text8 has letters from a to z and blanks only"),
        (["train", "a.txt", "task=text", "text.documents=whole"], "a.txt: found 1 documents, too few to hold some out"),
        (["train", "task=text"], "train: no text; dna-diff train corpus.txt task=text"),
        (["train", "task=text", "data=lm1b"], "lm1b: is fetched by the package datasets, which is not installed"),
        (["train", "pbt=ptb.txt"], "pbt: unknown key"),
        (["evaluate", "mdlm", "pbt=ptb.txt"], "pbt=ptb.txt: pbt is no set of texts; did you mean ptb?"),
        (["evaluate", "mdlm", "--both-strands"], "--both-strands: text has one strand"),
        (["evaluate", "mdlm/model"], "mdlm/model: is a model folder, which has no text or split"),
        (["sample", "mdlm", "-o", "x.fa"], "-o x.fa: texts are written as .jsonl or .txt"),
        (["sample", "mdlm", "--fill"], "--fill: there is nothing to fill"),
        (["sample", "mdlm", "--fill", "--prompt", "none"], "--fill: 'none' has no [MASK]"),
        (
            ["sample", "mdlm", "--fill", "--prompt", "[MASK]", "--length", "9"],
            "--length 9: a text that is filled keeps",
        ),
        (["sample", "mdlm", "--prompt", "x" * 40], "has 40 tokens and a row 32; a shorter one"),
        (["sample", "mdlm", "--prompt", "a", "--prompts", "b.txt"], "--prompts: contradicts --prompt"),
        (["sample", "blocks", "--min-complexity", ".5"], "--min-complexity 0.5: counts words of bases"),
        (["design", "mdlm", "a.txt"], "has a tokenizer of bytes; one of nucleotides would work"),
        (["compare", "a.txt", "b.txt", "--judge", "ar"], "--judge: belongs to --task text"),
        (["compare", "a.txt", "b.txt", "--task", "text", "-k", "3"], "-k: belongs to --task dna"),
        (["compare", "b.txt", "a.txt", "--task", "text"], "b.txt: has"),
    ],
)
def test_mistakes_are_one_line(world, capsys, words, said):
    before = {path.name for path in world.iterdir()}
    assert main(words) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1 and said in err[0], err
    assert {path.name for path in world.iterdir()} == before


def test_another_text_is_noticed(world, capsys):
    assert main(["train", "b.txt", "task=text", *SMALL, "-o", "other", "--seed", "1", "-q"]) == 0
    text = (world / "b.txt").read_text()
    (world / "b.txt").write_text(text + "\n\nMore.")
    for words in (["evaluate", "other"], ["train", "--resume", "other", "train.steps=8"]):
        assert main(words) == 2 and "b.txt: is not the text that other was trained on" in capsys.readouterr().err
    (world / "b.txt").write_text(text)
    assert main(["evaluate", "other", "-q"]) == 0
    assert main(["evaluate", "mdlm", "a.txt", "--windows", "2"]) == 0
    assert "trained on: 255 of the 300 documents of a.txt" in capsys.readouterr().err


def test_a_converted_model_reads_text_with_the_vocabulary_it_is_given(world):
    """A checkpoint of twelve tokens whose mask is number 3, and a vocabulary of that form."""
    lightning(world / "a.ckpt")
    (world / "twelve").mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[MASK]", "[SEP]", "the", "cat", "##s", ",", "sat", "dog", "ran"]
    (world / "twelve" / "vocab.txt").write_text("\n".join(pieces) + "\n")
    assert main(["convert", "a.ckpt", "-o", "converted", "--tokenizer", "twelve", "-q"]) == 0
    (world / "cats.txt").write_text("the cat sat\n\nthe dog ran")
    row = report("converted", "evaluate", "converted", "cats.txt")["rows"][0]
    assert (row["tokens"], row["characters"], row["windows"]) == (8, 22, 1)
    assert main(["sample", "converted", "-n", "1", "--prompt", "the cat", "-q", "-o", "converted.jsonl"]) == 0
    assert texts("converted.jsonl")[0].startswith("the cat")


PRESETS = {
    "mdlm_lm1b": (["tokenizer.vocab_size=11"], False), "mdlm_owt": (["tokenizer.vocab_size=15"], True),
    "bd3lm_lm1b_base": (["tokenizer.vocab_size=11", "block_size=32"], True),
    "bd3lm_lm1b": (["tokenizer.vocab_size=11"], True),
    "bd3lm_owt_base": (["tokenizer.vocab_size=15", "block_size=32"], True),
    "bd3lm_owt": (["tokenizer.vocab_size=15"], True),
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_a_published_run_takes_two_steps_at_reduced_size(world, name):
    """Vocabularies of a dozen pieces in the form of BERT's and GPT-2's, a small network, a text of 400 documents."""
    words, wrapped = PRESETS[name]
    folder = world / ("bert" if "lm1b" in name else "gpt2")
    if not folder.exists():
        folder.mkdir()
        (bert_folder if "lm1b" in name else gpt2_folder)(folder)
    (world / "cats.txt").write_text("\n\n".join(["the cat the cats", "cat the cat the the"] * 200))
    steps = {"train.steps": 2, "train.checkpoint_every": 2, "train.val_every": 2, "optim.batch_size": 4}
    small = [word for word in SMALL if word.partition("=")[0] not in steps] + [f"{k}={v}" for k, v in steps.items()]
    read = ["data.path=cats.txt", f"tokenizer.path={folder}", *words, *small]
    assert main(["train", f"experiment={name}", *read, "-o", name, "--seed", "1", "-q"]) == 0
    spec = read_spec(name)
    assert spec["text"]["wrap"] == wrapped and spec["text"]["window_ends"] == ("owt" not in name or name == "mdlm_owt")
    assert spec["backbone"]["vocab_size"] == (11 if "lm1b" in name else 15)
