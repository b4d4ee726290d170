"""The suites: how many tasks, where their data are found, and what papers print of them."""

import csv
import re

import pytest

from dnadiff.errors import InputError
from dnadiff.evaluation import published as published_module
from dnadiff.evaluation.published import published
from dnadiff.evaluation.suites import SUITES, own_places, place_of


def test_the_suites_have_the_tasks_that_they_are_known_for():
    assert {name: len(suite.tasks) for name, suite in SUITES.items()} == {
        "genomic_benchmarks": 8, "gue": 28, "nucleotide_transformer": 18,
    }  # fmt: skip
    for suite in SUITES.values():
        assert len({task.name for task in suite.tasks}) == len(suite.tasks)
    metrics = [task.metric for task in SUITES["nucleotide_transformer"].tasks]
    assert (metrics.count("mcc"), metrics.count("f1"), metrics.count("accuracy")) == (12, 5, 1)
    assert {task.metric for task in SUITES["gue"].tasks if task.name != "virus/covid"} == {"mcc"}
    nontata = SUITES["genomic_benchmarks"].task("human_nontata_promoters")
    assert (nontata.metric, nontata.train, nontata.test) == ("accuracy", 27_097, 9_034)


@pytest.mark.parametrize(
    ("suite", "task", "place"),
    [
        ("gue", "prom/prom_core_tata", "prom/prom_core_tata/"),
        ("gue", "prom/prom_core_tata", "GUE/prom/prom_core_tata/"),
        ("gue", "prom/prom_core_tata", "prom_core_tata/"),
        ("gue", "EMP/H3", "emp_H3/"),
        ("gue", "EMP/H3", "GUE/EMP/H3/"),
        ("gue", "tf/0", "human_tf_0/"),
        ("gue", "mouse/3", "mouse3/"),
        ("gue", "virus/covid", "virus_covid.csv"),
        ("genomic_benchmarks", "demo_human_or_worm", "demo_human_or_worm.csv.gz"),
        ("genomic_benchmarks", "demo_human_or_worm", "Genomic_Benchmarks_demo_human_or_worm/"),
        ("nucleotide_transformer", "H4ac", "H4ac/"),
    ],
)
def test_data_are_found_under_the_names_they_are_passed_on_with(tmp_path, suite, task, place):
    target = tmp_path / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if place.endswith("/"):
        target.mkdir()
    else:
        target.touch()
    found = {one.name: place_of(one, tmp_path) for one in SUITES[suite].tasks}
    assert found.pop(task) == target and set(found.values()) == {None}


def test_a_folder_called_0_is_of_no_group_and_data_found_twice_are_refused(tmp_path):
    (tmp_path / "0").mkdir()
    assert place_of(SUITES["gue"].task("tf/0"), tmp_path) is None
    (tmp_path / "tf0").mkdir()
    (tmp_path / "tf" / "0").mkdir(parents=True)
    with pytest.raises(InputError, match=r"found .*tf0 too, and both are tf/0; one of them would work"):
        place_of(SUITES["gue"].task("tf/0"), tmp_path)


def test_the_end_of_a_name_will_do_where_it_is_the_only_one():
    gue = SUITES["gue"]
    assert gue.task("prom_core_tata") is gue.task("prom/prom_core_tata") and gue.task("H3").name == "EMP/H3"
    with pytest.raises(InputError, match="--tasks prom_core_tatta: is no task of gue; did you mean"):
        gue.task("prom_core_tatta")
    with pytest.raises(InputError, match="--tasks 0: is no task of gue"):
        gue.task("0")


def test_what_may_be_a_task_of_ones_own(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("table.csv.gz", "bases.fa", "notes.md", ".hidden.csv"):
        (tmp_path / name).touch()
    assert {name: path.name for name, path in own_places(tmp_path).items()} == {
        "bases": "bases.fa", "folder": "folder", "table": "table.csv.gz",
    }  # fmt: skip
    (tmp_path / "folder" / "train.csv").touch()
    assert own_places(tmp_path / "folder") == {"folder": tmp_path / "folder"}
    assert own_places(tmp_path / "bases.fa") == {"bases": tmp_path / "bases.fa"}
    (tmp_path / "table.tsv").touch()
    with pytest.raises(InputError, match=r"found both table\.csv\.gz and table\.tsv"):
        own_places(tmp_path)


def test_what_may_be_a_task_of_text(tmp_path):
    (tmp_path / "CoLA").mkdir()
    (tmp_path / "mood.jsonl").touch()
    assert {name: path.name for name, path in own_places(tmp_path).items()} == {"CoLA": "CoLA", "mood": "mood.jsonl"}
    for name in ("in_domain_train.tsv", "in_domain_dev.tsv"):
        (tmp_path / "CoLA" / name).touch()
    assert own_places(tmp_path / "CoLA") == {"CoLA": tmp_path / "CoLA"}
    (tmp_path / "MRPC").mkdir()
    (tmp_path / "MRPC" / "msr_paraphrase_train.txt").touch()
    assert own_places(tmp_path / "MRPC") == {"MRPC": tmp_path / "MRPC"}


def test_every_published_figure_has_its_protocol_and_source_and_is_of_a_known_task():
    with published_module._FILE.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    keys = {(line["suite"], line["task"], line["model"], line["protocol"]) for line in lines}
    assert len(keys) == len(lines) == sum(len(one.figures) for suite in SUITES for one in published(suite))
    for suite in SUITES.values():
        names = {task.name for task in suite.tasks}
        for one in published(suite.name):
            assert one.protocol and re.search(r"\b20\d\d\b|counted on", one.source), one
            assert one.like in ("fixed", "redrawn", "any", "") and set(one.figures) <= names
            assert all(0 < figure < 1 and (spread or 0) < 0.1 for figure, spread in one.figures.values())
    assert published("own") == []


@pytest.mark.parametrize(
    ("suite", "model", "task", "figure"),
    [
        ("gue", "DNABERT-2", "prom/prom_core_tata", (0.7417, None)),
        ("gue", "DNABERT-2", "splice/reconstructed", (0.8499, None)),
        ("gue", "DNABERT-2, pre-trained further on GUE", "EMP/H4ac", (0.5035, None)),
        ("genomic_benchmarks", "Caduceus-PS", "dummy_mouse_enhancers_ensembl", (0.793, None)),
        ("genomic_benchmarks", "Caduceus, MDLM", "human_nontata_promoters", (0.940, 0.007)),
        ("genomic_benchmarks", "Caduceus, SEDD", "human_ensembl_regulatory", (0.828, 0.037)),
        ("genomic_benchmarks", "HyenaDNA, first report", "human_ocr_ensembl", (0.809, None)),
        ("nucleotide_transformer", "JanusDNA", "H3", (0.835, None)),
        ("nucleotide_transformer", "Caduceus-Ph", "splice_sites_donors", (0.948, None)),
    ],
)
def test_figures_of_papers(suite, model, task, figure):
    assert next(one for one in published(suite) if one.model == model).figures[task] == figure
