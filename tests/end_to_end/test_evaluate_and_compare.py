"""evaluate and compare on a small genome and a small untrained model, from files to files."""

import csv
import hashlib
import json
import sys

import pytest

from dnadiff.data.genome import open_genome
from dnadiff.errors import InputError
from dnadiff.recipes.compare import compare
from dnadiff.recipes.evaluate import evaluate, verdict
from dnadiff.recipes.tables import Column, publish
from tests.runs import fasta, random_bases, untrained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(folder / "cache"))
        yield untrained(folder)


def tsv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t"))


def test_held_out_windows_are_scored_beside_their_floors(run, tmp_path, capsys):
    out = tmp_path / "report.json"
    report = evaluate(str(run), None, str(out), samples=2, seed=3, quiet=True, argv=["dna-diff", "evaluate"])
    assert json.loads(out.read_text()) == report
    assert capsys.readouterr().out == ""
    names = [row["name"] for row in report["rows"]]
    assert names[:3] == ["model (bound)", "Markov order 0", "Markov order 3"] and names[3].startswith("Markov best")
    split = json.loads((run / "split.json").read_text())
    assert 0 <= sum(end - start for _, start, end, _ in split["test"]) - report["rows"][0]["bases"] < 64
    assert report["rows"][0]["bits_per_base"] == pytest.approx(2, abs=0.1)
    assert report["rows"][1]["bits_per_base"] == pytest.approx(1.88, abs=0.03)  # entropy of 35, 15, 15, 35 %
    assert "the run's test split" in report["protocol"][0] and "2 draws a window" in report["protocol"][1]
    assert "beats no Markov floor yet" in report["verdict"]
    facts = json.loads((tmp_path / "report.json.provenance.json").read_text())
    assert facts["seed"] == 3 and facts["command"] == "dna-diff evaluate" and len(facts["inputs"]) == 2


def test_batch_size_changes_no_figure(run):
    one, other = (evaluate(str(run), seed=3, batch_size=size, quiet=True) for size in (5, 64))
    for a, b in zip(one["rows"], other["rows"], strict=True):
        assert a["bits_per_base"] == pytest.approx(b["bits_per_base"], rel=1e-6)


def test_standard_output_without_a_terminal_is_tsv(run, capsys):
    report = evaluate(str(run), out="-", windows=7, seed=3)
    text = capsys.readouterr().out
    assert text.startswith("# the run's test split: 7 windows of 32 tokens")
    rows = tsv(text)
    assert [row["name"] for row in rows] == [row["name"] for row in report["rows"]]
    assert float(rows[0]["bits_per_base"]) == pytest.approx(report["rows"][0]["bits_per_base"], rel=1e-5)
    assert rows[0]["monte_carlo_error"] == "" and rows[0]["windows"] == "7"


def test_a_narrow_terminal_gets_whole_figures_and_names_as_they_are(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "dumb")  # without styles, and 80 columns wide
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    row = {"name": "a[red]b :dna: \x1b[1m\u57fa\u56e0", **{key: 1234.5678 for key in "abcdef"}}
    columns = [Column("", "name"), *(Column(f"figure {key}", key, key) for key in "abcdef")]
    publish(None, {"protocol": ["[b] is :dna:"], "rows": [row]}, columns, {}, quiet=False)
    *_, line, protocol = capsys.readouterr().out.splitlines()
    assert line.split("  ")[0] == "a[red]b :dna: \\x1b[1m\u57fa\u56e0"
    assert line.count("1234.5678 ± 1234.5678") == 6 and protocol == "[b] is :dna:"


def test_both_strands_average_two_different_scores(run):
    one = evaluate(str(run), seed=3, windows=20, quiet=True)
    both = evaluate(str(run), seed=3, windows=20, both_strands=True, quiet=True)
    assert both["rows"][0]["bits_per_base"] != one["rows"][0]["bits_per_base"]
    assert both["rows"][1]["bits_per_base"] == pytest.approx(
        one["rows"][1]["bits_per_base"]
    )  # order 0 has no direction
    assert "both strands, averaged" in both["protocol"][0]


def test_regions_that_were_trained_on_are_refused_unless_asked_for(run, tmp_path):
    split = json.loads((run / "split.json").read_text())
    bed = tmp_path / "regions.bed"
    for part, options in (("train", {"split": "train"}), ("test", {})):
        chrom, start, _, _ = split[part][0]
        bed.write_text(f"{chrom}\t{start}\t{start + 320}\n")
        report = evaluate(str(run), str(bed), seed=1, quiet=True, **options)
        assert report["rows"][0]["windows"] == 10
    chrom, start, _, _ = split["train"][0]
    bed.write_text(f"{chrom}\t{start}\t{start + 320}\n")
    with pytest.raises(InputError, match=r"regions\.bed: 320 bp of it were trained on"):
        evaluate(str(run), str(bed), seed=1)


def test_other_fasta_is_scored_and_a_training_contig_is_noticed(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    other = fasta(tmp_path / "other.fa", {"new": random_bases(640, 9)})
    report = evaluate(str(run), other, seed=1, quiet=True)
    assert report["rows"][0]["bases"] == 640 and "note" not in capsys.readouterr().err
    again = fasta(tmp_path / "again.fa", {"renamed": random_bases(9000, 1).lower()})
    evaluate(str(run), again, seed=1, windows=2, quiet=True)
    assert "trained on: renamed (same MD5)" in capsys.readouterr().err


def test_no_run_and_no_report_name_are_one_line_each(run, tmp_path):
    with pytest.raises(InputError, match="a run folder or a model folder would work"):
        evaluate(str(tmp_path))
    with pytest.raises(InputError, match=r"report\.csv: reports are JSON or TSV"):
        evaluate(str(run), None, "report.csv")


def test_a_run_without_baseline_says_so(run, tmp_path, capsys):
    for name in ("config.json", "split.json", "model"):
        (tmp_path / name).symlink_to(run / name)
    report = evaluate(str(tmp_path), windows=3, seed=1, quiet=True)
    assert len(report["rows"]) == 1 and "uniform bases cost 2" in report["verdict"]
    assert "baseline.npz is missing: no Markov floors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("differences", "line"),
    [
        (
            [("Markov order 0", -0.1, 0.01), ("Markov best (order 7)", 0.02, 0.01)],
            "beats Markov order 0 and lies 0.0200",
        ),
        (
            [("Markov order 0", -0.01, 0.01), ("Markov best (order 7)", 0.02, 0.01)],
            "beats no Markov floor yet: it lies",
        ),
        (
            [("Markov order 0", -0.01, 0.01), ("Markov best (order 7)", -0.015, 0.01)],
            "beats no Markov floor yet: it lies 0.0150 bits per base below Markov best (order 7), by less than two",
        ),
        ([("Markov order 0", -0.1, 0.01), ("Markov best (order 7)", -0.05, 0.01)], "beats every Markov floor: 0.0500"),
    ],
)
def test_verdict_needs_two_standard_errors(differences, line):
    rows = [{"bits_per_base": 1.9}]
    rows += [{"name": n, "difference": d, "difference_error": e} for n, d, e in differences]
    assert line in verdict(rows)


@pytest.fixture
def two_files(tmp_path):
    real = fasta(tmp_path / "real.fa", {"a": random_bases(6000, 1), "b": random_bases(500, 2)})
    made = {f"s{i}": random_bases(n, 50 + i) for i, n in enumerate((60, 100, 100, 80) * 5)}
    return real, fasta(tmp_path / "made.fa", made)


def test_compare_writes_report_picture_and_provenance(two_files, run, tmp_path):
    out, picture = tmp_path / "report.json", tmp_path / "picture.png"
    real, made = two_files
    report = compare(real, made, str(out), picture=str(picture), k=(2, 3), run=str(run), seed=1, quiet=True)
    assert json.loads(out.read_text()) == report
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["synthetic", "real", "shuffled", "uniform"]
    assert {row["bases"] for row in rows.values()} == {1700} and {row["sequences"] for row in rows.values()} == {20}
    assert rows["uniform"]["js_2"] > rows["real"]["js_2"]
    assert picture.read_bytes().startswith(b"\x89PNG") and len(picture.read_bytes()) > 20_000
    for name in ("report.json", "picture.png"):
        facts = json.loads((tmp_path / f"{name}.provenance.json").read_text())
        assert facts["inputs"][made] == hashlib.sha256((tmp_path / "made.fa").read_bytes()).hexdigest()
    assert not list(tmp_path.glob(".*"))


def test_compare_draws_without_a_run_and_for_other_k(two_files, tmp_path):
    compare(*two_files, picture=str(tmp_path / "p.png"), k=(1,), seed=1, quiet=True)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_compare_prints_tsv_and_repeats_itself(two_files, capsys):
    texts = []
    for _ in range(2):
        compare(*two_files, out="-", k=(2,), seed=7)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert [row["name"] for row in tsv(texts[0])] == ["synthetic", "real", "shuffled", "uniform"]
    assert "seed 7" in texts[0]


def test_compare_takes_a_store(two_files, tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    real, made = two_files
    store = str(open_genome(real).path)
    assert compare(store, made, k=(2,), seed=7)["rows"] == compare(real, made, k=(2,), seed=7)["rows"]


def test_compare_refuses_what_it_cannot_honour(two_files, tmp_path):
    with pytest.raises(InputError, match=r"p\.svg: pictures are PNG"):
        compare(*two_files, picture=str(tmp_path / "p.svg"))
    with pytest.raises(InputError, match="--run run: draws the loss into a picture"):
        compare(*two_files, run="run")
    with pytest.raises(InputError, match="k-mer length: found 9"):
        compare(*two_files, k=(9,))
    bad = tmp_path / "log.csv"
    bad.write_text("epoch,loss\n1,2\n")
    from dnadiff.evaluation.picture import read_log

    with pytest.raises(InputError, match=r"log\.csv: is no training log"):
        read_log(bad)
