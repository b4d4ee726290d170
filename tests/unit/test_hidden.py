"""Hidden bases: as many as the reverse process hides, each sequence's own, whatever stands beside it."""

import numpy as np
from scipy import stats

from dnadiff.data import alphabet
from dnadiff.data.example_batches import ExampleDataset, Frame
from dnadiff.data.hidden import hidden
from dnadiff.data.parts import Part
from dnadiff.data.tokenizers import NucleotideTokenizer

MASK, PAD = NucleotideTokenizer.mask_id, NucleotideTokenizer.pad_id


def test_every_number_and_every_position_is_hidden_as_often():
    n, codes = 4000, np.array([0, 1, 2, 3, 4, 0], dtype=np.uint8)
    out = np.stack(hidden([codes] * n, np.arange(n), 7))
    gone = out == alphabet.HIDDEN
    assert np.array_equal(out[~gone], np.broadcast_to(codes, out.shape)[~gone]) and (out[:, 4] == alphabet.N).all()
    assert stats.chisquare(np.bincount(gone.sum(1), minlength=6)).pvalue > 1e-3, "0 to 5 of five known bases"
    one = gone[gone.sum(1) == 1][:, [0, 1, 2, 3, 5]]
    assert stats.chisquare(one.sum(0)).pvalue > 1e-3
    assert codes.tolist() == [0, 1, 2, 3, 4, 0]


PART = Part(
    tuple(map(str, range(6))),
    tuple(np.random.default_rng(0).integers(0, 4, 9).astype(np.uint8) for _ in range(6)),
    np.arange(6) % 2,
)


def test_training_rows_are_masked_by_their_sample_number_alone():
    shown, masked = (ExampleDataset(PART, Frame(12), seed=1, masked=m, reverse_complement=0.5) for m in (False, True))
    clean, rows = shown.__getitems__(range(18)), masked.__getitems__(range(18))
    gone = rows["tokens"] == MASK
    assert gone.any() and np.array_equal(rows["tokens"][~gone], clean["tokens"][~gone])
    assert np.array_equal(rows["valid"], clean["valid"]) and not gone[:, 9:].any(), "padding is not hidden"
    assert np.array_equal(rows["targets"], clean["targets"])
    one = masked.__getitems__([7])
    assert np.array_equal(one["tokens"][0], rows["tokens"][7])
    assert not np.array_equal(
        *(ExampleDataset(PART, Frame(12), seed=s, masked=True).__getitems__([3])["tokens"] for s in (1, 2))
    )


def test_the_middle_of_a_longer_sequence_is_hidden_evenly_too():
    rows = ExampleDataset(PART, Frame(4), seed=1, masked=True).__getitems__(range(2000))
    counts = np.bincount((rows["tokens"] == MASK).sum(1), minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_hidden_base_stays_hidden_on_the_other_strand():
    codes = np.array([0, alphabet.HIDDEN, 2], dtype=np.uint8)
    assert alphabet.reverse_complement(codes).tolist() == [1, alphabet.HIDDEN, 3]
    row = Frame(4).rows([codes])
    assert row["tokens"].tolist() == [[7, MASK, 9, PAD]] and row["valid"].tolist() == [[True] * 3 + [False]]
