"""From labelled sequences to a predictor: trained, killed and resumed, chosen, tested once, asked."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, matthews_corrcoef

import dnadiff
from benchmarks import chaos
from dnadiff.cli import main
from dnadiff.training.network import Training
from dnadiff.training.writer import checkpoints, read_checkpoint
from tests.labels import write_task
from tests.runs import log_of, run, weights_hash, write_genome

SIZE = {"model.hidden_size": 16, "model.n_blocks": 1, "model.n_heads": 2, "model.stem": 5, "model.dropout": 0.1}
SETTINGS = {
    "optim.batch_size": 8, "optim.warmup_steps": 5, "optim.lr": 0.01, "optim.ema": 0.8, "train.epochs": 4,
    "train.checkpoint_every": 0.8, "train.log_every": 4, "bootstrap": 20, "seed": 1,
}  # fmt: skip


def words_of(start, changes):
    """The settings of a small fine-tuning; a change is named with two underscores for the dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in ((SIZE if start == "scratch" else {}) | SETTINGS | named).items()]


def finetune(start, data, out, **changes):
    assert main(["finetune", str(start), str(data), "-o", str(out), "-q", *words_of(start, changes)]) == 0
    return out


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune")
    write_task(folder / "task", 80)
    finetune("scratch", folder / "task", folder / "done")
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def told_by(folder):
    """The report but for what training cost, which no two runs share."""
    return {key: value for key, value in report_of(folder).items() if not key.endswith("seconds")}


def row_of(folder, name, part="test"):
    return next(row for row in report_of(folder)["rows"] if (row["name"], row["part"]) == (name, part))


def test_the_folder_holds_what_a_run_folder_holds(home):
    names = {path.name for path in (home / "done").iterdir()} - {".lock"}
    wanted = "checkpoints config.json log.csv model provenance.json report.json report.json.provenance.json report.tsv "
    assert names == set((wanted + "tensorboard").split())
    assert [path.name for path in checkpoints(home / "done" / "checkpoints")] == ["step-32", "step-40"]
    facts = json.loads((home / "done" / "model" / "provenance.json").read_text())
    assert set(facts["inputs"]) == {str(home / "task" / f"{part}.csv") for part in ("train", "dev", "test")}
    assert facts["step"] == report_of(home / "done")["step"] and "mcc" in facts["validation"]


def test_the_best_validation_is_published(home):
    lines = [line for line in log_of(home / "done") if line["valid_mcc"]]
    assert [line["step"] for line in lines] == ["10", "20", "30", "40"]
    best = max(lines, key=lambda line: (float(line["valid_mcc"]), -float(line["valid_loss"])))
    report = report_of(home / "done")
    assert report["step"] == int(best["step"]) and report["metric"] == "mcc"
    valid = row_of(home / "done", "fine-tuned", "valid")
    assert valid["mcc"] == pytest.approx(float(best["valid_mcc"]), abs=1e-5)
    assert valid["loss"] == pytest.approx(float(best["valid_loss"]), abs=1e-5)
    state = read_checkpoint(home / "done" / "checkpoints" / "step-40")
    weights = dnadiff.load_predictor(home / "done").predictor.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in state["best"]["weights"].items())


def test_the_report_is_what_predictions_give(home, tmp_path):
    """The test table's own labels beside ``predict``'s column, by scikit-learn alone."""
    assert main(["predict", str(home / "done"), str(home / "task" / "test.csv"), "-o", str(tmp_path / "p.tsv")]) == 0
    said = rows(tmp_path / "p.tsv")
    with (home / "task" / "test.csv").open() as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    found, row = [line["class"] for line in said], row_of(home / "done", "fine-tuned")
    assert list(said[0]) == ["name", "class", "at", "gc"] and said[0]["name"] == "row_1" and len(said) == 40
    assert row["accuracy"] == accuracy_score(truth, found) > 0.75
    assert row["mcc"] == pytest.approx(matthews_corrcoef(truth, found)) and row["n"] == 40
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert all(float(line["at"]) + float(line["gc"]) == pytest.approx(1, abs=1e-5) for line in said)
    facts = json.loads((tmp_path / "p.tsv.provenance.json").read_text())
    assert str(home / "task" / "test.csv") in facts["inputs"]


def test_the_report_has_floors_balance_and_protocol(home):
    report = report_of(home / "done")
    assert [row["name"] for row in report["rows"]] == [
        "fine-tuned", "fine-tuned", "k-mers and positions", "most frequent class",
    ]  # fmt: skip
    assert row_of(home / "done", "most frequent class")["accuracy"] == 0.5
    assert row_of(home / "done", "k-mers and positions")["accuracy"] > 0.7
    assert report["balance"]["train"] == {"at": 40, "gc": 40} and report["names"] == ["at", "gc"]
    assert report["protocol"][0] == "fixed split: 80 train, 40 valid, 40 test; the test part was scored once"
    table = (home / "done" / "report.tsv").read_text().splitlines()
    assert table[0] == f"# {report['protocol'][0]}" and table[-1].startswith("most frequent class\ttest\t40\t0.5\t")


def kill_at(step, data, out):
    def act():
        before = Training.training_step

        def training_step(module, batch, index):
            if module.step == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(module, batch, index)

        Training.training_step = training_step
        finetune("scratch", data, out)
        return 0

    return act


@pytest.mark.parametrize("step", [3, 21, 38])
def test_a_killed_run_ends_with_the_same_weights_and_figures(home, tmp_path, step):
    """Before the first checkpoint, after one whose best weights are of an earlier step, shortly before the end."""
    out = tmp_path / "run"
    assert chaos.finished(kill_at(step, home / "task", out), tmp_path) == -signal.SIGKILL
    assert not (out / "report.json").exists()
    assert main(["finetune", "--resume", str(out), "-q"]) == 0
    assert log_of(out) == log_of(home / "done") and weights_hash(out) == weights_hash(home / "done")
    assert told_by(out) == told_by(home / "done")
    assert json.loads((out / "provenance.json").read_text())["resumed"][0]["step"] == 8 * (step // 8)


def test_a_finished_run_is_only_reported_again_and_may_be_made_longer(home, tmp_path):
    out = shutil.copytree(home / "done", tmp_path / "run")
    (out / "report.json").unlink()
    shutil.rmtree(out / "model")
    assert main(["finetune", "--resume", str(out), "-q"]) == 0
    assert log_of(out) == log_of(home / "done") and told_by(out) == told_by(home / "done")
    assert main(["finetune", "--resume", str(out), "-q", "train.epochs=5"]) == 0
    assert [line["step"] for line in log_of(out)][-1] == "50"


def test_training_ends_when_patience_does(home, tmp_path):
    changes = {"train__epochs": 40, "train__metric": "loss", "optim__lr": 0.2, "train__checkpoint_every": 40}
    out = finetune("scratch", home / "task", tmp_path / "run", train__patience=1, **changes)
    lines = [line for line in log_of(out) if line["valid_loss"]]
    losses = [float(line["valid_loss"]) for line in lines]
    best = losses.index(min(losses))
    assert len(lines) == best + 2 < 40 and report_of(out)["step"] == 10 * (best + 1)
    assert "valid_mcc" not in lines[0]
    assert main(["finetune", "--resume", str(out), "-q"]) == 0  # it had enough, and has it still
    assert log_of(out)[-1]["step"] == lines[-1]["step"]


BACKBONES = {
    "ar": {"algo": "ar"},
    "bd3lm": {"algo": "bd3lm", "block_size": 4},
    "adaptive norms": {"model__adaln": "true", "time_conditioning": "true"},
}


@pytest.mark.parametrize("method", BACKBONES)
def test_a_trained_backbone_is_begun_with(home, tmp_path, method):
    changes = {"model__stem": 0, "model__adaln": "false"} | BACKBONES[method]
    base = run(write_genome(tmp_path / "g.fa"), tmp_path / "base", **changes)
    out = finetune(base, home / "task", tmp_path / "run", train__epochs=1, model__dropout=0.2)
    model, spec = dnadiff.load_predictor(out), json.loads((out / "model" / "config.json").read_text())
    causal = {"ar": 1, "bd3lm": 4}.get(method)
    wanted = {"name": "block_causal", "block_size": causal} if causal else {"name": "full"}
    assert spec["pattern"] == wanted and spec["bos"] == bool(causal) and model.frame.bases == 20
    assert spec["backbone"]["dropout"] == 0.2
    begun = dnadiff.load(base).backbone.state_dict()
    now = model.predictor.backbone.state_dict()
    moved = {name: float((now[name] - begun[name]).abs().max()) for name in begun}
    assert moved["output_layer.linear.weight"] == 0 < moved["blocks.0.attn_qkv.weight"] < 0.2
    shutil.rmtree(base)
    assert main(["finetune", "--resume", str(out), "-q", "train.epochs=1.5"]) == 0  # the base is not needed any more


def test_what_is_begun_with_are_its_averaged_weights(home, tmp_path):
    base = run(write_genome(tmp_path / "g.fa"), tmp_path / "base", model__stem=0)
    out = finetune(base, home / "task", tmp_path / "run", optim__lr=1e-9, optim__lr_min=0, train__epochs=0.1)
    begun, now = dnadiff.load(base).backbone, dnadiff.load_predictor(out).predictor.backbone
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(begun.parameters(), now.parameters(), strict=True))


def test_numbers_are_learnt_on_both_strands(tmp_path):
    """The share of G and C, times ten: the same on both strands."""
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("ACGT"), rng.integers(12, 25))) for _ in range(200)]
    lines = [f"{x},{10 * sum(base in 'GC' for base in x) / len(x):.4f}" for x in texts]
    (tmp_path / "x.csv").write_text("sequence,gc\n" + "\n".join(lines) + "\n")
    out = finetune(
        "scratch", tmp_path / "x.csv", tmp_path / "run", data__label="gc", data__both_strands="true",
        data__reverse_complement=0.5, head__pooling="attention", train__epochs=4, baselines="false",
    )  # fmt: skip
    report = report_of(out)
    assert report["kind"] == "regression" and row_of(out, "fine-tuned")["pearson"] > 0.9
    assert [row["part"] for row in report["rows"]] == ["valid", "test"]
    assert report["balance"]["train"]["gc"]["mean"] == pytest.approx(5, abs=0.5)
    model = dnadiff.load_predictor(out)
    assert model.predict(["AACCC"]) == pytest.approx(model.predict(["GGGTT"]), abs=1e-5)
    assert model.predict(["GCGCGCGCGCGCGC"])[0, 0] > 8 and model.frame.length == max(map(len, texts))


def test_labels_and_cropped_sequences(tmp_path):
    """Two labels in columns; rows of 12 bases of sequences that are 20 long, of which the ends tell nothing."""
    rng = np.random.default_rng(4)
    lines = ["sequence,poly,tata"]
    for _ in range(160):
        a, b = rng.integers(0, 2, 2)
        middle = ("AAAAA" if a else "CGCGC") + "G" + ("TATATA" if b else "CCGGCG")
        lines.append(f"{''.join(rng.choice(list('CG'), 4))}{middle}{''.join(rng.choice(list('CG'), 4))},{a},{b}")
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    changes = {"data__label": "poly,tata", "data__length": 12, "data__crop": "true", "train__epochs": 3}
    out = finetune("scratch", tmp_path / "x.csv", tmp_path / "run", **changes)
    assert report_of(out)["kind"] == "multilabel" and row_of(out, "fine-tuned")["auroc"] > 0.95
    (tmp_path / "y.fa").write_text(">both\n" + "C" * 10 + "AAAAAGTATATA" + "C" * 10 + "\n>none\nCGCGCGCCGGCG\n")
    assert main(["predict", str(out), str(tmp_path / "y.fa"), "-o", str(tmp_path / "y.tsv")]) == 0
    both, none = rows(tmp_path / "y.tsv")
    assert list(both) == ["name", "poly", "tata"] and both["name"] == "both"
    assert min(float(both["poly"]), float(both["tata"])) > 0.5 > max(float(none["poly"]), float(none["tata"]))


def test_the_plan_is_printed_and_nothing_written(home, tmp_path, capsys):
    words = ["finetune", "scratch", str(home / "task"), "-o", str(tmp_path / "no"), "--dry-run"]
    assert main([*words, *words_of("scratch", {})]) == 0
    err = capsys.readouterr().err
    assert "train        80 sequences (at 40, gc 40)" in err and "targets      class: at, gc" in err
    assert "weights      the highest mcc on validation" in err and "40 steps (4 epochs)" in err
    assert not (tmp_path / "no").exists()
