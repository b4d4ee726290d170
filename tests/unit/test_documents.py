import builtins
import gzip
import json

import pytest

from dnadiff.data import text_sets
from dnadiff.data.detokenizers import DETOKENIZERS
from dnadiff.data.documents import PIECE, RULES, documents
from dnadiff.data.text_sets import SETS, fetched
from dnadiff.errors import InputError
from dnadiff.schema import text as schema

TEXT = "one\ntwo\n\n  \nthree\n<|endoftext|>\nfour\n"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("auto", ["one\ntwo\n\n  \nthree", "four"]),
        ("endoftext", ["one\ntwo\n\n  \nthree", "four"]),
        ("blank", ["one\ntwo", "three\n<|endoftext|>\nfour"]),
        ("line", ["one", "two", "three", "<|endoftext|>", "four"]),
        ("whole", [TEXT]),
        ("pieces", [TEXT]),
    ],
)
def test_what_a_document_is(tmp_path, rule, found):
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert list(documents(tmp_path / "a.txt", rule)) == found == list(documents(tmp_path / "a.txt.gz", rule))


def test_without_end_marks_blank_lines_divide(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree")
    assert list(documents(tmp_path / "a.txt")) == ["one\ntwo", "three"]


def test_a_text_without_division_is_cut_every_million_characters(tmp_path):
    (tmp_path / "text8.txt").write_text("ab" * PIECE)
    assert [len(piece) for piece in documents(tmp_path / "text8.txt", "pieces")] == [PIECE, PIECE]


def test_json_lines_hold_a_text_each(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one\\n\\ntwo", "more": 1}\n\n{"text": "three"}\n')
    assert list(documents(path)) == ["one\n\ntwo", "three"]


@pytest.mark.parametrize(
    ("name", "content", "rule", "said"),
    [
        ("a.jsonl", '{"text": "a"}\n{"body": "b"}\n', "auto", "a.jsonl:2: found no text under 'text'"),
        ("a.jsonl", '{"text": "a"}\n{"text": 1}\n', "auto", "a.jsonl:2: found no text under 'text'"),
        ("a.jsonl", '{"text": "a"}\n{"text": "\\ud800"}\n', "auto", r"a.jsonl:2: holds .ud800, half of a letter"),
        ("a.jsonl", "{text}\n", "auto", "a.jsonl:1: is not JSON"),
        ("a.jsonl", "{}", "line", "text.documents=line: divides plain text"),
        ("a.csv", "a", "auto", "a.csv: is no kind of text that is read here"),
        ("a.txt", "a", "lines", "text.documents=lines: is unknown; auto, blank"),
        ("a.txt", b"\xff\xfea", "whole", "found byte 0xFF at 0, which is not UTF-8"),
        ("a.txt", b"a\n\xff\n", "line", "a.txt:2: found byte 0xFF, which is not UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_by_its_place(tmp_path, name, content, rule, said):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said.replace("{", r"\{")):
        list(documents(tmp_path / name, rule))


def without(monkeypatch, package):
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_missing_packages_are_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    without(monkeypatch, "pyarrow")
    with pytest.raises(InputError, match=r"pyarrow, which is not installed; pip install 'dnadiff\[text\]'"):
        list(documents(tmp_path / "a.parquet"))
    without(monkeypatch, "datasets")
    with pytest.raises(InputError, match=r"ptb: is fetched by the package datasets, .*ptb=FILE, would work"):
        fetched("ptb", "test")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_set_is_fetched_once_by_its_part(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path))
    asked = []

    def rows(name, source, split):
        asked.append((name, split))
        return [{source.column: "Mr. <unk>\n"}]

    monkeypatch.setattr(text_sets, "_rows", rows)
    path = fetched("ptb", "valid")
    assert list(documents(path)) == ["Mr. <unk>\n"] and fetched("ptb", "valid") == path
    assert asked == [("ptb", "validation")] and json.loads(path.read_text()) == {"text": "Mr. <unk>\n"}
    assert fetched("openwebtext", "valid") == fetched("openwebtext", "test")
    assert asked[1:] == [("openwebtext", "train[-100000:]")]
    with pytest.raises(InputError, match="lambada: is a test set and has no part to train on"):
        fetched("lambada", "train")


def test_an_unreachable_set_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path))

    def offline(*args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(__import__("sys").modules, "datasets", type("datasets", (), {"load_dataset": offline}))
    with pytest.raises(InputError, match=r"^lm1b: cannot be fetched \(no route\); a network .*lm1b=FILE, would work$"):
        fetched("lm1b", "test")
    assert not (tmp_path / "sets").exists()


def test_the_schema_names_the_rules():
    assert RULES == schema.DOCUMENTS and tuple(DETOKENIZERS) == schema.DETOKENIZERS
    for known in SETS.values():
        assert known.documents in RULES and known.detokenizer in DETOKENIZERS


WIKITEXT = """It 's 5 @,@ 000 @.@ 5 @-@ fold , he said : " Yes . " ( so ) [ there ] N m"""
LM1B = """He said , " it is fine . " ( really ) It 's $ 5 / 6 ?"""


@pytest.mark.parametrize(
    ("name", "tokens", "text"),
    [
        ("wikitext", WIKITEXT, """It's 5,000.5-fold, he said: "Yes." (so) [there] 1 m"""),
        ("wikitext", " = Robert Boulter = \n", " = Robert Boulter =\n"),
        ("wikitext", " = = = Early = = = \n", " === Early ===\n"),
        ("wikitext", "20 ° C in the dogs ' house ; 3 @,@ 5", "20°C in the dogs' house; 3,5"),
        ("ptb", "he did n't say it 's N N N billion of $ N", "he didn't say it's 1 1 1 billion of $ N"),
        ("ptb", "the <unk> and\\/or the boys ' club # N a", "the ? and/or the boys' club #1 a"),
        ("lm1b", LM1B, """He said, "it is fine." (really) It's $5/6?"""),
        ("lm1b", "see http : / / a.b ; Why ? No ! The end .", "see http://a.b; Why? No! The end."),
        ("lambada", " “ yes , ” he said \n", '\n" yes , " he said'),
        ("scientific_papers", "we show ( see 1 ) that x @-@ y , z .", "we show (see 1) that x-y, z."),
        ("none", "a , b", "a , b"),
    ],
)
def test_a_detokenizer_restores_text(name, tokens, text):
    assert DETOKENIZERS[name](tokens) == text
