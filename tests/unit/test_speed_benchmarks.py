"""The benchmarks of loading, preparing and starting run, and write what their tables show."""

import gzip
import json

import pytest

from benchmarks import loading, prepare, sides, startup
from dnadiff.data.genome import Store


def test_the_sides_take_turns_and_the_first_round_is_not_counted():
    calls, clock = [], iter(range(100))
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert sides.timed(runs, 2, clock=lambda: next(clock)) == {"a": [1, 1], "b": [1, 1]}
    assert calls == ["a", "b"] * 3
    assert sides.summary([3.0, 1.0, 2.0, 9.0]) == {"median_s": 2.5, "min_s": 1.0}


def test_loading_compares_windows_a_second(tmp_path):
    loading.main(["--quick", "-o", str(tmp_path / "out.json")])
    rows = written(tmp_path / "out.json")
    assert set(rows) == {"store", "usual", "best", "arrays alone"}
    assert rows["usual"]["times_usual"] == rows["best"]["times_best"] == 1
    assert rows["store"]["windows_per_s"] == pytest.approx(64 / rows["store"]["median_s"])
    assert rows["store"]["windows_per_s"] > rows["usual"]["windows_per_s"]


def test_loading_ends_if_a_side_reads_something_else():
    class Wrong:
        def read(self, numbers):
            return {"store": [[7, 8]], "usual": [[7, 8]], "best": [[7, 9]]}

    with pytest.raises(SystemExit, match="'best' reads other ids"):
        loading.check(Wrong(), range(1))


def test_preparing_is_compared_with_reading_and_unpacking(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # with neither samtools nor seqkit
    prepare.main(["--quick", "-o", str(tmp_path / "out.json")])
    rows = written(tmp_path / "out.json")
    steps = {"prepare", "read alone", "read and SHA-256"}
    assert set(rows) == {f"{kind}: {step}" for kind in prepare.FORMATS for step in steps} | {
        "gzip: unpack alone", "BGZF: unpack alone",
    }  # fmt: skip
    row = rows["gzip: unpack alone"]
    assert row["prepare_takes_times"] == pytest.approx(rows["gzip: prepare"]["median_s"] / row["median_s"])
    assert row["megabases_per_s"] == pytest.approx(1 / row["median_s"]) and row["processor_s"] > 0


def test_the_files_to_prepare_hold_the_same_genome(tmp_path):
    files = prepare.write_files(tmp_path, 1)
    for path, _ in files.values():
        prepare.prepared(path)
    lengths = {name: Store.open(path.with_suffix(".store")).lengths.sum() for name, (path, _) in files.items()}
    assert lengths == dict.fromkeys(prepare.FORMATS, 1_000_000)
    prepare.unpacked(files["BGZF"][0])
    unpacked = [gzip.decompress(files[name][0].read_bytes()) for name in ("gzip", "BGZF")]
    assert unpacked == [files["plain"][0].read_bytes()] * 2


def test_starting_counts_modules_and_names_the_large_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(startup, "COMMANDS", {"dna-diff --version": ["--version"]})
    monkeypatch.setattr(startup, "PROGRAMS", {"python alone": "pass", "import numpy": "import numpy"})
    startup.main(["--quick", "-o", str(tmp_path / "out.json")])
    rows = written(tmp_path / "out.json")
    assert [rows[name]["large"] for name in ("python alone", "dna-diff --version", "import numpy")] == [
        [], [], ["numpy"],
    ]  # fmt: skip
    assert rows["python alone"]["modules"] < rows["dna-diff --version"]["modules"]


def test_preparing_a_genome_from_the_shell_imports_no_torch(tmp_path):
    program = startup.programs(tmp_path / "store")["dna-diff prepare (17 kb)"]
    assert startup.modules(program)[1] == ["numpy"]
    assert Store.open(tmp_path / "store").lengths.tolist() == [16571]


def written(path):
    """The rows of a results file, which says on what machine they were measured."""
    values = json.loads(path.read_text())
    assert set(values) == {"setting", "machine", "rows"} and values["machine"]["cores"] >= 1
    assert all(0 < row["min_s"] <= row["median_s"] for row in values["rows"].values())
    return values["rows"]
