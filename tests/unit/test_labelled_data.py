"""Sequences with classes: tables and FASTA descriptions become the same store, windows carry the class."""

import gzip

import numpy as np
import pytest

from dnadiff.data.genome import build_store
from dnadiff.data.intervals import Interval
from dnadiff.data.labels import classes_of
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.errors import InputError

TABLE = "sequence,label,id\nACGTACGT,promoter,a\nuuggNRAC,background,b c\nTTTTACGA,promoter,d\n"
FASTA = (
    ">row_1 label=promoter id=a\nACGTACGT\n>row_2 label=background\nuuggNRAC\n>row_3 label=promoter id=d\nTTTTACGA\n"
)


def store_of(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return build_store(path, tmp_path / f"{name}.store")


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.csv", TABLE), ("x.csv.gz", TABLE), ("x.tsv", TABLE.replace(",", "\t")), ("x.csv", "\ufeff" + TABLE),
     ("x.csv", TABLE.replace("\n", "\r\n")), ("x.csv", TABLE.replace("b c", '"b c"') + "\n\n")],
)  # fmt: skip
def test_a_table_makes_the_store_of_the_same_fasta(tmp_path, name, text):
    table, fasta = store_of(tmp_path, name, text), store_of(tmp_path, "x.fa", FASTA)
    assert table.index["contigs"] == fasta.index["contigs"]
    assert table.bases.tobytes() == fasta.bases.tobytes()


def test_a_name_column_names_the_records(tmp_path):
    store = store_of(tmp_path, "x.csv", "name,sequence\nchrA,ACGT\nchrB,TTTT\n")
    assert store.names == ["chrA", "chrB"] and store.index["contigs"][0]["description"] == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "x.csv:1: found the columns nothing"),
        ("seq,label\nACGT,1\n", "x.csv:1: found the columns seq, label; one named sequence"),
        ("sequence,label,label\nACGT,1,2\n", "x.csv:1: found two columns named label"),
        ("sequence,label\nACGT\n", "x.csv:2: found 1 values; 2 would work"),
        ("sequence,label\nACGT,1\nACXT,0\n", "x.csv:3: found 'X', a protein letter at base 3"),
        ("sequence,label\n", "x.csv: found no row"),
        ('sequence,label\n"ACGT,1\n', "x.csv:3: is no table row"),
        ("sequence,name\nACGT,a b\n", "x.csv:2: found name 'a b'"),
        ("sequence,name\nACGT,a\nAC,a\n", "x.csv:3: found a second record 'a'"),
    ],
)
def test_bad_tables_are_refused_by_file_and_line(tmp_path, text, found):
    with pytest.raises(InputError, match=found.replace("(", r"\(")) as caught:
        store_of(tmp_path, "x.csv", text)
    assert "\n" not in str(caught.value) and not (tmp_path / "x.csv.store").exists()


def test_classes_are_numbered_by_name(tmp_path):
    names, classes = classes_of(store_of(tmp_path, "x.fa", FASTA), "label")
    assert names == ("background", "promoter") and classes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("key", "found"), [("lable", "did you mean label"), ("id", "record 'row_2' has no id="), ("label2", "no label2=")]
)
def test_records_without_a_class_are_named(tmp_path, key, found):
    with pytest.raises(InputError, match=found):
        classes_of(store_of(tmp_path, "x.fa", FASTA), key)


def test_one_class_only_is_refused(tmp_path):
    with pytest.raises(InputError, match="every record has c=1; two classes"):
        classes_of(store_of(tmp_path, "x.fa", ">a c=1\nACGT\n>b c=1\nACGT\n"), "c")


def test_windows_carry_the_class_of_their_record(tmp_path):
    store = store_of(tmp_path, "x.fa", FASTA)
    intervals = [Interval(name, 0, 8) for name in ("row_3", "row_2")]
    data = WindowDataset(
        store, intervals, NucleotideTokenizer(), 4, seed=3, mode="random", min_valid=0, labels=np.array([1, 0, 1])
    )
    batch = data.__getitems__(range(50))
    chrom = data.locations(range(50)).chrom
    assert batch["labels"].tolist() == [1 if name == "row_3" else 0 for name in chrom]
    assert set(chrom) == {"row_2", "row_3"}


def test_a_column_named_with_blanks_is_not_taken_for_another(tmp_path):
    table = "sequence,label,true label,note\nACGT,a,b,x\tlabel=c\nACGG,b,a,y\n"
    names, classes = classes_of(store_of(tmp_path, "x.csv", table), "label")
    assert names == ("a", "b") and classes.tolist() == [0, 1]


def test_a_row_may_hold_a_long_sequence(tmp_path):
    assert store_of(tmp_path, "x.csv", f"sequence,label\n{'ACGT' * 40_000},a\n").sizes == {"row_1": 160_000}
