"""Classes from a table to sequences: trained with labels, asked for one, pushed towards it, scored with it."""

import json

import numpy as np
import pytest
import torch
from Bio import SeqIO

from dnadiff.checkpoints.folder import load, read_spec, save_model
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Batch
from dnadiff.random import Draws
from dnadiff.training.module import DiffusionModule
from tests.tiny import SPEC, tiny_denoiser

LENGTH = 24


def gc(path):
    bases = "".join(line for line in path.read_text().split("\n") if not line.startswith(">"))
    return sum(bases.count(base) for base in "GC") / len(bases)


def trained(folder, *changes, steps=100):
    """A run on 300 sequences of two classes: ``poor`` has 40 % of G and C, ``rich`` 60 %."""
    rng = np.random.default_rng(1)
    rows = ["sequence,label"]
    for number in range(300):
        share = (0.4, 0.6)[number % 2]
        p = [(1 - share) / 2, share / 2, share / 2, (1 - share) / 2]
        rows.append(f"{''.join(rng.choice(list('ACGT'), LENGTH, p=p))},{('poor', 'rich')[number % 2]}")
    (folder / "x.csv").write_text("\n".join(rows) + "\n")
    settings = [
        "data.label=label", f"model.length={LENGTH}", "model.hidden_size=32", "model.n_blocks=1", "model.n_heads=1",
        "model.stem=0", "model.adaln=true", f"train.steps={steps}", "train.val_every=120", "train.val_windows=32",
        "optim.lr=1e-2", "optim.ema=0.9", "optim.warmup_steps=5", "seed=1",
    ]  # fmt: skip
    assert main(["train", str(folder / "x.csv"), "-o", str(folder / "run"), "-q", *settings, *changes]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("classes"))


def sampled(folder, name, *flags, together="12"):
    """A file of sequences, so many of them in a call of the network."""
    out, faster = folder / name, ["--tokens-per-step", "4"] if read_spec(folder / "run")["algo"] != "ar" else []
    words = ["sample", str(folder / "run"), "-n", "60", "--seed", "5", "-q", *faster, "--rows-per-call", together]
    assert main([*words, "-o", str(out), *flags]) == 0
    return out


def test_the_folder_names_the_classes(folder):
    spec = read_spec(folder / "run")
    assert spec["classes"] == ["poor", "rich"] and spec["backbone"]["n_classes"] == 2
    assert json.loads((folder / "run" / "config.json").read_text())["data"]["classes"] == ["poor", "rich"]


def test_sequences_are_of_the_class_asked_for_and_guidance_pushes_further(folder):
    poor, rich = sampled(folder, "poor.fa", "--label", "poor"), sampled(folder, "rich.fa", "--label", "rich")
    any_class, pushed = sampled(folder, "any.fa"), sampled(folder, "pushed.fa", "--label", "rich", "--guidance", "3")
    assert gc(poor) < 0.46 and 0.54 < gc(rich) < 0.66  # 1,440 bases: two errors are 0.026
    assert 0.44 < gc(any_class) < 0.56
    assert gc(pushed) > gc(rich) + 0.05
    header = pushed.read_text().split("\n", 1)[0]
    assert header.endswith(" label=rich guidance=3")
    assert json.loads((folder / "pushed.fa.provenance.json").read_text())["guidance"] == 3


def test_guidance_of_strength_one_is_the_class_itself(folder):
    plain, one = sampled(folder, "a.fa", "--label", "rich"), sampled(folder, "b.fa", "--label", "rich", "--guidance=1")
    assert one.read_text().replace(" guidance=1", "") == plain.read_text()


def test_guided_sequences_do_not_depend_on_the_batch(folder):
    flags = ("--label", "rich", "--guidance", "2", "-n", "17")
    whole = sampled(folder, "c.fa", *flags, together="1")
    cut = sampled(folder, "d.fa", *flags, "--batch-size", "7", together="1")
    assert whole.read_bytes() == cut.read_bytes()


FROM_THE_LEFT = {"blocks": ["algo=bd3lm", "block_size=4"], "next tokens": ["algo=ar"]}


@pytest.mark.parametrize("method", FROM_THE_LEFT)
def test_models_that_go_from_the_left_know_classes_too(method, tmp_path):
    """A class, one pushed, one pushed by 1, another batch, a longer sequence, and the score of windows with theirs."""
    trained(tmp_path, *FROM_THE_LEFT[method], steps=40)
    rich, guided = ("--label", "rich", "-n", "12"), ("--label", "rich", "--guidance=3", "-n", "5")
    plain, poor = sampled(tmp_path, "rich.fa", *rich), sampled(tmp_path, "poor.fa", "--label", "poor", "-n", "12")
    pushed = sampled(tmp_path, "pushed.fa", *rich, "--guidance=3")
    assert gc(poor) < 0.5 < gc(plain) < gc(pushed) - 0.05  # 276 bases: two errors are 0.06
    one = sampled(tmp_path, "one.fa", *rich, "--guidance=1", "-n", "5").read_text().replace(" guidance=1", "")
    assert plain.read_text().startswith(one)
    whole = sampled(tmp_path, "a.fa", *guided, together="1")
    cut = sampled(tmp_path, "b.fa", *guided, "--batch-size", "4", together="1")
    assert cut.read_bytes() == whole.read_bytes()
    with sampled(tmp_path, "c.fa", *guided, "-n", "2", "--length", "100").open() as longer:
        assert [len(record) for record in SeqIO.parse(longer, "fasta")] == [100, 100]
    out, words = tmp_path / "report.json", ["--split", "train", "--seed", "1", "-q", "-o"]
    assert main(["evaluate", str(tmp_path / "run"), *words, str(out)]) == 0
    assert json.loads(out.read_text())["rows"][0]["bits_per_base"] < 1.99


def test_designs_can_be_of_a_class(folder, capsys):
    (folder / "t.fa").write_text(">t\n" + "N" * LENGTH + "\n")
    words = ["design", str(folder / "run"), str(folder / "t.fa"), "-n", "8", "--seed", "1", "-q", "--label", "poor"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.count(" label=poor") == 8 and "conditional=exact" in out


def test_windows_are_scored_with_their_class(folder, capsys):
    words = ["evaluate", str(folder / "run"), str(folder / "x.csv"), "--samples", "8", "--seed", "1", "-q"]
    out = folder / "report.json"
    assert main([*words, "-o", str(out)]) == 0
    bits = json.loads(out.read_text())["rows"][0]["bits_per_base"]
    assert bits < 1.985  # with the class 1.971 can be reached; without it no model pays less than 2.000
    words[1] += "/model"
    assert main([*words, "-o", str(folder / "of_model.json")]) == 0
    assert json.loads((folder / "of_model.json").read_text())["rows"][0]["bits_per_base"] == bits


def test_a_model_that_does_not_say_where_classes_stand_is_refused(folder, tmp_path, capsys):
    spec = read_spec(folder / "run")
    assert spec.pop("label") == "label"
    save_model(tmp_path / "model", load(folder / "run"), NucleotideTokenizer(), spec, {})
    assert main(["evaluate", str(tmp_path / "model"), str(folder / "x.csv")]) == 2
    assert "label: found none in the model's config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--label", "ritch"], "--label ritch: did you mean rich?"),
        (["--guidance", "2"], "--guidance 2: leads towards a class; give --label NAME too"),
        (["--label", "rich", "--guidance", "-1"], "is not a number above 0"),
    ],
)
def test_classes_that_are_not_there_are_refused(folder, capsys, flags, found):
    assert main(["sample", str(folder / "run"), *flags]) == 2
    assert found in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (["data.label=labl", "model.adaln=true"], "did you mean label?"),
        (["data.label=label", "model.adaln=false"], "classes enter through adaptive norms"),
        (["data.classes=[a,b]"], "data.classes=a,b: says nothing without data.label"),
        (["data.label=label", "model.adaln=true", "data.classes=[poor,rish]"], "found label=rich; did you mean rish?"),
        (["data.label_dropout=1.5"], "data.label_dropout=1.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, capsys, settings, found):
    words = ["train", str(folder / "x.csv"), "-o", str(folder / "no"), "model=nano", "model.length=24", *settings]
    assert main(words) == 2
    assert found in capsys.readouterr().err and not (folder / "no").exists()


def test_a_share_of_the_classes_is_hidden_and_always_the_same():
    denoiser = tiny_denoiser(backbone={**SPEC["backbone"], "n_classes": 3})
    module = DiffusionModule(
        denoiser, None, seed=1, optimizer={}, schedule={}, ema_decay=0.0, compiled=False, label_dropout=0.25
    )
    ids = np.arange(4000)
    batch = Batch(torch.zeros(4000, 1).long(), torch.ones(4000, 1, dtype=torch.bool), labels=torch.arange(4000) % 3)
    labels = module._partly_labelled(batch, Draws(1, ids)).labels
    hidden = labels == 3
    assert abs(hidden.float().mean() - 0.25) < 0.02 and torch.equal(labels[~hidden], batch.labels[~hidden])
    half = Batch(batch.x0[:7], batch.valid[:7], labels=batch.labels[:7])
    assert torch.equal(module._partly_labelled(half, Draws(1, ids[:7])).labels, labels[:7])
