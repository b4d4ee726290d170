"""What training survives: kills, faults inside the checkpoint write, damaged files, signals.

    kills     kill -9 at random moments of a training with dropout, average, data workers and accumulation, each time
              resumed; the final weights must equal those of a run that nobody disturbed, and so must every line of the
              log but for the seconds
    faults    kill -9 before every file operation of the writing of a checkpoint and its model, and in the middle of a
              file, with temporary files on the same and on another file system; the run must resume to the same weights
    damage    single flipped bits and truncations of checkpoints and model folders; each must be refused
    signals   of benchmarks/chaos_signals.py

    python -m benchmarks.chaos [--only kills faults damage signals] [--out benchmarks/results/chaos.json]

Trainings run in forked children, so that imports are paid for once.
"""

import argparse
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from dnadiff.checkpoints.folder import load, load_tokenizer
from dnadiff.cli import main as dna_diff
from dnadiff.errors import InputError
from dnadiff.training import fit  # noqa: F401 (children find Lightning imported)
from dnadiff.training.writer import checkpoints, newest_state, read_checkpoint
from tests.runs import SETTINGS, log_of, weights_hash, write_genome

DISTURBED = SETTINGS | {
    "model.dropout": 0.1, "data.workers": 2, "optim.accumulate": 2, "optim.name": "muon", "optim.ema": 0.9,
    "train.checkpoint_every": 7, "train.log_every": 3, "train.val_every": 10,
}  # fmt: skip


def words(settings: dict) -> list[str]:
    """Settings as words of the command line."""
    return [f"{key}={value}" for key, value in settings.items()]


def child(action: Callable[[], int], stderr: Path) -> int:
    """The pid of a forked process that does something and exits with its code."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stderr = stderr.open("a", buffering=1)
        os.dup2(sys.stderr.fileno(), 2)
        code = action()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float) -> int | None:
    """Exit code of a child, negative for a signal, or None if it still runs after some seconds."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.005)


def finished(action: Callable[[], int], folder: Path, seconds: float = 600) -> int:
    """Exit code of an action that is left alone."""
    code = ended(child(action, folder / "stderr"), seconds)
    if code is None:
        raise TimeoutError((folder / "stderr").read_text())
    return code


def training(genome: str, run: Path, settings: dict) -> Callable[[], int]:
    """Starts a run, or goes on with it."""

    def act() -> int:
        if (run / "config.json").exists():
            return dna_diff(["train", "--resume", str(run), "-q"])
        shutil.rmtree(run, ignore_errors=True)
        return dna_diff(["train", genome, *words(settings), "-o", str(run), "-q"])

    return act


def differing_lines(one: Path, other: Path) -> int:
    """Lines in which two logs differ, the seconds left out."""
    a, b = log_of(one), log_of(other)
    return sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))


def kills(folder: Path, n: int, steps: int, seed: int = 0) -> dict:
    """kill -9 at n random moments of as many runs as it takes, each resumed until it is complete."""
    rng, settings = random.Random(seed), DISTURBED | {"train.steps": steps}
    genome, reference, run = write_genome(folder / "g.fa"), folder / "reference", folder / "run"
    start = time.monotonic()
    finished(training(genome, reference, settings), folder)
    length = time.monotonic() - start
    trained = float(read_checkpoint(reference / "checkpoints" / f"step-{steps}")["seconds"])
    runs, same, differing, landed = 0, 0, 0, []
    while len(landed) < n or run.exists():
        pid = child(training(genome, run, settings), folder / "stderr")
        left_alone = len(landed) == n
        moment = 600 if left_alone else rng.uniform(0.2 * (length - trained), length - trained + 4 * trained / n)
        if ended(pid, moment) is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            saved = checkpoints(run / "checkpoints")
            landed.append(int(saved[-1].name.removeprefix("step-")) if saved else 0)
            continue
        runs += 1
        same += weights_hash(run) == weights_hash(reference)
        differing += differing_lines(run, reference)
        shutil.rmtree(run)
    return {
        "kills": len(landed), "newest_checkpoint_at_each": landed, "steps": steps, "runs": runs,
        "runs_with_the_same_weights": same, "log_lines": len(log_of(reference)), "differing_log_lines": differing,
    }  # fmt: skip


class Fault:
    """Kills its own process at the n-th file operation of a checkpoint's writing; n = 0 lists the operations."""

    EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")

    def __init__(self, run: Path, step: int, n: int, listing: Path) -> None:
        self.run, self.mark, self.n, self.listing = str(run), f"step-{step}.tmp", n, listing
        self.count, self.active = 0, False

    def __call__(self, event: str, args: tuple) -> None:
        """Hears of an operation."""
        if event not in self.EVENTS or not args or not str(args[0]).startswith(self.run):
            return
        self.active = self.active or self.mark in str(args[0])
        if not self.active or "log.csv" in str(args[0]) or "tensorboard" in str(args[0]):
            return
        self.count += 1
        if self.n == 0:
            handle = os.open(self.listing, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, f"{event} {Path(str(args[0])).relative_to(self.run)}\n".encode())
            os.close(handle)
        elif self.count == self.n:
            os.kill(os.getpid(), signal.SIGKILL)


def faults(folder: Path, points: int | None, temporary: dict[str, str]) -> dict:
    """kill -9 inside the writing of the second checkpoint: at some file operations, or all, and in mid-file."""
    settings = DISTURBED | {"train.steps": 9, "train.checkpoint_every": 3, "data.workers": 0}
    genome, reference, listing = write_genome(folder / "g.fa"), folder / "reference", folder / "operations"
    finished(_faulty(training(genome, reference, settings), Fault(reference, 6, 0, listing)), folder)
    # The last operations are those of the third checkpoint: the second one's begin where its name first appears.
    operations = listing.read_text().splitlines()
    second = operations[: next(i for i, line in enumerate(operations) if "step-9.tmp" in line)]
    second = second[: 1 + max(i for i, line in enumerate(second) if "model" in line)]
    points = points or len(second) + 1
    chosen = sorted({1 + round(i * (len(second) - 1) / (points - 2)) for i in range(points - 1)})
    size = (reference / "checkpoints" / "step-9" / "state.pt").stat().st_size
    outcomes = []
    for name, place in temporary.items():
        for point in [*chosen, "half of state.pt"]:
            run = folder / f"run-{len(outcomes)}"
            act = training(genome, run, settings)
            if isinstance(point, int):
                code = finished(_faulty(act, Fault(run, 6, point, listing), place), folder)
                where = re.sub(r"tmp-(old-)?\d+", r"tmp-\1PID", second[point - 1])
            else:
                code, where = finished(_limited(training(genome, run, settings), run, size // 2), folder), point
            before = newest_state(run / "checkpoints", lambda line: None)
            resumed = finished(act, folder)
            outcomes.append({
                "temporary_files": name, "at": where, "killed": code < 0, "checkpoint_left": before and before["step"],
                "resumed": resumed == 0, "same_weights": weights_hash(run) == weights_hash(reference),
                "differing_log_lines": differing_lines(run, reference),
                "leftovers": [p.name for p in run.rglob(".*") if p.name != ".lock"],
            })  # fmt: skip
    good = sum(
        o["killed"] and o["resumed"] and o["same_weights"] and not o["differing_log_lines"] and not o["leftovers"]
        for o in outcomes
    )
    return {"faults": len(outcomes), "survived": good, "operations_of_a_checkpoint": len(second), "outcomes": outcomes}


def _faulty(act: Callable[[], int], fault: Fault, temporary: str | None = None) -> Callable[[], int]:
    def run() -> int:
        if temporary:
            os.environ["TMPDIR"], tempfile.tempdir = temporary, temporary
        sys.addaudithook(fault)
        return act()

    return run


def _limited(act: Callable[[], int], run: Path, size: int) -> Callable[[], int]:
    """Dies in the middle of a file once the first checkpoint is there: the kernel kills a writer beyond the limit."""

    def limit(event: str, args: tuple) -> None:
        if event == "open" and "step-6.tmp" in str(args[0]):
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def go() -> int:
        sys.addaudithook(limit)
        return act()

    return go


def damage(folder: Path, flips: int, truncations: int, seed: int = 0) -> dict:
    """Flipped bits and truncations of the files of a checkpoint and of a model folder."""
    rng, run = random.Random(seed), folder / "run"
    finished(training(write_genome(folder / "g.fa"), run, SETTINGS | {"train.steps": 3}), folder)
    checkpoint, model = run / "checkpoints" / "step-3", run / "model"
    files = [checkpoint / "state.pt", model / "model.safetensors", model / "config.json", model / "tokenizer.json"]
    missed = []
    for number in range(flips + truncations):
        file = files[number % 2] if number % 10 else rng.choice(files)
        whole = file.read_bytes()
        data, position = bytearray(whole), rng.randrange(len(whole))
        if number < flips:
            data[position] ^= 1 << rng.randrange(8)
        file.write_bytes(data if number < flips else data[:position])
        try:
            if file.parent == checkpoint:
                read_checkpoint(checkpoint)
            else:
                load(run)
                load_tokenizer(run)
            missed.append(f"{file.name} at {position}")
        except InputError:
            pass
        file.write_bytes(whole)
    read_checkpoint(checkpoint), load(run)
    return {"flips": flips, "truncations": truncations, "detected": flips + truncations - len(missed), "missed": missed}


def chaos(only: list[str]) -> dict:
    """All of it, with the full counts."""
    from benchmarks.chaos_signals import all_signals

    parts: dict[str, Callable[[Path], dict]] = {
        "kills": lambda folder: kills(folder, 20, 300),
        "faults": lambda folder: faults(folder, None, {"same file system": str(folder), "memory": "/dev/shm"}),
        "damage": lambda folder: damage(folder, 200, 50),
        "signals": all_signals,
    }
    results: dict = {"torch": torch.__version__, "machine": platform.machine(), "processors": os.cpu_count()}
    for name in only:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DNADIFF_CACHE"] = f"{folder}/cache"
            start = time.monotonic()
            results[name] = parts[name](Path(folder))
            results[name]["seconds"] = round(time.monotonic() - start, 1)
        print(json.dumps({name: {k: v for k, v in results[name].items() if k != "outcomes"}}), flush=True)
    return results


def main() -> None:
    """Runs what was asked for and writes the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    everything = ["kills", "faults", "damage", "signals"]
    parser.add_argument("--only", nargs="+", default=everything, choices=everything)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/chaos.json"))
    args = parser.parse_args()
    known = json.loads(args.out.read_text()) if args.out.exists() else {}
    args.out.write_text(json.dumps(known | chaos(args.only), indent=1) + "\n")


if __name__ == "__main__":
    main()
