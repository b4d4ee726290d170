r"""The benchmark suites of the field: their tasks, the metric of each, where the data lie, and how they are run.

    genomic_benchmarks      8 tasks, accuracy (Gresova et al. 2023); a tenth of training redrawn for every seed, as
                            Caduceus and MDLM validate
    gue                     28 tasks, MCC but for one (Zhou et al., DNABERT-2, 2023); train, dev and test are given
    nucleotide_transformer  18 tasks, MCC, F1 and accuracy (Dalla-Torre et al. 2023; the original data, not the revision
                            that shares its names); a tenth of training redrawn

Data are not downloaded: a folder holds them, each task under its published name or one of the names under which copies
of the suite are passed on. A task that is not there is not run and has no figure, and a table of the rest says that it
is a subset. Where the published numbers of examples are known, data of other sizes are other data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dnadiff.data.examples import is_sequences, stem_of, suffix_of
from dnadiff.data.layouts import OF_TEXT
from dnadiff.data.sentences import JSON_LINES, is_sentences
from dnadiff.errors import InputError, did_you_mean

OWN = "own"
"""The suite of whatever labelled data a folder holds."""


@dataclass(frozen=True)
class Task:
    """A data set of a suite.

    Attributes:
        name: As the suite's authors write it.
        metric: What it is judged by, and the best weights are chosen by; ``auto`` is what its targets are judged by.
        train: Examples that are not for testing, as published; None if that is not known for certain.
        test: Examples of the test part, as published; None likewise.
        settings: What a fine-tuning is told besides the metric, ``key=value``.
    """

    name: str
    metric: str = "auto"
    train: int | None = None
    test: int | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """Some tasks, and the protocol that most published figures of theirs come from.

    Attributes:
        name: Its key in ``SUITES``.
        tasks: In the order of its tables.
        protocol: ``fixed`` or ``redrawn``.
        seeds: As many as the papers have.
    """

    name: str
    tasks: tuple[Task, ...]
    protocol: str
    seeds: tuple[int, ...]

    def task(self, word: str) -> Task:
        """The task of a name, or of the end of one behind a slash where only one ends so.

        Raises:
            InputError: There is no such task.
        """
        found = [task for task in self.tasks if word in (task.name, task.name.rpartition("/")[2])]
        if len(found) != 1:
            names = [task.name for task in self.tasks]
            raise InputError(f"--tasks {word}: is no task of {self.name}; {did_you_mean(word, names)}")
        return found[0]


def _genomic_benchmarks() -> Iterator[Task]:
    # Counted in the coordinate files that the suite publishes; the mouse enhancers are up to 4,776 bases long.
    yield Task("dummy_mouse_enhancers_ensembl", "accuracy", 968, 242, ("data.length=1024", "data.crop=true"))
    for name, train, test in (
        ("demo_coding_vs_intergenomic_seqs", 75_000, 25_000),
        ("demo_human_or_worm", 75_000, 25_000),
        ("human_enhancers_cohn", 20_843, 6_948),
        ("human_enhancers_ensembl", 123_872, 30_970),
        ("human_ensembl_regulatory", 231_348, 57_713),
        ("human_ocr_ensembl", 139_804, 34_952),
        ("human_nontata_promoters", 27_097, 9_034),
    ):
        yield Task(name, "accuracy", train, test)


_MARKS = ("H3", "H3K14ac", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4", "H4ac")
_COUNTED = {  # in the files of the suite; training and validation together
    "prom/prom_core_tata": (5_517, 613), "prom/prom_300_tata": (5_517, 613), "prom/prom_core_notata": (47_759, 5_307),
    "mouse/0": (7_288, 810), "mouse/2": (2_948, 328), "tf/0": (33_378, 1_000), "tf/2": (20_000, 1_000),
}  # fmt: skip


def _gue() -> Iterator[Task]:
    names = [f"EMP/{mark}" for mark in _MARKS]
    names += [f"mouse/{i}" for i in range(5)] + [f"tf/{i}" for i in range(5)]
    names += [f"prom/prom_{length}_{kind}" for length in (300, "core") for kind in ("all", "notata", "tata")]
    for name in (*names, "splice/reconstructed"):
        yield Task(name, "mcc", *_COUNTED.get(name, ()))
    yield Task("virus/covid", "f1")


def _nucleotide_transformer() -> Iterator[Task]:
    trained = (13_468, 29_743, 31_392, 28_509, 27_614, 33_119, 25_953, 25_003, 13_140, 30_685)
    yield from (Task(mark, "mcc", train) for mark, train in zip(_MARKS, trained, strict=True))
    yield from (Task(name, "mcc", 14_968) for name in ("enhancers", "enhancers_types"))
    for name, train in (("all", 53_276), ("no_tata", 47_767), ("tata", 5_517)):
        yield Task(f"promoter_{name}", "f1", train)
    yield Task("splice_sites_all", "accuracy", 27_000)
    yield from (Task(f"splice_sites_{name}", "f1", n) for name, n in (("acceptors", 19_961), ("donors", 19_775)))


SUITES = {
    suite.name: suite
    for suite in (
        Suite("genomic_benchmarks", tuple(_genomic_benchmarks()), "redrawn", (1, 2, 3, 4, 5)),
        Suite("gue", tuple(_gue()), "fixed", (1, 2, 3)),
        Suite("nucleotide_transformer", tuple(_nucleotide_transformer()), "redrawn", tuple(range(1, 11))),
    )
}
"""The suites whose tasks are known, by name."""


def place_of(task: Task, folder: Path) -> Path | None:
    """Where a folder holds the data of a task: a folder or a file; None if it does not.

    Raises:
        InputError: It holds them twice.
    """
    names = dict.fromkeys(str(Path(top, name)) for top in ("", "GUE") for name in _names_of(task.name))
    found = [place for name in names for place in _at(folder, name)]
    places = list({place.stat().st_ino: place for place in found}.values())  # a disk may not tell EMP from emp
    if len(places) > 1:
        raise InputError(f"{places[0]}: found {places[1]} too, and both are {task.name}; one of them would work")
    return places[0] if places else None


def _names_of(task: str) -> list[str]:
    """What the data of a task may be called: its name, and the names in copies of its suite."""
    group, slash, name = task.partition("/")
    if not slash:
        return [task, f"Genomic_Benchmarks_{task}"]
    whole = {f"{top}_{name}" for top in (group, group.lower())}
    if not name.isdigit():  # a folder that is only called 0 could be of any group
        return [task, *sorted(whole), name]
    return [task, *sorted(whole), f"{group}{name}", *([f"human_{group}_{name}"] if group == "tf" else [])]


def _at(folder: Path, name: str) -> list[Path]:
    place = folder / name
    if place.is_dir():
        return [place]
    if not place.parent.is_dir():
        return []
    found = sorted(path for path in place.parent.iterdir() if path.is_file() and is_sequences(path))
    return [path for path in found if stem_of(path) == place.name]


def own_places(folder: Path) -> dict[str, Path]:
    """What in a folder may be a labelled data set, by the name of its task: folders and files of sequences or text.

    Args:
        folder: That of the data sets; a single file, or a folder with ``train`` and ``test``, is one itself.

    Raises:
        InputError: Two would have the same name.
    """
    if not folder.is_dir():
        return {stem_of(folder): folder}
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    entries = [entry for entry in entries if entry.is_dir() or is_sequences(entry) or is_sentences(entry)]
    if any(_stem(entry).lower() in OF_TEXT for entry in entries):
        return {folder.resolve().name: folder}
    entries = [entry for entry in entries if entry.is_dir() or is_sequences(entry) or suffix_of(entry) == JSON_LINES]
    found: dict[str, Path] = {}
    for entry in entries:
        other = found.setdefault(_stem(entry), entry)
        if other != entry:
            raise InputError(f"{folder}: found both {other.name} and {entry.name}; one of them would work")
    return found


def _stem(entry: Path) -> str:
    return entry.name if entry.is_dir() else stem_of(entry)
