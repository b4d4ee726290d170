"""A label for every base: losses, strands, figures and floors against sums over the letters of a text."""

import csv
import itertools
import json
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef, roc_auc_score
from torch import nn

import dnadiff
from dnadiff.checkpoints.predictor import load_predictor, predictions, save_predictor
from dnadiff.cli import main
from dnadiff.data import alphabet
from dnadiff.data.example_batches import ExampleDataset, Frame
from dnadiff.data.labelled import read_labelled
from dnadiff.data.parts import Part
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.evaluation import base_baselines
from dnadiff.evaluation.metrics import intervals, measured
from dnadiff.evaluation.sequence_audit import audit_sequences
from dnadiff.models.heads import Predictor, TokenHead, TokenReadout
from dnadiff.random import key64
from tests.labels import SPEC, tiny_predictor

RNG = np.random.default_rng(3)
SPECIAL = {"head": {"name": "token", "width": 16, "outputs": 3, "dropout": 0.0}, "readout": {"name": "tokens"}}


class Before(nn.Module):
    """Features that are the letter before each position: A, C, G, T, or none of them."""

    def features(self, tokens, sigma, *, pattern, valid):
        codes = torch.nn.functional.pad(tokens[:, :-1], (1, 0)) - NucleotideTokenizer.base_ids[0]
        known = (codes >= 0) & (codes < 4)
        return torch.nn.functional.one_hot(codes.clamp(0, 3), 4).float() * known[..., None]


WEIGHT = RNG.normal(size=(2, 4)).astype(np.float32)


def before_predictor():
    head = TokenHead(4, 2)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(WEIGHT))
        head.linear.bias.copy_(torch.tensor([0.5, 0.0]))
    return Predictor(Before(), head, TokenReadout()).eval()


def logits(text):
    """By hand: what the letter before each one weighs."""
    rows = [[0.5, 0.0] for _ in text]
    for place, letter in enumerate(text[:-1]):
        if letter != "N":
            rows[place + 1] = (np.array([0.5, 0.0]) + WEIGHT[:, "ACGT".index(letter)]).tolist()
    return np.array(rows)


def softmax(rows):
    return np.exp(rows) / np.exp(rows).sum(1, keepdims=True)


def other_strand(text):
    return text[::-1].translate(str.maketrans("ACGTN", "TGCAN"))


@pytest.mark.parametrize("bos", [False, True])
def test_every_base_is_read_off_the_position_it_stands_at(bos):
    texts = ["ACGTTGCA", "GAT", "TNA", "C"]
    codes = [alphabet.encode(text) for text in texts]
    one = predictions(before_predictor(), Frame(10, bos), codes, batch_size=3)
    both = predictions(before_predictor(), Frame(10, bos), codes, batch_size=3, both_strands=True)
    for text, p, q in zip(texts, one, both, strict=True):
        known = np.array([letter != "N" for letter in text])
        assert np.allclose(p[known], softmax(logits(text))[known], atol=1e-6) and np.isnan(p[~known]).all()
        averaged = (logits(text) + logits(other_strand(text))[::-1]) / 2
        assert np.allclose(q[known], softmax(averaged)[known], atol=1e-6) and np.isnan(q[~known]).all()


def test_the_loss_is_the_mean_over_the_bases_that_count():
    outputs = torch.from_numpy(RNG.normal(size=(3, 5, 4))).float()
    targets = torch.tensor([[0, 3, -1, 2, 1], [-1, -1, 2, -1, -1], [-1] * 5])
    found = TokenReadout().loss(outputs, targets)
    p = TokenReadout()(outputs).numpy().astype(np.float64)
    for row in (0, 1):
        counted = targets[row].numpy() >= 0
        rows = p[row][counted] / p[row][counted].sum(1, keepdims=True)
        assert float(found[row]) == pytest.approx(log_loss(targets[row][counted], rows, labels=range(4)), rel=1e-5)
    assert float(found[2]) == 0


def object_array(rows):
    out = np.empty(len(rows), dtype=object)
    for place, row in enumerate(rows):
        out[place] = np.array(row)
    return out


def part_of(pairs):
    codes = tuple(alphabet.encode(text) for text, _ in pairs)
    labels = object_array([[int(letter) for letter in row] for _, row in pairs])
    return Part(tuple(map(str, range(len(pairs)))), codes, labels)


def test_labels_turn_with_the_strand_and_n_has_none():
    part = part_of([("ACGGN", "01201"), ("TT", "21")])
    rows = ExampleDataset(part, Frame(7, True), seed=0, reverse_complement=1.0).__getitems__(range(2))
    for tokens, targets in zip(rows["tokens"].tolist(), rows["targets"].tolist(), strict=True):
        bases = [token for token in tokens if token in NucleotideTokenizer.base_ids]
        wanted = [-1, -1, 0, 2, 1, 0, -1] if len(bases) == 4 else [-1, 1, 2, -1, -1, -1, -1]
        assert targets == wanted
    forward = ExampleDataset(part, Frame(7), seed=0).__getitems__(range(2))["targets"].tolist()
    assert sorted(forward) == [[0, 1, 2, 0, -1, -1, -1], [2, 1, -1, -1, -1, -1, -1]]


def drawn(n, k, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, n)
    p = [rng.dirichlet(np.ones(k), length) for length in lengths]
    y = object_array([rng.integers(0, k, length) for length in lengths])
    for row in p[::4]:
        row[len(row) // 2] = np.nan
    return p, y


@pytest.mark.parametrize("k", [2, 3])
def test_figures_are_sklearns_over_all_known_bases(k):
    p, y = drawn(20, k, k)
    flat, truth = np.concatenate(p), np.concatenate(list(y))
    known = ~np.isnan(flat[:, 0])
    flat, truth = flat[known], truth[known]
    assert not known.all()
    found = measured("tokens", p, y)
    scores = flat[:, 1] if k == 2 else flat
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, flat.argmax(1)))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(truth, flat.argmax(1)))
    assert found["f1"] == pytest.approx(f1_score(truth, flat.argmax(1), average="macro"))
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr"))
    assert found["loss"] == pytest.approx(log_loss(truth, flat))


def test_intervals_draw_whole_sequences():
    p, y = drawn(12, 2, 5)
    rng = np.random.default_rng(key64("bootstrap", 1))
    values = []
    for _ in range(30):
        chosen = rng.integers(0, 12, 12)
        again = object_array([y[i] for i in chosen])
        values.append(measured("tokens", [p[i] for i in chosen], again)["accuracy"])
    found = intervals("tokens", p, y, resamples=30, seed=1)["accuracy"]
    assert found == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "sequence", "label", "split"), *rows])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Bases after a G or C are ``s``, others ``w``: the label is that of the letter before."""
    rng, rows = np.random.default_rng(0), []
    for number in range(90):
        text = "".join(rng.choice(list("ACGT"), rng.integers(8, 20)))
        label = "w" + "".join("s" if letter in "GC" else "w" for letter in text[:-1])
        rows.append((f"r{number}", text, label, "train" if number < 60 else "valid" if number < 75 else "test"))
    return write(tmp_path_factory.mktemp("tokens") / "x.csv", rows)


def test_floors_are_counts_of_letters(table):
    data = read_labelled(table, kind="tokens")
    seen, around = Counter(), {}
    for codes, labels in zip(data.train.codes, data.train.targets, strict=True):
        text = "NN" + alphabet.decode(codes) + "NN"
        for place, label in enumerate(labels.tolist()):
            seen[label] += 1
            around.setdefault(text[place : place + 5], Counter())[label] += 1
    shares = np.array([seen[0], seen[1]]) / sum(seen.values())
    part = part_of([("ACGNT", "01010"), ("GGCAT", "00000")])
    for text, row, five in zip(
        ["ACGNT", "GGCAT"], base_baselines.majority(data, part), base_baselines.neighbours(data, part), strict=True
    ):
        for place, letter in enumerate(text):
            if letter == "N":
                assert np.isnan(row[place]).all() and np.isnan(five[place]).all()
                continue
            assert row[place] == pytest.approx(shares)
            count = around.get(f"NN{text}NN"[place : place + 5], Counter())
            assert five[place] == pytest.approx((np.array([count[0], count[1]]) + 1) / (sum(count.values()) + 2))


SETTINGS = [
    "data.kind=tokens", "model.hidden_size=16", "model.n_blocks=1", "model.n_heads=2", "model.stem=5", "train.epochs=8",
    "optim.batch_size=8", "optim.warmup_steps=5", "optim.lr=0.02", "optim.ema=0.8", "bootstrap=20", "seed=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def tuned(table):
    out = table.parent / "tuned"
    assert main(["finetune", "scratch", str(table), "-o", str(out), "-q", *SETTINGS]) == 0
    return out


def test_what_was_learnt_is_reported_and_predicted(table, tuned, tmp_path):
    report = json.loads((tuned / "report.json").read_text())
    rows = {row["name"]: row for row in report["rows"] if row["part"] == "test"}
    data, model = read_labelled(table, kind="tokens"), dnadiff.load_predictor(tuned)
    assert model.kind == "tokens" and model.names == ("s", "w") and report["shared"] == 0
    found = model.predict(data.test.codes)
    figures = measured("tokens", found, data.test.targets)
    assert rows["fine-tuned"]["mcc"] == pytest.approx(figures["mcc"]) and figures["mcc"] > 0.9
    assert rows["five bases around"]["mcc"] > rows["most frequent class"]["mcc"] == 0
    assert rows["fine-tuned"]["accuracy_low"] <= figures["accuracy"] <= rows["fine-tuned"]["accuracy_high"]
    counts = Counter(np.concatenate(list(data.train.targets)).tolist())
    assert report["balance"]["train"] == {"s": counts[0], "w": counts[1]}
    (tmp_path / "y.fa").write_text(">one\nGGNAAC\n")
    assert main(["predict", str(tuned), str(tmp_path / "y.fa"), "-o", str(tmp_path / "y.bed")]) == 0
    p = model.predict(["GGNAAC"])[0]
    said, lines = p.argmax(1), (tmp_path / "y.bed").read_text().splitlines()
    assert lines[0] == "#name\tstart\tend\tclass\tprobability"
    covered = {}
    for line in lines[1:]:
        name, start, end, label, mean = line.split("\t")
        places = range(int(start), int(end))
        assert name == "one" and all(model.names[said[place]] == label for place in places)
        assert float(mean) == pytest.approx(p[list(places), said[int(start)]].mean(), rel=1e-5)
        covered |= dict.fromkeys(places, label)
    assert sorted(covered) == [0, 1, 3, 4, 5]
    runs = [line.split("\t") for line in lines[1:]]
    assert all(one[2:4] != [other[1], other[3]] for one, other in itertools.pairwise(runs))  # as long as they can be


def test_the_plan_of_both_strands_is_honoured(table, tmp_path, capsys):
    words = [*SETTINGS, "data.both_strands=true", "data.reverse_complement=0.5", "--dry-run"]
    assert main(["finetune", "scratch", str(table), "-o", str(tmp_path / "m"), *words]) == 0
    told = capsys.readouterr().err
    assert "tokens: s, w" in told and "a head on every base, from scratch" in told and not (tmp_path / "m").exists()


def test_labels_of_bases_are_audited_and_cleaned(table, tmp_path):
    data = read_labelled(table, kind="tokens", valid_fraction=0)
    row = audit_sequences(data)
    assert row["words"] > row["majority"] > 0.4 and row["length"] is row["look_up"] is None and row["kind"] == "tokens"
    clean = tmp_path / "clean"
    assert main(["bench", "audit", str(table), "--kind", "tokens", "-q", "-o", "-", "--clean", str(clean)]) == 0
    left = read_labelled(clean, kind="tokens")
    for name in ("train", "valid", "test"):
        pairs = zip(left.parts[name].targets, data.parts[name].targets, strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)


MISTAKES = {
    "a label short": ([("a", "ACGT", "010", "")], "x.csv:2: found 3 letters of label for 4 bases; one a base"),
    "no label": ([("a", "ACGT", "0101", ""), ("b", "ACGT", "", "")], "x.csv:3: found 0 letters of label for 4 bases"),
    "one class": ([("a", "ACGT", "0000", "")], "x.csv: every base has label=0; two letters or more would work"),
    "unknown in test": (
        [("a", "ACGT", "0101", "train"), ("b", "ACGT", "0121", "test")],
        "x.csv:3: found label=2; there are: 0, 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_with_their_place(tmp_path, mistake):
    rows, told = MISTAKES[mistake]
    with pytest.raises(InputError, match=told.replace(".", r"\.")):
        read_labelled(write(tmp_path / "x.csv", rows), kind="tokens")


def test_settings_that_labels_of_bases_cannot_have(table, tmp_path, capsys):
    for words, told in (
        (["head.pooling=attention"], "head.pooling=attention: labels of bases are not pooled; leave it out"),
        (["data.crop=true"], "data.crop=true: every base has a label"),
        (["data.label=label,name"], "label, name: a base has one label; one key would work"),
        (["train.metric=pearson"], "train.metric=pearson: is none of tokens targets; there are: accuracy, mcc"),
    ):
        assert main(["finetune", "scratch", str(table), "-o", str(tmp_path / "m"), *SETTINGS, *words]) == 2
        err = capsys.readouterr().err
        assert told in err and err.count("\n") == 1 and not (tmp_path / "m").exists()


def test_a_folder_reads_back_and_is_refused_with_another_head(tmp_path):
    labels = {**SPEC["labels"], "names": ["a", "b", "c"]}
    spec = {**SPEC, **SPECIAL, "labels": labels}
    predictor = tiny_predictor(**SPECIAL)
    save_predictor(tmp_path / "m", predictor, spec, {})
    codes = [alphabet.encode("ACGTN"), alphabet.encode("GG")]
    wanted = predictions(predictor, Frame(16), codes)
    found = load_predictor(tmp_path / "m").predict(codes)
    assert [row.shape for row in found] == [(5, 3), (2, 3)]
    assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(found, wanted, strict=True))
    assert "on every base" in (tmp_path / "m" / "README.md").read_text()
    mixed = {**spec, "readout": {"name": "class"}}
    save_predictor(tmp_path / "n", tiny_predictor(**SPECIAL | {"readout": {"name": "class"}}), mixed, {})
    with pytest.raises(InputError, match=r"config\.json: found head\.name='token' with class"):
        load_predictor(tmp_path / "n")
