"""Labelled sequences in every layout become the same data set; every mistake is refused with file and line."""

import gzip
import re

import numpy as np
import pytest

from dnadiff.data import alphabet
from dnadiff.data.examples import Example
from dnadiff.data.labelled import read_labelled, read_sequences
from dnadiff.data.targets import meaning_of
from dnadiff.errors import InputError

TRAIN = [("ACGTA", "promoter"), ("uuggn", "background"), ("TTTTC", "promoter"), ("GGRCA", "background")]
VALID = [("CCCCC", "promoter"), ("CGCGC", "background")]
TEST = [("AAAAA", "background"), ("TGTGT", "promoter")]
PARTS = {"train": TRAIN, "dev": VALID, "test": TEST}


def table(rows, comma=",", letters="sequence"):
    return "\n".join([comma.join([letters, "label"]), *(comma.join(row) for row in rows)]) + "\n"


def words(rows, form="label={}"):
    return "".join(f">r{n} {form.format(label)}\n{bases}\n" for n, (bases, label) in enumerate(rows))


def folder(home, files):
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return home


def of_class(rows, label):
    return [row for row in rows if row[1] == label]


LABELS = ("promoter", "background")
LAYOUTS = {
    "csv": {f"{part}.csv": table(rows) for part, rows in PARTS.items()},
    "gue": {f"{part}.csv.gz": table(rows) for part, rows in PARTS.items()} | {"README.md": "x"},
    "tsv": {f"{part}.tsv": table(rows, "\t", "seq") for part, rows in PARTS.items()},
    "words": {f"{part}.fa": words(rows) for part, rows in PARTS.items()},
    "bars": {f"{part}.fna": "".join(f">chr1:1-5|{y}\n{x}\n" for x, y in rows) for part, rows in PARTS.items()},
    "bars after a blank": {f"{part}.fa": words(rows, "of chr1 |{}") for part, rows in PARTS.items()},
    "a FASTA a class": {
        f"{part}/{label}.fa": words(of_class(rows, label), "") for part, rows in PARTS.items() for label in LABELS
    },
    "genomic benchmarks": {
        f"{part}/{label}/{n}.txt": bases + "\n"
        for part, rows in PARTS.items()
        for label in LABELS
        for n, (bases, _) in enumerate(of_class(rows, label))
    }
    | {"metadata.yaml": "version: 0"},
}


def contents(part):
    pairs = zip(map(alphabet.decode, part.codes), part.targets.tolist(), strict=True)
    return sorted(pairs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_data_set(layout, tmp_path):
    data = read_labelled(folder(tmp_path, LAYOUTS[layout]))
    assert data.meaning.kind == "class" and data.meaning.names == ("background", "promoter")
    assert contents(data.train) == [("ACGTA", 1), ("GGNCA", 0), ("TTGGN", 0), ("TTTTC", 1)]
    assert contents(data.valid) == [("CCCCC", 1), ("CGCGC", 0)]
    assert contents(data.test) == [("AAAAA", 0), ("TGTGT", 1)]
    assert not any(part.drawn for part in data.parts.values()) and data.train.longest == 5
    assert set(map(len, data.digests.values())) == {64}


def test_one_file_may_say_the_part_of_each_row(tmp_path):
    rows = [f"{x},{y},{part}" for part, rows in PARTS.items() for x, y in rows]
    (tmp_path / "x.csv").write_text("sequence,label,split\n" + "\n".join(rows) + "\n")
    one, whole = read_labelled(tmp_path / "x.csv"), read_labelled(folder(tmp_path / "all", LAYOUTS["csv"]))
    assert all(contents(one.parts[name]) == contents(whole.parts[name]) for name in ("train", "valid", "test"))


def test_parts_that_are_not_there_are_drawn_without_parting_equal_sequences(tmp_path):
    rng = np.random.default_rng(0)
    unique = ["".join(rng.choice(list("ACGT"), 12)) for _ in range(100)]
    reverse = str.maketrans("ACGT", "TGCA")
    rows = [(x, str(n % 2)) for n, x in enumerate(unique) for x in (x, x.translate(reverse)[::-1], x)]
    (tmp_path / "x.csv").write_text(table(rows))
    data = read_labelled(tmp_path / "x.csv", valid_fraction=0.2, test_fraction=0.1, seed=3)
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 216, "valid": 54, "test": 30}
    assert [part.drawn for part in data.parts.values()] == [False, True, True] and data.shared == 0
    assert all(np.bincount(part.targets).tolist() == [len(part) // 2] * 2 for part in data.parts.values())
    (tmp_path / "y.csv").write_text(table(rows[::-1]))
    same, other = read_labelled(tmp_path / "y.csv", valid_fraction=0.2, seed=3), read_labelled(tmp_path / "x.csv")
    assert contents(same.test) == contents(data.test) != contents(other.test)
    none = read_labelled(tmp_path / "x.csv", valid_fraction=0, test_fraction=0)
    assert list(none.parts) == ["train"] and len(none.train) == 300


def test_sequences_that_two_parts_share_are_counted_on_both_strands(tmp_path):
    files = {"train.csv": table(TRAIN), "test.csv": table([*TEST, ("TACGT", "promoter"), ("ACGTA", "background")])}
    assert read_labelled(folder(tmp_path, files), valid_fraction=0).shared == 2


def test_numbers_that_are_not_whole_are_regression(tmp_path):
    (tmp_path / "x.csv").write_text("sequence,label\nACGT,1.5\nACGG,-2\nACGC,1e3\n")
    data = read_labelled(tmp_path / "x.csv", valid_fraction=0, test_fraction=0)
    assert data.meaning.kind == "regression" and data.train.targets.tolist() == [[1.5], [-2], [1000]]


def test_columns_of_zeros_and_ones_are_labels_and_other_columns_numbers(tmp_path):
    (tmp_path / "x.csv").write_text("sequence,b,a,c\nACGT,1,0,2\nACGG,1,1,3\n")
    labels = read_labelled(tmp_path / "x.csv", ("b", "a"), valid_fraction=0, test_fraction=0)
    assert labels.meaning.kind == "multilabel" and labels.meaning.names == ("b", "a")
    assert labels.train.targets.tolist() == [[1, 0], [1, 1]]
    numbers = read_labelled(tmp_path / "x.csv", ("a", "c"), valid_fraction=0, test_fraction=0)
    assert numbers.meaning.kind == "regression" and numbers.train.targets.tolist() == [[0, 2], [1, 3]]


def test_names_joined_by_semicolons_are_labels(tmp_path):
    (tmp_path / "x.csv").write_text("sequence,label\nACGT,liver;brain\nACGG,\nACGC,brain\n")
    data = read_labelled(tmp_path / "x.csv", kind="multilabel", valid_fraction=0, test_fraction=0)
    assert data.meaning.names == ("brain", "liver") and data.train.targets.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_sequences_alone_need_no_labels(tmp_path):
    (tmp_path / "x.csv").write_text("name,sequence,other\na,ACGT,\nb,GG,1\n")
    (tmp_path / "x.fa").write_text(">c d\nAC\nGT\n")
    table, digests = read_sequences(tmp_path / "x.csv")
    assert [(e.name, alphabet.decode(e.codes), e.labels) for e in table] == [("a", "ACGT", ()), ("b", "GG", ())]
    assert len(digests[str(tmp_path / "x.csv")]) == 64
    assert [e.name for e in read_sequences(tmp_path / "x.fa")[0]] == ["c"]


OK = "sequence,label\nACGT,1\nACGG,0\nACGA,1\n"
WORKS = "train.csv and test.csv, a FASTA file a class, or a folder of .txt files a class, would work"
MISTAKES = {
    "an empty sequence": ({"x.csv": OK + ",1\n"}, {}, "x.csv:5: found an empty sequence; one base or more would work"),
    "an empty record": ({"x.fa": ">a label=1\n>b label=0\nAC\n"}, {}, "x.fa:1: found no letters in record 'a'"),
    "a protein": ({"x.csv": OK + "ACLT,1\n"}, {}, "x.csv:5: found 'L', a protein letter at base 3 of the sequence"),
    "nothing but N": ({"x.csv": OK + "NRN,1\n"}, {}, "x.csv:5: found nothing but N; one known base or more would work"),
    "no column of labels": (
        {"x.csv": "sequence,lable\nAC,1\n"},
        {},
        "x.csv:1: found no column label; did you mean lable",
    ),
    "no other column": ({"x.csv": "sequence\nAC\n"}, {}, "x.csv:1: found no column label; a column label would work"),
    "no column of bases": (
        {"x.csv": "dna,label\nAC,1\n"},
        {},
        "x.csv:1: found the columns dna, label; one named sequence",
    ),
    "a row without its label": ({"x.csv": OK + "ACC,\n"}, {}, "x.csv:5: has no label; the name of a class would work"),
    "a record without its label": (
        {"x.fa": ">a label=1\nAC\n>b lab=2\nAC\n"},
        {},
        "x.fa:3: record 'b' has no label=; did",
    ),
    "a record without words": ({"x.fa": ">a\nAC\n"}, {}, "x.fa:1: record 'a' has no label=; '>a label=1' would work"),
    "one class only": ({"x.csv": "sequence,label\nAC,1\nAG,1\n"}, {}, "x.csv: every example has label=1; two classes"),
    "a class an example": (
        {"x.csv": "sequence,label\nAC,a\nAG,b\nAT,c\nAA,d\nTT,e\n"},
        {},
        "x.csv: found 5 different values of label in 5 examples; another label, or kind=regression",
    ),
    "NaN among numbers": (
        {"x.csv": "sequence,label\nAC,1.5\nAG,nan\nA,2\n"},
        {},
        "x.csv:3: found label=nan; a finite number would work",
    ),
    "text among numbers": (
        {"x.csv": "sequence,label\nAC,1.5\nAG,x\n"},
        {"kind": "regression"},
        "x.csv:3: found label=x; a finite number would work",
    ),
    "one number only": (
        {"x.csv": "sequence,label\nAC,1.5\nAG,1.5\n"},
        {"kind": "regression"},
        "x.csv: every label is 1.5",
    ),
    "two columns for a class": (
        {"x.csv": "sequence,a,b\nAC,1,2\n"},
        {"kind": "class", "keys": ("a", "b")},
        "a, b: a class has one label; one key, or kind=multilabel, would work",
    ),
    "a label of another kind": (
        {"x.csv": "sequence,a,b\nAC,1,2\n"},
        {"kind": "multilabel", "keys": ("a", "b")},
        "x.csv:2: found b=2; 0 or 1 would work",
    ),
    "no label anywhere": ({"x.csv": "sequence,label\nAC,\n"}, {"kind": "multilabel"}, "x.csv: no example has a label"),
    "a class that training lacks": (
        {"train.csv": OK, "test.csv": "sequence,label\nAC,0\nAC,2\n"},
        {},
        "test.csv:3: found label=2; there are: 0, 1",
    ),
    "a part that there is not": (
        {"x.csv": "sequence,label,split\nAC,0,tset\n"},
        {},
        "x.csv:2: found split=tset; did you",
    ),
    "no part to train on": (
        {"test.csv": OK},
        {},
        "found test.csv and nothing to train on; train.csv beside it would work",
    ),
    "no row to train on": ({"x.csv": "sequence,label,split\nAC,0,test\n"}, {}, "no example is of split=train"),
    "a part twice": (
        {"train.csv": OK, "dev.csv": OK, "valid.csv": OK},
        {},
        "found both dev.csv and valid.csv; one of them",
    ),
    "a part and a stranger": ({"train.csv": OK, "extra.csv": OK}, {}, "found extra.csv beside train.csv; parts alone"),
    "an empty folder": ({"readme.md": ""}, {}, f"holds no labelled sequences; {WORKS}"),
    "tables that name no part": (
        {"a.csv": OK},
        {},
        f"found a.csv, which names no part and is no FASTA of a class; {WORKS}",
    ),
    "classes as files and folders": (
        {"a.fa": ">a\nAC\n", "b/1.txt": "AC"},
        {},
        "found the file a.fa beside the folder b",
    ),
    "a class twice": (
        {"a.fa": ">a\nAC\n", "a.fna": ">a\nAC\n"},
        {},
        "found a.fa and a.fna; one file a class would work",
    ),
    "a class of no files": ({"train/a/x.md": "", "train/b/1.txt": "A"}, {}, "train/a: holds no .txt file; one of them"),
    "a text file of no bases": (
        {"a/1.txt": "\n", "b/1.txt": "A"},
        {},
        "a/1.txt: found an empty sequence; one base or more",
    ),
    "a text file of protein": (
        {"a/1.txt": "ACMEL", "b/1.txt": "A"},
        {},
        "a/1.txt:1: position 4: found 'E', a protein letter",
    ),
    "a class and a key too many": (
        {"a.fa": ">a\nAC\n"},
        {"keys": ("a", "b")},
        "a.fa: holds the class a, which a, b cannot",
    ),
    "all of it held out": (
        {"x.csv": OK},
        {"test_fraction": 1.0, "valid_fraction": 0},
        "test_fraction=1: leaves a part of",
    ),
    "Parquet that is none": ({"x.parquet": "hello"}, {}, "x.parquet: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_with_their_place(mistake, tmp_path):
    files, options, told = MISTAKES[mistake]
    folder(tmp_path, files)
    path = tmp_path / next(iter(files)) if set(files) & {"x.csv", "x.fa", "x.parquet"} else tmp_path
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        read_labelled(path, options.pop("keys", ("label",)), **options)
    assert "\n" not in str(caught.value)


def test_parquet_is_read_where_the_package_is_there(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"seq": [x for x, _ in TRAIN], "label": [y for _, y in TRAIN]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    data = read_labelled(tmp_path, valid_fraction=0, test_fraction=0)
    assert contents(data.train) == [("ACGTA", 1), ("GGNCA", 0), ("TTGGN", 0), ("TTTTC", 1)]
    parquet.write_table(pyarrow.table({"seq": ["AC", ""], "label": [1, 0]}), tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"train\.parquet:2: found an empty sequence"):
        read_labelled(tmp_path)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "0", "1", "0"], "class"),
        (["1.0", "0.0"] * 2, "class"),
        (["1", "0.5"], "regression"),
        (["a", "b"] * 2, "class"),
    ],
)
def test_what_labels_look_like_is_what_they_are(texts, kind):
    examples = [Example("x:1", "x", np.zeros(1, np.uint8), (text,)) for text in texts]
    assert meaning_of(examples, ("label",)).kind == kind


def split_rows(tmp_path):
    """GUE-like files of 40, 10 and 10 different sequences."""
    rng = np.random.default_rng(1)
    unique = ["".join(rng.choice(list("ACGT"), 12)) for _ in range(60)]
    rows = [(x, str(n % 2)) for n, x in enumerate(unique)]
    return folder(
        tmp_path, {"train.csv": table(rows[:40]), "dev.csv": table(rows[40:50]), "test.csv": table(rows[50:])}
    )


def test_a_validation_part_is_redrawn_for_every_seed(tmp_path):
    home = split_rows(tmp_path)
    named = read_labelled(home)
    one, two = (read_labelled(home, redraw=True, seed=seed) for seed in (1, 2))
    assert contents(one.test) == contents(two.test) == contents(named.test)
    assert len(one.valid) == len(two.valid) == 4 and one.valid.drawn and contents(one.valid) != contents(two.valid)
    for data in (one, two):
        assert sorted(contents(data.train) + contents(data.valid)) == sorted(
            contents(named.train) + contents(named.valid)
        )


@pytest.mark.parametrize("count", [5, 60])
def test_folds_test_every_example_once(tmp_path, count):
    home = split_rows(tmp_path)
    everything = sorted(row for part in read_labelled(home).parts.values() for row in contents(part))
    tested = []
    for number in range(1, count + 1) if count == 5 else (1, 2, 3):
        data = read_labelled(home, one_of=(number, count), valid_fraction=0.1, seed=1)
        assert sorted(row for part in data.parts.values() for row in contents(part)) == everything
        assert len(data.test) == 60 // count and data.test.drawn and data.shared == 0
        tested += contents(data.test)
        if count == 5:
            assert sum(label for _, label in contents(data.test)) == 6
    assert len(set(tested)) == len(tested) and (count == 60 or sorted(tested) == everything)
    with pytest.raises(InputError, match=r"data\.fold=1/61: found 60 different sequences; as many folds would work"):
        read_labelled(home, one_of=(1, 61))
