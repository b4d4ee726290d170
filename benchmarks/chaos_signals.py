"""Signals to a training: SIGTERM, SIGINT and SIGUSR1 to one process, to either of two ranks, to their launcher.

Everybody must leave within ten seconds, with 143 (SIGINT: 130), nobody may be left behind, and a checkpoint of the last
step must be there, although none was due. torchrun passes SIGTERM and SIGINT on to its ranks and dies of SIGUSR1, which
the ranks notice. ``benchmarks.chaos`` runs this; as a module of its own it is one rank.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.chaos import child, ended, training, words
from dnadiff.cli import main as dna_diff
from dnadiff.training.writer import newest_state
from tests.runs import SETTINGS, log_of, write_genome

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 143}
ENDLESS = SETTINGS | {"train.steps": 10**6, "train.checkpoint_every": 10**6, "train.val_every": 10**6}


def wait_for_lines(run: Path, n: int, seconds: float = 120) -> None:
    """Returns once the log has n lines."""
    end = time.monotonic() + seconds
    while not (run / "log.csv").exists() or (run / "log.csv").read_bytes().count(b"\n") <= n:
        if time.monotonic() > end:
            raise TimeoutError(f"{run}: no training after {seconds} s")
        time.sleep(0.02)


def signal_alone(folder: Path, number: signal.Signals) -> dict:
    """A signal to a run of one process with data workers."""
    run, settings = folder / f"alone-{number.name}", ENDLESS | {"data.workers": 2}
    pid = child(training(write_genome(folder / "g.fa"), run, settings), folder / "stderr")
    wait_for_lines(run, 3)
    workers = _descendants(pid)
    start = time.monotonic()
    os.kill(pid, number)
    code = ended(pid, 30)
    return _outcome(number, "1 process", run, start, [code], workers)


def signal_ranks(folder: Path, number: signal.Signals, target: str) -> dict:
    """A signal to one of two ranks or to their launcher."""
    run, notes = folder / f"{target}-{number.name}", folder / f"notes-{target}-{number.name}"
    notes.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "benchmarks.chaos_signals"]
    command = [sys.executable, *launch, str(notes), write_genome(folder / "g.fa"), str(run)]
    with (folder / "stderr").open("ab") as stderr:
        launcher = subprocess.Popen(command, stdout=stderr, stderr=stderr, start_new_session=True)
    wait_for_lines(run, 3)
    pids = {f"rank {rank}": int((notes / f"pid-{rank}").read_text()) for rank in (0, 1)}
    family = _descendants(launcher.pid)
    start = time.monotonic()
    os.kill(pids.get(target, launcher.pid), number)
    while time.monotonic() - start < 30 and len(list(notes.glob("code-*"))) < 2:
        time.sleep(0.05)
    codes = [int(path.read_text()) for path in sorted(notes.glob("code-*"))]
    launcher.wait(30)
    return _outcome(number, target, run, start, codes, family) | {"launcher_code": launcher.returncode}


def rank_main(notes: str, genome: str, run: str) -> int:
    """What a rank does: trains, and notes its pid and how it left."""
    rank = os.environ["RANK"]
    Path(notes, f"pid-{rank}").write_text(str(os.getpid()))
    code = dna_diff(["train", genome, *words(ENDLESS), "-o", run, "-q"])
    Path(notes, f"code-{rank}").write_text(str(code))
    return code


def _outcome(number: signal.Signals, target: str, run: Path, start: float, codes: list, family: list[int]) -> dict:
    left = [pid for pid in family if _alive(pid)]
    while left and time.monotonic() - start < 30:
        time.sleep(0.05)
        left = [pid for pid in left if _alive(pid)]
    seconds = time.monotonic() - start
    state = newest_state(run / "checkpoints", lambda line: None)
    behind = int(log_of(run)[-1]["step"]) - state["step"] if state else None
    wanted = SIGNALS[number]
    return {
        "signal": number.name, "to": target, "codes": codes, "seconds": round(seconds, 2), "orphans": len(left),
        "checkpoint": state and state["step"], "steps_lost": behind,
        "right": set(codes) == {wanted} and not left and seconds < 10 and behind is not None and behind <= 0,
    }  # fmt: skip


def _descendants(pid: int) -> list[int]:
    found, parents = [], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for candidate in parents:
        ancestor = candidate
        while ancestor in parents and ancestor != pid:
            ancestor = parents[ancestor]
        if ancestor == pid and candidate != pid:
            found.append(candidate)
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_signals(folder: Path) -> dict:
    """All combinations."""
    outcomes = [signal_alone(folder, number) for number in SIGNALS]
    outcomes += [signal_ranks(folder, number, to) for to in ("rank 0", "rank 1", "launcher") for number in SIGNALS]
    return {"combinations": len(outcomes), "right": sum(o["right"] for o in outcomes), "outcomes": outcomes}


if __name__ == "__main__":
    sys.exit(rank_main(*sys.argv[1:]))
