"""What this machine has to compute with: processor, memory, GPU, what attention and the compiler need, and disks.

``training.hardware`` answers what is fast here; this module asks it, so that doctor says what training will do.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dnadiff.recipes.findings import Finding, note, ok, problem

GIB = 2**30
LOW_DISK = 1 * GIB
LOW_MEMORY = 2 * GIB


def compute_findings() -> Iterator[Finding]:
    """Processor, threads, GPU, bf16, attention and compiler; imports torch."""
    import torch

    from dnadiff.training.hardware import compiler

    yield _bridge()
    yield ok("processor", f"{_cores()} cores, {torch.backends.cpu.get_cpu_capability()}")
    yield _threads(torch.get_num_threads(), _cores())
    yield from _gpus()
    yield _bf16()
    yield ok("attention", _attention(torch.cuda.is_available()))
    path = compiler()
    missing = note("C++ compiler", "none: compile=true cannot be honoured on a CPU (nothing else needs one)")
    yield ok("C++ compiler", path) if path else missing


def memory_finding(available: int | None) -> Finding:
    """How much memory is left.

    Args:
        available: Bytes; None if the system does not say.
    """
    if available is None:
        return ok("memory", "the system does not say")
    text = f"{available / GIB:.1f} GiB available"
    if available < LOW_MEMORY:
        return note("memory", f"{text}: little; model=nano with optim.batch_size=8 needs 0.5")
    return ok("memory", text)


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a new process can use, the limit of a container included; None where Linux's files are missing."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        limit = int((cgroup / "memory.max").read_text())  # "max" is no number: no limit
        return min(free, limit - int((cgroup / "memory.current").read_text()))
    except (OSError, ValueError):
        return free


def disk_finding(name: str, folder: Path) -> Finding:
    """Whether a folder, which need not exist yet, can be written to and has room.

    Args:
        name: What it is for.
        folder: The folder.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return problem(f"disk, {name}", f"{folder} cannot be written to; another folder would work")
    if free < LOW_DISK:
        needed = f"a run needs {LOW_DISK / GIB:.0f}; another disk would work"
        return problem(f"disk, {name}", f"{folder} has only {free / GIB:.1f} GiB left; {needed}")
    return ok(f"disk, {name}", f"{free / GIB:.1f} GiB free ({folder})")


def cache_folder() -> Path:
    """Where stores of genomes that were given as FASTA files are kept."""
    return Path(os.environ.get("DNADIFF_CACHE") or Path.home() / ".cache" / "dnadiff")


def _bridge() -> Finding:
    """Whether torch and numpy were built for each other: torch without numpy fails at the first array."""
    import numpy as np
    import torch

    try:
        whole = torch.from_numpy(np.arange(3)).sum().item() == 3
    except RuntimeError as error:
        return problem("torch and numpy", f"do not go together ({str(error).splitlines()[0]}); install both again")
    return ok("torch and numpy", "exchange arrays") if whole else problem("torch and numpy", "exchange wrong numbers")


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _threads(threads: int, cores: int) -> Finding:
    if threads < cores:
        return note("threads", f"{threads}, fewer than the cores: OMP_NUM_THREADS and -j/--threads set them")
    return ok("threads", threads)


def _gpus() -> Iterator[Finding]:
    import torch

    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield ok(f"gpu {index}", f"{gpu.name}, {gpu.total_memory / GIB:.0f} GiB")
    if not torch.cuda.is_available():
        driver = Path("/proc/driver/nvidia/version").exists()
        unused = f"there is a driver, but torch {torch.__version__} finds no GPU; a CUDA build of torch may"
        yield note("gpu", unused) if driver else ok("gpu", "none: everything runs on the processor")


def _bf16() -> Finding:
    from dnadiff.training.hardware import has_fast_bf16

    if has_fast_bf16():
        return ok("bf16", "fast: precision=auto trains in it")
    return ok("bf16", "slower than fp32 here (no AMX, no GPU with bf16 units): precision=auto trains in fp32")


def _attention(gpu: bool) -> str:
    """The backends that training can use here."""
    from dnadiff.recipes.versions import installed

    names = ["sdpa"] + ["flex"] * gpu + ["flash"] * (gpu and installed("flash-attn") is not None)
    return ", ".join(names) + ("" if gpu else " (flex and flash train on GPUs only)")
