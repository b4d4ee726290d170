"""Hashing while the caller goes on: a genome is hashed twice as it is prepared, which is half of the work.

``hashlib`` lets go of the interpreter's lock while it reads more than 2 KiB, so a second thread hashes one chunk as the
first parses the next. Small sources never start a thread.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

_ASIDE = 1 << 16  # bytes from which handing over to another thread costs less than it saves


class Digest(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None:
        """Takes in some bytes."""


class SideHash:
    """A thread beside the caller's in which hashes take in chunks, in their order; the block's end waits for it.

    One chunk is under way at most, so memory stays bounded.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def update(self, digest: Digest, data: bytes) -> None:
        """Lets a hash take in some bytes, which must not change; those given before come first."""
        self.wait()
        if len(data) < _ASIDE:
            digest.update(data)
        else:
            self._under_way = self._pool.submit(digest.update, data)

    def wait(self) -> None:
        """Returns once the hashes have taken in all they were given."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None
