"""Rules without a model: overlaps against all pairs, accuracies against counting by hand."""

import gzip
import json
import shutil

import numpy as np
import pytest

from dnadiff.cli import main
from dnadiff.data.coordinates import Located, read_coordinates
from dnadiff.errors import InputError
from dnadiff.evaluation.audit import by_length, by_look_up, by_strand, majority, overlaps


def drawn(n, seed):
    """Stretches of 1 to 30 bases on three contigs of 400."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 400, n)
    strand = np.array(["+", "-"])[rng.integers(0, 2, n)]
    return Located(
        np.array(["chr1", "chr10", "chr2"])[rng.integers(0, 3, n)],
        start,
        start + rng.integers(1, 30, n),
        strand,
        rng.integers(0, 2, n),
    )


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_are_those_of_all_pairs(seed):
    train, test = drawn(60, seed), drawn(80, seed + 10)
    found = overlaps(train, test)
    assert 0 < found.found.sum() < 80
    for row in range(80):
        bases = set(range(test.start[row], test.end[row]))
        common = [
            len(bases & set(range(train.start[i], train.end[i]))) if train.chrom[i] == test.chrom[row] else 0
            for i in range(60)
        ]
        assert found.shared[row] == max(common)
        assert (common[found.nearest[row]] == max(common)) if max(common) else found.nearest[row] == -1
        same = [(c, s, e) for c, s, e in zip(train.chrom, train.start, train.end, strict=True)]
        assert found.copy[row] == ((test.chrom[row], test.start[row], test.end[row]) in same)


def test_rules_by_hand():
    def part(*rows):
        chrom, start, end, strand, label = zip(*rows, strict=True)
        return Located(np.array(chrom), np.array(start), np.array(end), np.array(strand), np.array(label))

    train = part(*[("a", 100 * i, 100 * i + 10, "+", 0) for i in range(30)],
                 *[("b", 100 * i, 100 * i + 50, "-", 1) for i in range(20)])  # fmt: skip
    test = part(("a", 105, 155, "-", 1), ("b", 140, 150, "+", 0), ("c", 0, 50, "-", 1), ("b", 1950, 2000, "-", 0))
    assert majority(train) == 0
    assert by_length(train, test).tolist() == [1, 0, 1, 1]
    assert by_strand(train, test).tolist() == [1, 0, 1, 1]
    assert by_look_up(train, overlaps(train, test)).tolist() == [0, 1, 0, 0]  # b:1950 lies right behind b:1900-1950


@pytest.fixture
def folder(tmp_path):
    """Two classes; one of four test stretches overlaps a training stretch, another is a copy of one."""
    rows = {
        "train/negative.csv.gz": ["chr1,0,10,+", "chr1,50,60,+"],
        "train/positive.csv.gz": ["chr2,0,30,-"],
        "test/positive.csv.gz": ["chr2,29,40,+", "chr3,0,10,-"],
        "test/negative.csv.gz": ["chr1,50,60,-", "chr1,60,70,-"],
    }
    for name, lines in rows.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = ["id,region,start,end,strand", *(f"{i},{line}" for i, line in enumerate(lines))]
        path.write_bytes(gzip.compress(("\n".join(table) + "\n").encode()))
    return tmp_path / "data"


def test_a_folder_and_its_clean_copy(folder, tmp_path, capsys):
    out, clean = tmp_path / "report.json", tmp_path / "clean"
    assert main(["bench", "audit", str(folder), "-q", "-o", str(out), "--clean", str(clean)]) == 0
    told = "dna-diff: note: 2 of 4 test stretches are left out, 1 of negative, 1 of positive remain in "
    assert capsys.readouterr().err.startswith(told)
    row = json.loads(out.read_text())["rows"][0]
    assert row["name"] == "data" and (row["train"], row["test"], row["copies"]) == (3, 4, 1)
    assert row["overlapping"] == 0.5 and row["look_up"] == 0.75
    assert row["overlapping_negative"] == row["overlapping_positive"] == 0.5
    left = read_coordinates(clean)
    assert left.test.chrom.tolist() == ["chr1", "chr3"] and len(left.train) == 3
    assert gzip.decompress((clean / "test" / "positive.csv.gz").read_bytes()).splitlines()[1] == b"1,chr3,0,10,-"
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_clean_copy_has_the_validation_part_too(folder, tmp_path):
    shutil.copytree(folder / "train", folder / "dev")
    assert main(["bench", "audit", str(folder), "-q", "--clean", str(tmp_path / "clean")]) == 0
    assert sorted(path.name for path in (tmp_path / "clean" / "dev").iterdir()) == [
        "negative.csv.gz", "positive.csv.gz",
    ]  # fmt: skip


def replaced(folder, name, text):
    (folder / name).write_bytes(gzip.compress(text.encode()))


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("test/positive.csv.gz", "id,region,start,end\n", "positive.csv.gz:1: found no column strand; region, start,"),
        ("test/positive.csv.gz", "region,start,end,strand\n", "positive.csv.gz: found no row below the column names"),
        ("test/positive.csv.gz", "region,start,end,strand\nchr1,9,9,+\n", "positive.csv.gz:2: found 9 to 9; whole"),
        ("test/positive.csv.gz", "region,start,end,strand\nchr1,a,9,+\n", "positive.csv.gz:2: found a to 9; whole"),
        ("test/positive.csv.gz", "region,start,end,strand\nchr1,1,9,.\n", "found contig 'chr1', strand '.'; a name"),
        ("test/positive.csv", "", "found positive.csv and positive.csv.gz; one file a class would work"),
        ("test/third.csv.gz", "region,start,end,strand\nchr1,1,9,+\n", "train has no class third; the same classes"),
    ],
)
def test_what_cannot_be_read(folder, name, text, line):
    replaced(folder, name, text)
    with pytest.raises(InputError) as caught:
        read_coordinates(folder)
    assert line in str(caught.value)


def test_a_class_that_nothing_is_left_of(folder, tmp_path, capsys):
    replaced(folder, "test/positive.csv.gz", "region,start,end,strand\nchr2,3,9,+\n")
    assert main(["bench", "audit", str(folder), "--clean", str(tmp_path / "clean")]) == 2
    assert "the training part holds every test example of positive" in capsys.readouterr().err
    assert not (tmp_path / "clean").exists()


def test_commands_that_cannot_work(folder, tmp_path, capsys):
    (folder / "other").mkdir()
    for words, line in (
        ([str(tmp_path / "none")], "none: "),
        ([str(folder), str(folder), "--clean", "x"], "--clean x: holds one data set, and 2 are audited; give one"),
        ([str(folder), "--clean", str(folder)], "exists; another name would work"),
        ([str(folder), "--kind", "multilabel"], "--kind multilabel: "),
        ([str(folder), "-o", "x.txt"], "reports are JSON or TSV"),
    ):
        assert main(["bench", "audit", *words]) == 2
        err = capsys.readouterr().err
        assert line in err and err.count("\n") == 1
