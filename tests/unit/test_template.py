"""Templates: the fifteen letters against Biopython's table, files in their many forms, and what a mask frees."""

import gzip

import numpy as np
import pytest
from Bio.Data.IUPACData import ambiguous_dna_values
from Bio.Seq import reverse_complement

from dnadiff.data.template import complementary, letters_of, read_templates, sets_of
from dnadiff.errors import InputError

CODES = "ACGTRYSWKMBDHVN"


def test_every_letter_means_what_biopython_says():
    for letter in CODES:
        number = int(sets_of(letter)[0])
        assert {base for bit, base in enumerate("ACGT") if number >> bit & 1} == set(ambiguous_dna_values[letter])
        assert letters_of(np.array([number])) == letter
    assert sets_of("uU").tolist() == sets_of("tT").tolist() == [8, 8]
    assert letters_of(sets_of(CODES.lower())) == CODES


def test_the_other_strand_is_biopythons():
    assert letters_of(np.array(complementary(sets_of(CODES).tolist()))) == reverse_complement(CODES)


def test_a_letter_that_is_none():
    with pytest.raises(ValueError, match="found 'X' at position 3"):
        sets_of("ACX")


def write(path, text):
    path.write_text(text)
    return path


def test_records_keep_order_letters_and_place(tmp_path):
    text = "; a comment\r\n>probe of a gene\r\nacgu\r\nNNRY RY\r\n>2\r\nSSWWKKMMBBDDHHVVNNSSWW\r\n"
    first, second = read_templates(write(tmp_path / "t.fa", text))
    assert (first.name, letters_of(first.sets), len(first)) == ("probe", "ACGTNNRYRY", 10)
    assert first.open.tolist() == [False] * 4 + [True] * 6
    assert first.restricted.tolist() == [False] * 6 + [True] * 4
    assert first.place == f"{tmp_path / 't.fa'}:2"
    assert letters_of(second.sets) == "SSWWKKMMBBDDHHVVNNSSWW", "codes alone are no protein here"
    (tmp_path / "t.fa.gz").write_bytes(gzip.compress(text.encode()))
    assert [t.name for t in read_templates(tmp_path / "t.fa.gz")] == ["probe", "2"]


def test_a_mask_frees_its_intervals_and_nothing_else(tmp_path):
    fasta = write(tmp_path / "t.fa", ">a\nACGTACGTRR\n>b\nCCCCNC\n")
    bed = write(tmp_path / "m.bed", "a\t2\t4\na\t8\t9\textra\t0\t-\n")
    first, second = read_templates(fasta, bed)
    assert letters_of(first.sets) == "ACNNACGTNR"
    assert letters_of(second.sets) == "CCCCNC"


@pytest.mark.parametrize(
    ("text", "bed", "told"),
    [
        (">a\nACNX\n", None, "t.fa:2:4: found 'X', a protein letter in record 'a'; A C G T U N and IUPAC"),
        (">a\nAC-N\n", None, "t.fa:2:3: found gap '-' in record 'a'; N for any base would work"),
        (">a\nNN\n>b\n>c\nNN\n", None, "t.fa:3: found no letters in record 'b'; at least one would work"),
        (">a\nNN\n>b\n", None, "t.fa:3: found no letters in record 'b'; at least one would work"),
        (">a\nNN\n>a\nNN\n", None, "t.fa:3: found the name a twice; a name for each would work"),
        (">a\nACGT\n", None, "t.fa:1: template a leaves nothing to design; N, R and the like, or --mask would work"),
        (">a\nAC\n>b\nAC\n", "a\t0\t1\n", "t.fa:3: template b leaves nothing to design; an interval of it in "),
        (">a\nACGT\n", "a\t2\t9\n", "m.bed:1: found a 2-9; within 0-4"),
        (
            ">chr1\nACGT\n",
            "1\t0\t2\n",
            "m.bed:1: found contig '1', which the genome does not have; did you mean 'chr1'?",
        ),
        (">a\nNNNNNNNNNNN\n", None, "t.fa:1: found a template of more than 10 letters; 1 to 10 would work"),
    ],
)
def test_what_is_refused(tmp_path, text, bed, told):
    mask = None if bed is None else write(tmp_path / "m.bed", bed)
    with pytest.raises(InputError) as caught:
        read_templates(write(tmp_path / "t.fa", text), mask, longest=10)
    line = str(caught.value).replace(f"{tmp_path}/", "")
    assert line.startswith(told) and "\n" not in line
