"""What this machine computes fastest with: the answers behind ``precision=auto`` and ``compile=auto``."""

import os
import shutil
from pathlib import Path

import torch


def has_fast_bf16() -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 here.

    True on GPUs with bf16 units and on processors with AMX. Without AMX the CPU emulates bf16: on an AVX-512 processor
    products ran at a third of the float32 speed (benchmarks/train_step.py).
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return "amx_bf16" in processor_flags()


def processor_flags() -> set[str]:
    """The features that Linux reports of the processor; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return set()
    flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())


def compiler() -> str | None:
    """Path of the C++ compiler that torch.compile would call on a CPU, or None."""
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((path for name in names if name and (path := shutil.which(name))), None)
