"""Every `dna-diff` line and every Python block of the README runs, in order, in one folder.

The lines are run as they stand, beside a checkpoint of another implementation. Six verbs only do
less of the same: what is appended here leaves out the training of doctor, ends training and fine-tuning after a few
steps, scores a few windows and draws a few sequences.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from dnadiff.cli import main
from dnadiff.verbs import VERBS, name_in
from tests.foreign import lightning

ROOT = Path(__file__).parents[2]
LESS = {
    "doctor": "--no-train",
    "train": "train.steps=4 train.val_windows=8",
    "evaluate": "--windows 32",
    "sample": "-n 2",
    "adapt": "--steps 3 train.val_windows=8",
    "finetune": "train.epochs=0.03 bootstrap=9 baselines=false",
    "bench run": "train.epochs=0.03 bootstrap=0 baselines=false --seeds 1",
}
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
STEPS = [
    (language, step)
    for language, block in BLOCKS
    for step in (block.strip().splitlines() if language == "bash" else [block])
]


def shortened(line):
    """The line with what its verb is told to do less of, before any pipe and in place of what it says of that."""
    command, pipe, rest = line.partition(" | ")
    less = LESS.get(name_in(command.split()[1:]), "")
    for word in less.split():
        command = re.sub(rf" {word.partition('=')[0]}=\S+", "", command)
    return f"{command} {less}{pipe}{rest}"


def test_the_readme_shows_every_verb():
    commands = [step.split()[1:] for language, step in STEPS if language == "bash" and step.startswith("dna-diff ")]
    shown = {name_in(words) for words in commands}
    assert shown == set(VERBS)
    assert any(language == "python" for language, _ in STEPS)


def test_every_step_of_the_readme_runs(tmp_path, monkeypatch, capfd):
    """What a shell must read runs in a process of its own; all else runs here, where torch is loaded."""
    command = tmp_path / "bin" / "dna-diff"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dnadiff "$@"\n')
    command.chmod(0o755)
    (tmp_path / "data").symlink_to(ROOT / "data")
    lightning(tmp_path / "mdlm.ckpt")
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    monkeypatch.chdir(tmp_path)
    for language, step in STEPS:
        if language == "python":
            exec(compile(step, "README.md", "exec"), {})
            continue
        line = shortened(step)
        if not set("|><;") & set(line):
            command, *words = shlex.split(line, comments=True)
            assert (command, main(words)) == ("dna-diff", 0), f"{step}\n{capfd.readouterr().err}"
            continue
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{step}\n{done.stderr}"
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "synthetic.fa").read_text().startswith(">")
