"""docs/benchmarks.md: it is what the committed figures say, and the command behind it names modules that are there."""

import importlib.util
import json

import pytest

from benchmarks import all as everything
from benchmarks.page import FIGURES, PAGE, RESULTS, SECTIONS, cell, page, table

FOUND = {
    "settings": {"rows": 64, "length": 1024},
    "about": {"machine": "x86_64", "threads": 2},
    "rows": [
        {"name": "ddpm_cache 1,000", "calls": 1001, "median_s": 640.25, "times_less": 1.0},
        {"name": "16 at a time", "calls": 64, "median_s": 32.0125, "times_less": 20.0,
         "js_3": 0.00012, "js_3_error": 0.00003, "lost": 0.0006, "lost_error": 0.0001, "equal": True},
    ],
    "real": {"name": "real", "js_3": 0.0001, "js_3_error": 0.00002},
    "equal": {"name": "16 at a time", "times_less": 20.0},
    "default": {"name": "16 at a time", "times_less": 20.0, "equal": True},
    "whole": {"sequences": 2, "js_3_excess": 0.0048, "js_4_excess": -0.0001, "js_excess_is_over": "ancestral 1,000"},
}  # fmt: skip


def test_the_page_is_what_the_committed_figures_say():
    assert PAGE.read_text() == page(RESULTS), "python -m benchmarks.page writes it anew"


def test_a_section_as_it_is_read(tmp_path):
    (tmp_path / "sampling.json").write_text(json.dumps(FOUND))
    text = page(tmp_path)
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## Generating 64 x 1,024 bases"]
    assert [line for line in lines if line.startswith("|")] == [
        "|  | calls of the network | median, s | times less than upstream | JS 3-mers, bits | lost, bits per base "
        "| of equal quality |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| ddpm_cache 1,000 | 1,001 | 640.2 | 1.0 |  |  |  |",
        "| 16 at a time | 64 | 32.01 | 20.0 | 0.00012 ± 0.00003 | 0.00060 ± 0.00010 | yes |",
        "| real |  |  |  | 0.00010 ± 0.00002 |  |  |",
    ]
    assert "pace, 16 at a time, is of equal quality and takes 20 times less. The fastest" in text
    assert "cannot tell apart: 16 at a time, 20. 2 walked by MDLM's sampler itself diverge by +0.00480 and" in text
    assert text.endswith("rows 64, length 1,024, machine x86_64, threads 2.\n")


def test_rows_by_name_and_by_side_and_ceilings_make_tables(tmp_path):
    rows = {"upstream": {"median_s": 2.0}, "dnadiff": {"median_s": 1.0}}
    (tmp_path / "train_step.json").write_text(json.dumps({"rows": rows, "ceilings": {"products fp32": 155.26}}))
    sides = [{"block_size": 4, "side": "parts", "seconds": 2.05, "loss": 1.4}]
    (tmp_path / "block_step_short.json").write_text(json.dumps({"rows": sides}))
    text = page(tmp_path)
    for line in ("| upstream | 2 |", "| dnadiff | 1 |", "| products fp32 | 155 |", "| parts | 4 | 2.05 |"):
        assert line in text.splitlines()


def test_what_was_not_reached_is_empty(tmp_path):
    rows = [
        {"side": "ours", "seed": 1, "reached": {"processor_seconds": 1234.5}, "best": 1.94996},
        {"side": "upstream", "seed": 1, "reached": None, "best": 1.96},
    ]
    found = {"asked": {"seeds": [1, 2]}, "rows": rows, "summary": {"times_less": 3.14, "at_least": True}}
    (tmp_path / "time_to_quality.json").write_text(json.dumps(found))
    text = page(tmp_path)
    assert "| ours | 1 | 1,234 | 1.9500 |\n| upstream | 1 |  | 1.9600 |\n" in text
    assert "at least 3.1 times less." in text and text.endswith("`; seeds 1 2.\n")


def test_cells():
    assert cell({"equal": False}, "equal") == "no" and cell({}, "equal") == ""
    assert cell({"lost": 0.5, "lost_error": None}, "lost") == "0.50000"
    assert table([{"name": "x"}], ("lost",)) == "|  |\n| --- |\n| x |"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_section_can_be_measured_and_shown(section):
    assert set(section.figures) <= set(FIGURES)
    if section.name not in everything.APART:
        assert importlib.util.find_spec(f"benchmarks.{section.module}"), section.name
        words = everything.command(section)
        assert words[2] == f"benchmarks.{section.module}" and words[-1].endswith(f"{section.name}.json")


def test_all_measures_what_is_asked_for_and_stops_at_a_failure(monkeypatch, capsys):
    ran, codes, wrote = [], iter([0, 3]), []

    class Ended:
        def __init__(self):
            self.returncode = next(codes)

    monkeypatch.setattr(everything.subprocess, "run", lambda words, cwd: ran.append(words[2]) or Ended())
    monkeypatch.setattr(everything, "write_page", lambda: wrote.append(True))
    monkeypatch.setattr(everything.sys, "argv", ["all", "--only", "scaling"])
    everything.main()
    assert ran == ["benchmarks.scaling"] and wrote == [True]
    monkeypatch.setattr(everything.sys, "argv", ["all", "--only", "sampling", "scaling"])
    with pytest.raises(SystemExit) as stopped:
        everything.main()
    assert stopped.value.code == 3 and ran[1:] == ["benchmarks.sampling"] and wrote == [True]
