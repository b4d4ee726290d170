"""A store that is damaged, foreign or half there is refused in one line; builders never leave one."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from dnadiff.data import store_writer
from dnadiff.data.genome import Store, build_store, cached_store
from dnadiff.errors import InputError, ResourceError

FASTA = ">a\nACGTACGTAC\n>b\nGGNNCC\n"


@pytest.fixture
def store(tmp_path):
    (tmp_path / "g.fa").write_text(FASTA)
    return build_store(tmp_path / "g.fa", tmp_path / "store").path


def truncate(path):
    (path / "bases.u8").write_bytes((path / "bases.u8").read_bytes()[:-1])


def lengthen(path):
    (path / "bases.u8").write_bytes((path / "bases.u8").read_bytes() + b"\0")


def rewrite_index(change):
    def damage(path):
        index = json.loads((path / "index.json").read_text())
        change(index)
        (path / "index.json").write_text(json.dumps(index))

    return damage


DAMAGE = {
    "bases cut": (truncate, "bases.u8 has 15 bytes where 16 are due"),
    "bases too long": (lengthen, "bases.u8 has 17 bytes"),
    "no bases": (lambda path: (path / "bases.u8").unlink(), "has no bases.u8"),
    "no index": (lambda path: (path / "index.json").unlink(), "is no genome store"),
    "empty index": (lambda path: (path / "index.json").write_text(""), "index.json: is not JSON"),
    "index cut": (
        lambda path: (path / "index.json").write_text((path / "index.json").read_text()[:50]),
        "index.json: is not JSON",
    ),
    "binary index": (lambda path: (path / "index.json").write_bytes(b"\xff\xfe\0"), "index.json: is not JSON"),
    "a list": (lambda path: (path / "index.json").write_text("[]"), "index.json: found a list where an object is due"),
    "another program's index": (lambda path: (path / "index.json").write_text("{}"), "is not that of a genome store"),
    "another format": (rewrite_index(lambda index: index.update(format=99)), "has format 99"),
    "a name changed": (rewrite_index(lambda index: index["contigs"][0].update(name="x")), "checksum"),
    "lengths changed": (rewrite_index(lambda index: index["contigs"][0].update(length=9)), "checksum"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_in_one_line(case, store):
    damage, message = DAMAGE[case]
    damage(store)
    with pytest.raises(InputError) as error:
        Store.open(store)
    assert message in str(error.value) and str(error.value).startswith(str(store)) and "\n" not in str(error.value)


def test_a_file_or_nothing_is_no_store(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Store.open(tmp_path / "none")


def test_a_damaged_cache_entry_says_how_to_get_rid_of_it(tmp_path):
    (tmp_path / "g.fa").write_text(FASTA)
    path = cached_store(tmp_path / "g.fa").path
    truncate(path)
    with pytest.raises(InputError, match="preparing it again would work"):
        cached_store(tmp_path / "g.fa")
    assert cached_store(tmp_path / "g.fa", rebuild=True).lengths.tolist() == [10, 6]


def test_a_store_replaced_under_a_pickled_handle_is_noticed(store, tmp_path):
    handle = pickle.dumps(Store.open(store))
    (tmp_path / "g.fa").write_text(">a\nCCCC\n")
    build_store(tmp_path / "g.fa", store, force=True)
    with pytest.raises(InputError, match="replaced while it was in use"):
        pickle.loads(handle)


def test_only_stores_are_replaced_and_only_on_demand(store, tmp_path):
    with pytest.raises(InputError, match="exists"):
        build_store(tmp_path / "g.fa", store)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    for force in (False, True):
        with pytest.raises(InputError, match="exists"):
            build_store(tmp_path / "g.fa", precious, force=force)
    with pytest.raises(InputError, match="exists and is no genome store"):
        build_store(tmp_path / "g.fa", tmp_path / "g.fa", force=True)
    assert (precious / "thesis.tex").read_text() == "x" and (tmp_path / "g.fa").read_text() == FASTA


def test_a_failed_replacement_keeps_the_old_store(store, tmp_path):
    (tmp_path / "bad.fa").write_text(">a\nAC!GT\n")
    with pytest.raises(InputError, match="found '!'"):
        build_store(tmp_path / "bad.fa", store, force=True)
    assert Store.open(store, verify=True).lengths.tolist() == [10, 6]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.fa", "g.fa", "store"]


def test_a_full_disk_is_a_resource_error_that_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "g.fa").write_text(FASTA)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_writer.os, "fsync", full)
    with pytest.raises(ResourceError, match=r"store: cannot be written \(No space left on device\)"):
        build_store(tmp_path / "g.fa", tmp_path / "store")
    assert [p.name for p in tmp_path.iterdir()] == ["g.fa"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "g.fa").write_text(FASTA)
    with pytest.raises(InputError, match="cannot be written"):
        build_store(tmp_path / "g.fa", tmp_path / "g.fa" / "store")


def _build(fasta, out, queue):
    try:
        queue.put(build_store(fasta, out).lengths.tolist())
    except InputError as error:
        queue.put(str(error))


def _cache(fasta, queue):
    store = cached_store(fasta)
    queue.put((store.lengths.tolist(), (store.path / "bases.u8").stat().st_ino))


def _together(target, *args):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=target, args=(*args, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(timeout=30)
        assert process.exitcode == 0
    return results


def test_four_builders_of_one_cache_entry_get_the_same_store(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "g.fa").write_text(">a\n" + "ACGTTGCA\n" * 100_000)
    results = _together(_cache, tmp_path / "g.fa")
    assert len(set(map(str, results))) == 1 and results[0][0] == [800_000]
    assert len(list((tmp_path / "cache").iterdir())) == 1, "no lock and no temporary folder is left"


def test_of_four_builders_of_one_folder_one_builds_and_three_are_told(tmp_path):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGTTGCA\n" * 100_000)
    results = _together(_build, tmp_path / "g.fa", tmp_path / "store")
    assert results.count([800_000]) == 1
    assert sum("exists; another name would work" in str(result) for result in results) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.fa", "store"]


def test_what_a_killed_builder_leaves_is_swept_by_the_next(tmp_path):
    program = "import sys; from dnadiff.data.genome import build_store; build_store('-', sys.argv[1])"
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path / "store"], stdin=subprocess.PIPE)
    child.stdin.write(b">a\n" + b"ACGT" * 1_000_000)
    child.stdin.flush()
    deadline = time.monotonic() + 20
    while not any(tmp_path.glob(".store.tmp-*/bases.u8")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdin.close()
    assert any(tmp_path.glob(".store.tmp-*")) and not (tmp_path / "store").exists()
    (tmp_path / "g.fa").write_text(FASTA)
    build_store(tmp_path / "g.fa", tmp_path / "store")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.fa", "store"]
