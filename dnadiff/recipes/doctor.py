"""``dna-diff doctor``: is this machine fit to train and sample, and is this file a genome?

Every line is a fact that was looked up now. What makes dnadiff unusable is collected and ends the report as one error.
"""

import os
import platform
import re
import shutil
from collections import Counter
from importlib import metadata
from pathlib import Path

from dnadiff import __version__
from dnadiff.errors import InputError

CORE = (
    "torch",
    "lightning",
    "numpy",
    "einops",
    "biopython",
    "pyfaidx",
    "scikit-learn",
    "safetensors",
    "hydra-core",
    "rich",
)
CORE += ("tokenizers", "matplotlib", "tensorboard")
EXTRAS = ("flash-attn", "transformers", "wandb")
LEAST = {"torch": (2, 10), "lightning": (2, 6, 4), "numpy": (2,), "hydra-core": (1, 3, 8), "transformers": (5, 3)}
WHY = {
    "torch": "older versions can be made to run code by a checkpoint (CVE-2026-24747)",
    "lightning": "2.6.2 and 2.6.3 were malicious uploads (GHSA-w37p-236h-pfx3)",
    "transformers": "older versions can be made to run code by a config.json (CVE-2026-4372)",
}
LOW_DISK = 2**30


def doctor(fasta: str | None = None) -> None:
    """Prints what this machine has and, if a file is named, what is in it.

    Args:
        fasta: A FASTA file to read through.

    Raises:
        InputError: Something makes dnadiff or the file unusable.
    """
    problems = _versions()
    if not any(problem.startswith("torch ") for problem in problems):
        _device()
    problems += _disk()
    if fasta is not None:
        _genome(fasta)
    if problems:
        raise InputError("; ".join(problems))
    print("all good")


def _line(name: str, value: object) -> None:
    print(f"{name:<18}{value}")


def _versions() -> list[str]:
    """Prints the versions of the packages; returns what is wrong with them."""
    _line("dnadiff", __version__)
    _line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    problems = []
    for name in (*CORE, *EXTRAS):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            _line(name, "missing" if name in CORE else "not installed (optional)")
            problems += [f"{name} is missing; install dnadiff again"] if name in CORE else []
            continue
        _line(name, version)
        if reason := too_old(name, version):
            problems.append(reason)
    return problems


def too_old(name: str, version: str) -> str | None:
    """Why a version of a package must not be used, or None."""
    least = LEAST.get(name)
    numbers = tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))
    if least is None or numbers >= least:
        return None
    why = WHY.get(name, "it lacks what dnadiff needs")
    return f"{name} {version} must not be used: {why}; install {'.'.join(map(str, least))} or newer"


def _device() -> None:
    """Prints what there is to compute with."""
    import torch

    from dnadiff.training.hardware import compiler, processor_flags

    flags = processor_flags()
    _line("processor", f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}")
    _line("threads", torch.get_num_threads())
    known = {"amx_bf16": "AMX (fast)", "avx512_bf16": "AVX-512 (fast)"}
    _line("bf16", next((text for flag, text in known.items() if flag in flags), "no hardware support: train in fp32"))
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        _line(f"gpu {index}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        _line("gpu", "none")
    _line("attention", ", ".join(_attention(torch.cuda.is_available())))
    _line("C++ compiler", compiler() or "none: compile=true cannot be honoured on a CPU")


def _attention(gpu: bool) -> list[str]:
    backends = ["sdpa"]
    if gpu:
        backends.append("flex")
        try:
            metadata.version("flash-attn")
            backends.append("flash")
        except metadata.PackageNotFoundError:
            pass
    return backends


def _disk() -> list[str]:
    """Prints the free space where runs and stores go; returns what is wrong with it."""
    cache = Path(os.environ.get("DNADIFF_CACHE") or Path.home() / ".cache" / "dnadiff")
    problems = []
    for name, folder in (("here", Path.cwd()), ("cache", cache)):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        _line(f"disk, {name}", f"{free / 2**30:.1f} GiB free ({folder})")
        if free < LOW_DISK:
            problems.append(f"{folder}: only {free / 2**30:.1f} GiB free; a run needs {LOW_DISK / 2**30:.0f}")
        if not os.access(there, os.W_OK):
            problems.append(f"{folder}: cannot be written; choose another folder")
    return problems


def _genome(fasta: str) -> None:
    """Prints what a FASTA file holds, reading it once in bounded memory."""
    import numpy as np

    from dnadiff.data.fasta import FastaReader, Header

    reader, names = FastaReader(fasta), []
    total, counts = 0, np.zeros(256, dtype=np.int64)
    for event in reader:
        if isinstance(event, Header):
            names.append(event.name)
        else:
            total += len(event.bases)
            counts += event.counts
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"{fasta}: found the name {repeated[0]} twice; prepare --rename-duplicates would work")
    known = {letter: int(counts[ord(letter)] + counts[ord(letter.lower())]) for letter in "ACGTU"}
    bases = sum(known.values())
    _line("genome", f"{len(names)} contigs, {total:,} bp")
    _line("GC", f"{100 * (known['G'] + known['C']) / max(bases, 1):.1f} %")
    _line("unknown bases", f"{100 * (total - bases) / total:.2f} %")
    for note, times in sorted(reader.notes.items()):
        if times:
            _line("normalised", f"{note.replace('_', ' ')}: {times:,}")
