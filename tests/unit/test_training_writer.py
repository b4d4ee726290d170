"""Checkpoints: whole or absent, the newest few, damage refused, a full disk met with the previous one intact."""

import resource
import shutil

import pytest
import torch

from dnadiff.checkpoints.folder import build_denoiser, save_model
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError, ResourceError
from dnadiff.training.writer import check_space, checkpoints, clean, newest_state, read_checkpoint, write_checkpoint
from tests.tiny import SPEC


def state(step):
    weights = {"w": torch.full((50_000,), float(step))}
    rest = {"ema": {}, "optimizer": {}, "seed": 1, "running": {}, "seconds": 1.0, "log_bytes": 3}
    return {"step": step, "denoiser": weights, **rest}


@pytest.fixture
def folder(tmp_path):
    for step in (3, 10, 9):
        write_checkpoint(tmp_path, state(step), keep=2)
    return tmp_path


@pytest.fixture(params=[2_000, 100_000])
def small_files(request):
    """No file may grow beyond a size: to a writer, a disk that is full before or in the middle of a tensor."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_newest_are_kept_and_read_back(folder):
    assert [path.name for path in checkpoints(folder)] == ["step-9", "step-10"]
    read = newest_state(folder, print)
    assert read["step"] == 10 and torch.equal(read["denoiser"]["w"], torch.full((50_000,), 10.0))
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("damage", ["flip", "truncate", "no state", "no manifest", "another manifest"])
def test_a_damaged_checkpoint_is_refused_in_one_line_and_the_previous_one_used(folder, damage):
    file, manifest = folder / "step-10" / "state.pt", folder / "step-10" / "MANIFEST.sha256"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 4
        file.write_bytes(data)
    elif damage == "truncate":
        file.write_bytes(data[:-1])
    elif damage == "another manifest":
        manifest.write_text(manifest.read_text().replace("a", "b"))
    else:
        (file if damage == "no state" else manifest).unlink()
    said = []
    assert newest_state(folder, said.append)["step"] == 9
    assert len(said) == 1 and "\n" not in said[0] and "step-10" in said[0]


def test_no_checkpoint_is_a_beginning_and_no_whole_one_is_a_refusal(tmp_path):
    assert newest_state(tmp_path / "checkpoints", print) is None
    write_checkpoint(tmp_path, state(1), keep=2)
    (tmp_path / "step-1" / "state.pt").write_bytes(b"")
    with pytest.raises(InputError, match="none of the 1 checkpoints can be read"):
        newest_state(tmp_path, print)


def test_a_checkpoint_of_another_version_or_with_code_is_refused(tmp_path):
    class Canary:
        def __reduce__(self):
            return open, (str(tmp_path / "canary"), "w")

    for content, told in (({"format": 99}, "another version"), ({"format": 1, "x": Canary()}, "cannot be read")):
        write_checkpoint(tmp_path, state(5), keep=2)
        torch.save(content, tmp_path / "step-5" / "state.pt")
        from dnadiff.checkpoints.manifest import manifest_of

        (tmp_path / "step-5" / "MANIFEST.sha256").write_text(manifest_of(tmp_path / "step-5"))
        with pytest.raises(InputError, match=told):
            read_checkpoint(tmp_path / "step-5")
    assert not (tmp_path / "canary").exists()


def test_a_full_disk_keeps_the_previous_checkpoint(folder, small_files):
    with pytest.raises(ResourceError, match="step-11: cannot be written"):
        write_checkpoint(folder, state(11), keep=2)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert newest_state(folder, print)["step"] == 10


def test_a_model_on_a_full_disk_is_a_matter_of_resources(tmp_path, small_files):
    spec = {**SPEC, "backbone": {**SPEC["backbone"], "hidden_size": 64}}
    with pytest.raises(ResourceError, match="model: cannot be written"):
        save_model(tmp_path / "model", build_denoiser(spec), NucleotideTokenizer(), spec, {})
    assert not (tmp_path / "model").exists()


def test_too_little_room_is_told_before_anything_is_written(folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ResourceError, match=r"0\.2 MiB are needed and 0\.0 MiB are free"):
        write_checkpoint(folder, state(11), keep=2)
    with pytest.raises(ResourceError, match="free some space"):
        check_space(folder / "not" / "there", 2)
    check_space(folder, 1)
    assert [path.name for path in checkpoints(folder)] == ["step-9", "step-10"]


def test_what_an_interrupted_run_left_is_swept(tmp_path):
    for step in (1, 2, 3):
        write_checkpoint(tmp_path / "checkpoints", state(step), keep=9)
    (tmp_path / "checkpoints" / ".step-4.tmp-17").mkdir()
    (tmp_path / ".model.tmp-old-17").mkdir()
    (tmp_path / ".config.json.tmp").write_text("half")
    (tmp_path / "config.json").write_text("{}")
    clean(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "config.json"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-1", "step-2"]
