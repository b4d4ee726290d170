"""A small world to make mistakes in, and what every mistake must come to.

``messages.tsv`` holds the case and the line of every mistake; an ellipsis stands for what a library says in its own
words.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnadiff.checkpoints import manifest
from dnadiff.cli import main
from dnadiff.recipes.train import train
from tests.runs import settings

SMALL = (
    "model.hidden_size=32", "model.n_blocks=1", "model.n_heads=2", "model.length=32", "optim.batch_size=8",
    "train.steps=2", "train.minutes=null", "train.val_windows=8",
)  # fmt: skip
"""Settings of a run that takes a second, should it start."""

HELPS = (
    "work", "did you mean", "there are", "it has", "give", "leave", "copy it again", "download", "expected",
    "lists them", "--help", "write the value", "write its value", "belongs to", "this version of dnadiff reads",
    "dna-diff train --resume", "may change", "one word too many", "for example", "it holds", "must", "needs", "let it",
)  # fmt: skip
"""Words with which a message says what would work."""

LINES = (Path(__file__).parent / "messages.tsv").read_text(encoding="utf-8").splitlines()
MESSAGES = dict(line.split("\t") for line in LINES)


@dataclass(frozen=True)
class Mistake:
    """A command that must be refused.

    Attributes:
        words: The command line.
        spoil: What is done to the world before.
        stdin: Bytes on standard input.
        code: The exit code.
    """

    words: Sequence[str]
    spoil: Callable[[], object] = lambda: None
    stdin: bytes = b""
    code: int = 2


def build(folder: Path) -> None:
    """Fills an empty folder with genome.fa, synthetic.fa, regions.bed, a store and a run, whose paths are relative."""
    rng = np.random.default_rng(0)

    def bases(n: int) -> str:
        return "".join("ACGT"[code] for code in np.cumsum(rng.choice(4, n, p=[0.02, 0.94, 0.02, 0.02])) % 4)

    with contextlib.chdir(folder):
        Path("genome.fa").write_text(f">chr1\n{bases(3000)}\n>chr2\n{bases(1500)}\n>chr3\n{bases(1200)}\n")
        Path("synthetic.fa").write_text("".join(f">s{i}\n{bases(32)}\n" for i in range(10)))
        Path("regions.bed").write_text("chr1\t0\t1000\ttrain\nchr2\t0\t200\tvalid\nchr3\t0\t500\ttest\n")
        train(settings(), "genome.fa", "run", quiet=True, argv=["dna-diff", "train"])
        assert main(["prepare", "genome.fa", "-o", "store", "-q"]) == 0


def contents(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder by path: the bytes of files, what links point to, a word for the rest."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder" if path.is_dir() else "device"
    return found


def refused(mistake: Mistake) -> str:
    """The error's line of a mistake made in the current folder, which must have changed nothing there."""
    mistake.spoil()
    before, err = contents(Path()), io.StringIO()
    with io.TextIOWrapper(io.BytesIO()) as out, io.TextIOWrapper(io.BytesIO(mistake.stdin)) as stdin:
        was, sys.stdin = sys.stdin, stdin
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(list(mistake.words))
        finally:
            sys.stdin = was
    text = err.getvalue()
    assert code == mistake.code, text
    assert text.startswith("dna-diff: error: ") and text.count("\n") == 1 and text.endswith("\n"), text
    assert "Traceback" not in text and "internal" not in text and "Errno" not in text, text
    line = text.removeprefix("dna-diff: error: ").removesuffix("\n")
    assert line.isprintable() and len(line) < 2100, line
    after = contents(Path())
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not changed, f"left behind: {sorted(changed)}"
    return line


def check(case: str, mistake: Mistake) -> None:
    """Makes a mistake and compares what is said of it with the table."""
    line = refused(mistake)
    begin, _, end = MESSAGES[case].partition("…")
    assert line == MESSAGES[case] or ("…" in MESSAGES[case] and line.startswith(begin) and line.endswith(end)), line
    assert any(word in line for word in HELPS), f"does not say what would work: {line}"


def write(name: str, content: str | bytes) -> Callable[[], object]:
    """A spoiler: writes a file."""
    return lambda: Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def all_of(*spoilers: Callable[[], object]) -> Callable[[], object]:
    """A spoiler: one after another."""
    return lambda: [spoil() for spoil in spoilers]


def publish(model: str = "run/model") -> None:
    """Makes the manifest fit the files again, as a stranger would."""
    (Path(model) / manifest.NAME).write_text(manifest.manifest_of(Path(model)))


def planted(name: str, content: str | bytes) -> Callable[[], object]:
    """A spoiler: writes a file of the model folder and makes the manifest fit it."""
    return all_of(write(f"run/model/{name}", content), publish)
