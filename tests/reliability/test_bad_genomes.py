"""Genomes, BED files and stores that cannot be used, given to every verb that reads one."""

import gzip
import json
from pathlib import Path

import pytest

from tests.reliability.mistakes import SMALL, Mistake, all_of, check, write

PROTEIN = ">p\nMKLLV\n"
TRAIN = ("train", "genome.fa", "-o", "new", *SMALL)
BED = (*TRAIN, "data.bed=b.bed")
OTHER = ("train", "x.fa", "-o", "new", *SMALL)
PAIRED = "chr1\t0\t1000\ttrain\nchr2\t0\t500\tvalid\n"
FASTA = {
    "prepare: a name misspelt": Mistake(["prepare", "genom.fa", "-o", "new"]),
    "prepare: nothing like it": Mistake(["prepare", "human.fa", "-o", "new"]),
    "prepare: no name": Mistake(["prepare", "", "-o", "new"]),
    "prepare: in a folder that is not there": Mistake(["prepare", "data/genome.fa", "-o", "new"]),
    "prepare: a folder": Mistake(["prepare", "run", "-o", "new"]),
    "prepare: a name with NUL": Mistake(["prepare", "a\x00b", "-o", "new"]),
    "prepare: a name that is too long": Mistake(["prepare", "a" * 300, "-o", "new"]),
    "prepare: a name with line ends and escapes": Mistake(["prepare", "x\x1b[31m\n.fa", "-o", "new"]),
    "prepare: standard input empty": Mistake(["prepare", "-", "-o", "new"]),
    "prepare: standard input of protein": Mistake(["prepare", "-", "-o", "new"], stdin=PROTEIN.encode()),
    "prepare: standard input into the cache": Mistake(["prepare", "-"], stdin=b">a\nACGT\n"),
    "prepare: an empty device": Mistake(["prepare", "/dev/null", "-o", "new"]),
    "prepare: BED": Mistake(["prepare", "regions.bed", "-o", "new"]),
    "prepare: gzip by its first bytes only": Mistake(
        ["prepare", "x.fa.gz", "-o", "new"], write("x.fa.gz", b"\x1f\x8bnot really")
    ),
    "prepare: gzip cut": Mistake(
        ["prepare", "x.fa.gz", "-o", "a/b/new"], write("x.fa.gz", gzip.compress(b">a\nACGT\n" * 99)[:-9])
    ),
    "prepare: an escape in a header": Mistake(
        ["prepare", "x.fa", "-o", "new"], write("x.fa", ">chr1\x1b]0;title\x07\nACGT\n")
    ),
    "prepare: an escape of eight bits in a header": Mistake(
        ["prepare", "x.fa", "-o", "new"], write("x.fa", ">chr1\x9b31m\nACGT\n".encode())
    ),
    "prepare: a name twice": Mistake(["prepare", "x.fa", "-o", "new"], write("x.fa", ">a\nAC\n>a\nGT\n")),
    "doctor: nothing there": Mistake(["doctor", "genom.fa", "--no-train"]),
    "doctor: a folder": Mistake(["doctor", "store", "--no-train"]),
    "doctor: empty": Mistake(["doctor", "-", "--no-train"]),
    "doctor: protein": Mistake(["doctor", "x.fa", "--no-train"], write("x.fa", PROTEIN)),
    "doctor: a name twice": Mistake(["doctor", "x.fa", "--no-train"], write("x.fa", ">a\nAC\n>a\nGT\n")),
    "train: no genome": Mistake(["train"]),
    "train: a name misspelt": Mistake(["train", "genom.fa"]),
    "train: a run": Mistake(["train", "run"]),
    "train: standard input": Mistake(["train", "-"]),
    "train: protein": Mistake(["train", "x.fa"], write("x.fa", PROTEIN)),
    "train: shorter than a window": Mistake([*OTHER, "data.split=blocks"], write("x.fa", ">a\nACGTACGT\n")),
    "train: contigs shorter than a window": Mistake(
        ["train", "genome.fa", "-o", "new", "data.split=contig", "model.length=4000"]
    ),
    "train: nothing but N": Mistake([*OTHER, "data.split=blocks"], write("x.fa", ">a\n" + "N" * 5000)),
    "train: nothing but N held out": Mistake(
        [*OTHER, "data.split=contig", "data.valid=b", "data.test=c"],
        write("x.fa", f">a\n{'ACGT' * 999}\n>b\n{'N' * 500}\n>c\n{'ACGT' * 99}\n"),
    ),
    "train: one contig to split by contigs": Mistake(
        [*OTHER, "data.split=contig"], write("x.fa", ">a\n" + "ACGT" * 999)
    ),
    "train: every contig held out": Mistake([*TRAIN, "data.split=contig", "data.valid=chr1", "data.test=chr2,chr3"]),
    "train: a contig without its chr": Mistake([*TRAIN, "data.split=contig", "data.valid=1", "data.test=chr2"]),
    "train: a contig that is not there": Mistake([*TRAIN, "data.split=contig", "data.valid=MT", "data.test=chr2"]),
    "train: shares too small for a window": Mistake([*TRAIN, "data.split=blocks", "data.valid_fraction=0.001"]),
    "evaluate: nothing there": Mistake(["evaluate", "run", "genom.fa"]),
    "evaluate: a run as genome": Mistake(["evaluate", "run", "run"]),
    "evaluate: standard input": Mistake(["evaluate", "run", "-"]),
    "evaluate: protein": Mistake(["evaluate", "run", "x.fa"], write("x.fa", PROTEIN)),
    "evaluate: shorter than a window": Mistake(["evaluate", "run", "x.fa"], write("x.fa", ">a\nACGT\n")),
    "evaluate: the genome is gone": Mistake(["evaluate", "run"], lambda: Path("genome.fa").unlink()),
    "evaluate: the genome is another one": Mistake(
        ["evaluate", "run"], write("genome.fa", f">chr1\n{'ACGT' * 999}\n>chr2\n{'ACGT' * 999}\n")
    ),
    "compare: nothing there": Mistake(["compare", "genom.fa", "synthetic.fa"]),
    "compare: no second": Mistake(["compare", "genome.fa"]),
    "compare: a run": Mistake(["compare", "run", "synthetic.fa"]),
    "compare: a run as second": Mistake(["compare", "genome.fa", "run"]),
    "compare: standard input twice": Mistake(["compare", "-", "-"], stdin=b">a\nACGT\n" * 9),
    "compare: standard input empty": Mistake(["compare", "genome.fa", "-"]),
    "compare: BED": Mistake(["compare", "genome.fa", "regions.bed"]),
    "compare: shorter than k": Mistake(["compare", "genome.fa", "x.fa"], write("x.fa", ">a\nACG\n>b\nACGTA\n")),
    "compare: known stretches shorter than k": Mistake(
        ["compare", "genome.fa", "x.fa"], write("x.fa", ">a\nACNACNACN\n>b\nACNACNACN\n")
    ),
    "compare: nothing but N": Mistake(["compare", "genome.fa", "x.fa"], write("x.fa", ">a\nNNNNNNN\n")),
    "compare: nothing but N in the genome": Mistake(
        ["compare", "x.fa", "synthetic.fa"], write("x.fa", ">a\nNNNNNNN\n")
    ),
    "compare: one real window": Mistake(["compare", "x.fa", "synthetic.fa"], write("x.fa", ">a\nACGTACGTACG\n")),
}
BEDS = {
    "empty": "",
    "comments alone": "# by hand\ntrack name=x\n\n",
    "a contig without its chr": "1\t0\t100\ttrain\n",
    "a contig in capitals": "CHR1\t0\t100\ttrain\n",
    "a contig of another genome": "scaffold_7\t0\t100\ttrain\n",
    "start after end": "chr1\t100\t50\ttrain\n",
    "no base": "chr1\t50\t50\ttrain\n",
    "beyond the contig": "chr1\t0\t100\ttrain\nchr1\t0\t3001\ttrain\n",
    "a position below zero": "chr1\t-5\t100\ttrain\n",
    "a fraction": "chr1\t1.5\t100\ttrain\n",
    "commas": "chr1\t1,000\t2,000\ttrain\n",
    "an exponent": "chr1\t0\t1e3\ttrain\n",
    "digits of another script": "chr1\t٣\t100\ttrain\n",
    "a position of a thousand digits": f"chr1\t0\t{'9' * 1000}\ttrain\n",
    "two columns": "chr1\t100\n",
    "a table with a head": "chrom\tstart\tend\n",
    "commas between columns": "chr1,0,100,train\n",
    "spaces within a name": "chr 1 0 100 train\n",
    "a strand that is none": "chr1\t0\t100\ttrain\t0\tx\n",
    "windows-1252": b"chr1\t0\t100\ttrain\nchr1\t0\t100\tr\xe9serv\xe9\n",
    "UTF-16": "chr1\t0\t100\n".encode("utf-16"),
    "an escape in a name": "chr1\x1b[2J\t0\t100\ttrain\n",
    "a name written from right to left": "\u202echr1\t0\t100\ttrain\n",
    "a name of a million letters": "x" * (1 << 20) + "\t0\t100\n",
    "an endless line": b"x" * (3 << 20),
    "gzip cut": gzip.compress(PAIRED.encode() * 99)[:-9],
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00",
    "FASTA": ">chr1\nACGT\n",
    "GFF": "##gff-version 3\nchr1\tRefSeq\tgene\t1\t100\t.\t+\t.\tID=x\n",
}
TABLES = {
    "empty": "",
    "no sequences": "sequence,label\n",
    "no column of sequences": "dna,label\nACGT,a\n",
    "a column twice": "sequence,sequence\nACGT,ACGT\n",
    "a row too short": "sequence,label\nACGT\n",
    "protein": "name,sequence\np,MKLLV\n",
    "a quotation mark left open": 'sequence,label\n"ACGT,a\n',
    "a blank in a name": "name,sequence\na b,ACGT\n",
    "an escape in a name": "name,sequence\na\x1b[2J,ACGT\n",
    "a name twice": "name,sequence\na,ACGT\na,ACGT\n",
    "windows-1252": b"name,sequence\nr\xe9serv\xe9,ACGT\n",
    "FASTA": ">chr1\nACGT\n",
    "a row without end": b"sequence\n" + b"A" * (17 << 20),
}

LABELS = {
    "a label misspelt": "chr1\t0\t100\ttrian\n",
    "a label of none": "chr1\t0\t1000\ttrain\nchr2\t0\t200\n",
    "nothing held out": "chr1\t0\t2000\ttrain\n",
    "nothing to test on": PAIRED,
    "CRLF and a label misspelt": "chr1\t0\t100\ttrain\r\nchr1\t0\t100\ttets\r\n",
    "intervals shorter than a window": "chr1\t0\t9\ttrain\nchr2\t0\t9\tvalid\nchr3\t0\t9\ttest\n",
}
REGIONS = {
    "that were trained on": (["b.bed"], "chr1\t0\t500\n"),
    "shorter than a window": (["b.bed"], "chr1\t2990\t3000\n"),
    "of another genome": (["b.bed"], "1\t2990\t3000\n"),
    "none": (["b.bed"], "#\n"),
    "in a file that is not there": (["c.bed"], ""),
}


def rewritten(change):
    """A spoiler: the store's index with a change, and a checksum that fits it."""

    def spoil():
        from dnadiff.data.store_writer import index_checksum

        path = Path("store/index.json")
        index = json.loads(path.read_text())
        change(index)
        index["sha256"] = index_checksum(index)
        path.write_text(json.dumps(index))

    return spoil


def contig(**facts):
    return rewritten(lambda index: index["contigs"][0].update(facts))


STORES = {
    "no bases": lambda: Path("store/bases.u8").unlink(),
    "bases cut": write("store/bases.u8", b"\x00" * 99),
    "no index": lambda: Path("store/index.json").unlink(),
    "an index cut": lambda: Path("store/index.json").write_text(Path("store/index.json").read_text()[:99]),
    "an index by hand": write("store/index.json", "{}"),
    "an index of a list": write("store/index.json", "[]"),
    "a checksum that does not fit": write("store/index.json", '{"kind": "dnadiff genome store", "format": 1}'),
    "another version": rewritten(lambda index: index.update(format=2)),
    "no contigs": rewritten(lambda index: index.update(contigs=[])),
    "contigs of a number": rewritten(lambda index: index.update(contigs=3)),
    "a contig without its length": rewritten(lambda index: index["contigs"][0].pop("length")),
    "a length of text": contig(length="3000"),
    "a length below zero": all_of(contig(length=-3000), write("store/bases.u8", b"")),
    "a length beyond the file": contig(length=10**15),
    "a name twice": contig(name="chr2"),
    "a note that nobody wrote": rewritten(lambda index: index.update(normalised={"x": 1})),
    "no source": rewritten(lambda index: index.pop("source")),
}

MISTAKES = (
    FASTA
    | {f"evaluate: BED, {k}": Mistake(["evaluate", "run", "b.bed"], write("b.bed", v)) for k, v in BEDS.items()}
    | {f"prepare: table, {k}": Mistake(["prepare", "x.csv", "-o", "new"], write("x.csv", v)) for k, v in TABLES.items()}
    | {f"train: BED, {k}": Mistake(BED, write("b.bed", v)) for k, v in LABELS.items()}
    | {f"evaluate: regions {k}": Mistake(["evaluate", "run", *w], write("b.bed", v)) for k, (w, v) in REGIONS.items()}
    | {f"compare: store, {k}": Mistake(["compare", "store", "synthetic.fa"], v) for k, v in STORES.items()}
    | {"train: store, a length of text": Mistake(["train", "store", "-o", "new"], STORES["a length of text"])}
)


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_that_helps(case, world):
    check(case, MISTAKES[case])
