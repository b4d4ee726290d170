"""The life of a FASTA output: begun as ``OUT.partial``, grown as it is made, continued after a kill, put together.

Without ``torchrun`` there is one partial file. With it each process writes one, ``OUT.partial-2of4``; whoever finishes
last puts them together in order, so the processes need not talk to each other and may each be killed and resumed.
``OUT`` appears after its provenance and before the partial files vanish: where it is, the work is finished.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.provenance import write_provenance
from dnadiff.data import atomic
from dnadiff.data.fasta_writer import check_output
from dnadiff.data.partial_fasta import PartialFasta, Text, check_ours, check_same, join, progress
from dnadiff.errors import InputError
from dnadiff.recipes.shards import Shard, of_process

Records = Callable[[range], Iterator[Text]]
"""The records of some items, as they are made."""


def fasta_file(out: str | Path, resume: bool) -> Path | None:
    """The file to write; None is standard output, a device or a pipe, which cannot be gone on with.

    Args:
        out: What the user named.
        resume: Whether it may be there already.

    Raises:
        InputError: It exists, could not be written, or a stream was asked for what needs a file.
    """
    file = Path(out)
    if atomic.is_stream(out):
        if resume:
            raise InputError("--resume: goes on with a file; -o FILE would work")
        if of_process().of > 1:
            raise InputError(f"-o {out}: several processes cannot share a stream; -o FILE would work")
        return None
    if file.is_file() and not resume:
        raise InputError(f"{file}: exists; another name would work, or --resume if it was to be finished")
    if not file.is_file():
        check_output(out)
    mine = _parts(file)[of_process().number - 1]
    if mine.exists():
        check_ours(mine)
    others = sorted(set(file.parent.glob(f"{file.name}.partial*")) - set(_parts(file)))
    if others:
        raise InputError(
            f"{others[0]}: was begun by another number of processes; that number, or removing it, would work"
        )
    return file


def earlier_seed(file: Path) -> int | None:
    """The seed of an output that was begun or finished; None if there is none."""
    begun = progress(_parts(file)[of_process().number - 1])
    seed = (begun.settings or _provenance(file)).get("seed")
    return seed if isinstance(seed, int) else None


def finished(file: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the output is there; leftovers of its making are removed.

    Raises:
        InputError: It is there, and was made with other settings.
    """
    if not file.exists():
        return False
    check_same(file, _provenance(file), settings)
    with atomic.lock(file):
        for part in _parts(file):
            part.unlink(missing_ok=True)
    return True


def write_fasta(
    file: Path, items: range, records: Records, settings: Mapping[str, Any], facts: Mapping[str, Any], resume: bool,
    form: Callable[[bytes], bytes] = bytes,
) -> None:  # fmt: skip
    """Writes this process's records and, once everybody's are there, the output and its provenance.

    Args:
        file: The output.
        items: The numbers of all processes.
        records: Makes the records of some numbers.
        settings: What the records depend on.
        facts: The provenance.
        resume: Go on behind the records that are there.
        form: How records are written to the output; as they are by default.

    Raises:
        InputError: The files belong to other work, or cannot be written.
        ResourceError: The disk is full; what was finished is kept.
    """
    parts, here = _parts(file), of_process()
    shares = [Shard(number, here.of).take(items, "sequences") for number in range(1, here.of + 1)]
    with PartialFasta(parts[here.number - 1], settings, resume=resume) as part:
        for text in records(shares[here.number - 1][part.records :]):
            part.add(text)
        with atomic.lock(file):
            done = [progress(path).records for path in parts]
            if done == [len(share) for share in shares]:
                write_provenance(file, facts)
                join(parts, file, form)
                for path in parts:
                    path.unlink()


def _parts(file: Path) -> list[Path]:
    """The partial file of each process."""
    of = of_process().of
    names = ["partial"] if of == 1 else [f"partial-{number}of{of}" for number in range(1, of + 1)]
    return [file.with_name(f"{file.name}.{name}") for name in names]


def _provenance(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.with_name(f"{file.name}.provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
