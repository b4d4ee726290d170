"""Which parts of a genome are trained on, validated on and tested on.

A model that memorises looks good on what it has seen, so the held-out parts must not be in the training part. Three
ways: whole contigs held out (the rule for genomes of many chromosomes), contiguous blocks of each contig with a gap
between them (bacteria), or the intervals of a BED file with the split in its fourth column, as in Basenji and Enformer.
Lengthening such intervals to a window (``extend``), as Caduceus does, makes splits overlap: the overlap is always
counted in bp and shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dnadiff.data.intervals import BedRow, Interval, intersect, overlap_bp, total_bp, unknown_contig
from dnadiff.errors import InputError

_PARTS = ("train", "valid", "test")
_LABELS = {"training": "train", "validation": "valid", "val": "valid", "dev": "valid"} | {name: name for name in _PARTS}
# Held-out contigs that come this near to the share wanted are not topped up with scraps such as a mitochondrion.
_NEAR = 0.85


@dataclass(frozen=True)
class Split:
    """Intervals for training, for validation and for testing, and how they were chosen.

    Attributes:
        train: Never empty.
        valid: Empty only if none was asked for.
        test: Empty only if none was asked for.
        how: ``contig``, ``blocks`` or ``bed``.
    """

    train: tuple[Interval, ...]
    valid: tuple[Interval, ...]
    test: tuple[Interval, ...]
    how: str

    def __getitem__(self, name: str) -> tuple[Interval, ...]:
        """The intervals of ``train``, ``valid`` or ``test``.

        Raises:
            InputError: There is no split of that name.
        """
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        if name not in parts:
            raise InputError(f"split '{name}': is unknown; train, valid or test would work")
        return parts[name]

    def leaks(self) -> dict[str, int]:
        """How many bp two splits share: ``train_valid``, ``train_test``, ``valid_test``. Zero is what one wants."""
        return {
            "train_valid": overlap_bp(self.train, self.valid),
            "train_test": overlap_bp(self.train, self.test),
            "valid_test": overlap_bp(self.valid, self.test),
        }

    def report(self) -> str:
        """Two lines for people: the size of each split, and the overlap of training and held-out bases."""
        sizes = ", ".join(f"{name} {total_bp(self[name]):,} bp in {len(self[name]):,}" for name in _PARTS)
        leaks = self.leaks()
        held = total_bp(self.valid) + total_bp(self.test)
        shared = leaks["train_valid"] + leaks["train_test"]
        share = f" ({100 * shared / held:.2f} % of the held-out bases)" if shared else ""
        return f"split by {self.how}: {sizes} intervals\noverlap of train and held-out: {shared:,} bp{share}"

    def to_json(self) -> dict[str, Any]:
        """Plain values from which ``from_json`` makes the same split."""
        return {"how": self.how} | {
            name: [list(asdict(interval).values()) for interval in self[name]] for name in _PARTS
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Split":
        """The split that ``to_json`` described.

        Raises:
            InputError: It describes none.
        """
        for key in ("how", *_PARTS):
            if key not in value or not isinstance(value[key], str if key == "how" else list):
                raise InputError(f"{key}: found {value.get(key)!r:.60}; what Split.to_json gives would work")
        return cls(**{name: tuple(map(_interval, value[name])) for name in _PARTS}, how=value["how"])


def _interval(fields: object) -> Interval:
    """An interval from its fields as JSON has them."""
    kinds = [type(field) for field in fields] if isinstance(fields, list) else []
    if kinds != [str, int, int, str] or fields[3] not in ("+", "-"):
        raise InputError(f"intervals: found {fields!r:.60}; [contig, start, end, strand] would work")
    return Interval(*fields)


def make_split(
    sizes: Mapping[str, int],
    *,
    by: str = "auto",
    valid: float | Sequence[str] = 0.05,
    test: float | Sequence[str] = 0.10,
    gap: int,
    bed: Sequence[BedRow] | None = None,
    extend: int | None = None,
) -> Split:
    """The split of a genome.

    Args:
        sizes: Length in bp of each contig.
        by: ``contig``, ``blocks``, ``bed`` or ``auto``: the labels of a BED file if it has any, else contigs if names
            are given or if whole contigs come within a factor of two of the shares wanted, else blocks.
        valid: Names of contigs, or the share of the bases. 0 or no names: no such split.
        test: Likewise.
        gap: Least distance in bp between blocks; a window length or more.
        bed: Rows of a BED file. With a fourth column (train, valid or test) they are the split; with three columns they
            restrict one made by the other rules.
        extend: Lengthen each interval of the BED to this many bp, from its start on and shifted to stay within its
            contig.

    Raises:
        InputError: A split that was asked for would be empty, a name is unknown, or options contradict each other.
    """
    if bed is None and (extend is not None or by == "bed"):
        raise InputError("split: by=bed and extend= need the intervals of a BED file; adding bed=FILE would work")
    if bed is not None and any(row.name is not None for row in bed):
        split = _by_label(bed)
    else:
        split = _by_rule(sizes, "auto" if by == "bed" else by, valid, test, gap)
        if bed is not None:
            regions = [row.interval for row in bed]
            split = replace(split, **{name: tuple(intersect(split[name], regions)) for name in _PARTS})
    if extend is not None:
        longer = {name: tuple(_extended(i, extend, sizes) for i in split[name]) for name in _PARTS}
        split = replace(split, **longer)
    for name, wanted in (("train", True), ("valid", bool(valid)), ("test", bool(test))):
        if wanted and not split[name]:
            contigs = f"{len(sizes):,} contig{'s' * (len(sizes) != 1)}"
            gaps = f" with gaps of {gap:,} bp" if split.how == "blocks" else ""
            raise InputError(
                f"split by {split.how}: nothing is left for {name} of {sum(sizes.values()):,} bp in {contigs}{gaps}; "
                "other shares, names or intervals would work, shorter windows, or 0 where none is wanted"
            )
    return split


def by_contig(sizes: Mapping[str, int], valid: float | Sequence[str], test: float | Sequence[str]) -> Split:
    """Whole contigs held out: those named, or the longest that fit into a share of the bases (and one, if none fits).

    Raises:
        InputError: A name is unknown or in two splits, or a share is not in [0, 1).
    """
    taken: set[str] = set()
    chosen = {}
    for key, wanted in (("test", test), ("valid", valid)):
        names = _fitting(sizes, wanted, taken) if isinstance(wanted, float | int) else _names(wanted)
        for name in names:
            if name not in sizes:
                raise InputError(f"split: {unknown_contig(name, sizes)}")
            if name in taken:
                raise InputError(f"split: contig '{name}' is named twice; naming it once would work")
            taken.add(name)
        chosen[key] = tuple(Interval(name, 0, sizes[name]) for name in names)
    train = tuple(Interval(name, 0, size) for name, size in sizes.items() if name not in taken)
    return Split(train, chosen["valid"], chosen["test"], how="contig")


def by_blocks(sizes: Mapping[str, int], valid: float, test: float, gap: int) -> Split:
    """Each contig cut into a training, a validation and a test block, in this order, ``gap`` bp left out between.

    With shares .05 and .10 the blocks begin at 0, 85 and 90 % of the contig; the gap is taken from the end of the block
    before it. Contigs too short for blocks of a gap's length are trained on whole.

    Raises:
        InputError: A share is not in [0, 1).
    """
    parts: dict[str, list[Interval]] = {"train": [], "valid": [], "test": []}
    _check_share(valid + test)
    for name, size in sizes.items():
        begins = {"train": 0, "valid": round(size * (1 - valid - test)), "test": round(size * (1 - test))}
        wanted = [key for key, share in zip(parts, (1.0, valid, test), strict=True) if share]
        ends = [*(begins[key] - gap for key in wanted[1:]), size]
        blocks = [(key, begins[key], end) for key, end in zip(wanted, ends, strict=True)]
        if any(b - a < max(gap, 1) for _, a, b in blocks):
            parts["train"].append(Interval(name, 0, size))
            continue
        for key, a, b in blocks:
            parts[key].append(Interval(name, a, b))
    return Split(*(tuple(parts[key]) for key in parts), how="blocks")


def _by_rule(
    sizes: Mapping[str, int], by: str, valid: float | Sequence[str], test: float | Sequence[str], gap: int
) -> Split:
    named = not isinstance(valid, float | int) or not isinstance(test, float | int)
    if by == "blocks" and named:
        raise InputError("split: by=blocks takes shares such as valid=0.05, and names were given; by=contig would work")
    if by not in ("auto", "contig", "blocks"):
        raise InputError(f"split: by={by} is unknown; auto, contig or blocks would work")
    if by == "contig" or named or (by == "auto" and _contigs_suit(sizes, valid, test)):
        return by_contig(sizes, valid, test)
    return by_blocks(sizes, valid, test, gap)


def _contigs_suit(sizes: Mapping[str, int], valid: float, test: float) -> bool:
    split, total = by_contig(sizes, valid, test), sum(sizes.values())
    shares = [(total_bp(split.valid) / total, valid), (total_bp(split.test) / total, test)]
    return bool(split.train) and all(want / 2 <= got <= 2 * want for got, want in shares)


def _fitting(sizes: Mapping[str, int], share: float, taken: set[str]) -> list[str]:
    """The longest free contigs that together stay within a share of the genome; the shortest free one if none does."""
    _check_share(share)
    if not share:
        return []
    aim, got, names = share * sum(sizes.values()), 0, []
    free = sorted((name for name in sizes if name not in taken), key=lambda name: -sizes[name])
    for name in free:
        if got >= _NEAR * aim:
            break
        if got + sizes[name] <= aim:
            names.append(name)
            got += sizes[name]
    return names or free[-1:]


def _names(wanted: Sequence[str]) -> list[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise InputError(f"split: found a held-out share of {share}; 0 or more and less than 1 would work")


def _by_label(rows: Sequence[BedRow]) -> Split:
    parts: dict[str, list[Interval]] = {"train": [], "valid": [], "test": []}
    for row in rows:
        name = (row.name or "").lower()
        if name not in _LABELS:
            found = "no column 4, which other lines have" if row.name is None else f"'{row.name}' in column 4"
            raise InputError(f"{row.file}:{row.line}: found {found}; train, valid or test would work")
        parts[_LABELS[name]].append(row.interval)
    return Split(*(tuple(parts[key]) for key in parts), how="bed")


def _extended(interval: Interval, length: int, sizes: Mapping[str, int]) -> Interval:
    if len(interval) >= length:
        return interval
    end = min(interval.start + length, sizes[interval.chrom])
    return replace(interval, start=max(0, end - length), end=end)
