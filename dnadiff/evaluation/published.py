r"""Figures that papers print of the suites' tasks: ``published.tsv``, a figure a line, each with protocol and source.

    suite task             of ``suites``
    model parameters       as the paper names and counts them
    figure                 in the task's metric, as a share of 1
    spread                 largest less smallest over the paper's seeds; empty where the table has none
    like                   the protocol here that cuts the data alike: fixed, redrawn, any; or empty
    protocol source        in words

Alike is the cut only. Sizes, pre-training, learning rates, epochs and the treatment of strands are each paper's own:
the figures stand beside others to be read with that in mind.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("published.tsv")


@dataclass(frozen=True)
class Published:
    """A model's figures of a suite under one protocol, as a paper prints them.

    Attributes:
        model: Its name.
        parameters: As text, such as 470K; empty if unknown.
        protocol: In words.
        source: The paper.
        like: The protocol here that cuts the data alike: ``fixed``, ``redrawn``, ``any``, or empty for none.
        figures: By task, the figure and its spread, None without one.
    """

    model: str
    parameters: str
    protocol: str
    source: str
    like: str
    figures: dict[str, tuple[float, float | None]]


def published(suite: str) -> list[Published]:
    """Whatever papers print of a suite, in the order of the file; nothing of a suite that is not in it."""
    found: dict[tuple[str, ...], Published] = {}
    with _FILE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["suite"] == suite:
                words = tuple(row[key] for key in ("model", "parameters", "protocol", "source", "like"))
                spread = float(row["spread"]) if row["spread"] else None
                found.setdefault(words, Published(*words, {})).figures[row["task"]] = (float(row["figure"]), spread)
    return list(found.values())
