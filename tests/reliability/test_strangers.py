"""Files from strangers: none of them makes the package run code, follow a path, fill the memory or forge a line.

Every payload would make a file named ``canary`` where the command runs. ``check`` compares the folder before and after,
so a canary, or any other file written anywhere in it, fails the case.
"""

import contextlib
import io
import json
import os
import pickle
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dnadiff.checkpoints import manifest
from dnadiff.cli import main
from tests.reliability.mistakes import Mistake, all_of, check, contents, planted, publish, write
from tests.reliability.test_bad_genomes import contig
from tests.reliability.test_bad_runs import EVALUATE, RESUME, SAMPLE, each_checkpoint, edited, spec

CODE = "touch canary"
WORDS = (
    "${oc.env:HOME}",
    "${eval:\"__import__('os').system('touch canary')\"}",
    "${now:%Y}",
    "!!python/object/apply:os.system ['touch canary']",
    "os.system",
    "../../../etc/passwd",
    "\x1b]0;title\x07\n> evil",
)


class Payload:
    """Unpickling it runs a shell."""

    def __reduce__(self):
        return os.system, (CODE,)


def torch_file(legacy: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"format": 1, "step": 6, "denoiser": Payload()}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def resealed(content: bytes):
    """A spoiler: the state of every checkpoint is this, and its manifest fits."""

    def spoil(path):
        (path / "state.pt").write_bytes(content)
        (path / manifest.NAME).write_text(manifest.manifest_of(path))

    return each_checkpoint(spoil)


def tensors(header: object, data: bytes = b"\0" * 64, length: int | None = None):
    """A spoiler: a safetensors file with this header, and perhaps a false length of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return planted("model.safetensors", struct.pack("<Q", len(text) if length is None else length) + text + data)


def tensor(begin: int, end: int, shape=(4, 4), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def archive(**members: bytes):
    """A spoiler: a baseline.npz of these members, beside a valid order and concentration."""

    def spoil():
        with zipfile.ZipFile("run/baseline.npz", "w", zipfile.ZIP_DEFLATED) as file:
            for name, value in {"order": np.int64(1), "concentration": np.float64(20)}.items():
                file.writestr(f"{name}.npy", array(value))
            for name, content in members.items():
                file.writestr(name.replace("__", "/"), content)

    return spoil


def array(values) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(values))
    return buffer.getvalue()


def endless_array() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    return buffer.getvalue()


def linked(name: str, target: str):
    """A spoiler: in place of a file or folder of the world there is a link out of its folder to a precious one."""

    def spoil():
        Path("outside").mkdir()
        Path("outside", "precious").write_text('{"secret": 1}')
        path = Path(name)
        path.rename("moved")
        path.symlink_to(Path(target).absolute())

    return spoil


def to_zero(name: str):
    return lambda: Path(name).symlink_to("/dev/zero")


OBJECTS = np.array([Payload()], dtype=object)
HUGE = '{"format": 1, "algo": "' + "x" * (17 << 20) + '"}'

PICKLES = {
    "sample: a pickle for weights": Mistake(SAMPLE, planted("model.safetensors", pickle.dumps(Payload()))),
    "sample: a torch file for weights": Mistake(SAMPLE, planted("model.safetensors", torch_file(legacy=False))),
    "sample: an old torch file for weights": Mistake(SAMPLE, planted("model.safetensors", torch_file(legacy=True))),
    "sample: a pickle for a spec": Mistake(SAMPLE, planted("config.json", pickle.dumps(Payload()))),
    "sample: a pickle for a tokenizer": Mistake(SAMPLE, planted("tokenizer.json", pickle.dumps(Payload()))),
    "sample: a pickle for a provenance": Mistake(SAMPLE, planted("provenance.json", pickle.dumps(Payload()))),
    "evaluate: a pickle for settings": Mistake(EVALUATE, write("run/config.json", pickle.dumps(Payload()))),
    "evaluate: a pickle for a split": Mistake(EVALUATE, write("run/split.json", pickle.dumps(Payload()))),
    "evaluate: a pickle for counts": Mistake(EVALUATE, write("run/baseline.npz", pickle.dumps(Payload()))),
    "evaluate: counts that hold objects": Mistake(
        EVALUATE, lambda: np.savez("run/baseline.npz", counts=OBJECTS, order=1, concentration=20.0)
    ),
    "evaluate: an order that is an object": Mistake(
        EVALUATE, lambda: np.savez("run/baseline.npz", counts=np.arange(20), order=OBJECTS, concentration=20.0)
    ),
    "evaluate: a pickle within the archive": Mistake(EVALUATE, archive(**{"counts.npy": pickle.dumps(Payload())})),
    "resume: a torch file that runs code": Mistake(RESUME, resealed(torch_file(legacy=False))),
    "resume: an old torch file that runs code": Mistake(RESUME, resealed(torch_file(legacy=True))),
    "resume: a pickle for a state": Mistake(RESUME, resealed(pickle.dumps(Payload()))),
    "prepare: a pickle for a genome": Mistake(
        ["prepare", "x.fa", "-o", "new"], write("x.fa", pickle.dumps(Payload(), protocol=0))
    ),
}

NAMES = {
    "sample: _target_": spec("backbone", {"_target_": "os.system", "command": CODE}),
    "sample: _target_ beside a name": spec("backbone._target_", "os.system"),
    "sample: _partial_ beside a name": spec("process.schedule._partial_", True),
    "sample: class_path": spec("parameterization", {"class_path": "os.system", "init_args": [CODE]}),
    "sample: an import path for a backbone": spec("backbone.name", "os.system"),
    "sample: an import path for a process": spec("process.name", "subprocess.Popen"),
    "sample: an import path for a schedule": spec("process.schedule.name", "builtins.exec"),
    "sample: an import path for a parameterization": spec("parameterization.name", "torch.hub.load"),
    "sample: a name that is a list": spec("backbone.name", ["dit"]),
    "sample: a dunder of the constructor": spec("backbone.__class__", "x"),
    "sample: attention by an import path": spec("backbone.attention", "os.system"),
    "sample: an import path for a tokenizer": Mistake(SAMPLE, edited("run/model/tokenizer.json", "name", "os.system")),
    "sample: a tokenizer named by a list": Mistake(SAMPLE, edited("run/model/tokenizer.json", "name", ["x"])),
    "evaluate: _target_ in the settings": Mistake(EVALUATE, edited("run/config.json", "model._target_", "os.system")),
    "evaluate: the environment as genome": Mistake(EVALUATE, edited("run/config.json", "data.path", WORDS[0])),
    "evaluate: code as genome": Mistake(EVALUATE, edited("run/config.json", "data.path", WORDS[1])),
    "evaluate: a resolver for a number": Mistake(EVALUATE, edited("run/config.json", "seed", WORDS[2])),
    "evaluate: a resolver in a list": Mistake(EVALUATE, edited("run/config.json", "data.valid", [WORDS[0]])),
    "evaluate: a device as genome": Mistake(EVALUATE, edited("run/config.json", "data.path", "/dev/zero")),
    "resume: the environment as genome": Mistake(RESUME, edited("run/config.json", "data.path", WORDS[0])),
    "resume: an override with a resolver": Mistake(["train", "--resume", "run", f'train.steps="{WORDS[0]}"']),
    "train: _target_": Mistake(["train", "genome.fa", "_target_=os.system"]),
    "train: _target_ of a section": Mistake(["train", "genome.fa", "model._target_=os.system"]),
    "train: the environment": Mistake(["train", "genome.fa", f"data.bed={WORDS[0]}"]),
    "train: code": Mistake(["train", "genome.fa", f"seed={WORDS[1]}"]),
    "train: a YAML tag for a number": Mistake(["train", "genome.fa", f"seed={WORDS[3]}"]),
    "train: a YAML tag for a genome": Mistake(["train", f"data.path={WORDS[3]}"]),
    "train: Hydra's own settings": Mistake(["train", "genome.fa", "hydra.run.dir=canary"]),
    "train: a folder of configurations": Mistake(["train", "genome.fa", "--config-dir", "."]),
    "train: a YAML file as preset": Mistake(
        ["train", "genome.fa", "model=evil"],
        write("evil.yaml", "x: !!python/object/apply:os.system ['touch canary']\n"),
    ),
    "train: a YAML file as genome": Mistake(
        ["train", "evil.yaml"], write("evil.yaml", "x: !!python/object/apply:os.system ['touch canary']\n")
    ),
}

SIZES = {
    "sample: a vocabulary of 10**12": spec("backbone.vocab_size", 10**12),
    "sample: a width of 10**12": spec("backbone.hidden_size", 10**12),
    "sample: a billion blocks": spec("backbone.n_blocks", 10**9),
    "sample: windows of 10**12": spec("length", 10**12),
    "sample: a spec of 17 MB": Mistake(SAMPLE, planted("config.json", HUGE)),
    "sample: a spec nested a hundred thousand deep": Mistake(SAMPLE, planted("config.json", '{"a":' * 100_000)),
    "sample: lists nested a hundred thousand deep": Mistake(SAMPLE, planted("config.json", "[" * 100_000)),
    "sample: NaN in a spec": Mistake(SAMPLE, planted("config.json", '{"format": 1, "length": NaN}')),
    "sample: infinity in a spec": spec("process.schedule.eps", float("inf")),
    "sample: a number of ten thousand digits": Mistake(SAMPLE, planted("config.json", f'{{"length": {"9" * 10_000}}}')),
    "sample: a manifest of 2 MB": Mistake(SAMPLE, write(f"run/model/{manifest.NAME}", "x" * (2 << 20))),
    "evaluate: settings nested a hundred thousand deep": Mistake(EVALUATE, write("run/config.json", '{"a":' * 100_000)),
    "evaluate: settings of 17 MB": Mistake(EVALUATE, write("run/config.json", HUGE)),
    "evaluate: an archive that unpacks to 2 MB": Mistake(EVALUATE, archive(**{"counts.npy": b"\0" * (2 << 20)})),
    "evaluate: an array that claims 8 TB": Mistake(EVALUATE, archive(**{"counts.npy": endless_array()})),
    "evaluate: a BED file without end": Mistake(["evaluate", "run", "x.bed"], to_zero("x.bed")),
    "compare: a genome without end": Mistake(["compare", "x.fa", "synthetic.fa"], to_zero("x.fa")),
    "sample: a header of 2**60 bytes": Mistake(SAMPLE, tensors({}, length=2**60)),
    "sample: a header beyond the file": Mistake(SAMPLE, tensors({}, length=1000)),
    "sample: a header that is no JSON": Mistake(SAMPLE, tensors(b"{{{{")),
    "sample: a header nested deep": Mistake(SAMPLE, tensors(b'{"a":' * 10_000)),
    "sample: tensors that overlap": Mistake(SAMPLE, tensors({"a": tensor(0, 64), "b": tensor(0, 64)})),
    "sample: a tensor beyond the file": Mistake(SAMPLE, tensors({"a": tensor(0, 6400, (40, 40))})),
    "sample: a tensor that begins after its end": Mistake(SAMPLE, tensors({"a": tensor(64, 0)})),
    "sample: a tensor of 10**12 numbers": Mistake(SAMPLE, tensors({"a": tensor(0, 64, (10**6, 10**6))})),
    "sample: a tensor whose size overflows": Mistake(SAMPLE, tensors({"a": tensor(0, 64, (2**40, 2**40))})),
    "sample: a tensor of an unknown type": Mistake(SAMPLE, tensors({"a": tensor(0, 64, dtype="OBJECT")})),
    "sample: data that no tensor owns": Mistake(SAMPLE, tensors({"a": tensor(0, 64)}, data=b"\0" * 128)),
}

PATHS = {
    "sample: a manifest that climbs": Mistake(
        SAMPLE, write(f"run/model/{manifest.NAME}", f"{'a' * 64}  ../../canary\n")
    ),
    "sample: a manifest of an absolute path": Mistake(
        SAMPLE, write(f"run/model/{manifest.NAME}", f"{'a' * 64}  /etc/passwd\n")
    ),
    "evaluate: an archive that climbs": Mistake(EVALUATE, archive(**{"..__..__canary": b"x"})),
    "evaluate: counts under a name that climbs": Mistake(EVALUATE, archive(**{"..__counts.npy": array(np.arange(20))})),
    "sample: a spec that is a link": Mistake(SAMPLE, linked("run/model/config.json", "outside/precious")),
    "sample: weights that are a link": Mistake(SAMPLE, linked("run/model/model.safetensors", "outside/precious")),
    "sample: a manifest that is a link": Mistake(SAMPLE, linked(f"run/model/{manifest.NAME}", "outside/precious")),
    "compare: bases that are a link": Mistake(
        ["compare", "store", "synthetic.fa"],
        all_of(linked("store/bases.u8", "outside/bases"), lambda: Path("moved").rename("outside/bases")),
    ),
    "compare: an index that is a link": Mistake(
        ["compare", "store", "synthetic.fa"],
        all_of(linked("store/index.json", "outside/index"), lambda: Path("moved").rename("outside/index")),
    ),
    "resume: a log that is a link": Mistake(RESUME, linked("run/log.csv", "outside/precious")),
    "resume: checkpoints that are a link": Mistake(RESUME, linked("run/checkpoints", "outside")),
    "resume: a model that is a link": Mistake(RESUME, linked("run/model", "outside")),
    "resume: curves that are a link": Mistake(RESUME, linked("run/tensorboard", "outside")),
    "resume: a lock that is a link": Mistake(RESUME, linked("run/.lock", "outside/precious")),
    "resume: a provenance that is a link": Mistake(RESUME, linked("run/provenance.json", "outside/precious")),
    "resume: a link in a checkpoint": Mistake(RESUME, linked("run/checkpoints/step-6/state.pt", "outside/precious")),
}

MISTAKES = {f"stranger: {case}": mistake for table in (PICKLES, NAMES, SIZES, PATHS) for case, mistake in table.items()}


@pytest.mark.parametrize("case", MISTAKES)
def test_is_refused_in_one_line_and_does_nothing(case, world):
    start = time.monotonic()
    check(case, MISTAKES[case])
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("name", ["pickle", "torch", "old torch", "npz"])
def test_the_payloads_would_work_if_they_were_trusted(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", counts=OBJECTS)
    trusting = {
        "pickle": lambda: pickle.loads(pickle.dumps(Payload())),
        "torch": lambda: torch.load(io.BytesIO(torch_file(legacy=False)), weights_only=False),
        "old torch": lambda: torch.load(io.BytesIO(torch_file(legacy=True)), weights_only=False),
        "npz": lambda: np.load("x.npz", allow_pickle=True)["counts"],
    }
    trusting[name]()
    assert (tmp_path / "canary").exists()


def ran(words) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    err = io.StringIO()
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as out:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(words))
        out.flush()
        return code, out.buffer.getvalue().decode(), err.getvalue()


def strings(value, path=""):
    """The dotted paths of all text in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, str):
        yield path


TURNS = [turn if turn == 0 else pytest.param(turn, marks=pytest.mark.slow) for turn in range(len(WORDS))]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(("name", "words"), [("model/config.json", SAMPLE), ("config.json", EVALUATE)])
def test_no_text_of_a_spec_or_of_settings_is_ever_more_than_text(name, words, turn, world):
    """Refused in one line where the text means something, ignored where it does not, printed never but escaped.

    One turn tries each field with one of the words, all turns together each with all.
    """
    path = world / "run" / name
    fields = list(strings(json.loads(path.read_text())))
    assert len(fields) >= 5
    for number, field in enumerate(fields):
        clean = path.read_text()
        edited(f"run/{name}", field, WORDS[(number + turn) % len(WORDS)])()
        before = contents(Path())
        code, out, err = ran([*words, "-q"])
        assert code in (0, 2) and err.count("\n") == (code == 2), (field, err)
        assert contents(Path()) == before, field
        for line in (out + err).splitlines():
            assert all(c.isprintable() or c == "\t" for c in line), (field, line)
        assert os.environ["HOME"] not in out + err or os.environ["HOME"] == "/"
        path.write_text(clean)
        publish()


def test_names_of_a_stranger_are_shown_escaped(world):
    evil = "\x1b[2J\x1b]0;title\x07\n>forged\nACGT"
    edited("run/model/provenance.json", "step", evil)()
    code, out, err = ran([*SAMPLE, "--seed", "1"])
    assert code == 0 and out.count(">") - out.count("\\n>forged") == 2
    assert "\x1b" not in out + err and "\\x1b[2J" in err and err.count("\n") == 1
    contig(name=evil)()
    code, out, err = ran(["train", "store", "--dry-run", "model.length=32", "data.split=contig"])
    assert code == 0 and "\\x1b[2J" in err and "\n>forged" not in err
    assert all(line.isprintable() for line in err.splitlines())
    Path("genome.fa").rename(evil.replace("\n", "_"))
    code, out, err = ran(["compare", evil.replace("\n", "_"), "synthetic.fa", "-k", "2"])
    assert code == 0 and "\x1b" not in out + err and "\\x1b[2J" in out
