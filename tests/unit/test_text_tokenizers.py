import json
from types import SimpleNamespace

import numpy as np
import pytest

from dnadiff.data.subwords import SubwordTokenizer, _spans, read_subwords, train_bpe
from dnadiff.data.text_tokenizers import ByteTokenizer, Text8Tokenizer
from dnadiff.data.tokenizers import TOKENIZERS, tokenizer_from_json
from dnadiff.errors import InputError
from tests.vocabularies import bert_folder, gpt2_folder

TEXTS = ["the cat sat on the mat", "the cat ate the rat", "a naïve café, twice"] * 3


def test_bytes_are_those_of_utf8_and_a_character_counts_once():
    ids, characters = ByteTokenizer().encoded(["né"])[0]
    assert ids.tolist() == [0x6E, 0xC3, 0xA9] and characters.tolist() == [1, 1, 0]
    assert ByteTokenizer().decode([0x6E, 0xC3, 0xA9, 257, 258]) == "né[EOS][MASK]"
    assert ByteTokenizer().text([256, 0x6E, 257, 259, 0xC3]) == "n\ufffd"
    assert ByteTokenizer().vocab_size == 260


def test_text8_numbers_as_mdlm_does():
    tokenizer = Text8Tokenizer()
    assert tokenizer.encode("a zB").tolist() == [8, 34, 33, 9]
    assert tokenizer.decode([2, 8, 34, 33, 4, 3]) == "[BOS]a z[MASK][EOS]"
    with pytest.raises(InputError, match="found '!', and text8 has letters from a to z and blanks only"):
        tokenizer.encode("a!")


def test_gpt2_files_get_a_mask_behind_the_vocabulary(tmp_path):
    tokenizer = read_subwords(gpt2_folder(tmp_path))
    assert tokenizer.encode("the cat the cat").tolist() == [8, 12, 9, 12]
    assert (tokenizer.bos_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.vocab_size) == (13, 13, 14, 15)
    assert tokenizer.pad_id is None and tokenizer.filler == 13
    assert tokenizer.decode([8, 14, 12, 13]) == "the[MASK] cat[EOS]" and tokenizer.text([8, 14, 12, 13]) == "the cat"
    assert tokenizer.clean_ids == list(range(14))


def test_bert_files_read_small_letters_and_name_their_roles(tmp_path):
    tokenizer = read_subwords(bert_folder(tmp_path))
    ids, characters = tokenizer.encoded(["The cats,  sat "])[0]
    assert ids.tolist() == [5, 6, 7, 8, 9] and characters.tolist() == [3, 4, 1, 1, 5]  # blanks go with what follows
    roles = (tokenizer.bos_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.pad_id, tokenizer.vocab_size)
    assert roles == (2, 3, 4, 0, 11) and tokenizer.special_ids == (0, 1, 2, 3, 4)
    assert tokenizer.decode([2, 5, 4, 3, 0]) == "[BOS]the[MASK][EOS][PAD]"
    assert tokenizer.clean_ids == [1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_a_special_word_in_a_text_is_text(tmp_path):
    tokenizer = train_bpe([*TEXTS, "[MASK] [EOS]"], 300)
    ids = tokenizer.encode("the [MASK] cat[EOS]")
    assert not np.isin(ids, tokenizer.special_ids).any() and tokenizer.decode(ids) == "the [MASK] cat[EOS]"


def test_pieces_are_learned_without_loss_and_count_every_character():
    tokenizer = train_bpe(TEXTS, 290)
    for text in ["the cat", " naïve 日本 café", "\n\ntabs\tand  blanks "]:
        ids, characters = tokenizer.encoded([text])[0]
        assert tokenizer.decode(ids) == text and characters.sum() == len(text)
    assert len(tokenizer.encode("the cat")) < len("the cat")
    assert tokenizer.fingerprint() == train_bpe(iter(TEXTS), 290).fingerprint() != train_bpe(TEXTS, 280).fingerprint()


def test_tokenizer_json_takes_its_roles_from_the_files_beside_it(tmp_path):
    learned = train_bpe(TEXTS, 290).to_json()["definition"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(learned))
    assert read_subwords(tmp_path).sep_id == 1
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "[BOS]"}, "bos_token": "[BOS]"})
    )
    assert read_subwords(tmp_path).sep_id == 0
    (tmp_path / "tokenizer_config.json").unlink()
    cut = json.loads(json.dumps(learned).replace("[EOS]", "<other>"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(cut))
    with pytest.raises(InputError, match="nothing says which token ends a text"):
        read_subwords(tmp_path)


def test_json_round_trip_keeps_every_tokenizer(tmp_path):
    for tokenizer in (ByteTokenizer(), Text8Tokenizer(), train_bpe(TEXTS, 290), read_subwords(gpt2_folder(tmp_path))):
        again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
        assert TOKENIZERS[again.name] is type(tokenizer) and again.fingerprint() == tokenizer.fingerprint()
        assert (again.vocab_size, again.mask_id) == (tokenizer.vocab_size, tokenizer.mask_id)
        assert again.encode("the cat").tolist() == tokenizer.encode("the cat").tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"definition": None}, "definition is missing"),
        ({"mask_id": "2"}, "mask_id is missing"),
        ({"definition": {"model": 1}}, "cannot be read"),
        ({"sep_id": 400}, "found 400"),
    ],
)
def test_a_damaged_description_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        SubwordTokenizer.from_json(train_bpe(TEXTS, 290).to_json() | change)


def test_a_token_that_reaches_no_further_stands_for_no_character():
    """Offsets are the library's; should one fall back, no character counts twice and none negatively."""
    found = SimpleNamespace(ids=[5, 6, 7, 8], offsets=[(0, 3), (1, 2), (2, 3), (3, 5)])
    assert _spans(found).characters.tolist() == [3, 0, 0, 2]


def test_a_folder_without_a_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no vocabulary that is read here; a folder with tokenizer\.json"):
        read_subwords(tmp_path)
