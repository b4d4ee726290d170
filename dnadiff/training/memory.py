"""Keeping freed memory instead of handing it back to the system after every operation.

Tensors of a training step are tens of megabytes. glibc maps and unmaps blocks of that size each time, and the kernel
clears every page again: a seventh of the processor time of a step on the machine measured (benchmarks/train_step.py
shows both). Imports no torch, because what it sets is read when the first tensor is made.
"""

import ctypes
import os
import sys

_ARENA_MAX, _MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -8, -4, -1, -2  # mallopt(3)


def keep_freed_memory() -> None:
    """Makes glibc reuse freed blocks and torch ask for huge pages; does nothing elsewhere than on Linux with glibc."""
    if sys.platform != "linux":
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20)):
        mallopt(option, value)
