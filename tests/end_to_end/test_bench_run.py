"""A suite run, killed, gone on with, joined by another model, and what its tables say."""

import csv
import html.parser
import json
import os
import shutil
import signal

import numpy as np
import pytest

from benchmarks import chaos
from dnadiff.cli import main
from dnadiff.errors import InputError
from dnadiff.recipes import protocols
from dnadiff.recipes.bench_pages import html_page, markdown
from dnadiff.recipes.bench_table import table_of
from dnadiff.recipes.protocols import read_lines
from dnadiff.training.network import Training
from tests.labels import write_task

SMALL = (
    "model.hidden_size=8", "model.n_blocks=1", "model.n_heads=1", "model.stem=0", "optim.batch_size=8",
    "train.epochs=1", "train.checkpoint_every=0.4", "bootstrap=0",
)  # fmt: skip


def bench(data, out, *words, suite="own", seeds=("1", "2")):
    """The exit code of a small benchmark from scratch."""
    command = ["bench", "run", suite, "--model", "scratch", "--data", str(data), "-o", str(out), *SMALL]
    return main([*command, "--seeds", *seeds, *words])


@pytest.fixture
def begun(monkeypatch):
    """The folders of the fine-tunings that are begun."""
    seen, before = [], protocols.finetune

    def finetune(config, out, **options):
        seen.append(out)
        return before(config, out, **options)

    monkeypatch.setattr(protocols, "finetune", finetune)
    return seen


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    write_task(folder / "data" / "first", 24)
    write_task(folder / "data" / "second", 24, seed=1)
    (folder / "data" / "genome.fa").write_text(">chr1\nACGTACGT\n")
    assert bench(folder / "data", folder / "out", "-q") == 0
    return folder


def figures(out):
    """The lines of ``table.tsv``."""
    lines = (out / "table.tsv").read_text().splitlines()
    return list(csv.DictReader([line for line in lines if not line.startswith("#")], delimiter="\t"))


def test_the_table_has_the_means_of_the_reports(home):
    assert (home / "out" / "table.md").read_text().startswith("# own data: 2 tasks\n")
    lines = figures(home / "out")
    names = {"scratch", "k-mers and positions", "most frequent class"}
    assert {line["name"] for line in lines} == names and len(lines) == 2 * len(names)
    for task in ("first", "second"):
        said = next(line for line in lines if (line["task"], line["kind"]) == (task, "model"))
        reports = [
            json.loads((home / "out" / "scratch" / task / f"seed-{n}" / "report.json").read_text()) for n in (1, 2)
        ]
        rows = [next(row for row in report["rows"] if row["part"] == "test") for report in reports]
        values = [row["mcc"] for row in rows]
        assert said["metric"] == "mcc" and said["runs"] == "2"
        wanted = [np.mean(values), min(values), max(values), np.mean([report["seconds"] for report in reports])]
        assert [float(said[key]) for key in ("figure", "low", "high", "seconds")] == pytest.approx(wanted, abs=1e-5)
        assert float(said["processor_seconds"]) > 0 and said["parameters"] == f"{reports[0]['parameters']:,}"
        assert said["protocol"] == "parts as given, seeds 1 to 2, best validation, test once"


def test_nothing_is_run_twice_and_a_seed_may_be_added(home, tmp_path, begun, capsys):
    """As if the second task had been run with one seed only."""
    out = shutil.copytree(home / "out", tmp_path / "out")
    second = out / "scratch" / "second"
    shutil.rmtree(second / "seed-2")
    (second / "runs.jsonl").write_text((second / "runs.jsonl").read_text().splitlines(keepends=True)[0])
    assert bench(home / "data", out, "--dry-run") == 0
    err = capsys.readouterr().err
    assert "suite        own: 2 of 3 tasks" in err and "left out     genome: " in err
    assert "task         second  24 train, 12 valid, 12 test; 20 bp; mcc; 1 of 2 runs done" in err
    assert "runs         1 to do, 3 done" in err and begun == []
    assert bench(home / "data", out) == 0
    assert begun == [str(second / "seed-2")]
    assert capsys.readouterr().out.startswith("# own data: 2 tasks\n")
    costs = ("seconds", "processor_seconds")
    here, there = ([{k: v for k, v in x.items() if k not in costs} for x in figures(f)] for f in (out, home / "out"))
    assert here == there


def test_a_killed_benchmark_goes_on(home, tmp_path, begun):
    """In the second run of the first task, behind a checkpoint."""
    out = tmp_path / "out"

    def act():
        before, steps = Training.training_step, []

        def training_step(module, batch, index):
            steps.append(module.step)
            if steps.count(2) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(module, batch, index)

        Training.training_step = training_step
        return bench(home / "data", out, "--tasks", "first", "-q")

    assert chaos.finished(act, tmp_path) == -signal.SIGKILL
    assert [line["name"] for line in read_lines(out / "scratch" / "first" / "runs.jsonl")] == ["seed-1"]
    assert bench(home / "data", out, "--tasks", "first", "-q") == 0
    assert begun == []  # the second run was gone on with
    model = [line for line in figures(out) if line["kind"] == "model"]
    whole = [line for line in figures(home / "out") if (line["kind"], line["task"]) == ("model", "first")]
    assert [line["figure"] for line in model] == [line["figure"] for line in whole]


def test_a_signal_ends_it_with_a_line_that_says_how_to_go_on(home, tmp_path, monkeypatch, capsys):
    def finetune(config, out, **options):
        raise SystemExit(143)

    monkeypatch.setattr(protocols, "finetune", finetune)
    assert bench(home / "data", tmp_path / "out", "--tasks", "second") == 143
    assert capsys.readouterr().err.splitlines()[-1] == "stopped      in second; the same command goes on"
    assert not (tmp_path / "out" / "table.md").exists()


def test_what_differs_from_what_was_begun_is_refused(home, tmp_path, capsys):
    data, out = home / "data", home / "out"

    def refused(*words, **options):
        assert bench(*words, **options) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    line = refused(data, out, "optim.lr=0.02")
    assert "first was begun with" in line and "another --name or -o would work" in line
    assert "was begun with protocol fixed, not redrawn" in refused(data, out, "--protocol", "redrawn")
    write_task(tmp_path / "data" / "first", 24, seed=9)
    line = refused(tmp_path / "data", out, "--name", "other")
    assert line.endswith(f"is not what scratch was run on in {out}; another -o would work")
    write_task(tmp_path / "gue" / "tf" / "0", 24)
    assert "holds a table of own" in refused(tmp_path / "gue", out, "--name", "other", suite="gue")


def test_few_examples_are_left_out_one_at_a_time(tmp_path, capsys):
    rows = ["ACGTAC,1", "GGGCCA,0", "ATATAT,1", "GGGCCA,0"]
    (tmp_path / "few.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n")
    words = ("--protocol", "leave_one_out", "train.metric=accuracy", "data.valid_fraction=0")
    assert bench(tmp_path / "few.csv", tmp_path / "out", *words, "-q", seeds=["1"]) == 0
    (line,) = [line for line in figures(tmp_path / "out") if line["kind"] == "model"]
    assert line["runs"] == "3" and "in train too" in (tmp_path / "out" / "table.md").read_text()
    capsys.readouterr()


def test_other_folds_are_refused(home, tmp_path, capsys):
    """Figures of three folds and of two are no figure."""
    words = ("--tasks", "first", "-q", "--protocol", "folds")
    assert bench(home / "data", tmp_path / "out", *words, "--folds", "2", seeds=["1"]) == 0
    assert bench(home / "data", tmp_path / "out", *words, "--folds", "3", seeds=["1"]) == 2
    assert "was begun with folds 2, not 3; another --name or -o would work" in capsys.readouterr().err


def test_a_subset_is_named_and_published_figures_are_marked(tmp_path):
    write_task(tmp_path / "gue" / "prom" / "prom_core_tata", 24)
    out = tmp_path / "out"
    words = ("-q", "--name", "a | <b>", "baselines=false", "data.valid_fraction=0.25")
    assert bench(tmp_path / "gue", out, "--protocol", "redrawn", *words, suite="gue", seeds=["3"]) == 0
    assert (out / "a-b" / "prom" / "prom_core_tata" / "redrawn-3" / "report.json").exists()
    ours, theirs = figures(out)
    assert ours["protocol"] == "redrawn 75/25, seed 3, best validation, test once" and ours["name"] == "a | <b>"
    assert (theirs["name"], theirs["figure"], theirs["marks"], theirs["runs"]) == ("DNABERT-2", "0.7417", "pd", "")
    text = (out / "table.md").read_text()
    assert text.startswith("# gue: 1 of 28 tasks\n") and "a \\| &lt;b&gt;<br>" in text and "0.7417 [p,d]" in text
    page = (out / "table.html").read_text()
    assert "a | &lt;b&gt;<small>" in page and "<b>" not in page


def record(folder, name, tasks, suite="gue", protocol="fixed"):
    """A model's record and lines, written by hand: ``tasks`` has a figure a seed."""
    about = {"suite": suite, "name": name, "start": name, "model": name, "protocol": protocol, "folds": 0}
    facts = {"metric": "mcc", "settings": [], "digest": "0", "path": "x", "lengths": [9, 9, 9], "shared": 1}
    sizes = {"train": 2_620, "valid": 328, "test": 328}  # those of mouse/2
    (folder / name).mkdir(parents=True)
    whole = {**about, "tasks": {task: {"name": task, "sizes": sizes, **facts} for task in tasks}}
    (folder / name / "bench.json").write_text(json.dumps(whole))
    for task, values in tasks.items():
        (folder / name / task).mkdir(parents=True)
        lines = [
            {"name": f"seed-{i}", "parameters": 1000, "seconds": 60.0 * i, "processor_seconds": None,
             "metrics": ["mcc"], "rows": [{"name": "fine-tuned", "part": "valid", "mcc": 0.9},
                                          {"name": "fine-tuned", "part": "test", "mcc": value},
                                          {"name": "majority", "part": "test", "mcc": 0.0}]}
            for i, value in enumerate(values, 1)
        ]  # fmt: skip
        (folder / name / task / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def cells(table, name):
    column = next(column for column in table.columns if column.name == name)
    return {task: cell.mean for task, cell in column.cells.items()}


def test_a_mean_over_tasks_needs_all_models_to_have_all_of_them(tmp_path):
    record(tmp_path, "one", {"mouse/2": [0.5, 0.75], "tf/0": [0.25]})
    record(tmp_path, "two", {"mouse/2": [0.75], "tf/0": [0.5]})
    table = table_of(tmp_path)
    assert table.title == "gue: 2 of 28 tasks" and [row.name for row in table.rows] == ["mouse/2", "tf/0"]
    assert cells(table, "one") == {"mouse/2": 0.625, "tf/0": 0.25}
    named = {table.columns[i].name: mean for i, mean in table.mean.items()}
    assert named == {"one": 0.4375, "two": 0.625, "majority": 0.0, "DNABERT-2": pytest.approx((0.7932 + 0.7199) / 2)}
    text = markdown(table)
    assert "0.6250 (0.5000 to 0.7500, n 2) | 1.50 (-) |" in text
    assert "| 0.7932 |" in text and "| 0.7199 [d] |" in text and "| mean of 2 tasks |" in text
    record(tmp_path, "three", {"tf/0": [0.5], "tf/1": []})
    table = table_of(tmp_path)
    assert [row.name for row in table.rows] == ["mouse/2", "tf/0"] and table.mean == {}  # tf/1 has no figure yet
    assert "mean" not in markdown(table).split("\n\n")[1]


def test_unknown_sizes_are_marked_and_a_model_without_figures_has_no_column(tmp_path):
    record(tmp_path, "one", {"tf/1": [0.5]})
    record(tmp_path, "two", {"tf/0": []})
    table = table_of(tmp_path)
    assert [(column.kind, column.name) for column in table.columns] == [
        ("model", "one"), ("floor", "majority"), ("published", "DNABERT-2"),
    ]  # fmt: skip
    assert table.columns[2].cells["tf/1"].marks == "u"
    assert "[u]: perhaps other data" in markdown(table) and "[d]" not in markdown(table)


def test_lines_of_an_earlier_version_have_figures_and_no_costs(tmp_path):
    record(tmp_path, "one", {"tf/0": [0.5, 0.25]})
    path = tmp_path / "one" / "tf/0" / "runs.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["parameters"], line["seconds"], line["processor_seconds"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    column = table_of(tmp_path).columns[0]
    assert (column.parameters, column.cells["tf/0"].mean, column.cells["tf/0"].seconds) == ("", 0.375, None)
    assert column.protocol == "parts as given, seeds 1 to 2, best validation, test once"


def test_a_seed_is_read_from_the_name_of_a_run():
    for protocol, seed in (("fixed", 3), ("redrawn", 12), ("folds", 4), ("fixed", -5)):
        names = [run.name for run in protocols.planned(protocol, "x", seeds=[seed], folds=2)]
        assert {protocols.seed_of(name) for name in names} == {seed}


class Page(html.parser.HTMLParser):
    """Counts what a page is made of."""

    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]


def test_the_page_is_whole_and_loads_nothing(tmp_path):
    record(tmp_path, "one", {"mouse/2": [0.5], "tf/0": [0.25]})
    table, page = table_of(tmp_path), Page()
    page.feed(html_page(table))
    assert page.links == [] and not {"script", "link", "img"} & set(page.tags)
    columns = 3 + 2 + 2  # task, metric, examples; the model and its minutes; the floor and DNABERT-2
    assert page.tags.count("th") == columns and page.tags.count("td") == columns * 3 and page.tags.count("tr") == 4


def test_a_name_is_no_markdown(tmp_path):
    record(tmp_path, "one", {"mouse/2": [0.5]})
    path = tmp_path / "one" / "bench.json"
    path.write_text(path.read_text().replace('"name": "one"', r'"name": "*a* _b_ my_c `d` [e](f) g\\\\|h"'))
    assert r"| \*a\* \_b\_ my_c \`d\` [e]\(f) g\\\\\|h<br>" in markdown(table_of(tmp_path))


def test_a_line_that_was_cut_off_is_written_again(tmp_path, begun):
    data, out = str(write_task(tmp_path / "task", 24)), tmp_path / "out"
    settings = [*SMALL, "baselines=false"]
    first = protocols.run_protocol("fixed", "scratch", data, out, settings, seeds=[1])
    path = out / "runs.jsonl"
    path.write_text(path.read_text() + path.read_text()[:40])
    (out / "seed-2").mkdir()
    (out / "seed-2" / ".lock").touch()  # what a run leaves that was killed at once
    lines = protocols.run_protocol("fixed", "scratch", data, out, settings, seeds=[1, 2])
    assert read_lines(path) == lines and lines[0] == first[0] and len(begun) == 2
    path.write_text("{}\nnot a line\n" + path.read_text())
    with pytest.raises(InputError, match=r"runs.jsonl:2: is no line of a run .* works"):
        read_lines(path)
