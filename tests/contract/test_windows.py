"""What a batch of windows is, so that models, losses and tables can rely on it."""

import numpy as np
import pytest
from Bio.Seq import Seq

from dnadiff.data.genome import build_store
from dnadiff.data.intervals import Interval
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.errors import InputError

TOKENIZER = NucleotideTokenizer()
A = "ACGTACGTTGcatgcaNNAAAACCCC"  # 26 bases, 18 before position 18, N at 16 and 17
B = "GGGGGTTTTT"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    (folder / "g.fa").write_text(f">A\n{A}\n>B\n{B}\n")
    return build_store(folder / "g.fa", folder / "store")


@pytest.fixture
def make(store):
    whole = [Interval("A", 0, 26), Interval("B", 0, 10)]

    def dataset(length=8, *, intervals=whole, seed=1, min_valid=0.0, **options):
        return WindowDataset(store, intervals, TOKENIZER, length, seed=seed, min_valid=min_valid, **options)

    return dataset


def text(dataset, numbers=None):
    batch = dataset.__getitems__(list(range(len(dataset))) if numbers is None else numbers)
    return [TOKENIZER.decode(row) for row in batch["tokens"]]


def test_a_batch_has_the_agreed_arrays(make):
    batch = make().__getitems__([3, 0, 1])
    assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
        "tokens": ((3, 8), np.dtype(np.int64)),
        "valid": ((3, 8), np.dtype(bool)),
        "given": ((3, 8), np.dtype(bool)),
        "weight": ((3, 8), np.dtype(np.float32)),
        "item_ids": ((3,), np.dtype(np.int64)),
    }
    assert batch["item_ids"].tolist() == [3, 0, 1]


def test_full_sequence_windows_are_bases_and_no_specials(make):
    assert text(make(n_policy="token")) == ["ACGTACGT", "TGCATGCA", "NNAAAACC", "GGGGGTTT"]


def test_a_rest_of_half_a_window_is_padded_and_a_smaller_one_left_out(make):
    assert text(make(7, n_policy="token")) == ["ACGTACG", "TTGCATG", "CANNAAA", "ACCCC[PAD][PAD]", "GGGGGTT"]
    batch = make(7, n_policy="token").__getitems__([3])
    assert batch["valid"].tolist() == [[True] * 5 + [False] * 2]


def test_a_window_may_be_longer_than_the_whole_genome(make):
    assert text(make(40, n_policy="token", reverse_complement=1.0)) == ["GGGGTTTTNNTGCATGCAACGTACGT" + "[PAD]" * 14]


def test_padded_n_is_not_valid_and_an_n_token_is(make):
    assert text(make(), [2]) == ["[PAD][PAD]AAAACC"]
    assert make().__getitems__([2])["valid"].tolist() == [[False] * 2 + [True] * 6]
    assert make(n_policy="token").__getitems__([2])["valid"].all()


def test_n_is_n_on_the_other_strand(make):
    back = {"reverse_complement": 1.0, "n_policy": "token"}
    assert text(make(**back), [1, 2, 3]) == ["TGCATGCA", "GGTTTTNN", "AAACCCCC"]
    assert text(make(reverse_complement=1.0), [2]) == ["GGTTTT[PAD][PAD]"]
    assert text(make(7, **back), [3]) == ["GGGGT[PAD][PAD]"]


def test_windows_with_too_many_n_are_left_out(make):
    assert text(make(min_valid=0.75)) == ["ACGTACGT", "TGCATGCA", "[PAD][PAD]AAAACC", "GGGGGTTT"]
    assert text(make(min_valid=0.76)) == ["ACGTACGT", "TGCATGCA", "GGGGGTTT"]
    assert text(make(min_valid=0.76, n_policy="token")) == ["ACGTACGT", "TGCATGCA", "GGGGGTTT"]


def test_bos_takes_the_place_of_a_base_and_is_given(make):
    dataset = make(n_policy="token", bos=True)
    assert text(dataset) == ["[BOS]ACGTACG", "[BOS]TTGCATG", "[BOS]CANNAAA", "[BOS]ACCCC[PAD][PAD]", "[BOS]GGGGGTT"]
    batch = dataset.__getitems__([0, 3])
    assert batch["given"].tolist() == [[True] + [False] * 7] * 2
    assert batch["valid"].tolist() == [[True] * 8, [True] * 6 + [False] * 2]
    assert not make().__getitems__([0])["given"].any()


def test_sep_stands_at_the_end_of_a_contig_only(make):
    assert text(make(9, n_policy="token", ends=True)) == ["ACGTACGTT", "GCATGCANN", "AAAACCCC[SEP]", "GGGGGTTTT"]
    assert text(make(11, ends=True, intervals=[Interval("B", 0, 10)])) == ["GGGGGTTTTT[SEP]"]
    assert text(make(10, ends=True, intervals=[Interval("B", 0, 10)])) == ["GGGGGTTTTT"], "no room"
    assert text(make(6, ends=True, intervals=[Interval("B", 0, 10)])) == ["GGGGGT", "TTTT[SEP][PAD]"]
    assert text(make(5, ends=True, intervals=[Interval("B", 0, 5)])) == ["GGGGG"], (
        "the interval's end is not the contig's"
    )
    batch = make(6, ends=True, intervals=[Interval("B", 0, 10)]).__getitems__([1])
    assert batch["valid"].tolist() == [[True] * 5 + [False]]


def test_sep_on_the_other_strand_stands_at_the_contigs_start(make):
    dataset = make(11, ends=True, intervals=[Interval("B", 0, 10)], reverse_complement=1.0)
    assert text(dataset) == ["AAAAACCCCC[SEP]"]
    inner = make(5, ends=True, intervals=[Interval("B", 5, 10)], reverse_complement=1.0)
    assert text(inner) == ["AAAAA"]
    left = make(5, ends=True, intervals=[Interval("B", 0, 5)], reverse_complement=1.0)
    assert text(left) == ["CCCC[SEP]"]


def test_sep_is_seen_by_random_windows_of_both_strands(make):
    dataset = make(4, ends=True, mode="random", reverse_complement=0.5, intervals=[Interval("B", 0, 10)])
    assert set(text(dataset, list(range(300)))) >= {"TTT[SEP]", "CCC[SEP]"}
    assert not any("[PAD]" in row for row in text(dataset, list(range(300))))


def test_soft_masked_bases_weigh_less_and_others_one(make):
    batch = make(repeat_weight=0.25).__getitems__([1, 0])
    assert batch["weight"].tolist() == [[1, 1, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25], [1] * 8]
    weights = make(8, repeat_weight=0.25, reverse_complement=1.0, bos=True).__getitems__([1])["weight"]
    assert weights.tolist() == [[1, 0.25, 0.25, 0.25, 0.25, 1, 1, 1]], "GCATGcaa: the weight travels with its base"
    assert (make().__getitems__([1])["weight"] == 1).all()


def test_the_strand_of_an_interval_is_honoured(make):
    plus, minus = Interval("A", 0, 16), Interval("A", 0, 16, "-")
    for dataset in (make(intervals=[minus]), make(intervals=[plus], reverse_complement=1.0)):
        assert text(dataset) == [str(Seq(A[i : i + 8].upper()).reverse_complement()) for i in (0, 8)]
    assert text(make(intervals=[minus], reverse_complement=1.0)) == [A[:8].upper(), A[8:16].upper()]


def test_locations_say_where_the_bases_lie(make):
    dataset = make(7, reverse_complement=0.5, intervals=[Interval("A", 3, 26), Interval("B", 0, 10)])
    numbers = list(range(len(dataset)))
    where = dataset.locations(numbers)
    assert where.chrom.tolist() == ["A", "A", "A", "B"]
    assert list(zip(where.start, where.end, strict=True)) == [(3, 10), (10, 17), (17, 24), (0, 7)]
    genome = {"A": A.upper(), "B": B}
    for row, chrom, start, end, strand in zip(text(dataset), *where, strict=True):
        piece = Seq(genome[chrom][start:end])
        assert row.replace("[PAD]", "N") == str(piece if strand == "+" else piece.reverse_complement())


def test_a_sample_is_a_function_of_the_seed_and_its_number(make):
    options = {"mode": "random", "reverse_complement": 0.5}
    numbers = list(range(50))
    whole = text(make(**options), numbers)
    for size in (1, 7):
        parts = [row for i in range(0, 50, size) for row in text(make(**options), numbers[i : i + size])]
        assert parts == whole
    assert text(make(**options), numbers[::-1]) == whole[::-1]
    assert text(make(seed=2, **options), numbers) != whole
    assert TOKENIZER.decode(make(**options)[7]["tokens"]) == whole[7]


def test_shuffled_tiling_visits_each_window_once_an_epoch_in_other_orders(make):
    dataset = make(4, shuffle=True)
    n = len(dataset)
    epochs = [dataset.locations(list(range(epoch * n, epoch * n + n))) for epoch in range(4)]
    starts = [sorted(zip(epoch.chrom, epoch.start, strict=True)) for epoch in epochs]
    assert all(visited == starts[0] for visited in starts) and len(set(starts[0])) == n == 10
    orders = {tuple(zip(epoch.chrom, epoch.start, strict=True)) for epoch in epochs}
    assert len(orders) == 4
    across = dataset.locations([n - 1, n])
    assert across.start.tolist() == [epochs[0].start[-1], epochs[1].start[0]], "a batch may span two epochs"


def test_random_starts_are_uniform_over_what_is_admissible(make):
    dataset = make(4, mode="random", min_valid=1.0)
    where = dataset.locations(list(range(20_000)))
    counts = {}
    for chrom, start in zip(where.chrom.tolist(), where.start.tolist(), strict=True):
        counts[chrom, start] = counts.get((chrom, start), 0) + 1
    admissible = [("A", s) for s in (*range(13), *range(18, 23))] + [("B", s) for s in range(7)]
    assert sorted(counts) == admissible and dataset.windows == len(admissible)
    expected = 20_000 / len(admissible)
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 52  # 24 degrees of freedom: exceeded once in 1,000
    assert len(dataset) == 7, "25 starts, 4 bases a window"


def test_both_strands_come_with_their_probability(make):
    dataset = make(4, mode="random", reverse_complement=0.25)
    where = dataset.locations(list(range(20_000)))
    for starts in (where.start < 6, where.start >= 6, where.chrom == "B"):
        assert abs((where.strand[starts] == "-").mean() - 0.25) < 0.03, "wherever the window lies"
    assert (make().locations([0, 1]).strand == "+").all(), "never unless asked for"


def test_sample_numbers_of_a_fixed_grid_are_bounded(make):
    with pytest.raises(IndexError):
        make().__getitems__([4])
    with pytest.raises(IndexError):
        make(shuffle=True).__getitems__([-1])
    assert make(shuffle=True).__getitems__([10**15])["tokens"].shape == (1, 8)
    assert make().__getitems__([])["tokens"].shape == (0, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 3}, "found length 3"),
        ({"mode": "sliding"}, "tiling or random would work"),
        ({"n_policy": "drop"}, "pad or token would work"),
        ({"reverse_complement": 1.1}, "found reverse_complement 1.1"),
        ({"min_valid": -0.1}, "found min_valid -0.1"),
        ({"length": 100}, "no window of 100 tokens"),
        ({"length": 20, "mode": "random", "min_valid": 1.0}, "no window of 20 tokens with 100 %"),
        ({"intervals": []}, "no window of 8 tokens"),
        ({"intervals": [Interval("A", 0, 27)]}, "within 0-26, the length of A"),
        ({"intervals": [Interval("chrA", 0, 9)]}, "did you mean 'A'?"),
    ],
)
def test_what_cannot_be_cut_is_said_in_one_line(make, options, message):
    with pytest.raises(InputError) as error:
        make(**options)
    assert message in str(error.value) and "\n" not in str(error.value)
