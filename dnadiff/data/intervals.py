"""Stretches of a genome, and the two ways people write them.

Inside, positions are 0-based and half-open, so that ``end - start`` is the length. At the door, a region such as
``chr1:1,001-2,000`` counts from 1 and includes its end, as in genome browsers and samtools; a BED file (UCSC) is
0-based and half-open already. A name that the genome does not have is the commonest mistake of all (``1`` for
``chr1``), so the message suggests the name that was probably meant.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from dnadiff.data.stream import text_lines
from dnadiff.errors import InputError

_MOST_ROWS = 10_000_000  # of a BED file; about 2 GB of memory


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """The bases ``start`` to ``end`` of contig ``chrom`` (0-based, half-open), read on ``strand`` ``+`` or ``-``."""

    chrom: str
    start: int
    end: int
    strand: str = "+"

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.chrom}:{self.start + 1}-{self.end}:{self.strand}"


@dataclass(frozen=True, slots=True)
class BedRow:
    """One line of a BED file: its interval, its fourth column (None without one), its number, and the file's name."""

    interval: Interval
    name: str | None
    line: int
    file: str = "BED file"


def check_interval(interval: Interval, sizes: Mapping[str, int], place: str) -> None:
    """Returns nothing if an interval lies within the genome and is not empty.

    Args:
        interval: What to check.
        sizes: Length in bp of each contig.
        place: Where the interval comes from, for the message.

    Raises:
        InputError: It does not.
    """
    if interval.chrom not in sizes:
        raise InputError(f"{place}: {unknown_contig(interval.chrom, sizes)}")
    size = sizes[interval.chrom]
    if not 0 <= interval.start < interval.end <= size:
        raise InputError(
            f"{place}: found {interval.chrom} {interval.start}-{interval.end}; "
            f"within 0-{size}, the length of {interval.chrom}, and start before end would work"
        )


def unknown_contig(name: str, known: Iterable[str]) -> str:
    """A message that a genome has no contig of this name, with the one probably meant or the first it has."""
    names = list(known)
    meant = _probably_meant(name, names)
    if meant:
        return f"found contig '{name}', which the genome does not have; did you mean '{meant}'?"
    first = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return f"found contig '{name}', which the genome does not have; it has {first}"


def _probably_meant(name: str, names: list[str]) -> str | None:
    bare = {_bare(known): known for known in reversed(names)}
    if _bare(name) in bare:
        return bare[_bare(name)]
    return next(iter(get_close_matches(name, names, n=1, cutoff=0.7)), None)


def _bare(name: str) -> str:
    """A contig name without case, the prefix ``chr`` and a version; the mitochondrion is M."""
    bare = name.lower().removeprefix("chr").split(".")[0]
    return "m" if bare == "mt" else bare


def read_bed(path: str | Path, sizes: Mapping[str, int]) -> list[BedRow]:
    """The rows of a BED file of three or more columns (chrom, start, end, name, score, strand), plain or gzip.

    Comments, ``track`` and ``browser`` lines and empty lines are skipped.

    Args:
        path: The file, or ``-``.
        sizes: Length in bp of each contig of the genome.

    Raises:
        InputError: A line is no interval of the genome (the message names it), or there is none.
    """
    rows = []
    for number, line in text_lines(path):
        text = line.strip()
        if not text or text.startswith("#") or re.match(r"(track|browser)\b", text):
            continue
        place = f"{path}:{number}"
        fields = text.split("\t") if "\t" in text else text.split()
        interval = _bed_interval(fields, place)
        check_interval(interval, sizes, place)
        name = sys.intern(fields[3].strip()) if len(fields) > 3 else None
        rows.append(BedRow(interval, name, number, str(path)))
        if len(rows) > _MOST_ROWS:
            raise InputError(f"{place}: found more than {_MOST_ROWS:,} intervals; merged ones would work")
    if not rows:
        raise InputError(f"{path}: found no interval; lines of 'chrom<TAB>start<TAB>end' would work")
    return rows


def _bed_interval(fields: list[str], place: str) -> Interval:
    if len(fields) < 3:
        raise InputError(f"{place}: found {len(fields)} column(s); chrom, start and end, separated by tabs, would work")
    chrom, start, end = (field.strip() for field in fields[:3])
    for value in (start, end):
        if not (value.isascii() and value.isdigit()):
            raise InputError(f"{place}: found '{value}' where a position is due; a whole number from 0 would work")
    strand = fields[5].strip() if len(fields) > 5 else "+"
    if strand not in ("+", "-", "."):
        raise InputError(f"{place}: found strand '{strand}'; '+', '-' or '.' would work")
    return Interval(sys.intern(chrom), _position(start, place), _position(end, place), "-" if strand == "-" else "+")


def _position(text: str, place: str) -> int:
    if len(text) > 18:  # beyond any genome, and int() of a million digits takes minutes
        raise InputError(f"{place}: found a position of {len(text)} digits; one within the contig would work")
    return int(text)


def total_bp(intervals: Iterable[Interval]) -> int:
    """Sum of the lengths in bp; what lies in two intervals counts twice."""
    return sum(len(interval) for interval in intervals)


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same bases as disjoint intervals of the ``+`` strand, sorted by name and start."""
    out: list[Interval] = []
    for interval in sorted(replace(i, strand="+") for i in intervals):
        if out and out[-1].chrom == interval.chrom and interval.start <= out[-1].end:
            out[-1] = replace(out[-1], end=max(out[-1].end, interval.end))
        else:
            out.append(interval)
    return out


def overlap_bp(a: Iterable[Interval], b: Iterable[Interval]) -> int:
    """How many bases of the genome lie in both sets, whatever the strand; each base counts once."""
    return total_bp(intersect(a, merged(b)))


def intersect(a: Iterable[Interval], b: Iterable[Interval]) -> list[Interval]:
    """The parts of ``b`` that lie in ``a``, in the order of ``b`` and on its strands."""
    by_chrom: dict[str, list[Interval]] = {}
    for interval in merged(a):
        by_chrom.setdefault(interval.chrom, []).append(interval)
    ends = {chrom: np.array([i.end for i in parts]) for chrom, parts in by_chrom.items()}
    out = []
    for piece in b:
        parts = by_chrom.get(piece.chrom, [])
        first = int(np.searchsorted(ends[piece.chrom], piece.start, side="right")) if parts else 0
        for number in range(first, len(parts)):  # a slice would copy all that follows, for every piece
            part = parts[number]
            if part.start >= piece.end:
                break
            out.append(replace(piece, start=max(piece.start, part.start), end=min(piece.end, part.end)))
    return out
