"""``dna-diff doctor``: is this machine fit to train and sample, and is this file a genome?

Every line is a fact that was looked up now. Versions come first and are read without importing anything: a package that
must not be used is not touched afterwards. Problems are collected and end the report as one error.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dnadiff.errors import InputError
from dnadiff.recipes.findings import Finding, note, ok, problem
from dnadiff.recipes.machine import available_memory, cache_folder, compute_findings, disk_finding, memory_finding
from dnadiff.recipes.overfit import overfit, overfit_finding
from dnadiff.recipes.versions import version_findings


def doctor(fasta: str | None = None, *, train: bool = True) -> None:
    """Prints what this machine has and can do and, if a file is named, what is in it.

    Args:
        fasta: A FASTA file to read through.
        train: Overfit a small model, which takes about ten seconds.

    Raises:
        InputError: Something makes dnadiff or the file unusable.
    """
    problems = []
    for finding in _findings(fasta, train):
        print(finding.line(), flush=True)
        if finding.mark == "problem":
            problems.append(f"{finding.name}: {finding.text}")
    if problems:
        raise InputError("; ".join(problems))
    print("all good")


def _findings(fasta: str | None, train: bool) -> Iterator[Finding]:
    """Every fact, each looked up when it is asked for."""
    sound = True
    for finding in version_findings():
        sound = sound and finding.mark != "problem"
        yield finding
    yield memory_finding(available_memory())
    yield disk_finding("here", Path.cwd())
    yield disk_finding("cache", cache_folder())
    if sound:
        yield from _tried("torch", compute_findings)
    else:
        yield note("processor", "not looked at: torch is not imported before the packages are put right")
    if fasta is not None:
        yield from _genome(fasta)  # before what takes ten seconds: a file that cannot be used ends the report
    if sound and train:
        yield from _tried("overfit test", lambda: [overfit_finding(overfit())])


def _tried(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a look finds; if torch itself fails on the way, that is the finding."""
    try:
        yield from look()
    except (ImportError, OSError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        yield problem(name, f"fails ({type(error).__name__}: {first}); installing torch again may help")


def _genome(fasta: str) -> Iterator[Finding]:
    """What a FASTA file holds, read once in bounded memory."""
    import numpy as np

    from dnadiff.data.fasta import FastaReader, Header

    reader, names = FastaReader(fasta), []
    total, counts = 0, np.zeros(256, dtype=np.int64)
    for event in reader:
        if isinstance(event, Header):
            names.append(event.name)
        else:
            total += len(event.bases)
            counts += event.counts
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        yield problem("genome", f"{fasta}: found the name {repeated[0]} twice; prepare --rename-duplicates would work")
    known = {letter: int(counts[ord(letter)] + counts[ord(letter.lower())]) for letter in "ACGTU"}
    bases = sum(known.values())
    yield ok("genome", f"{len(names):,} contig{'s' * (len(names) != 1)}, {total:,} bp")
    yield ok("GC", f"{100 * (known['G'] + known['C']) / max(bases, 1):.1f} %")
    yield ok("unknown bases", f"{100 * (total - bases) / total:.2f} %")
    for what, times in sorted(reader.notes.items()):
        if times:
            yield note("normalised", f"{what.replace('_', ' ')}: {times:,}")
