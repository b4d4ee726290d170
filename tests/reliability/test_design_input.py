"""Bad templates, masks and constraints: one line with the place, exit code 2, nothing left behind."""

import gzip

import pytest

from dnadiff.checkpoints.folder import save_model
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from tests.tiny import SPEC, tiny_denoiser

GOOD = ">a\nACNNNNGTRY\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", tiny_denoiser(), NucleotideTokenizer(), SPEC, {"step": 1})
    return folder


CASES = {
    "a letter that is none": (">a\nACZN\n", None, [], "t.fa:2:3: found 'Z', a protein letter"),
    "a digit": (">a\nAC1N\n", None, [], "t.fa:2:3: found the digit '1'"),
    "a gap": (">a\nAC-N\n", None, [], "N for any base would work"),
    "no records": ("", None, [], "t.fa: found no sequence (the file is empty)"),
    "an empty template": (">a\n>b\nNN\n", None, [], "t.fa:1: found no letters in record 'a'"),
    "a header without name": ("> a\nNN\n", None, [], "t.fa:1: found a header without a name"),
    "no header": ("ACGNN\n", None, [], "before the first header"),
    "FASTQ": ("@a\nNN\n+\nII\n", None, [], "t.fa: looks like"),
    "duplicate names": (">a\nNN\n>a\nNN\n", None, [], "t.fa:3: found the name a twice"),
    "nothing to design": (">a\nACGT\n", None, [], "t.fa:1: template a leaves nothing to design"),
    "too long": (f">a\n{'N' * 1025}\n", None, [], "t.fa:1: found a template of more than 1024 letters"),
    "half a gzip file": (gzip.compress(GOOD.encode() * 9)[:-12], None, [], "t.fa: the gzip data stop in the middle"),
    "a mask of another name": (GOOD, "b\t0\t3\n", [], "m.bed:1: found contig 'b'"),
    "a mask beyond the end": (GOOD, "a\t0\t30\n", [], "m.bed:1: found a 0-30; within 0-10"),
    "a mask that is no BED": (GOOD, "a 0\n", [], "m.bed:1: found 2 column(s)"),
    "an empty mask": (GOOD, "# none\n", [], "m.bed: found no interval"),
    "a mask that frees nothing": (">a\nAC\n>b\nAC\n", "b\t0\t1\n", [], "t.fa:1: template a leaves nothing to design"),
    "an unknown enzyme": (GOOD, None, ["--avoid-sites", "EcoRJ"], "--avoid-sites EcoRJ: no such enzyme; did you mean"),
    "a motif that is none": (GOOD, None, ["--avoid", "GA!C"], "--avoid GA!C: found '!' at position 3"),
    "a motif of everything": (GOOD, None, ["--avoid", "NNN"], "--avoid NNN: is in every sequence"),
    "an empty motif": (GOOD, None, ["--avoid", "GATC,"], "'GATC,' has an empty word"),
    "a vague motif": (GOOD, None, ["--avoid", "A" + "N" * 20 + "A"], "--avoid: the motifs together need more than"),
    "GC reversed": (GOOD, None, ["--gc", "0.6-0.4"], "--gc 0.6-0.4: the bounds are reversed"),
    "GC in percent": (GOOD, None, ["--gc", "40-60"], "--gc 40-60: found a share above 1"),
    "GC of nothing": (GOOD, None, ["--gc", "0.4-0.6:0"], "a window of 0 bases"),
    "GC between whole numbers": (GOOD, None, ["--gc", "0.41-0.44"], "no number of 10 bases has such a share"),
    "GC against fixed bases": (">a\nGGGGN\n", None, ["--gc", "0-0.5"], "bases 1-5 (GGGGN) can have 4 to 5 G or C"),
    "GC in windows at odds": (">a\nGNA\n", None, ["--gc", "0.5-0.5:2"], "no choice of bases suits all windows"),
    "runs of nothing": (GOOD, None, ["--max-homopolymer", "0"], "'0' is not a whole number of at least 1"),
    "a run of fixed bases": (
        ">a\nNAAAAN\n",
        None,
        ["--max-homopolymer", "3"],
        "its fixed bases have a run of 4 A at 2-5",
    ),
    "a fixed site": (">a\nNGAATTC\n", None, ["--avoid-sites", "EcoRI"], "have EcoRI (GAATTC) at 2-7"),
    "a site whatever is chosen": (">a\nGANTC\n", None, ["--avoid", "GANTC"], "no choice of bases up to position 5"),
    "none at all": (GOOD, None, ["-n", "0"], "'0' is not a whole number of at least 1"),
    "a flag of another sampler": (GOOD, None, ["--steps", "9"], "--steps: belongs to --sampler ancestral"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_left(run, tmp_path, capsys, case):
    text, bed, flags, told = CASES[case]
    (tmp_path / "t.fa").write_bytes(text if isinstance(text, bytes) else text.encode())
    mask = []
    if bed is not None:
        (tmp_path / "m.bed").write_text(bed)
        mask = ["--mask", str(tmp_path / "m.bed")]
    before = sorted(tmp_path.iterdir())
    words = ["design", str(run), str(tmp_path / "t.fa"), *mask, *flags, "-o", str(tmp_path / "x.fa")]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert err.startswith("dna-diff: error: ") and err.count("\n") == 1 and told in err, err
    assert out == "" and sorted(tmp_path.iterdir()) == before


def test_a_missing_file_and_one_input_for_two(run, tmp_path, capsys):
    assert main(["design", str(run), str(tmp_path / "no.fa")]) == 2
    assert "no.fa: no such file;" in capsys.readouterr().err
    assert main(["design", str(run), "-", "--mask", "-"]) == 2
    assert "standard input holds the templates already" in capsys.readouterr().err
    (tmp_path / "t.fa").write_text(GOOD)
    (tmp_path / "x.fa").write_text("mine")
    assert main(["design", str(run), str(tmp_path / "t.fa"), "-q", "-o", str(tmp_path / "x.fa")]) == 2
    assert "exists" in capsys.readouterr().err and (tmp_path / "x.fa").read_text() == "mine"
    assert main(["design", str(tmp_path), str(tmp_path / "t.fa")]) == 2
