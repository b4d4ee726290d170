import gzip
import time

import pytest

from dnadiff.data.intervals import Interval, intersect, merged, overlap_bp, read_bed, unknown_contig
from dnadiff.errors import InputError

SIZES = {"chr1": 1000, "chr2": 500, "chrM": 16}


def test_bed_is_read_with_all_its_decorations(tmp_path):
    text = "#c\ntrack name=x\nbrowser position\n\nchr1\t0\t10\ttrain\nchr2 5 500\r\n"
    text += "chr1\t7\t9\tx\t0\t-\nchr1\t7\t9\tx\t0\t.\n"
    for path, data in ((tmp_path / "a.bed", text.encode()), (tmp_path / "b.bed", gzip.compress(text.encode()))):
        path.write_bytes(data)
        rows = read_bed(path, SIZES)
        assert [(row.interval, row.name, row.line) for row in rows] == [
            (Interval("chr1", 0, 10), "train", 5),
            (Interval("chr2", 5, 500), None, 6),
            (Interval("chr1", 7, 9, "-"), "x", 7),
            (Interval("chr1", 7, 9), "x", 8),
        ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t0", "found 2 column(s)"),
        ("chr1\t10\t10", "found chr1 10-10; within 0-1000"),
        ("chr1\t20\t10", "found chr1 20-10"),
        ("chr1\t0\t1001", "within 0-1000, the length of chr1"),
        ("chr1\t-1\t5", "found '-1' where a position is due"),
        ("chrom\tstart\tend", "found 'start' where a position is due"),
        ("chr1\t1.5\t5", "found '1.5'"),
        ("chr1\t0\t5\tx\t0\t*", "found strand '*'"),
        ("1\t0\t5", "did you mean 'chr1'?"),
        ("CHR2\t0\t5", "did you mean 'chr2'?"),
        ("MT\t0\t5", "did you mean 'chrM'?"),
        ("scaffold_99\t0\t5", "it has chr1, chr2, chrM"),
    ],
)
def test_bad_bed_lines_are_named(line, message, tmp_path):
    path = tmp_path / "a.bed"
    path.write_text(f"chr1\t0\t10\n{line}\n")
    with pytest.raises(InputError) as error:
        read_bed(path, SIZES)
    assert str(error.value).startswith(f"{path}:2: ") and message in str(error.value)


def test_an_empty_bed_is_an_error(tmp_path):
    (tmp_path / "a.bed").write_text("# nothing\n")
    with pytest.raises(InputError, match="found no interval"):
        read_bed(tmp_path / "a.bed", SIZES)


def test_the_contig_probably_meant_works_both_ways():
    assert "did you mean '1'?" in unknown_contig("chr1", ["1", "2"])
    assert "did you mean 'NC_000913.3'?" in unknown_contig("NC_000913", ["NC_000913.3"])
    assert "it has a, b, c ..." in unknown_contig("zzz", ["a", "b", "c", "d"])


def bases(intervals):
    return {(i.chrom, p) for i in intervals for p in range(i.start, i.end)}


A = [Interval("a", 0, 10), Interval("a", 5, 12, "-"), Interval("b", 3, 4), Interval("a", 12, 13), Interval("a", 20, 30)]
B = [Interval("a", 8, 22), Interval("b", 0, 9, "-"), Interval("c", 0, 5), Interval("a", 29, 40), Interval("a", 29, 31)]


def test_interval_sets_agree_with_sets_of_positions():
    assert merged(A) == [Interval("a", 0, 13), Interval("a", 20, 30), Interval("b", 3, 4)]
    assert bases(intersect(A, B)) == bases(A) & bases(B)
    assert overlap_bp(A, B) == overlap_bp(B, A) == len(bases(A) & bases(B)) == 9
    assert intersect(A, [Interval("b", 0, 9, "-")]) == [Interval("b", 3, 4, "-")]
    assert intersect([Interval("a", 0, 10)], [Interval("a", 10, 20)]) == [], "touching is not overlapping"
    assert overlap_bp([], B) == overlap_bp(A, []) == 0


def test_many_intervals_of_one_contig_take_time_in_proportion():
    many = [Interval("chr1", 10 * i, 10 * i + 5) for i in range(60_000)]
    start = time.process_time()
    assert intersect(many, many) == many
    assert time.process_time() - start < 5, "quadratic work takes several times that"
