import numpy as np
import pytest

from dnadiff.data.tokenizers import TOKENIZERS, IdsTokenizer, NucleotideTokenizer, tokenizer_from_json
from dnadiff.errors import InputError

TOKENIZER = NucleotideTokenizer()


def test_ids_are_those_of_hyenadna_and_caduceus():
    assert TOKENIZER.tokens == (
        "[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N"
    )  # fmt: skip
    assert TOKENIZER.encode("ACGTN").tolist() == [7, 8, 9, 10, 11]
    for name in ("sep", "bos", "mask", "pad"):
        assert TOKENIZER.tokens[vars(NucleotideTokenizer)[f"{name}_id"]] == f"[{name.upper()}]"
    assert TOKENIZER.vocab_size == len(TOKENIZER.tokens) == 12
    assert [TOKENIZER.tokens[i] for i in (*TOKENIZER.base_ids, TOKENIZER.n_id)] == list("ACGTN")


def test_encoding_is_int64_and_reads_lower_case_rna_and_ambiguity():
    ids = TOKENIZER.encode("acguRyn")
    assert ids.dtype == np.int64 and ids.tolist() == [7, 8, 9, 10, 11, 11, 11]
    assert TOKENIZER.encode("").shape == (0,)


def test_store_codes_become_the_ids_of_their_letters():
    assert TOKENIZER.decode(TOKENIZER.from_codes[np.array([0, 1, 2, 3, 4], dtype=np.uint8)]) == "ACGTN"


def test_specials_are_written_in_brackets():
    assert TOKENIZER.decode([2, 7, 3, 10, 1, 4]) == "[BOS]A[MASK]T[SEP][PAD]"


def test_complement_pairs_bases_and_leaves_the_rest():
    ids = np.arange(12).reshape(3, 4)
    assert TOKENIZER.decode(TOKENIZER.complement(TOKENIZER.encode("ACGTN"))) == "TGCAN"
    assert TOKENIZER.complement(ids).tolist() == [[0, 1, 2, 3], [4, 5, 6, 10], [9, 8, 7, 11]]


@pytest.mark.parametrize("text", ["ACG-", "AC GT", "MKVL", "ACGé"])
def test_unknown_letters_are_refused(text):
    with pytest.raises(InputError, match="would work"):
        TOKENIZER.encode(text)


@pytest.mark.parametrize("ids", [[12], [-1], [7, 400]])
def test_unknown_ids_are_refused(ids):
    with pytest.raises(InputError, match="0 to 11 would work"):
        TOKENIZER.decode(ids)


def test_json_round_trip_keeps_the_fingerprint():
    for tokenizer in (NucleotideTokenizer(), IdsTokenizer(10, 9, bos_id=0)):
        again = tokenizer_from_json(tokenizer.to_json())
        assert TOKENIZERS[again.name] is type(tokenizer) and again.fingerprint() == tokenizer.fingerprint()
    assert tokenizer_from_json({"name": "nucleotide"}).fingerprint() == TOKENIZER.fingerprint()


@pytest.mark.parametrize("value", [{}, {"name": "bpe"}, {"name": "nucleotide", "tokens": ["A", "C"]}])
def test_foreign_descriptions_are_refused(value):
    with pytest.raises(InputError, match="would work"):
        tokenizer_from_json(value)
