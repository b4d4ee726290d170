"""Outputs that appear whole or not at all, and one builder at a time.

A file or folder is written under a temporary name beside its place, flushed to the disk and renamed; rename is atomic
within a file system (POSIX), so nobody ever reads half of it and a killed process leaves only a temporary name, which
the next builder sweeps. Builders of the same folder take turns by ``flock``, which the system releases even if the
holder is killed.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnadiff.errors import DnadiffError, InputError, ResourceError


@contextmanager
def new_folder(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes ``out`` if the block succeeds and vanishes if it fails.

    Call it while holding ``lock(out)``: leftovers of killed builders of the same folder are removed.

    Args:
        out: The folder to make; its parents are made too.
        replace: Let it take the place of an existing folder.

    Raises:
        ResourceError: No space, or another failure of the disk.
    """
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        for leftover in out.parent.glob(f".{out.name}.tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = out.with_name(f".{out.name}.tmp-{os.getpid()}")
        folder.mkdir()
    try:
        with disk_errors(out):
            yield folder
            sync(folder)
            if replace and out.exists():
                old = out.with_name(f".{out.name}.tmp-old-{os.getpid()}")
                out.rename(old)
                folder.rename(out)
                shutil.rmtree(old, ignore_errors=True)
            else:
                folder.rename(out)
            sync(out.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def lock(out: Path) -> Iterator[None]:
    """Waits until nobody else builds ``out``, and keeps others waiting during the block."""
    path = out.with_name(f".{out.name}.lock")
    with disk_errors(out):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                if os.fstat(handle).st_ino == os.stat(path).st_ino:
                    break
            except FileNotFoundError:
                pass
            os.close(handle)  # the one we waited for removed it: its lock no longer excludes anybody
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def sync(path: Path) -> None:
    """Flushes a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(out: Path, left: str = "nothing was left there") -> Iterator[None]:
    """Turns failures of writing below ``out`` into one-line errors.

    Args:
        out: What is written.
        left: What is there after a failure of the disk, in words.

    Raises:
        ResourceError: The disk or the quota is full, or the device failed.
        InputError: The place cannot be written to.
    """
    try:
        yield
    except DnadiffError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise ResourceError(f"{out}: cannot be written ({error.strerror}); {left}") from error
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); a folder you may write to would work"
        ) from error
