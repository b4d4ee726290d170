"""Outputs that appear whole or not at all, and one builder at a time.

A file or folder is written under a temporary name beside its place, flushed to the disk and renamed; rename is atomic
within a file system (POSIX), so nobody ever reads half of it and a killed process leaves only a temporary name, which
the next builder sweeps. Builders of the same folder take turns by ``flock``, which the system releases even if the
holder is killed.
"""

import errno
import fcntl
import glob
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dnadiff.errors import DnadiffError, InputError, ResourceError

_LONGEST_NAME = 200  # bytes; file systems take 255, and temporary and provenance files have longer names


def is_stream(out: str | Path) -> bool:
    """Whether an output is written as it comes: ``-``, a device or a pipe, none of which can be renamed into place."""
    path = Path(out)
    return str(out) == "-" or (path.exists() and not path.is_file() and not path.is_dir())


def check_file(out: str | Path) -> None:
    """Refuses an output file that could not be written, before any work is done for it.

    Raises:
        InputError: It exists, its folder does not, or its name is impossible.
    """
    path = Path(out)
    if is_stream(out):
        return
    _check_name(out)
    if path.is_dir():
        raise InputError(f"{out}: is a folder; the name of a file in it would work")
    if os.path.lexists(path):
        raise InputError(f"{out}: exists; another name would work")
    if not path.parent.is_dir():
        raise InputError(f"{out}: there is no folder {path.parent}; one that exists would work")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{out}: cannot be written; a folder you may write to would work")


def check_folder(out: str | Path) -> None:
    """Refuses a name that no output folder can have.

    Raises:
        InputError: It is empty, ``-`` or impossible.
    """
    if str(out) == "-":
        raise InputError("-o -: a folder cannot go to standard output; the name of a folder would work")
    _check_name(out)


def check_inside(folder: Path, names: Iterable[str]) -> None:
    """Refuses links that lead out of a folder, where a stranger could make them point at anything.

    Args:
        folder: Where the files are.
        names: Paths within it; those that do not exist are left alone.

    Raises:
        InputError: One of them leads elsewhere.
    """
    home = folder.resolve()
    for name in names:
        if not (folder / name).resolve().is_relative_to(home):
            raise InputError(f"{folder / name}: is a link that leads out of the folder; a copy of the file would work")


def _check_name(out: str | Path) -> None:
    name = Path(out).absolute().name
    if not str(out) or "\0" in str(out) or not name:
        raise InputError(f"-o {str(out)!r}: is no name; one such as 'out' would work")
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise InputError(f"{out}: the name is longer than {_LONGEST_NAME} bytes; a shorter one would work")


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
        for leftover in out.parent.glob(f".{glob.escape(out.name)}.tmp-*"):
            _remove(leftover)
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
                _remove(old)
            else:
                folder.rename(out)
            sync(out.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove(path: Path) -> None:
    """Removes a folder with all that is in it, or a link to one without."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def lock(out: Path) -> Iterator[None]:
    """Waits until nobody else builds ``out``, and keeps others waiting during the block.

    Folders above ``out`` that are missing are made, and removed again if nothing was built in them.
    """
    path = out.absolute().with_name(f".{out.absolute().name}.lock")
    made = [folder for folder in path.parents if not folder.exists()]
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
        for folder in made:
            with suppress(OSError):  # what was built, or another builder's lock, is in it
                folder.rmdir()


def sync(path: Path) -> None:
    """Flushes a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(out: Path, left: str = "nothing was left there") -> Iterator[None]:
    """Turns failures of writing below ``out`` into one-line errors; a reader that went away stays BrokenPipeError.

    Args:
        out: What is written.
        left: What is there after a failure of the disk, in words.

    Raises:
        ResourceError: The disk or the quota is full, or the device failed.
        InputError: The place cannot be written to.
    """
    try:
        yield
    except (DnadiffError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise ResourceError(f"{out}: cannot be written ({error.strerror}); {left}; more room would work") from error
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); a folder you may write to would work"
        ) from error
