"""Labelled text in every form becomes the same data set: tables, and the files of GLUE as they are."""

import numpy as np
import pytest

from dnadiff.data.labelled import read_labelled, read_sequences
from dnadiff.data.parts import different
from dnadiff.data.sentences import read_sentences
from dnadiff.data.text_frame import TextFrame, numbered
from dnadiff.data.text_tokenizers import ByteTokenizer, Text8Tokenizer
from dnadiff.errors import InputError

BYTES = ByteTokenizer()
END, PAD, BOS = "[EOS]", "[PAD]", "[BOS]"
ROWS = [("He left.", "1"), ('He "left" of.', "0"), ("She sang.", "1"), ("Sang she the.", "0")]
COLA = "".join(f"gj04\t{label}\t{'*' * (label == '0')}\t{text}\n" for text, label in ROWS)
MRPC_HEAD = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
PAIRS = [('A "quoted witness spoke.', "He spoke.", "0"), ("It rose 3 %.", "It rose by 3 %.", "1")] * 2
MRPC = MRPC_HEAD + "".join(f"{y}\t70\t71\t{a}\t{b}\n" for a, b, y in PAIRS)
TABLES = {
    "sst2.tsv": "sentence\tlabel\n" + "".join(f"{text} \t{label}\n" for text, label in ROWS),
    "hub.csv": "idx,text,label\n" + "".join(f'{n},"{t.replace(chr(34), chr(34) * 2)}",{y}\n'
                                            for n, (t, y) in enumerate(ROWS)),
    "cola.tsv": COLA,
    "windows.tsv": COLA.replace("\n", "\r\n"),
}  # fmt: skip


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, newline="")
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_every_table_holds_the_same_sentences(tmp_path, name):
    path, digests = write(tmp_path, TABLES) / name, {}
    found = read_sentences(path, ["label"], BYTES, digests)
    assert [(*each.sentences, *each.labels) for each in found] == ROWS
    assert [BYTES.decode(each.codes) for each in found] == [text for text, _ in ROWS]
    lines = (1, 2, 3, 4) if name in ("cola.tsv", "windows.tsv") else (2, 3, 4, 5)
    assert [each.place for each in found] == [f"{path}:{line}" for line in lines] and list(digests) == [str(path)]


def test_parquet_holds_the_same_sentences(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"sentence": [text for text, _ in ROWS], "label": [int(label) for _, label in ROWS]}
    parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
    found = read_sentences(tmp_path / "x.parquet", ["label"], BYTES, {})
    assert [(*each.sentences, *each.labels) for each in found] == ROWS


@pytest.mark.parametrize(
    ("name", "text"),
    [("msr_paraphrase_train.txt", MRPC), ("train.tsv", MRPC),
     ("pairs.tsv", MRPC.replace(MRPC_HEAD, "label\tx\ty\tsentence1\tsentence2\n"))],
)  # fmt: skip
def test_a_pair_is_two_sentences_with_the_end_token_between(tmp_path, name, text):
    first = read_sentences(write(tmp_path, {name: text}) / name, ["label"], BYTES, {})[0]
    assert first.sentences == PAIRS[0][:2] and first.labels == ("0",)
    assert BYTES.decode(first.codes) == f'A "quoted witness spoke.{END}He spoke.'


MORE = COLA.replace("He", "I").replace("he", "we")
DEV = "l-93\t1\t\tWe ran.\nl-93\t0\t*\tRan we.\n"


def test_the_dev_set_of_glue_is_the_test_part_and_validation_is_drawn(tmp_path):
    files = {"in_domain_train.tsv": COLA + MORE, "in_domain_dev.tsv": DEV, "out_of_domain_dev.tsv": DEV.upper()}
    data = read_labelled(write(tmp_path / "CoLA", files | {"README": "x"}), tokenizer=BYTES, valid_fraction=0.25)
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 6, "valid": 2, "test": 4}
    assert data.dev_tested and data.valid.drawn and not data.test.drawn and data.noun == "texts"
    assert {text for (text,) in data.test.texts} == {"We ran.", "Ran we.", "WE RAN.", "RAN WE."}
    assert {text for (text,) in (*data.train.texts, *data.valid.texts)} == {
        line.split("\t")[3] for line in (COLA + MORE).splitlines()
    }
    assert [BYTES.decode(ids) for ids in data.valid.codes] == [text for (text,) in data.valid.texts]


def test_a_test_part_that_is_there_leaves_dev_to_validation(tmp_path):
    files = {f"{part}.tsv": COLA for part in ("train", "dev", "test")}
    data = read_labelled(write(tmp_path, files), tokenizer=BYTES)
    assert not data.dev_tested and len(data.valid) == len(data.test) == 4 and data.shared == 4
    mrpc = {"msr_paraphrase_train.txt": MRPC, "msr_paraphrase_test.txt": MRPC}
    data = read_labelled(write(tmp_path / "MRPC", mrpc), tokenizer=BYTES, valid_fraction=0)
    assert not data.dev_tested and data.valid is None and (len(data.train), len(data.test)) == (4, 4)


def test_equal_texts_stay_together_and_reversed_ones_are_others(tmp_path):
    """A sentence written backwards with complementary letters is no other strand of it."""
    rows = [("AAC", "x"), ("GTT", "y"), ("AAC", "x"), ("b", "y")] + [(f"s{n}", "xy"[n % 2]) for n in range(16)]
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
    path = write(tmp_path, {"x.csv": table}) / "x.csv"
    for seed in range(8):
        data = read_labelled(path, tokenizer=BYTES, seed=seed, valid_fraction=0.2, test_fraction=0.2)
        held = [name for name, part in data.parts.items() if ("AAC",) in part.texts]
        assert len(held) == 1 and data.shared == 0
    whole = read_labelled(path, tokenizer=BYTES, valid_fraction=0, test_fraction=0)
    assert different(whole.train) == 19


def test_rows_of_text(tmp_path):
    ids = numbered([("ab",), ("abc", "d"), ("abcdefg",)], BYTES)
    plain, led = TextFrame(BYTES, 6).rows(ids), TextFrame(BYTES, 6, bos=True).rows(ids)
    shown = [BYTES.decode(row) for row in plain["tokens"]]
    assert shown == ["ab" + PAD * 4, f"abc{END}d{PAD}", "abcdef"]
    assert plain["valid"].sum(1).tolist() == [2, 5, 6] and not plain["given"].any()
    assert [BYTES.decode(row) for row in led["tokens"]] == [f"{BOS}ab{PAD * 3}", f"{BOS}abc{END}d", f"{BOS}abcde"]
    assert led["given"][:, 0].all() and not led["given"][:, 1:].any() and not led["valid"][:, 0].any()
    assert np.array_equal(TextFrame(BYTES, 6).codes(("abc", "d"), "x"), ids[1]) and TextFrame(BYTES, 6, True).bases == 5


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.fa", ">r label=1\nACGT\n", "x.fa: is no table of text, which this model reads; a table with the columns"),
        ("x.csv", "words,label\na,1\n", "x.csv: found the columns words, label; one named sentence or text, or"),
        ("test.tsv", "index\tsentence\n0\tHe left.\n", "test.tsv: found no column label; with GLUE's test part"),
        ("x.csv", "text,class\na,1\n", "x.csv: found no column label; there are: class"),
        ("x.csv", "text,label\na,1\n,0\n", "x.csv:3: found an empty text; one word or more would work"),
        ("x.tsv", "sentence\tlabel\na\t1\nb\n", "x.tsv:3: found 1 values; 2 would work"),
        ("x.tsv", COLA + "gj04\t1\n", "x.tsv:5: found 2 values; 4 would work"),
        ("x.csv", "text,text,label\na,b,1\n", "x.csv:1: found two columns named text"),
        ("x.csv", 'text,label\n"a,1\n', "x.csv:3: is no table row"),
        ("x.csv", "text,label\n", "x.csv: found no row; one sentence would work"),
        ("x.tsv", "sentence\tlabel\nno\t1\nyes\t\n", "x.tsv:3: has no label"),
        ("x.csv", "text,label,split\na,1,train\nb,0,tset\n", "x.csv:3: found split=tset; did you mean test"),
    ],
)
def test_mistakes_are_refused_by_file_and_line(tmp_path, name, text, told):
    path = write(tmp_path, {name: text}) / name
    with pytest.raises(InputError) as caught:
        read_labelled(path, tokenizer=BYTES)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"train.tsv": COLA, "other.tsv": COLA}, "found other.tsv, which names no part; train.tsv and dev.tsv"),
        ({"train.tsv": COLA, "train.csv": "x"}, "found both"),
        ({"dev.tsv": COLA, "in_domain_dev.tsv": COLA, "train.tsv": COLA}, "found both"),
        ({"dev.tsv": COLA}, "found nothing to train on"),
        ({}, "found nothing to train on"),
    ],
)
def test_folders_that_are_no_data_set_are_refused(tmp_path, files, told):
    with pytest.raises(InputError, match=told):
        read_labelled(write(tmp_path / "task", files), tokenizer=BYTES)


def test_a_letter_without_a_number_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"found '\.', and text8 has letters from a to z"):
        read_sequences(write(tmp_path, TABLES) / "sst2.tsv", Text8Tokenizer())
