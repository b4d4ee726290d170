"""Recognising files that are not FASTA, so that the message can say what they are.

A genome pipeline meets the same few mistakes: reads instead of a genome, an annotation, a page saved by a browser
instead of the file behind it, text saved as UTF-16. Each has a signature in its first bytes.
"""

import re

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"\x1f\x8b", "gzip within gzip; unpacking it once would work"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16 text; the same file saved as ASCII or UTF-8 would work"),
    (rb"@HD\t|@SQ\t|@RG\t|@PG\t", "SAM; its reference genome in FASTA would work"),
    (rb"BAM\x01|CRAM", "BAM or CRAM; its reference genome in FASTA would work"),
    (rb"@\S*[^\n]*\n[^\n]+\n\+", "FASTQ reads; an assembled genome in FASTA would work"),
    (rb"LOCUS\s", "GenBank; the same record exported as FASTA would work"),
    (rb"ID   ", "EMBL; the same record exported as FASTA would work"),
    (
        rb"(?i)<!doctype|<html|<\?xml|<head|<body",
        "HTML or XML, perhaps a page saved in place of the file behind it; FASTA would work",
    ),
    (rb"##gff", "GFF, an annotation; the genome in FASTA would work"),
    (rb"##fileformat=VCF", "VCF, variants; the genome in FASTA would work"),
    (rb"(?i)#NEXUS", "NEXUS, an alignment; FASTA would work"),
    (rb"CLUSTAL", "a CLUSTAL alignment; FASTA would work"),
    (rb"[{\[]\s*[\"{\[]", "JSON; FASTA would work"),
    (rb"\x1a\x41\x27\x43|\x43\x27\x41\x1a", "UCSC .2bit; FASTA from twoBitToFa would work"),
    (rb"%PDF|\x89PNG|\xff\xd8\xff|\x7fELF|MZ\x90", "a document, picture or program; FASTA would work"),
    (rb"(track|browser)\s|[^\t\n]+\t\d+\t\d+(\t|\r?\n|$)", "BED; the genome in FASTA would work"),
)


def recognise(head: bytes) -> str | None:
    """What the first bytes of a file that does not begin as FASTA look like, and what would work; None if unknown.

    Args:
        head: Some hundred bytes from the beginning, with or without leading blank lines.
    """
    text = head.lstrip(b" \t\r\n")
    for pattern, what in _SIGNATURES:
        if re.match(pattern, text):
            return what
    if head.count(0) * 4 > len(head):
        return "UTF-16 or binary data; plain text would work"
    return None
