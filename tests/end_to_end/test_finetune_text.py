"""Fine-tuning on labelled text, by the verbs: from scratch and from runs of text, reported, resumed, asked."""

import csv
import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest

import dnadiff
from benchmarks import glue
from dnadiff.checkpoints.class_guide import class_guide
from dnadiff.checkpoints.folder import load_tokenizer
from dnadiff.cli import main
from dnadiff.config import compose_finetune
from dnadiff.errors import InputError
from dnadiff.recipes import predict
from tests.labels import write_task
from tests.runs import SETTINGS as TRAINING

GOOD, BAD = ("good", "fine", "lovely", "great"), ("bad", "poor", "dull", "awful")
SCRATCH = [
    "task=text", "tokenizer=bytes", "model.hidden_size=16", "model.n_blocks=1", "model.n_heads=2", "model.adaln=false",
    "model.stem=5",
]  # fmt: skip
SMALL = [
    "optim.batch_size=8", "optim.warmup_steps=5", "optim.lr=0.01", "optim.ema=0.8", "train.checkpoint_every=1",
    "train.log_every=4", "bootstrap=20", "seed=1",
]  # fmt: skip


def sentence(rng, label):
    words = [*rng.choice(["the", "film", "was", "so", "and", "a"], 2), *rng.choice((BAD, GOOD)[label], 2)]
    return " ".join(words)


def write_sentences(folder, n=96):
    """train.tsv and dev.tsv as SST-2 has them: praise and blame."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for part, count in (("train", n), ("dev", n // 2)):
        rows = "".join(f"{sentence(rng, i % 2)} \t{i % 2}\n" for i in range(count))
        (folder / f"{part}.tsv").write_text("sentence\tlabel\n" + rows)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with labelled text, a run on text and a fine-tuning from scratch."""
    folder = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        write_sentences(folder / "task")
        rng = np.random.default_rng(2)
        (folder / "a.txt").write_text("\n\n".join(sentence(rng, i % 2) for i in range(200)))
        small = [f"{key}={value}" for key, value in TRAINING.items() if key != "data.split"]
        ar = ["algo=ar", "tokenizer=bpe", "tokenizer.vocab_size=270"]
        assert main(["train", "a.txt", "task=text", *ar, *small, "-o", "ar", "-q"]) == 0
        words = [*SCRATCH, *SMALL, "train.epochs=6"]
        assert main(["finetune", "scratch", "task", "-o", "done", "-q", *words]) == 0
        yield folder


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def table_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_text_is_learnt_and_reported_beside_its_floors(world):
    report = report_of(world / "done")
    rows = {(row["name"], row["part"]): row for row in report["rows"]}
    assert list(rows) == [
        ("fine-tuned", "valid"), ("fine-tuned", "test"), ("bag of words", "test"), ("length alone", "test"),
        ("most frequent class", "test"),
    ]  # fmt: skip
    assert rows["most frequent class", "test"]["accuracy"] == 0.5 and rows["bag of words", "test"]["accuracy"] == 1
    assert rows["fine-tuned", "test"]["accuracy"] > 0.8 and rows["fine-tuned", "test"]["n"] == 48
    assert sum(report["balance"]["train"].values()) < 96 and rows["fine-tuned", "valid"]["n"] > 0
    assert "drawn" in report["protocol"][0] and "strand" not in report["protocol"][1]
    assert report["protocol"][2] == "the test part is what the data call dev, as GLUE's own test part has no labels"
    assert report["protocol"][-1].endswith("test texts are in the other parts too")


def test_the_predictor_reads_tables_and_python_text(world, tmp_path):
    assert load_tokenizer(world / "done").name == "bytes"
    out = tmp_path / "p.tsv"
    assert main(["predict", str(world / "done"), str(world / "task" / "dev.tsv"), "-o", str(out)]) == 0
    said, model = table_of(out), dnadiff.load_predictor(world / "done")
    lines = (world / "task" / "dev.tsv").read_text().splitlines()[1:]
    texts, truth = zip(*(line.split(" \t") for line in lines), strict=True)
    accuracy = np.mean([row["class"] == label for row, label in zip(said, truth, strict=True)])
    assert accuracy == next(row["accuracy"] for row in report_of(world / "done")["rows"] if row["part"] == "test")
    found = model.predict(list(texts))
    assert [float(row["1"]) for row in said] == pytest.approx(found[:, 1], abs=1e-5)
    assert "fine-tuned on labelled texts" in (world / "done" / "model" / "README.md").read_text()
    with pytest.raises(InputError, match="sequence 1: found no text"):
        model.predict([""])
    with pytest.raises(InputError, match=r"tokens; .* the most this model reads"):
        model.predict(["word " * 40])
    with pytest.raises(InputError, match="text has one strand"):
        model.predict(["word"], both_strands=True)
    with pytest.raises(InputError, match="judges text"):
        class_guide(model, "1")


@pytest.mark.parametrize("flags", [[], ["-q"]])
def test_the_progress_of_predictions_is_not_shown_if_nobody_wants_it(world, tmp_path, monkeypatch, flags):
    shown = []

    def bar(total, quiet, unit):
        shown.append(quiet)
        return nullcontext(lambda count: None)

    monkeypatch.setattr(predict, "progress_bar", bar)
    assert main(["predict", "done", "task/dev.tsv", "-o", str(tmp_path / "x.tsv"), *flags]) == 0
    assert shown == [bool(flags)]


def test_a_run_of_text_is_begun_with_its_tokens_and_read_from_the_left(world, tmp_path):
    """Pairs, with a tokenizer that the run has learned; the run is not needed to resume."""
    rng = np.random.default_rng(5)
    pairs = [(sentence(rng, i % 2), sentence(rng, (i // 2) % 2), i % 2 == (i // 2) % 2) for i in range(80)]
    rows = "".join(f"{int(same)}\t1\t2\t{a}\t{b}\n" for a, b, same in pairs)
    (tmp_path / "MRPC").mkdir()
    for part in ("train", "test"):
        head = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
        (tmp_path / "MRPC" / f"msr_paraphrase_{part}.txt").write_text(head + rows)
    run, out = shutil.copytree(world / "ar", tmp_path / "run"), tmp_path / "out"
    words = ["finetune", str(run), str(tmp_path / "MRPC"), "-o", str(out), "-q", *SMALL, "train.epochs=1"]
    assert main(words) == 0
    model, spec = dnadiff.load_predictor(out), json.loads((out / "model" / "config.json").read_text())
    assert model.frame.bos and spec["pattern"] == {"name": "block_causal", "block_size": 1}
    assert model.frame.tokenizer.vocab_size == spec["backbone"]["vocab_size"] == 270
    swapped = model.predict([pairs[0][:2], pairs[0][1::-1], pairs[0][0]])
    assert len({row.tobytes() for row in swapped}) == 3
    shutil.rmtree(run)
    assert main(["finetune", "--resume", str(out), "-q", "train.epochs=1.5"]) == 0
    assert len(report_of(out)["rows"]) == 5 and report_of(out)["shared"] == 80


def test_a_longer_text_keeps_its_beginning_if_cropping_is_allowed(world, tmp_path):
    data, out = str(world / "task"), str(tmp_path / "x")
    words = ["finetune", "scratch", data, "-o", out, "-q", *SCRATCH, *SMALL, "train.epochs=0.5", "data.length=9"]
    assert main(words) == 2
    assert main([*words, "data.crop=true", "baselines=false"]) == 0
    model = dnadiff.load_predictor(out)
    one, other, third = model.predict(["the film was good", "the film would be bad", "a film was good"])
    assert np.array_equal(one, other) and not np.array_equal(one, third)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.reverse_complement=0.5"], "data.reverse_complement=0.5: belongs to nucleotides, and this is text"),
        (["data.both_strands=true"], "data.both_strands=true: belongs to nucleotides"),
        (["data.masked=true"], "data.masked=true: belongs to nucleotides"),
        (["data.genome=a.fa"], "data.genome=['a.fa']: belongs to nucleotides"),
        (["data.kind=tokens"], "data.kind=tokens: labels bases"),
        (["tokenizer=bytes"], "tokenizer.name=bytes: ar has its own; leave it out"),
    ],
)
def test_what_only_nucleotides_have_is_refused_for_text(world, capsys, words, told):
    assert main(["finetune", "ar", "task", "-o", "new", *SMALL, *words]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1 and not (world / "new").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["finetune", "scratch", "task", "task=text"], "tokenizer.name=nucleotide: numbers bases; tokenizer=bytes"),
        (["finetune", "scratch", "task", "tokenizer=bytes"], "numbers text; add task=text"),
        (["finetune", "scratch", "task", "task=text", "tokenizer=bpe"], "is learned in pre-training"),
        (["finetune", "ar", "dna"], "found the columns sequence, label; one named sentence or text"),
        (["predict", "done", "x.fa"], "x.fa: is no table of text, which this model reads"),
        (["predict", "done", "task/dev.tsv", "--both-strands"], "--both-strands: text has one strand"),
        (["embed", "done", "x.fa", "-o", "x.npz"], "reads no nucleotides; a model trained on DNA would work"),
    ],
)
def test_mistakes_are_told_in_a_line(world, capsys, words, told):
    if not (world / "dna").exists():
        write_task(world / "dna", 16)
        (world / "x.fa").write_text(">x\nACGT\n")
    assert main(words) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


def test_the_convention_of_glue_is_a_preset():
    config = compose_finetune(["convention=glue", "task=text", "tokenizer=bytes", "optim.lr=1e-3"])
    assert (config.train.epochs, config.optim.batch_size, config.optim.name) == (3, 16, "adamw")
    assert (config.optim.schedule, config.optim.ema, config.optim.lr) == ("linear", 0, 1e-3)
    assert compose_finetune(["convention=glue"]).optim.lr == 2e-5


def test_a_suite_of_text_is_run_by_each_protocol(world, tmp_path, capsys):
    rows = [("so good", 1), ("so bad", 0), ("good film", 1), ("bad film", 0)]
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
    (tmp_path / "mood.jsonl").write_text("".join(lines))
    few = ["train.epochs=1", "bootstrap=0", "data.valid_fraction=0", "train.metric=accuracy", "baselines=false"]
    few += ["data.test_fraction=0.5"]  # leaves examples to draw of so few
    words = ["bench", "run", "own", "--model", "ar", "--data", str(tmp_path), "-o", str(tmp_path / "out"), *few]
    assert main([*words, "--protocol", "leave_one_out"]) == 0
    out, err = capsys.readouterr()
    assert "4 train; " not in err and " tokens, half up to " in err and " bp" not in err
    assert "each example tested by a model of all others, seed 1" in out and "n 4" in out


def test_the_benchmark_makes_its_table_and_repeats_nothing(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(glue, "STARTS", {"scratch": None, "AR": "ar"})
    few = [word.replace("vocab_size=4096", "vocab_size=280") for word in glue.PRETRAINING]
    monkeypatch.setattr(glue, "PRETRAINING", few)
    shutil.copytree(world / "task", tmp_path / "glue" / "SST-2")
    (tmp_path / "text.txt").write_text("the film was good\n" * 200)
    words = ["--data", str(tmp_path / "glue"), "--text", str(tmp_path / "text.txt"), "--work", str(tmp_path / "work"),
             "--only", "SST-2", "--steps", "2", "--limit", "24", "--epochs", "0.4", "--seeds", "1",
             "-o", str(tmp_path / "x.json")]  # fmt: skip
    glue.main(words)
    row, out = json.loads((tmp_path / "x.json").read_text())["SST-2"], capsys.readouterr().out
    assert row["sizes"]["test"] == 48 and row["sizes"]["train"] + row["sizes"]["valid"] == 24
    assert [each["start"] for each in row["starts"]] == ["scratch", "AR"]
    assert row["floors"]["majority"]["accuracy"] == 0.5 and "bag_of_words" in out
    glue.main(words)
    assert capsys.readouterr().out == out and json.loads((tmp_path / "x.json").read_text())["SST-2"] == row
