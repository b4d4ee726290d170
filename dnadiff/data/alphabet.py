"""Byte tables of the DNA alphabet: what each letter of a sequence file means.

A base is stored as one byte: bits 0-2 hold its code (A 0, C 1, G 2, T 3, N 4) and bit 7 says that the letter was lower
case, which is how genomes mark repeats (soft-masking, as written by RepeatMasker and by UCSC). RNA's U is read as T,
and the IUPAC ambiguity letters (R Y S W K M B D H V: NC-IUB, Nucleic Acids Research 13:3021, 1985) as N, since none of
them says which base is there. Everything is a table of 256 entries indexed by the letter's byte, so a whole chunk is
translated at once.
"""

import numpy as np

A, C, G, T, N = range(5)
HIDDEN = 5
"""Code of a base that is there but not shown; no letter means it and no store has it."""

LETTERS = "ACGTN"
CODE_BITS = 0x07
SOFT_MASKED = 0x80

_AMBIGUOUS = b"RYSWKMBDHV"
_AMINO_ACIDS = b"EFILPQZJOX"  # letters that mean something in proteins and nothing in nucleotides


def _codes() -> bytes:
    table = bytearray(256)
    upper = {ord(letter): code for code, letter in enumerate(LETTERS)} | {ord("U"): T} | dict.fromkeys(_AMBIGUOUS, N)
    for byte, code in upper.items():
        table[byte] = code
        table[byte + 32] = code | SOFT_MASKED
    return bytes(table)


def _is(letters: bytes) -> np.ndarray:
    mask = np.zeros(256, dtype=bool)
    mask[list(letters)] = True
    return mask


CODES = _codes()
"""Stored byte of each letter; meaningful where ``IS_BASE``."""

IS_BASE = _is((LETTERS + "U").encode() + _AMBIGUOUS + (LETTERS + "U").lower().encode() + _AMBIGUOUS.lower())
"""Which bytes are letters of a nucleotide sequence, (256,) bool."""

IS_LOWER = IS_BASE & _is(bytes(range(ord("a"), ord("z") + 1)))
IS_AMBIGUOUS = _is(_AMBIGUOUS + _AMBIGUOUS.lower())
IS_URACIL = _is(b"Uu")
IS_GAP = _is(b"-.*")
IS_BLANK = _is(b" \t\v\f")
BLANKS = b" \t\v\f"
GAPS = b"-.*"

COMPLEMENT = np.array([T, G, C, A, N, HIDDEN], dtype=np.uint8)
"""Code of the base that pairs with each code, (6,)."""

_ASCII = np.frombuffer(LETTERS.encode(), dtype=np.uint8)


def encode(sequence: str) -> np.ndarray:
    """Stored bytes of a sequence, (length,) uint8: codes in bits 0-2, lower case in bit 7.

    Args:
        sequence: Nucleotide letters of either case.

    Raises:
        ValueError: A letter is no nucleotide.
    """
    letters = sequence.encode()
    array = np.frombuffer(letters, dtype=np.uint8)
    if not IS_BASE[array].all():
        first = int(np.argmin(IS_BASE[array]))
        raise ValueError(
            f"position {first + 1}: found {describe(letters[first])}; A C G T U N and IUPAC codes would work"
        )
    return np.frombuffer(letters.translate(CODES), dtype=np.uint8)


def decode(bases: np.ndarray) -> str:
    """Upper-case A C G T N letters of stored bytes of any soft-masking, (length,) uint8."""
    return _ASCII[bases & CODE_BITS].tobytes().decode("ascii")


def reverse_complement(bases: np.ndarray) -> np.ndarray:
    """The other strand, read 5' to 3', of stored bytes (length,) uint8; soft-masking travels with its base."""
    return (COMPLEMENT[bases & CODE_BITS] | (bases & SOFT_MASKED))[::-1]


def describe(byte: int) -> str:
    """What a byte that is no nucleotide is, in words for a message."""
    letter = chr(byte)
    if byte >= 128:
        return f"byte 0x{byte:02X}, which is not ASCII"
    if byte < 32 or byte == 127:
        return f"byte 0x{byte:02X}"
    if letter.upper().encode() in {bytes([b]) for b in _AMINO_ACIDS}:
        return f"'{letter}', a protein letter"
    if letter.isdigit():
        return f"the digit '{letter}'"
    return f"'{letter}'"
