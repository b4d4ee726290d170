"""Pairs from every kind of table: their parts, the rows they become, and what is refused with file and line."""

import gzip
import json

import numpy as np
import pytest

from dnadiff.data.pair_windows import PairWindows
from dnadiff.data.pairs import read_file, read_pairs
from dnadiff.data.text_tokenizers import ByteTokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.errors import InputError
from dnadiff.schema import AlgoConfig, Config, DataConfig, ModelConfig, TaskConfig, TextConfig, TokenizerConfig

TEXT = TaskConfig("text")
NONE = {"valid_fraction": 0.0, "test_fraction": 0.0}


def rows(path, length=10, **options):
    pairs = read_file(path, options.pop("tokenizer", NUCLEOTIDES))
    tokenizer = ByteTokenizer() if pairs[0].source_ids.max() > 20 else NUCLEOTIDES
    return PairWindows(pairs, tokenizer, length, source=("p", ""), **options)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", 'source,target\nACG,"TT"\nAC,G\n'),
        ("p.tsv", "target\tsource\nTT\tACG\nG\tAC\n"),
        ("p.jsonl", '{"source": "ACG", "target": "TT"}\n\n{"target": "G", "source": "AC"}\n'),
        ("p.csv.gz", "source,target\nacg,uu\nAC,G\n"),
    ],
)
def test_a_table_of_any_kind_gives_the_same_rows(tmp_path, name, text):
    file = tmp_path / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    found = rows(file, bos=True).__getitems__([0, 1])
    letters = [NUCLEOTIDES.decode(row).replace("[SEP]", "|").replace("[BOS]", "^") for row in found["tokens"]]
    assert letters == ["^ACG|TT|||", "^AC|G|||||"]
    shown = ["".join("g" if given else "." for given in row) for row in found["given"]]
    assert shown == ["ggggg.....", "gggg......"]
    assert ["".join(".x"[int(at)] for at in row) for row in found["once"]] == [".....xxx..", "....xx...."]
    assert found["counted"].tolist() == [2, 1] and found["valid"].all() and "characters" not in found


def test_text_counts_its_end_token_and_its_characters(tmp_path):
    (tmp_path / "p.csv").write_text("source,target\nhow?,né\n", encoding="utf-8")
    found = rows(tmp_path / "p.csv", 12, tokenizer=ByteTokenizer()).__getitems__([0])
    assert found["counted"].tolist() == [4] and found["characters"].tolist() == [2]  # é is two bytes


def test_a_long_source_is_refused_by_its_line_or_loses_its_beginning(tmp_path):
    (tmp_path / "p.csv").write_text("source,target\nA,C\nACGTAC,TT\n")
    with pytest.raises(InputError) as error:
        rows(tmp_path / "p.csv", 8)
    wrong = "a source of 6 tokens, a target of 2 and their ends have 10 and a row 8"
    assert str(error.value) == f"{tmp_path}/p.csv:3: {wrong}; model.length=10, or data.source_length=4, would work"
    found = rows(tmp_path / "p.csv", 8, most=4).__getitems__([1])
    assert NUCLEOTIDES.decode(found["tokens"][0]) == "GTAC[SEP]TT[SEP]"
    with pytest.raises(InputError, match=r"p.csv:2: .* model.length=4 would work"):
        rows(tmp_path / "p.csv", 3)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sequence,target\nA,C\n", "found the columns sequence, target; source and target would work"),
        ("source,target\nA,\n", "2: found an empty target; one letter or more would work"),
        ("source,target\nA,C\nA,AE\n", "3: target: sequence 'AE': position 2: found 'E', a protein letter"),
        ("source,target\nAN,C\nA,CN\n", "3: found N at base 2 of the target; A C G T, or data.n_policy=token"),
        ("source,target,split\nA,C,trian\n", "2: found split=trian; did you mean train?"),
        ("source,target\n", "found no row"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_and_line(tmp_path, text, line):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError) as error:
        read_pairs(tmp_path / "p.csv", NUCLEOTIDES, **NONE)
    assert str(error.value).startswith(f"{tmp_path}/p.csv:") and line in str(error.value)


def test_a_file_of_another_kind_is_no_table(tmp_path):
    (tmp_path / "p.fa").write_text(">a\nACGT\n")
    with pytest.raises(InputError, match=r"p.fa: is no table .* with the columns source and target would work"):
        read_pairs(tmp_path / "p.fa", NUCLEOTIDES, **NONE)


@pytest.mark.parametrize("wrong", ['{"source": "A"}', "[1]", '{"source": "A", "target": '])
def test_json_lines_have_the_keys_of_the_first(tmp_path, wrong):
    (tmp_path / "p.jsonl").write_text('{"source": "A", "target": "C"}\n' + wrong + "\n")
    with pytest.raises(InputError, match=r"p.jsonl:2: .* would work"):
        read_pairs(tmp_path / "p.jsonl", NUCLEOTIDES, **NONE)


def test_parts_are_named_by_files_or_by_a_column(tmp_path):
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "train.csv").write_text("source,target\nA,C\nG,C\n")
    (folder / "dev.jsonl").write_text(json.dumps({"source": "T", "target": "C"}) + "\n")
    (folder / "test.tsv").write_text("source\ttarget\nA\tT\n")
    found = read_pairs(folder, NUCLEOTIDES, valid_fraction=0.5, test_fraction=0.5)
    assert {name: len(pairs) for name, pairs in found.parts.items()} == {"train": 2, "valid": 1, "test": 1}
    assert found.shared("test") == 1 and found.shared("valid") == 0 and len(found.digests) == 3
    (tmp_path / "p.csv").write_text("source,target,split\nA,C,train\nG,C,test\nT,C,val\nT,G,\n")
    found = read_pairs(tmp_path / "p.csv", NUCLEOTIDES, **NONE)
    assert [[pair.source for pair in found.parts[name]] for name in ("train", "valid", "test")] == [
        ["A", "T"], ["T"], ["G"]
    ]  # fmt: skip


def test_no_source_is_drawn_to_both_sides(tmp_path):
    rng = np.random.default_rng(3)
    sources = ["".join(rng.choice(list("ACGT"), 3)) for _ in range(400)]
    (tmp_path / "p.csv").write_text("source,target\n" + "".join(f"{source},A\n" for source in sources))
    found = read_pairs(tmp_path / "p.csv", NUCLEOTIDES, valid_fraction=0.2, test_fraction=0.25)
    known = [{pair.source for pair in found.parts[name]} for name in ("train", "valid", "test")]
    assert sum(len(pairs) for pairs in found.parts.values()) == 400
    assert not (known[0] & known[1] or known[0] & known[2] or known[1] & known[2])
    assert len(known[2]) == round(0.25 * len(set(sources)))
    (tmp_path / "two.csv").write_text("source,target\nA,A\nC,A\n")
    with pytest.raises(InputError, match=r"two.csv: data.valid_fraction=0.05 of 2 pairs"):
        read_pairs(tmp_path / "two.csv", NUCLEOTIDES, valid_fraction=0.05, test_fraction=0)


def test_a_sample_is_the_same_whatever_its_batch_and_every_epoch_has_all(tmp_path):
    (tmp_path / "p.csv").write_text(
        "source,target\n" + "".join(f"{'ACGT'[i % 4] * (1 + i // 4)},A\n" for i in range(12))
    )
    found = rows(tmp_path / "p.csv", shuffle=True, seed=4)
    whole = found.__getitems__(range(36))["tokens"]
    assert np.array_equal(found.__getitems__([30, 5])["tokens"], whole[[30, 5]])
    epochs = [{row.tobytes() for row in whole[start : start + 12]} for start in (0, 12, 24)]
    assert len(epochs[0]) == 12 and epochs[0] == epochs[1] == epochs[2]
    assert not np.array_equal(whole[:12], whole[12:24])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"data": DataConfig(pairs=True, split="blocks")}, "data.split=blocks: belongs to data.pairs=false"),
        ({"data": DataConfig(pairs=True, windows="tiling")}, "data.windows=tiling: belongs to data.pairs=false"),
        ({"algo": AlgoConfig(prefix=True)}, "algo.prefix=true: cuts windows"),
        ({"model": ModelConfig(rc=True)}, "model.rc=true: reads both strands alike"),
        ({"task": TEXT, "tokenizer": TokenizerConfig("bpe", vocab_size=300)}, "tokenizer=bpe: learns from documents"),
        (
            {"task": TEXT, "tokenizer": TokenizerConfig("bytes"), "text": TextConfig(wrap=False)},
            "text.wrap=false: belo",
        ),
        ({"data": DataConfig(source_length=9)}, "data.source_length=9: belongs to data.pairs=true"),
    ],
)
def test_settings_of_windows_are_refused(settings, line):
    with pytest.raises(InputError) as error:
        Config(**{"data": DataConfig(pairs=True), **settings})
    assert str(error.value).startswith(line)
