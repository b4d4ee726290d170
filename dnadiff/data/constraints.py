"""What a designed sequence must not contain, and the check that it does not.

    motifs        IUPAC words that may occur on neither strand; restriction sites by the name of their enzyme
    homopolymer   the longest run of one base
    GC            least and greatest share of G and C in every window of some length, or in the whole sequence

``violations`` is the last word on a sequence. It reads the letters alone, with regular expressions and sums, and shares
nothing with the code that steers the sampling (``lookahead``), so neither can hide a fault of the other.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import cache

import numpy as np

from dnadiff.data.template import LETTERS, Template, complementary, letters_of, sets_of
from dnadiff.errors import InputError

_GC = re.compile(r"(\d*\.?\d+)-(\d*\.?\d+)(?::(\d+))?")
_STRAND = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True)
class Motif:
    """A word that may not occur on either strand: how messages call it, and its IUPAC letters."""

    name: str
    letters: str


@dataclass(frozen=True)
class GcRange:
    """Least and greatest share of G and C, in [0, 1], of every window of ``window`` bp; None is the whole sequence.

    A sequence shorter than the window is one window.
    """

    low: Fraction
    high: Fraction
    window: int | None

    def __str__(self) -> str:
        return f"{float(self.low):g}-{float(self.high):g}" + (f":{self.window}" if self.window else "")

    def counts(self, length: int) -> tuple[int, int, int]:
        """Least and greatest number of G and C in a window of a sequence of ``length`` bp, and the window's bp."""
        window = length if self.window is None else min(self.window, length)
        return math.ceil(self.low * window), math.floor(self.high * window), window


@dataclass(frozen=True)
class Constraints:
    """What a designed sequence must keep to.

    Attributes:
        motifs: Words that may not occur on either strand.
        gc: Share of G and C; None leaves it free.
        max_homopolymer: Longest run of one base, at least 1; None leaves it free.
    """

    motifs: tuple[Motif, ...] = ()
    gc: GcRange | None = None
    max_homopolymer: int | None = None

    def __bool__(self) -> bool:
        return bool(self.motifs) or self.gc is not None or self.max_homopolymer is not None

    def words(self) -> list[tuple[int, ...]]:
        """Every word that may not be read from left to right, as sets of bases, each once."""
        forward = [tuple(int(number) for number in sets_of(motif.letters)) for motif in self.motifs]
        both = [word for motif in forward for word in (motif, complementary(motif))]
        if self.max_homopolymer is not None:
            both += [(base,) * (self.max_homopolymer + 1) for base in (1, 2, 4, 8)]
        return list(dict.fromkeys(both))


@dataclass(frozen=True)
class Violation:
    """Something that must not be: the bases ``start`` to ``end`` (0-based, half-open) and what is wrong there."""

    start: int
    end: int
    what: str

    def __str__(self) -> str:
        return f"{self.what} at {self.start + 1}-{self.end}"


def parse_constraints(
    gc: str | None, avoid: Iterable[str], avoid_sites: Iterable[str], max_homopolymer: int | None
) -> Constraints:
    """The constraints in the words of the command line.

    Args:
        gc: As ``parse_gc`` reads it; None leaves it free.
        avoid: IUPAC motifs.
        avoid_sites: Names of restriction enzymes.
        max_homopolymer: Longest run of one base, at least 1; None leaves it free.

    Raises:
        InputError: One of them cannot be understood, or no sequence could keep to it.
    """
    if max_homopolymer is not None and max_homopolymer < 1:
        raise InputError(f"--max-homopolymer {max_homopolymer}: needs 1 or more")
    names = list(avoid_sites)
    motifs = tuple(parse_motif(letters) for letters in avoid) + (sites_of(names) if names else ())
    return Constraints(motifs, None if gc is None else parse_gc(gc), max_homopolymer)


def parse_motif(letters: str) -> Motif:
    """The motif of IUPAC letters.

    Raises:
        InputError: A letter is none, or every sequence contains it.
    """
    try:
        sets = sets_of(letters)
    except ValueError as error:
        raise InputError(f"--avoid {letters}: {error}") from error
    if not len(sets) or (sets == 15).all():
        raise InputError(f"--avoid {letters}: is in every sequence; a motif such as GGTCTC or GANTC would work")
    return Motif(letters.upper(), letters_of(sets))


def sites_of(names: Sequence[str]) -> tuple[Motif, ...]:
    """The recognition sites of restriction enzymes (REBASE, as shipped with Biopython), in the order of the names.

    Raises:
        InputError: There is no enzyme of a name.
    """
    known = _known_sites()
    unknown = [name for name in names if name not in known]
    if unknown:
        lower = {name.lower(): name for name in known}
        word = unknown[0].lower()
        near = sorted(lower[name] for name in ([word] if word in lower else get_close_matches(word, lower)))
        hint = f"did you mean {' or '.join(near)}?" if near else "names of REBASE such as EcoRI or BsaI would work"
        raise InputError(f"--avoid-sites {unknown[0]}: no such enzyme; {hint}")
    return tuple(Motif(f"{name} ({site})", site) for name in names for site in known[name].split("|"))


@cache
def _known_sites() -> dict[str, str]:
    """The site of every enzyme by name; of several sites with a bar between them."""
    from Bio.Restriction import AllEnzymes

    return {str(enzyme): enzyme.site for enzyme in AllEnzymes}


def parse_gc(text: str) -> GcRange:
    """The range of ``LOW-HIGH`` or ``LOW-HIGH:WINDOW``, such as ``0.4-0.6:100``.

    Raises:
        InputError: It is none, or no window could keep to it.
    """
    match = _GC.fullmatch(text)
    if match is None:
        raise InputError(f"--gc {text}: is not LOW-HIGH or LOW-HIGH:WINDOW; 0.4-0.6 or 0.4-0.6:100 would work")
    low, high = Fraction(match[1]), Fraction(match[2])
    window = int(match[3]) if match[3] else None
    if high > 1:
        raise InputError(f"--gc {text}: found a share above 1; shares from 0 to 1 such as 0.4-0.6 would work")
    if low > high:
        raise InputError(f"--gc {text}: the bounds are reversed; {match[2]}-{match[1]} would work")
    if window == 0:
        raise InputError(f"--gc {text}: a window of 0 bases; 1 or more would work")
    return GcRange(low, high, window)


def violations(sequence: str, constraints: Constraints) -> list[Violation]:
    """Everything in a sequence that breaks the constraints, from left to right; none means that it keeps to them.

    Args:
        sequence: Upper-case letters; those that are not A, C, G or T are taken to be no base, and a window of GC that
            has one is left out.
        constraints: What it must keep to.
    """
    found = [violation for motif in constraints.motifs for violation in _occurrences(sequence, motif)]
    if constraints.max_homopolymer is not None:
        for run in re.finditer(r"([ACGT])\1*", sequence):
            if len(run[0]) > constraints.max_homopolymer:
                found.append(Violation(run.start(), run.end(), f"a run of {len(run[0])} {run[1]}"))
    if constraints.gc is not None:
        found += _gc_windows(sequence, constraints.gc)
    return sorted(found, key=lambda violation: (violation.start, violation.end, violation.what))


def departures(sequence: str, template: Template) -> list[Violation]:
    """The positions of a sequence that its template does not allow; one of another length departs as a whole."""
    if len(sequence) != len(template):
        return [Violation(0, len(template), f"{len(sequence)} bases where {len(template)} are due")]
    pattern = letters_of(template.sets)
    return [
        Violation(i, i + 1, f"{base} where the template has {letter}")
        for i, (base, letter) in enumerate(zip(sequence, pattern, strict=True))
        if not re.fullmatch(_class(letter), base)
    ]


def _occurrences(sequence: str, motif: Motif) -> list[Violation]:
    """Where a motif lies on either strand, overlapping ones too; the other strand is read as it is, 5' to 3'."""
    word = re.compile(f"(?={''.join(_class(letter) for letter in motif.letters)})")
    size, length = len(motif.letters), len(sequence)
    starts = {match.start() for match in word.finditer(sequence)}
    other = sequence.translate(_STRAND)[::-1]
    starts |= {length - size - match.start() for match in word.finditer(other)}
    return [Violation(start, start + size, motif.name) for start in starts]


def _class(letter: str) -> str:
    """The regular expression of an IUPAC letter."""
    number = LETTERS.index(letter)
    return "[" + "".join(base for bit, base in enumerate("ACGT") if number >> bit & 1) + "]"


def _gc_windows(sequence: str, gc: GcRange) -> list[Violation]:
    """Windows with too little or too much G and C; overlapping ones are joined, and named by the first."""
    low, high, window = gc.counts(len(sequence))
    letters = np.frombuffer(sequence.encode(), dtype=np.uint8)
    sums = [np.concatenate([[0], np.isin(letters, list(kind)).cumsum()]) for kind in (b"GC", b"ACGT")]
    many, known = (total[window:] - total[:-window] for total in sums)
    out: list[Violation] = []
    for start in np.flatnonzero(((many < low) | (many > high)) & (known == window)).tolist():
        if out and start < out[-1].end:
            out[-1] = Violation(out[-1].start, start + window, out[-1].what)
        else:
            out.append(Violation(start, start + window, f"{many[start]} G or C in {window} bases"))
    return out
