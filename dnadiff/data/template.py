"""Templates of sequences to design: IUPAC letters that say what each position may become.

A letter names a set of bases (NC-IUB, Nucleic Acids Research 13:3021, 1985): A, C, G and T (or U) name one, which is
then fixed; R is A or G, Y is C or T, S is C or G, W is A or T, K is G or T, M is A or C; B, D, H and V leave out A, C,
G and T in turn; N is any. A set is four bits, A 1, C 2, G 4, T 8, so that the set of the other strand's bases is the
bits in reverse order. Upper and lower case mean the same.

A template file is FASTA. A BED file may free intervals of it: there every letter, whatever it was, means N, and all
others keep their meaning.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dnadiff.data.fasta import FastaReader, Header, Piece
from dnadiff.data.intervals import BedRow, read_bed
from dnadiff.errors import InputError

LETTERS = "-ACMGRSVTWYHKDBN"
"""The letter of each set of bases: number 5 = 1 + 4 is A or G, R; no base at all is a dash."""

ANY = 15
_SETS = {letter: number for number, letter in enumerate(LETTERS) if number} | {"U": 8}
_SIZE = np.array([number.bit_count() for number in range(16)])
_ASCII = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
_TABLE = np.zeros(256, dtype=np.uint8)
_TABLE[[ord(letter) for letter in _SETS]] = list(_SETS.values())


@dataclass(frozen=True)
class Template:
    """What a sequence must look like.

    Attributes:
        name: Of its record.
        sets: The bases each position may become, (length,) uint8 of 1 to 15.
        place: File and line, for messages.
    """

    name: str
    sets: np.ndarray
    place: str

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def open(self) -> np.ndarray:
        """Positions with a choice, (length,) bool; the others are fixed."""
        return _SIZE[self.sets] > 1

    @property
    def restricted(self) -> np.ndarray:
        """Positions of two or three bases, (length,) bool."""
        return self.open & (self.sets != ANY)


def sets_of(letters: str) -> np.ndarray:
    """The set of each IUPAC letter, (length,) uint8; upper and lower case and U are understood.

    Raises:
        ValueError: A letter is none.
    """
    for position, letter in enumerate(letters.upper(), 1):
        if letter not in _SETS:
            raise ValueError(f"found {letter!r} at position {position}; {' '.join(_SETS)} would work")
    return np.array([_SETS[letter] for letter in letters.upper()], dtype=np.uint8)


def letters_of(sets: np.ndarray) -> str:
    """The IUPAC letter of each set, of (length,) integers of 0 to 15."""
    return _ASCII[sets].tobytes().decode("ascii")


def complementary(sets: Sequence[int]) -> tuple[int, ...]:
    """The sets of the other strand, read 5' to 3'."""
    return tuple(int(f"{number:04b}"[::-1], 2) for number in reversed(sets))


def read_templates(path: str | Path, mask: str | Path | None = None, *, longest: int | None = None) -> list[Template]:
    """The templates of a FASTA file, in its order.

    Args:
        path: FASTA, plain or gzip, or ``-`` for standard input.
        mask: BED file of intervals in which every letter means N.
        longest: Most letters of one template; None allows any number.

    Raises:
        InputError: A file cannot be read, a template is empty, too long or leaves no choice, or a name occurs twice.
    """
    if str(path) == "-" and str(mask) == "-":
        raise InputError("--mask -: standard input holds the templates already; a file would work")
    templates: dict[str, Template] = {}
    for template in _records(path, longest):
        if template.name in templates:
            raise InputError(f"{template.place}: found the name {template.name} twice; a name for each would work")
        templates[template.name] = template
    if mask is not None:
        rows = read_bed(mask, {template.name: len(template) for template in templates.values()})
        templates = {template.name: _freed(template, rows) for template in templates.values()}
    for template in templates.values():
        if not template.open.any():
            works = "N, R and the like, or --mask" if mask is None else f"an interval of it in {mask}"
            raise InputError(f"{template.place}: template {template.name} leaves nothing to design; {works} would work")
    return list(templates.values())


def _records(path: str | Path, longest: int | None) -> Iterator[Template]:
    reader = FastaReader(path, pattern=True)
    header, letters = None, bytearray()
    for event in reader:
        if isinstance(event, Piece):
            letters += event.letters
            if longest is not None and len(letters) > longest:
                place = f"{reader.source.name}:{header.line if header else 1}"
                raise InputError(f"{place}: found a template of more than {longest} letters; 1 to {longest} would work")
            continue
        if header is not None:
            yield _template(reader, header, letters)
        header, letters = event, bytearray()
    if header is not None:
        yield _template(reader, header, letters)


def _template(reader: FastaReader, header: Header, letters: bytes) -> Template:
    sets = _TABLE[np.frombuffer(bytes(letters), dtype=np.uint8)]
    return Template(header.name, sets, f"{reader.source.name}:{header.line}")


def _freed(template: Template, rows: Iterable[BedRow]) -> Template:
    sets = template.sets.copy()
    for row in rows:
        if row.interval.chrom == template.name:
            sets[row.interval.start : row.interval.end] = ANY
    return replace(template, sets=sets)
