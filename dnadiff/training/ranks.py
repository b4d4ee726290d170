"""Processes that train together: who is there, and what they must agree on.

``torchrun`` starts them and tells each its number through the environment. The few numbers that ranks agree on after
every step travel over gloo on the CPU, so the same code serves one process, several on one machine, and several GPUs.
A process that trains alone needs none of it, and torch is not even imported here.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def world() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_world() -> int:
    """Number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def device() -> str:
    """Where this process computes: a GPU of its own if there are GPUs, else the CPU."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


@contextmanager
def together(patience: timedelta | None = None) -> Iterator[None]:
    """The ranks that ``torchrun`` started can talk to each other inside the block; alone, nothing happens.

    Args:
        patience: How long a rank waits for the others; None is PyTorch's own limit.
    """
    if world() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    if sys.platform == "linux":  # a launcher that is killed leaves nobody behind: its ranks save and leave
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=patience)
    yield
    dist.destroy_process_group()  # not after an error: the others may be waiting in a collective call


def total(values: list[float]) -> list[float]:
    """The sums of some numbers over all ranks, the same on each."""
    if world() == 1:
        return values
    import torch
    import torch.distributed as dist

    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums)
    return sums.tolist()


def gathered(value: T) -> list[T]:
    """The values of all ranks, in their order."""
    if world() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """The value that rank 0 gave."""
    return gathered(value)[0]


def wait() -> None:
    """Returns once every rank has come here."""
    gathered(None)
