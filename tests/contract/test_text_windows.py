"""What a window of text is, against texts that can be counted by hand, and the cache that holds their tokens."""

import pickle

import numpy as np
import pytest

from dnadiff.data.subwords import train_bpe
from dnadiff.data.text_tokenizers import ByteTokenizer
from dnadiff.data.text_windows import Part, TextWindows
from dnadiff.data.token_store import TokenStore, cached_tokens
from dnadiff.errors import InputError

TOKENIZER = ByteTokenizer()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))


def part_of(tmp_path, *texts, tokenizer=TOKENIZER):
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(texts))
    store = cached_tokens(path, tokenizer)
    return Part(store, 0, store.documents)


def shown(batch):
    """Rows as text: a dot where nothing is valid, in brackets what is given."""
    names = {256: "<", 257: ">", 259: "_"}
    return [
        "".join(
            "." if not valid else f"[{names.get(i, '?')}]" if given else names.get(i) or chr(i)
            for i, valid, given in zip(*rows, strict=True)
        )
        for rows in zip(batch["tokens"].tolist(), batch["valid"], batch["given"], strict=True)
    ]


def test_wrapped_windows_cut_the_stream_of_all_documents(tmp_path):
    part = part_of(tmp_path, "abc", "defgh", "i")
    windows = TextWindows(part, TOKENIZER, 5, seed=1)
    assert len(windows) == windows.windows == 3
    batch = windows.__getitems__(range(3))
    assert shown(batch) == ["abc>d", "efgh>", "i>..."]
    assert batch["characters"].tolist() == [4, 4, 1] and batch["tokens"].dtype == np.int64
    assert batch["tokens"][2].tolist() == [ord("i"), 257, 259, 259, 259]


def test_the_beginning_is_given_and_window_ends_are_scored(tmp_path):
    part = part_of(tmp_path, "abc", "defgh", "i")
    read = lambda **options: shown(TextWindows(part, TOKENIZER, 6, seed=1, **options).__getitems__(range(2)))  # noqa: E731
    assert read(bos=True) == ["[<]abc>d", "[<]efgh>"]
    assert read(window_ends=True) == ["<abc>>", "<defg>"]
    assert read(window_ends=True, bos=True) == ["[<]abc>>", "[<]defg>"]


def test_padded_windows_are_documents(tmp_path):
    part = part_of(tmp_path, "abc", "defgh", "i")
    read = lambda **options: shown(  # noqa: E731
        TextWindows(part, TOKENIZER, 5, seed=1, wrap=False, **options).__getitems__(range(3))
    )
    assert read() == ["abc>.", "defgh", "i>..."]  # a document that is cut has not ended
    assert read(bos=True) == ["[<]abc>", "[<]defg", "[<]i>.."]
    assert read(window_ends=True) == ["<abc>", "<def>", "<i>.."]


def test_every_token_of_a_part_is_scored_once_in_order(tmp_path):
    part = part_of(tmp_path, *(f"document {i} says {i * i}" for i in range(40)))
    some = Part(part.store, 7, 31)
    windows = TextWindows(some, TOKENIZER, 17, seed=1)
    batch = windows.__getitems__(range(len(windows)))
    stream = batch["tokens"][batch["valid"]]
    text = bytes(np.where(stream == 257, 10, stream).astype(np.uint8)).decode()
    assert text == "".join(f"document {i} says {i * i}\n" for i in range(7, 31))
    assert batch["characters"].sum() == len(text) - 24


def test_shuffled_windows_are_all_there_each_epoch_in_another_order(tmp_path):
    part = part_of(tmp_path, "x" * 95, "y" * 23)
    plain = TextWindows(part, TOKENIZER, 10, seed=1)
    mixed = TextWindows(part, TOKENIZER, 10, seed=1, shuffle=True)
    n = len(plain)
    rows = [sorted(map(tuple, mixed.__getitems__(range(e * n, e * n + n))["tokens"].tolist())) for e in (0, 5)]
    assert rows[0] == rows[1] == sorted(map(tuple, plain.__getitems__(range(n))["tokens"].tolist()))
    other = TextWindows(part, TOKENIZER, 10, seed=2, shuffle=True)
    assert not np.array_equal(mixed.__getitems__(range(n))["tokens"], other.__getitems__(range(n))["tokens"])
    again = pickle.loads(pickle.dumps(mixed))
    assert np.array_equal(again.__getitems__([3, 40])["tokens"], mixed.__getitems__([3, 40])["tokens"])
    with pytest.raises(IndexError):
        plain.__getitems__([n])


def test_random_windows_begin_at_any_token(tmp_path):
    part = part_of(tmp_path, "abcdefghij")
    windows = TextWindows(part, TOKENIZER, 4, seed=1, mode="random")
    assert windows.windows == 8
    assert set(shown(windows.__getitems__(range(200)))) == {"abcdefghij>"[i : i + 4] for i in range(8)}


def test_the_cache_is_read_again_by_the_same_tokenizer_only(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("the cat sat\n\non the mat")
    first = cached_tokens(path, TOKENIZER)
    stamp = (first.path / "index.json").stat().st_mtime_ns
    assert cached_tokens(path, TOKENIZER).path == first.path and (first.path / "index.json").stat().st_mtime_ns == stamp
    learned, other = train_bpe(["the cat the mat"] * 2, 262), train_bpe(["sat on sat on"] * 2, 262)
    folders = {cached_tokens(path, tokenizer).path for tokenizer in (TOKENIZER, learned, other)}
    folders |= {
        cached_tokens(path, TOKENIZER, rule="line").path,
        cached_tokens(path, TOKENIZER, detokenizer="ptb").path,
    }
    assert len(folders) == 5
    path.write_text("the cat sat\n\non the rug")
    assert cached_tokens(path, TOKENIZER).path not in folders
    assert cached_tokens(path, learned).tokens.dtype == np.uint16 and learned.vocab_size == other.vocab_size == 262


def test_what_bert_like_tokenizers_drop_still_counts_as_characters(tmp_path):
    tokenizer = train_bpe(["ab ab"], 262)
    part = part_of(tmp_path, "ab ab", tokenizer=tokenizer)
    assert part.store.characters[: part.tokens].sum() == 5 and part.store.characters[part.tokens - 1] == 0


def test_a_damaged_store_is_refused(tmp_path):
    store = part_of(tmp_path, "abc").store
    (store.path / "tokens.u16").write_bytes(b"12")
    with pytest.raises(InputError, match=r"tokens\.u16: has 2 bytes where 8 are due; removing .* would work"):
        TokenStore(store.path)
    (store.path / "index.json").write_text("{}")
    with pytest.raises(InputError, match="is no store of tokens of this version"):
        TokenStore(store.path)


def test_a_text_without_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(" \n\n ")
    with pytest.raises(InputError, match=r"a\.txt: found no document"):
        cached_tokens(tmp_path / "a.txt", TOKENIZER)
    assert not list((tmp_path / "cache").glob("text-*"))
