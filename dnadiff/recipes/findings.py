"""What ``dna-diff doctor`` has to say: one fact a line, each with a mark.

``ok`` is as it should be; ``note`` takes something away that can be done without; ``problem`` stops the user.
"""

from typing import NamedTuple


class Finding(NamedTuple):
    """One fact: its mark, what it is about, and what was found.

    Attributes:
        mark: ``ok``, ``note`` or ``problem``.
        name: What it is about, in a word or two.
        text: What was found; of a problem also what would work.
    """

    mark: str
    name: str
    text: str

    def line(self) -> str:
        """The fact as a line of a table."""
        return f"{self.mark:<9}{self.name:<17}{self.text}"


def ok(name: str, text: object) -> Finding:
    """A fact that is as it should be."""
    return Finding("ok", name, str(text))


def note(name: str, text: str) -> Finding:
    """A fact that takes something away that can be done without."""
    return Finding("note", name, text)


def problem(name: str, text: str) -> Finding:
    """A fact that stops the user."""
    return Finding("problem", name, text)
