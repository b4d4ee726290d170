import pytest

from dnadiff.data.intervals import BedRow, Interval, overlap_bp, total_bp
from dnadiff.data.splits import Split, make_split
from dnadiff.errors import InputError

YEAST = {
    "chrI": 230218, "chrII": 813184, "chrIII": 316620, "chrIV": 1531933, "chrV": 576874, "chrVI": 270161,
    "chrVII": 1090940, "chrVIII": 562643, "chrIX": 439888, "chrX": 745751, "chrXI": 666816, "chrXII": 1078177,
    "chrXIII": 924431, "chrXIV": 784333, "chrXV": 1091291, "chrXVI": 948066, "chrM": 85779,
}  # fmt: skip
COLI = {"K-12": 4639675}


def rows(*lines):
    return [BedRow(Interval(*line[:3]), line[3] if len(line) > 3 else None, n) for n, line in enumerate(lines, 1)]


def test_one_chromosome_becomes_blocks_with_gaps():
    split = make_split(COLI, gap=1024)
    assert split.how == "blocks"
    assert split.train == (Interval("K-12", 0, 3943724 - 1024),)
    assert split.valid == (Interval("K-12", 3943724, 4175708 - 1024),)
    assert split.test == (Interval("K-12", 4175708, 4639675),)
    assert round(0.9 * 4639675) == 4175708
    assert split.leaks() == {"train_valid": 0, "train_test": 0, "valid_test": 0}


def test_many_chromosomes_are_held_out_whole_and_near_the_shares():
    split = make_split(YEAST, gap=1024)
    total = sum(YEAST.values())
    assert split.how == "contig"
    assert all(i.start == 0 and i.end == YEAST[i.chrom] for name in ("train", "valid", "test") for i in split[name])
    assert sorted(i.chrom for name in ("train", "valid", "test") for i in split[name]) == sorted(YEAST)
    assert 0.05 < total_bp(split.test) / total <= 0.10 and 0.025 < total_bp(split.valid) / total <= 0.05
    assert "chrM" in {i.chrom for i in split.train}, "a held-out set is not topped up with the mitochondrion"


def test_many_small_contigs_fill_the_shares():
    sizes = {f"s{n}": 1000 for n in range(200)}
    split = make_split(sizes, gap=128)
    assert (len(split.test), len(split.valid)) == (17, 9)


def test_named_contigs_are_held_out():
    split = make_split(YEAST, valid=["chrXV"], test=["chrXVI", "chrM"], gap=1024)
    assert [i.chrom for i in split.valid] == ["chrXV"] and [i.chrom for i in split.test] == ["chrXVI", "chrM"]
    assert len(split.train) == 14
    assert make_split(YEAST, valid=["chrI"], test="chrXVI", gap=1).test == (Interval("chrXVI", 0, 948066),)


def test_two_chromosomes_become_blocks_and_short_ones_are_trained_on_whole():
    split = make_split({"c1": 2961149, "c2": 1072315, "plasmid": 900}, gap=512)
    assert split.how == "blocks" and len(split.valid) == len(split.test) == 2
    assert Interval("plasmid", 0, 900) in split.train


def test_no_test_part_where_none_is_asked_for():
    for sizes in (COLI, YEAST):
        split = make_split(sizes, test=0, gap=512)
        assert split.test == () and split.valid and split.train
        assert overlap_bp(split.train, split.valid) == 0


@pytest.mark.parametrize("shares", [{"valid": 0}, {"test": 0}, {"valid": 0, "test": 0}, {}])
def test_the_last_block_reaches_the_end_of_the_contig(shares):
    split = make_split(COLI, by="blocks", gap=1024, **shares)
    blocks = [*split.train, *split.valid, *split.test]
    assert blocks[-1].end == COLI["K-12"]
    assert total_bp(blocks) == COLI["K-12"] - 1024 * (len(blocks) - 1), "gaps lie between blocks alone"


def test_labelled_bed_needs_no_part_that_is_not_wanted():
    bed = rows(("chrI", 0, 100, "train"), ("chrII", 0, 10, "test"))
    split = make_split(YEAST, gap=512, bed=bed, valid=0)
    assert split.valid == () and split.test == (Interval("chrII", 0, 10),)


def test_labelled_bed_is_the_split():
    split = make_split(
        YEAST,
        gap=512,
        bed=rows(("chrI", 0, 100, "train"), ("chrI", 50, 150, "validation"), ("chrII", 0, 10, "test")),
    )
    assert split.how == "bed" and split.valid == (Interval("chrI", 50, 150),)
    assert split.leaks() == {"train_valid": 50, "train_test": 0, "valid_test": 0}
    assert "overlap of train and held-out: 50 bp (45.45 % of the held-out bases)" in split.report()


def test_extending_intervals_counts_the_leak():
    bed = rows(("chrI", 0, 100, "train"), ("chrI", 1000, 1100, "valid"), ("chrI", 230000, 230100, "test"))
    split = make_split(YEAST, gap=512, bed=bed, extend=1024)
    assert split.train == (Interval("chrI", 0, 1024),)
    assert split.valid == (Interval("chrI", 1000, 2024),)
    assert split.test == (Interval("chrI", 230218 - 1024, 230218),), "shifted to stay within the contig"
    assert split.leaks()["train_valid"] == 24


def test_plain_bed_restricts_another_rule():
    bed = rows(("K-12", 100, 200), ("K-12", 3943000, 4639675))
    split = make_split(COLI, gap=1024, bed=bed)
    assert split.how == "blocks"
    assert split.train == (Interval("K-12", 100, 200),) and split.test == (Interval("K-12", 4175708, 4639675),)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        (COLI, {"by": "contig"}, "nothing is left for train"),
        ({"a": 100}, {}, "nothing is left for valid"),
        (YEAST, {"valid": ["chrXVII"]}, "did you mean 'chrXVI"),
        (YEAST, {"valid": ["1"]}, "found contig '1'"),
        (YEAST, {"valid": ["chrI"], "test": ["chrI"]}, "'chrI' is named twice"),
        (YEAST, {"valid": 1.5}, "found a held-out share of 1.5"),
        (COLI, {"valid": 0.5, "test": 0.5}, "found a held-out share of 1.0"),
        (YEAST, {"by": "chromosome"}, "auto, contig or blocks would work"),
        (YEAST, {"by": "blocks", "valid": ["chrI"]}, "by=contig would work"),
        (YEAST, {"extend": 1024}, "adding bed=FILE would work"),
        (YEAST, {"by": "bed"}, "adding bed=FILE would work"),
        (YEAST, {"bed": rows(("chrI", 0, 9, "train"), ("chrI", 0, 9, "gene7"))}, "BED file:2: found 'gene7'"),
        (YEAST, {"bed": rows(("chrI", 0, 9, "train"), ("chrII", 0, 9, "test"))}, "nothing is left for valid"),
        (COLI, {"bed": rows(("K-12", 0, 9))}, "nothing is left for valid"),
        (YEAST, {"bed": rows(("chrI", 0, 9), ("chrI", 9, 18, "test"))}, "BED file:1: found no column 4"),
    ],
)
def test_what_cannot_be_split_is_said_in_one_line(sizes, options, message):
    with pytest.raises(InputError) as error:
        make_split(sizes, gap=1024, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_json_round_trip_and_names():
    split = make_split(COLI, gap=1024)
    assert Split.from_json(split.to_json()) == split
    assert split["test"] == split.test
    with pytest.raises(InputError, match="train, valid or test would work"):
        split["dev"]
