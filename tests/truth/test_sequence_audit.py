"""Leaks between sequences against comparing all pairs as sets of text; rules against counting by hand."""

import csv
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from dnadiff.cli import main
from dnadiff.data import alphabet
from dnadiff.data.labelled import read_labelled
from dnadiff.data.parts import Part, at_most
from dnadiff.evaluation import near
from dnadiff.evaluation.baselines import composition, length
from dnadiff.evaluation.near import leaks, words_of
from dnadiff.evaluation.sequence_audit import audit_sequences, conflicts, leaks_of

RNG = np.random.default_rng(0)


def bases(n, p=None):
    return "".join(RNG.choice(list("ACGT"), n, p=p))


def other_strand(text):
    return text[::-1].translate(str.maketrans("ACGTN", "TGCAN"))


def codes(*texts):
    return [alphabet.encode(text) for text in texts]


def mutated(text, *places):
    letters = list(text)
    for place in places:
        letters[place] = "ACGT"[("ACGT".index(letters[place]) + 1) % 4]
    return "".join(letters)


def text_words(text):
    words = [text[i : i + 16] for i in range(len(text) - 15)]
    return {min(word, other_strand(word)) for word in words if "N" not in word}


def test_words_are_those_of_the_text_on_either_strand():
    for text in (bases(60), "ACGT" * 9, "A" * 30, bases(20) + "N" + bases(18), "ACGTN", bases(16), bases(15)):
        wanted = sorted(int(word.translate(str.maketrans("ACGT", "0123")), 4) for word in text_words(text))
        assert words_of(codes(text)[0]).tolist() == wanted
        assert words_of(codes(other_strand(text))[0]).tolist() == wanted


def family(n):
    """Random sequences, copies with differences and shifts, pieces, repeats, on either strand."""
    texts = [bases(int(RNG.integers(10, 90))) for _ in range(n)]
    repeat = bases(30)
    for number in range(n):
        text = texts[RNG.integers(n)]
        kind = number % 7
        if kind == 0:
            text = mutated(text, RNG.integers(len(text)))
        elif kind == 1:
            text = bases(int(RNG.integers(1, 20))) + text
        elif kind == 2:
            text = text[len(text) // 4 :]
        elif kind == 3:
            text = repeat + bases(int(RNG.integers(1, 12)))
        elif kind == 4:
            text = "CA" * int(RNG.integers(9, 20))
        texts.append(other_strand(text) if number % 2 else text)
    return [texts[i] for i in RNG.permutation(len(texts))]


def test_leaks_are_those_of_all_pairs():
    train, test = family(60), family(60)
    test += [train[5], other_strand(train[6]), train[7][2:], "ACG", "N" * 40]
    train += [train[5], "CGT"]
    found = leaks(codes(*train), codes(*test))
    sets = [text_words(text) for text in train]
    kinds = set()
    for row, text in enumerate(test):
        same = [n for n, other in enumerate(train) if other in (text, other_strand(text))]
        mine = text_words(text)
        shares = [len(mine & other) / len(mine) if mine else 0.0 for other in sets]
        kinds.add((bool(same), max(shares) >= 0.8))
        assert found.copy[row] == bool(same)
        if same:
            assert (found.nearest[row], found.share[row]) == (same[0], 1)
        elif max(shares) >= 0.8:
            assert found.share[row] == pytest.approx(max(shares), abs=1e-12)
            assert shares[found.nearest[row]] == max(shares)
        else:
            assert (found.nearest[row], found.share[row]) == (-1, 0)
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


def test_four_fifths_are_enough_and_less_is_not():
    text = bases(115)  # 100 words
    for shift, there in ((20, True), (21, False)):
        assert leaks(codes(text), codes(text[shift:] + bases(shift))).found[0] == there


def test_large_families_are_found_in_bounded_time(monkeypatch):
    monkeypatch.setattr(near, "_MOST_COMPARED", 5)
    text = bases(300)
    train = [mutated(text, place) for place in range(0, 300, 3)]
    found = leaks(codes(*train), codes(mutated(text, 1), mutated(text, 31, 91, 151, 211)))
    assert found.found.tolist() == [True, False] and found.share[0] > 0.88


def part_of(texts, targets, **options):
    return Part(tuple(map(str, range(len(texts)))), tuple(codes(*texts)), np.array(targets), **options)


@pytest.fixture
def home(tmp_path):
    """Class ``at`` is rich in A and T, as is a long class; a copy, a near copy, a contradiction and a repeat."""
    at, gc = [0.35, 0.15, 0.15, 0.35], [0.15, 0.35, 0.35, 0.15]
    train = [(bases(100, at), "at") for _ in range(30)] + [(bases(100, gc), "gc") for _ in range(40)]
    test = [(bases(100, at), "at") for _ in range(10)] + [(bases(100, gc), "gc") for _ in range(6)]
    test += [(train[0][0], "at"), (other_strand(train[1][0]), "gc"), (mutated(train[40][0], 4), "gc")]
    train += [train[2], (train[3][0], "gc")]
    (tmp_path / "data").mkdir()
    for name, rows in (("train", train), ("test", test)):
        with (tmp_path / "data" / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("sequence", "label"), *rows])
    return tmp_path / "data"


def test_the_row_of_a_data_set(home):
    data = read_labelled(home, valid_fraction=0)
    row = audit_sequences(data)
    assert (row["train"], row["test"], row["copies"], row["near"], row["repeated"]) == (72, 19, 2, 1, 2)
    assert row["conflicts"] == 2 and row["leaked"] == 3 / 19 and not row["drawn"]  # other strands are no contradiction
    assert (row["train_at"], row["train_gc"], row["test_at"], row["test_gc"]) == (31, 41, 11, 8)
    assert row["metric"] == "accuracy" and row["majority"] == row["length"] == pytest.approx(8 / 19)
    assert row["look_up"] == pytest.approx(
        (6 + 1 + 1) / 19
    )  # gc is guessed; the copy is right, its other strand is not
    assert row["composition"] > 0.85 and row["words"] > 0.7
    assert row == audit_sequences(data, leaks_of(data))


def test_without_a_test_part_there_are_leaks_of_none(home):
    data = replace(read_labelled(home, valid_fraction=0), test=None)
    row = audit_sequences(data)
    assert row["test"] == row["copies"] == 0 and row["majority"] is row["leaked"] is row["words"] is None


def test_validation_examples_are_known_too(home):
    (home / "test.csv").rename(home / "dev.csv")
    data = read_labelled(home)
    assert data.test.drawn and audit_sequences(replace(data, test=data.valid))["copies"] == len(data.valid)


def test_lengths_tell_what_they_tell(home):
    data = read_labelled(home, valid_fraction=0)
    short, long = [bases(30) for _ in range(25)], [bases(60) for _ in range(50)]
    train = part_of(short + long, [1] * 20 + [0] * 5 + [0] * 50)
    found = length(replace(data, train=train), part_of([bases(31), bases(58)], [0, 0]))
    assert found == pytest.approx(np.array([[0.2, 0.8], [1.0, 0.0]]))
    numbers = part_of(short + long, np.array([[7.0]] * 25 + [[1.0]] * 50))
    meaning = replace(data.meaning, kind="regression", names=("y",))
    found = length(replace(data, train=numbers, meaning=meaning), part_of([bases(31), bases(58)], [[0.0], [0.0]]))
    assert found == pytest.approx(np.array([[7.0], [1.0]]))


def test_composition_is_blind_to_order(home):
    data = read_labelled(home, valid_fraction=0)
    text = bases(80)
    both = composition(data, part_of([text, "".join(sorted(text))], [0, 0]), "accuracy")
    assert both[0] == pytest.approx(both[1]) and both.sum(1) == pytest.approx(np.ones(2))


def test_conflicts_are_of_every_kind_of_target():
    one = part_of(["ACGT", "AAAA", "ACGT"], [[0.5, 1], [1, 2], [0.5, 1]])
    assert conflicts(one) == 0 and conflicts(one, part_of(["AAAA", "TTTT"], [[1, 3], [1, 2]])) == 2


def test_some_of_a_part():
    part = part_of([bases(4) for _ in range(9)], range(9))
    few = at_most(part, 4, "a")
    assert len(few) == 4 and sorted(few.targets) == few.targets.tolist()
    assert at_most(part, 4, "a").targets.tolist() == few.targets.tolist() != at_most(part, 4, "b").targets.tolist()
    assert len(at_most(part, 20, "a")) == 9


def test_the_verb_and_its_clean_copy(home, tmp_path, capsys):
    out, clean = tmp_path / "report.json", tmp_path / "clean"
    assert main(["bench", "audit", str(home), "-q", "-o", str(out), "--clean", str(clean)]) == 0
    told = "dna-diff: note: 3 of 19 test sequences are left out, 10 of at, 6 of gc remain in "
    assert capsys.readouterr().err.startswith(told)
    report = json.loads(out.read_text())
    assert report["rows"][0]["near"] == 1 and report["rows"][0]["name"] == home.name
    assert any(line.startswith("copies: test sequences") for line in report["protocol"])
    assert not any("strand, the class of the training stretch" in line for line in report["protocol"])
    left, data = read_labelled(clean, valid_fraction=0), read_labelled(home, valid_fraction=0)
    assert left.meaning == data.meaning and left.train.targets.tolist() == data.train.targets.tolist()
    assert all(np.array_equal(x, y) for x, y in zip(left.train.codes, data.train.codes, strict=True))
    kept = [n for n, bad in enumerate(leaks_of(data).found) if not bad]
    assert left.test.targets.tolist() == data.test.targets[kept].tolist() and left.shared == 0
    first = gzip.decompress((clean / "test.csv.gz").read_bytes()).decode().splitlines()[:2]
    assert first == ["name,sequence,label", f"row_1,{alphabet.decode(data.test.codes[0])},at"]


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        (["dev", "hk"], [("0.1", "-3"), ("1e-3", "2.5"), ("123456.8", "0"), ("7", "1")]),
        (["a", "b"], [("0", "1"), ("1", "1"), ("1", "0"), ("0", "0")]),
        (["label"], [("x;y",), ("y",), ("",), ("x",)]),
    ],
)
def test_copies_of_every_kind_of_label_read_back(tmp_path, keys, rows):
    head = ",".join(["sequence", *keys, "split"])
    lines = [",".join([bases(20), *row, "train" if n < 3 else "test"]) for n, row in enumerate(rows)]
    (tmp_path / "x.csv").write_text("\n".join([head, *lines]) + "\n")
    kind = ["--kind", "multilabel"] if keys == ["label"] else []
    flags = [word for key in keys for word in ("--label", key)]
    assert main(["bench", "audit", str(tmp_path / "x.csv"), *flags, *kind, "--clean", str(tmp_path / "clean")]) == 0
    kind = kind[1] if kind else "auto"
    data, left = (read_labelled(tmp_path / name, keys, kind=kind, valid_fraction=0) for name in ("x.csv", "clean"))
    assert left.meaning == data.meaning
    for name in ("train", "test"):
        assert left.parts[name].targets.tolist() == data.parts[name].targets.tolist()


def test_coordinates_with_a_genome_get_both(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    twice, more = bases(100), bases(300)
    (tmp_path / "g.fa").write_text(f">c1\n{twice}{more}\n>c2\n{other_strand(twice)}{bases(200)}\n")
    rows = {
        "train/a-b.csv": ["c1,0,100,+", "c1,100,200,+"],
        "train/a.csv": ["c1,300,400,-"],
        "test/a-b.csv": ["c2,0,100,+", "c2,150,250,+"],  # the first lies elsewhere and reads the same
        "test/a.csv": ["c1,399,400,-", "c2,200,300,+"],  # the first overlaps
    }
    for name, lines in rows.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["region,start,end,strand", *lines]) + "\n")
    words = ["bench", "audit", str(tmp_path / "data"), "--genome", str(tmp_path / "g.fa")]
    assert main([*words, "--clean", str(tmp_path / "clean")]) == 0
    out, err = capsys.readouterr()
    table = list(csv.DictReader([line for line in out.splitlines() if line[0] != "#"], delimiter="\t"))
    assert [(row["name"], row["copies"]) for row in table] == [("data", "0"), ("data (sequences)", "1")]
    assert "2 of 4 test stretches are left out, 1 of a, 1 of a-b remain" in err
    assert (tmp_path / "clean/test/a-b.csv").read_text() == "region,start,end,strand\nc2,150,250,+\n"
    assert (tmp_path / "clean/test/a.csv").read_text() == "region,start,end,strand\nc2,200,300,+\n"


def test_copies_that_cannot_be_made(home, tmp_path, capsys):
    (home / "one.csv").write_bytes((home / "train.csv").read_bytes())
    lines = (home / "train.csv").read_text().splitlines()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train.csv").write_text("\n".join(lines))
    (tmp_path / "x" / "test.csv").write_text("\n".join([lines[0], *[line for line in lines[1:] if line[-2:] == "at"]]))
    for words, told in (
        ([str(home / "one.csv"), "--clean", str(tmp_path / "c")], "names no test part to leave anything out of"),
        ([str(tmp_path / "x"), "--clean", str(tmp_path / "c")], "the training part holds every test example of at"),
        ([str(tmp_path / "x"), "--kind", "klass"], "did you mean class"),
        ([str(tmp_path / "x"), "--genome", str(tmp_path / "none.fa")], "none.fa"),
    ):
        assert main(["bench", "audit", *words]) == 2
        err = capsys.readouterr().err
        assert told in err and err.count("\n") == 1 and not (tmp_path / "c").exists()
