import string

import numpy as np
import pytest
from Bio.Data.IUPACData import ambiguous_dna_letters
from Bio.Seq import Seq

from dnadiff.data import alphabet


def test_codes_are_the_documented_ones():
    assert list(alphabet.encode("ACGTN")) == [0, 1, 2, 3, 4]
    assert list(alphabet.encode("acgtn")) == [128, 129, 130, 131, 132]
    assert list(alphabet.encode("Uu")) == [3, 131]


def test_the_letters_are_those_of_iupac_and_u():
    known = {chr(byte) for byte in np.flatnonzero(alphabet.IS_BASE)}
    assert known == {letter for code in ambiguous_dna_letters.replace("X", "") + "U" for letter in (code, code.lower())}
    for letter in set(ambiguous_dna_letters) - set("ACGTX"):
        assert alphabet.encode(letter) == [4] and alphabet.encode(letter.lower()) == [132]


def test_kinds_of_bytes_exclude_each_other():
    kinds = np.stack([alphabet.IS_BASE, alphabet.IS_GAP, alphabet.IS_BLANK])
    assert kinds.sum(0).max() == 1
    assert (alphabet.IS_LOWER <= alphabet.IS_BASE).all() and alphabet.IS_LOWER.sum() * 2 == alphabet.IS_BASE.sum()


@pytest.mark.parametrize("letter", sorted(set(string.printable) - set("ACGTUNRYSWKMBDHVacgtunryswkmbdhv")))
def test_other_letters_are_refused_with_their_position(letter):
    with pytest.raises(ValueError, match="position 3: found"):
        alphabet.encode("AC" + letter + "T")


def test_reverse_complement_is_biopythons_and_keeps_soft_masking():
    sequence = "AACGTNNTTTGCAacgtnGGCC"
    stored = alphabet.reverse_complement(alphabet.encode(sequence))
    assert alphabet.decode(stored) == str(Seq(sequence.upper()).reverse_complement())
    assert [bool(byte & 128) for byte in stored] == [letter.islower() for letter in sequence[::-1]]
