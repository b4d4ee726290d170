"""Hashes taken in a second thread are those of the bytes in their order, and what fails there is not lost."""

import hashlib
import time

import numpy as np
import pytest

from dnadiff.data.genome import build_store
from dnadiff.data.hashing import SideHash


class Slow:
    """A hash that takes longer over long chunks, and remembers them."""

    def __init__(self):
        self.taken = []

    def update(self, data):
        time.sleep(0.02 * (len(data) > 1 << 16))
        self.taken.append(len(data))


def test_chunks_come_in_order_whichever_thread_takes_them():
    slow, sizes = Slow(), [1 << 17, 5, 1 << 17, 1 << 18, 7]
    with SideHash() as hashing:
        for size in sizes:
            hashing.update(slow, bytes(size))
        hashing.wait()
        assert slow.taken == sizes
        hashing.update(slow, bytes(1 << 19))
    assert slow.taken == [*sizes, 1 << 19], "the block's end waits"


def test_a_failure_in_the_thread_is_raised():
    class Broken:
        def update(self, data):
            raise MemoryError("in the thread")

    with pytest.raises(MemoryError, match="in the thread"), SideHash() as hashing:
        hashing.update(Broken(), bytes(1 << 17))


def test_the_sums_of_a_genome_of_many_chunks(tmp_path):
    """The contig's MD5 is that of its upper-case letters, the source's SHA-256 that of the file."""
    letters = np.frombuffer(b"ACGTacgtNR", dtype=np.uint8)[np.random.default_rng(1).integers(0, 10, 1_300_000)]
    sequence = letters.tobytes()
    lines = b"\n".join(sequence[i : i + 70] for i in range(0, len(sequence), 70))
    text = b">first\nACGT\n>long\n" + lines + b"\n>last\nGG\n"
    (tmp_path / "genome.fa").write_bytes(text)
    store = build_store(tmp_path / "genome.fa", tmp_path / "store")
    assert store.source_sha256 == hashlib.sha256(text).hexdigest()
    sums = [hashlib.md5(piece).hexdigest() for piece in (b"ACGT", sequence.upper(), b"GG")]
    assert [contig["md5"] for contig in store.index["contigs"]] == sums
