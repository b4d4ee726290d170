"""What holds for every sequence and every genome, not only for the examples."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from dnadiff.data import alphabet
from dnadiff.data.fasta import read_fasta
from dnadiff.data.genome import build_store
from dnadiff.data.intervals import Interval
from dnadiff.data.splits import make_split
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.errors import InputError
from dnadiff.random import keyed_uniform, permuted

TOKENIZER = NucleotideTokenizer()
SEQUENCE = st.text("ACGTN")
CASED = st.text("ACGTNacgtn", min_size=1, max_size=80)
GENOME = st.lists(CASED, min_size=1, max_size=4)


@given(SEQUENCE)
def test_decoding_undoes_encoding(sequence):
    assert TOKENIZER.decode(TOKENIZER.encode(sequence)) == sequence
    assert alphabet.decode(alphabet.encode(sequence)) == sequence


@given(st.text("ACGTNacgtn"))
def test_the_reverse_complement_is_an_involution(sequence):
    stored = alphabet.encode(sequence)
    assert (alphabet.reverse_complement(alphabet.reverse_complement(stored)) == stored).all()
    ids = TOKENIZER.encode(sequence)
    assert (TOKENIZER.complement(TOKENIZER.complement(ids)) == ids).all()
    twice = TOKENIZER.decode(TOKENIZER.complement(ids)[::-1])
    assert twice == str(Seq(sequence.upper()).reverse_complement())


@st.composite
def folded(draw):
    """A genome and one of the many ways to write it down."""
    genome = draw(GENOME)
    text = ""
    for number, sequence in enumerate(genome):
        end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
        width = draw(st.integers(1, 90))
        lines = [f">c{number}", *(sequence[i : i + width] for i in range(0, len(sequence), width))]
        text += "".join(line + end + draw(st.sampled_from(["", "", end])) for line in lines)
    return genome, text


@settings(max_examples=60, deadline=None)
@given(folded())
def test_however_a_genome_is_written_down_it_reads_the_same(case):
    genome, text = case
    with TemporaryDirectory() as folder:
        path = Path(folder) / "g.fa"
        path.write_bytes(text.encode())
        assert [record.sequence for record in read_fasta(path)] == [sequence.upper() for sequence in genome]


@settings(max_examples=80, deadline=None)
@given(
    genome=GENOME,
    length=st.integers(4, 30),
    mode=st.sampled_from(["tiling", "random"]),
    shuffle=st.booleans(),
    reverse_complement=st.sampled_from([0.0, 0.5, 1.0]),
    min_valid=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    bos=st.booleans(),
    ends=st.booleans(),
    pad=st.booleans(),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_every_window_is_literally_a_piece_of_the_genome(
    genome, length, mode, shuffle, reverse_complement, min_valid, bos, ends, pad, seed, data
):
    intervals = []
    for number, sequence in enumerate(genome):
        start = data.draw(st.integers(0, len(sequence) - 1))
        intervals.append(Interval(f"c{number}", start, data.draw(st.integers(start + 1, len(sequence)))))
    with TemporaryDirectory() as folder:
        (Path(folder) / "g.fa").write_text("".join(f">c{n}\n{sequence}\n" for n, sequence in enumerate(genome)))
        store = build_store(Path(folder) / "g.fa", Path(folder) / "store")
        try:
            dataset = WindowDataset(
                store, intervals, TOKENIZER, length, seed=seed, mode=mode, shuffle=shuffle, bos=bos, ends=ends,
                reverse_complement=reverse_complement, min_valid=min_valid, n_policy="pad" if pad else "token",
                repeat_weight=0.5,
            )  # fmt: skip
        except InputError as error:
            assert "no window" in str(error)
            return
        numbers = list(range(min(len(dataset), 40)))
        batch, where = dataset.__getitems__(numbers), dataset.locations(numbers)
    allowed = {interval.chrom: interval for interval in intervals}
    for row in range(len(numbers)):
        chrom, start, end = str(where.chrom[row]), int(where.start[row]), int(where.end[row])
        assert allowed[chrom].start <= start < end <= allowed[chrom].end, "within its interval"
        piece = genome[int(chrom[1:])][start:end]
        read = str(Seq(piece).reverse_complement()) if where.strand[row] == "-" else piece
        tokens = TOKENIZER.decode(batch["tokens"][row]).replace("[PAD]", "_")
        tokens = tokens.removeprefix("[BOS]") if bos else tokens
        at_end = end == len(genome[int(chrom[1:])]) if where.strand[row] == "+" else start == 0
        wanted = read.upper().replace("N", "_") if pad else read.upper()
        body, rest = tokens[: len(wanted)], tokens[len(wanted) :]
        assert body == wanted
        assert rest.replace("[SEP]", "") == "_" * (length - bos - len(wanted) - rest.count("[SEP]"))
        assert rest.count("[SEP]") <= (at_end and ends)
        assert (batch["valid"][row] == (batch["tokens"][row] != TOKENIZER.pad_id)).all()
        known = sum(letter in "ACGT" for letter in read.upper())
        assert known >= min_valid * len(read) - (1 if ends else 0), "at most the place of [SEP] is gained"
        weights = batch["weight"][row][int(bos) : int(bos) + len(read)]
        assert weights.tolist() == [0.5 if letter.islower() else 1.0 for letter in read]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 10**6), min_size=1), st.integers(1, 2000))
def test_splits_cover_the_genome_without_overlap_or_say_why_not(sizes, gap):
    try:
        split = make_split(sizes, gap=gap)
    except InputError as error:
        assert "nothing is left for" in str(error)
        return
    assert set(split.leaks().values()) == {0}
    for name in ("train", "valid", "test"):
        assert split[name] and all(0 <= i.start < i.end <= sizes[i.chrom] for i in split[name])
    assert {i.chrom for name in ("train", "valid", "test") for i in split[name]} == set(sizes)


@given(st.integers(1, 3000), st.integers())
def test_a_keyed_permutation_is_one(n, key):
    assert sorted(permuted(np.arange(n), n, key).tolist()) == list(range(n))


@given(st.lists(st.integers(0, 2**62), max_size=20), st.integers())
def test_keyed_uniforms_depend_on_their_own_index_only(index, key):
    together = keyed_uniform(np.array(index, dtype=np.int64), key)
    assert ((together >= 0) & (together < 1)).all()
    assert together.tolist() == [float(keyed_uniform(np.array(i), key)) for i in index]
