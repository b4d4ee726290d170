"""A model without classes led to one: a classifier trained on masked sequences, then samples and designs under it."""

import json

import numpy as np
import pytest

import dnadiff
from dnadiff.checkpoints.folder import model_hash, save_model
from dnadiff.checkpoints.predictor import save_predictor
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.recipes.conditioned import conditioned
from dnadiff.recipes.model import open_model
from dnadiff.recipes.walk import Walk
from tests import labels
from tests.labels import tiny_predictor, write_task
from tests.tiny import BLOCKS, SPEC, tiny_denoiser

SETTINGS = [
    "model.hidden_size=16", "model.n_blocks=1", "model.n_heads=2", "model.stem=0", "optim.batch_size=8",
    "optim.warmup_steps=5", "optim.lr=0.01", "optim.ema=0.8", "train.epochs=6", "bootstrap=0", "baselines=false",
    "seed=1", "data.masked=true",
]  # fmt: skip


def publish(folder, **changes):
    """A run folder of a small model with opinions of its own, which knows no classes."""
    save_model(folder / "model", tiny_denoiser(**changes), NucleotideTokenizer(), {**SPEC, **changes}, {"step": 1})
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guided")
    write_task(folder / "task", 80)
    assert main(["finetune", "scratch", str(folder / "task"), "-o", str(folder / "gc"), "-q", *SETTINGS]) == 0
    publish(folder / "run")
    return folder


def gc(text):
    bases = "".join(line for line in text.split("\n") if not line.startswith(">"))
    return sum(bases.count(base) for base in "GC") / len(bases)


def sampled(home, name, *flags):
    words = ["sample", str(home / "run"), "-n", "30", "--seed", "5", "-q", "-o", str(home / name)]
    assert main([*words, "--rows-per-call", "30", *flags]) == 0
    return (home / name).read_text()


def led(home, name, gamma, *flags, label="gc"):
    return sampled(home, name, "--classifier", str(home / "gc"), "--label", label, "--guidance", str(gamma), *flags)


def test_the_classifier_says_what_it_was_trained_on_and_is_reported_on_both(home):
    assert dnadiff.load_predictor(home / "gc").masked
    report = json.loads((home / "gc" / "report.json").read_text())
    rows = {(row["name"], row["part"]): row["accuracy"] for row in report["rows"]}
    assert set(rows) == {
        (f"fine-tuned{hidden}", part) for hidden in ("", ", bases hidden") for part in ("valid", "test")
    }
    assert rows["fine-tuned", "test"] > rows["fine-tuned, bases hidden", "test"] > 0.7
    assert "on the validation part, bases hidden" in report["protocol"][1]
    best = json.loads((home / "gc" / "model" / "provenance.json").read_text())["validation"]["accuracy"]
    assert best == rows["fine-tuned, bases hidden", "valid"]


def test_a_higher_strength_leads_further_and_to_either_class(home):
    plain = sampled(home, "plain.fa")
    rich, richer = led(home, "rich.fa", 0.7), led(home, "richer.fa", 12)
    assert gc(plain) + 0.05 < gc(rich) < gc(richer) - 0.05
    assert gc(led(home, "poor.fa", 12, label="at")) < gc(plain) - 0.1
    judge = dnadiff.load_predictor(home / "gc")
    assert judge.predict([x for x in richer.split("\n") if x[:1] not in (">", "")])[:, 1].mean() > 0.9


def test_one_gradient_leads_there_too(home):
    first = led(home, "first.fa", 12, "--classifier-steps", "first-order")
    assert gc(first) > gc(sampled(home, "plain2.fa")) + 0.1 and first != led(home, "exact.fa", 12)


def test_the_file_says_what_led_it(home):
    text = led(home, "told.fa", 2)
    short = model_hash(home / "gc")[:8]
    assert text.split("\n")[0].endswith(f" label=gc guidance=2 classifier={short} classifier-steps=exact")
    facts = json.loads((home / "told.fa.provenance.json").read_text())
    assert facts["inputs"] == {str(home / name): model_hash(home / name) for name in ("run", "gc")}
    assert facts["classifier"] == model_hash(home / "gc") and facts["guidance"] == 2
    by_default = sampled(home, "default.fa", "--classifier", str(home / "gc"), "--label", "gc")
    assert by_default.split("\n")[0].endswith(f" guidance=1 classifier={short} classifier-steps=exact")


@pytest.mark.parametrize("steps", ["exact", "first-order"])
def test_led_sequences_do_not_depend_on_the_batch(home, steps):
    flags = ("--classifier-steps", steps, "-n", "10", "--rows-per-call", "1", "--sampler", "ancestral", "--steps", "6")
    assert led(home, f"{steps}.a.fa", 3, *flags) == led(home, f"{steps}.b.fa", 3, *flags, "--batch-size", "3")


def test_designs_keep_their_template_and_constraints_under_a_classifier(home, capsys):
    (home / "t.fa").write_text(">t\nNNNNATATNNNNNNWW\n")
    words = ["design", str(home / "run"), str(home / "t.fa"), "-n", "10", "--seed", "1", "--avoid", "GGCC", "-q"]
    assert main(words) == 0
    free = capsys.readouterr().out
    assert main([*words, "--classifier", str(home / "gc"), "--label", "gc", "--guidance", "8"]) == 0
    out = capsys.readouterr().out
    rows = out.split("\n")[1::2]
    assert len(rows) == 10 and all(x[4:8] == "ATAT" and set(x[14:]) <= set("AT") and "GGCC" not in x for x in rows)
    assert out.count("conditional=approximate:codes,constraints,guidance,classifier") == 10
    assert gc(out) > gc(free) + 0.1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (BLOCKS, "one of blocks"),
        ({"algo": "ar", "parameterization": {**SPEC["parameterization"], "name": "next_token"}}, "NextToken"),
    ],
)
def test_models_that_go_from_the_left_are_refused(home, tmp_path, changes, found):
    model = open_model(publish(tmp_path / "run", **changes))
    with pytest.raises(InputError, match=f"guides whole sequences; found {found}, a model of masked diffusion"):
        conditioned(model, Walk(label="gc", classifier=str(home / "gc")))


def test_a_classifier_of_an_older_version_reads_whole_sequences(tmp_path):
    save_predictor(tmp_path / "old", tiny_predictor(), labels.SPEC, {})
    assert "masked" not in labels.SPEC["labels"] and not dnadiff.load_predictor(tmp_path / "old").masked
    assert np.isfinite(dnadiff.load_predictor(tmp_path / "old").predict(["ACGT"])).all()
