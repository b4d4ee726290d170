"""Coordinates and a genome become the sequences that a biologist reads off the FASTA file; mistakes have a place."""

import gzip
import re

import pytest

from dnadiff.config import compose_finetune
from dnadiff.data import alphabet
from dnadiff.data.labelled import read_labelled
from dnadiff.data.layouts import sources_of
from dnadiff.errors import InputError

#          0         10        20
HUMAN = ">chr1 first\nAAAAACCCCCGGGGGTTTTTACGTN\n>chrX\nTTACG\nGA\n"
WORM = ">I\nGATTACAGAT\n>X\nCCCCCC\n"


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    put(tmp_path / "human.fa", HUMAN)
    put(tmp_path / "worm.fa", WORM)
    return tmp_path


def contents(part, names):
    pairs = zip(map(alphabet.decode, part.codes), part.targets.tolist(), strict=True)
    return [(bases, names[target]) for bases, target in pairs]


def species(home):
    head = "id,region,start,end,strand\n"
    put(home / "data/train/human.csv.gz", head + "7,chr1,3,7,+\n8,chr1,3,7,-\n")
    put(home / "data/train/worm.csv.gz", head + "7,I,0,7,+\n9,X,4,6,-\n")
    put(home / "data/test/human.csv.gz", head + "1,chrX,0,6,-\n")
    put(home / "data/test/worm.csv.gz", head + "1,I,7,10,-\n")
    put(home / "data/metadata.yaml", "version: 0\n")
    return home / "data"


def test_a_folder_of_coordinates_and_two_genomes(home):
    genomes = [str(home / "human.fa"), str(home / "worm.fa")]
    data = read_labelled(species(home), genome=genomes, valid_fraction=0)
    train = [("AACC", "human"), ("GGTT", "human"), ("GATTACA", "worm"), ("GG", "worm")]
    assert contents(data.train, data.meaning.names) == train
    assert contents(data.test, data.meaning.names) == [("CCGTAA", "human"), ("ATC", "worm")]
    assert data.train.names[0] == "chr1:4-7:+" and len(data.digests) == 6 and set(genomes) < set(data.digests)


TABLE = (
    "name,chrom,start,end,strand,kind,split\na,chr1,0,6,+,on,train\nb,chr1,18,22,-,off,train\nc,chrX,5,7,-,on,test\n"
)
WANTED = [("AAAAAC", "on"), ("GTAA", "off")]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_table_of_coordinates_with_labels_and_parts(home, separator):
    table = put(home / ("x.csv" if separator == "," else "x.tsv"), TABLE.replace(",", separator))
    data = read_labelled(table, ["kind"], genome=[str(home / "human.fa")], valid_fraction=0)
    assert contents(data.train, data.meaning.names) == WANTED and data.train.names == ("a", "b")
    assert contents(data.test, data.meaning.names) == [("TC", "on")]


def test_bed_names_are_labels_and_a_bed_file_may_be_a_class(home):
    put(home / "beds/train.bed", "# made by hand\nchr1\t0\t6\ton\t0\t+\nchr1\t18\t22\toff\t0\t-\n")
    data = read_labelled(home / "beds", genome=[str(home / "human.fa")], valid_fraction=0, test_fraction=0)
    assert contents(data.train, data.meaning.names) == WANTED
    put(home / "classes/on.bed", "chr1\t0\t6\n")
    put(home / "classes/off.bed.gz", "chr1\t18\t22\tx\t0\t-\n")
    data = read_labelled(home / "classes", genome=[str(home / "human.fa")], valid_fraction=0, test_fraction=0)
    assert contents(data.train, data.meaning.names) == WANTED[::-1]


def row(text):
    return TABLE.replace("b,chr1,18,22,-,off,train", text)


MISTAKES = {
    "beyond the contig": (row("b,chr1,18,26,-,off,train"), "x.csv:3: found chr1 18-26; within 0-25, the length"),
    "without chr": (row("b,1,18,22,-,off,train"), "x.csv:3: found contig '1', which the genome does not have; did"),
    "no such contig": (row("b,scaffold9,1,2,-,off,train"), "x.csv:3: found contig 'scaffold9', which the genome does "
                       "not have; it has chr1, chrX"),
    "start at end": (row("b,chr1,22,22,-,off,train"), "x.csv:3: found 22 to 22; whole numbers, the start below"),
    "start below zero": (row("b,chr1,-1,22,-,off,train"), "x.csv:3: found -1 to 22; whole numbers"),
    "strand": (row("b,chr1,2,22,.,off,train"), "x.csv:3: found contig 'chr1', strand '.'; a name, and + or -"),
    "a value short": (row("b,chr1,2,22,-,off"), "x.csv:3: found more or fewer values than the 7 columns"),
    "a value more": (row("b,chr1,2,22,-,off,train,x"), "x.csv:3: found more or fewer values than the 7 columns"),
    "no label": (row("b,chr1,2,22,-,,train"), "x.csv:3: has no kind; the name of a class"),
    "split": (row("b,chr1,2,22,-,off,trian"), "x.csv:3: found split=trian; did you mean train?"),
    "all N": (row("b,chr1,24,25,-,off,train"), "x.csv:3: found nothing but N"),
    "label column": (TABLE.replace(",kind,", ",kin,"), "x.csv:1: found no column kind; did you mean kin?"),
    "contig column": (TABLE.replace(",chrom,", ",c,"), "x.csv:1: found no column region; region, start, end, strand"),
    "no rows": ("chrom,start,end,strand,kind\n", "x.csv: found no row below the column names"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_with_their_place(home, mistake):
    text, told = MISTAKES[mistake]
    put(home / "x.csv", text)
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        read_labelled(home / "x.csv", ["kind"], genome=[str(home / "human.fa")])
    assert "\n" not in str(caught.value)


def test_genomes_and_data_that_do_not_go_together(home):
    human = str(home / "human.fa")
    put(home / "other.fa", ">chrX\nACGT\n")
    put(home / "bad.bed", "chr1\t0\t6\n")
    put(home / "texts/on/1.txt", "ACGT")
    put(home / "texts/off/1.txt", "ACGT")
    for path, keys, genomes, told in (
        (
            species(home),
            ["label"],
            [human, str(home / "other.fa")],
            "other.fa: has contig 'chrX', which another",
        ),
        (
            home / "human.fa",
            ["label"],
            [human],
            "human.fa: holds no coordinates, and a genome was given; a table",
        ),
        (home / "texts", ["label"], [human], "texts/off: holds no coordinates, and a genome was given"),
        (home / "bad.bed", ["label"], [human], "bad.bed:1: has no label; the name of a class"),
        (home / "bad.bed", ["a", "b"], [human], "bad.bed: BED has one label, its fourth column; one key"),
        (home / "data", ["label"], [], "found human.csv.gz, which names no part and is no FASTA of a class; train.csv"),
        (home / "data", ["label"], [], "would work; of coordinates, their genome too"),
        (home / "data", ["label"], [str(home / "none.fa")], "none.fa"),
    ):
        with pytest.raises(InputError, match=re.escape(told)):
            read_labelled(path, keys, genome=genomes)


def test_the_setting_takes_several_genomes():
    assert compose_finetune(["data.genome=hg38.fa,ce11.fa"]).data.genome == ["hg38.fa", "ce11.fa"]
    assert compose_finetune([]).data.genome == []


def test_pieces_of_parts_as_hubs_have_them(tmp_path):
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001-0a1b2c.parquet"):
        (tmp_path / name).touch()
    found = [(source.path.name[:11], source.part, source.label) for source in sources_of(tmp_path)]
    assert found == [("test-00000-", "test", None), ("train-00000", "train", None), ("train-00001", "train", None)]
    (tmp_path / "train.parquet").touch()
    with pytest.raises(InputError, match=r"found both train-00000-of-00002\.parquet and train\.parquet"):
        sources_of(tmp_path)


def test_a_hub_folder_of_parquet_is_read(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for part, rows in (("train", {"seq": ["ACGT", "GGTT"], "label": [1, 0]}), ("test", {"seq": ["AC"], "label": [0]})):
        parquet.write_table(arrow.table(rows), tmp_path / f"{part}-00000-of-00001.parquet")
    data = read_labelled(tmp_path, valid_fraction=0)
    assert contents(data.train, data.meaning.names) == [("ACGT", "1"), ("GGTT", "0")] and len(data.test) == 1
