r"""Which bases may come next so that a sequence can still be completed without breaking its constraints.

*Words.* An automaton reads a sequence from left to right; its state is the set of forbidden words under way, as in the
Shift-And algorithm (Baeza-Yates and Gonnet, A new approach to text searching, CACM 35:74, 1992). With f_i the states
that some choice of the open positions before i can reach, and g_i those from which some choice of the positions from i
on reaches the end, base b fits at position i if and only if its step leads from a state of f_i to one of g_{i+1}. This
is exact: while every base is drawn among those that fit, there is always one that does.

*GC.* Let S_i count G and C among the first i bases. That every window of w bases has l to h of them, and that a fixed
position adds what it adds, are bounds on differences S_j - S_i, and such a system can be met by integers if and only if
its graph has no negative cycle; the largest possible S_{i+1} - S_i is then the shortest way from i to i + 1 (Cormen et
al., Introduction to Algorithms, section 24.4). This is exact as well.

The two together are not: a base may pass both while no completion meets words and GC at once. Then a dead end may be
met later, which is for the caller to repair.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from dnadiff.data.constraints import Constraints, GcRange, violations
from dnadiff.data.template import ANY, Template, letters_of
from dnadiff.errors import InputError

_BASES = (1, 2, 4, 8)
_STRONG = 6  # C or G
_MOST_STATES = 1 << 14
_FAR = 1 << 40


class Lookahead:
    """The bases that leave a completion, for sequences under some constraints.

    Args:
        constraints: What must be kept to.

    Raises:
        InputError: The motifs are so long and vague that their automaton would not fit into memory.
    """

    def __init__(self, constraints: Constraints) -> None:
        self.constraints = constraints
        self._words = Words(constraints.words())

    def fitting(self, sets: Sequence[int], at: Sequence[int]) -> list[int]:
        """Of the bases that some positions may become, those that leave a completion; never none of them.

        If the constraints cannot be met together any more, those on words go before that on GC, and a position that
        even so has nothing left keeps its set.

        Args:
            sets: The bases each position may become, (L,) of 1 to 15, one base where it is known.
            at: Positions asked about, (M,).

        Returns:
            Sets of bases, (M,).
        """
        words = self._words.fitting(sets, at)
        gc = self.constraints.gc
        steps = [ANY] * len(at) if gc is None else gc_fitting(sets, at, gc)
        return [
            sets[i] & word & step or sets[i] & word or sets[i] & step or sets[i]
            for i, word, step in zip(at, words, steps, strict=True)
        ]

    def check(self, template: Template) -> None:
        """Returns nothing unless it can be proven that no sequence fits a template and keeps to the constraints.

        Raises:
            InputError: None does; the message names the place.
        """
        fixed = "".join(
            "-" if open_ else base for base, open_ in zip(letters_of(template.sets), template.open, strict=True)
        )
        for violation in violations(fixed, self.constraints):
            raise InputError(
                f"{template.place}: template {template.name}: its fixed bases have {violation}; a template without, or "
                "with open bases there, would work"
            )
        sets = template.sets.tolist()
        dead = self._words.dead_end(sets)
        if dead is not None:
            names = ", ".join(motif.name for motif in self.constraints.motifs)
            run = self.constraints.max_homopolymer
            limit = [names] * bool(names) + [f"runs of more than {run}"] * (run is not None)
            raise InputError(
                f"{template.place}: template {template.name}: no choice of bases up to position {dead} avoids "
                f"{' and '.join(limit)}; a freer template there or fewer constraints would work"
            )
        if self.constraints.gc is not None:
            _check_gc(template, self.constraints.gc)


class Words:
    """The automaton of some forbidden words, none of which it lets pass.

    Args:
        words: Each a tuple of sets of bases.

    Raises:
        InputError: It would have more than 16,384 states.
    """

    def __init__(self, words: Sequence[tuple[int, ...]]) -> None:
        self._steps = _automaton(words)
        self._all = (1 << len(self._steps)) - 1
        self._image = lru_cache(1 << 16)(self._image_of)  # few sets of states occur, again and again
        self._preimage = lru_cache(1 << 16)(self._preimage_of)
        self._ways = lru_cache(None)(self._ways_of)

    def fitting(self, sets: Sequence[int], at: Sequence[int]) -> list[int]:
        """The bases at positions ``at`` (M,) that leave a completion of ``sets`` (L,); none, 0, where there is none."""
        before, after = self._forward(sets), [self._all]
        for letter in reversed(sets):
            after.append(self._preimage(after[-1], letter))
        after.reverse()
        return [sum(b for b in _BASES if sets[i] & b and self._image(before[i], b) & after[i + 1]) for i in at]

    def dead_end(self, sets: Sequence[int]) -> int | None:
        """The first position, from 1, up to which every choice holds a forbidden word; None if some choice has none."""
        return next((i for i, states in enumerate(self._forward(sets)) if not states), None)

    def _forward(self, sets: Sequence[int]) -> list[int]:
        reached = [1]
        for letter in sets:
            reached.append(self._image(reached[-1], letter))
        return reached

    def _image_of(self, states: int, letter: int) -> int:
        """States (bits of a number) that one base of a set leads to."""
        return _union(self._ways(letter)[0], states)

    def _preimage_of(self, states: int, letter: int) -> int:
        """States from which one base of a set leads to some states."""
        return _union(self._ways(letter)[1], states)

    def _ways_of(self, letter: int) -> tuple[list[int], list[int]]:
        """The states that a set of bases leads to from each state, and those from which it leads to each."""
        to, back = [0] * len(self._steps), [0] * len(self._steps)
        for state, step in enumerate(self._steps):
            for bit in range(4):
                if letter >> bit & 1 and step[bit] >= 0:
                    to[state] |= 1 << step[bit]
                    back[step[bit]] |= 1 << state
        return to, back


def _union(table: Sequence[int], states: int) -> int:
    """The entries of some states (bits of a number) taken together."""
    out = 0
    while states:
        last = states & -states
        out |= table[last.bit_length() - 1]
        states ^= last
    return out


def _automaton(words: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """The state that each base leads to from each state, -1 where it completes a word; state 0 is the beginning."""
    first = last = shift = 0
    accepts = [0, 0, 0, 0]  # the places of all words, laid end to end, that take each base
    for word in words:
        first |= 1 << shift
        for place, letter in enumerate(word):
            for bit in range(4):
                accepts[bit] |= (letter >> bit & 1) << (shift + place)
        shift += len(word)
        last |= 1 << (shift - 1)
    numbers, steps = {0: 0}, []
    waiting = [0]
    for under_way in waiting:
        row = []
        for bit in range(4):
            now = (under_way << 1 | first) & accepts[bit]
            if now & last:
                row.append(-1)
                continue
            if now not in numbers:
                numbers[now] = len(numbers)
                waiting.append(now)
            row.append(numbers[now])
        steps.append(row)
        if len(numbers) > _MOST_STATES:
            raise InputError(
                f"--avoid: the motifs together need more than {_MOST_STATES:,} states; fewer N in them would work"
            )
    return steps


def gc_fitting(sets: Sequence[int], at: Sequence[int], gc: GcRange) -> list[int]:
    """The bases at positions ``at`` (M,) that leave a completion of ``sets`` (L,) within the range; 0 if none does."""
    if not at:
        return []
    ahead = _shortest(sets, gc, np.asarray(at))
    back = _shortest(sets, gc, np.asarray(at) + 1)
    if ahead is None or back is None:
        return [0] * len(at)
    rows = np.arange(len(at))
    most = ahead[rows, np.asarray(at) + 1]
    least = -back[rows, np.asarray(at)]
    return [
        sets[i] & ((_STRONG if high >= 1 else 0) | (ANY - _STRONG if low <= 0 else 0))
        for i, high, low in zip(at, most, least, strict=True)
    ]


def _shortest(sets: Sequence[int], gc: GcRange, sources: np.ndarray) -> np.ndarray | None:
    """Greatest possible S_j - S_source for each source (M,) and j from 0 to L, (M, L + 1); None if no S exists."""
    low, high, window = gc.counts(len(sets))
    least, most = _sums(np.asarray(sets))
    rows = np.arange(len(sources))
    way = np.full((len(sources), len(sets) + 1), _FAR)
    way[rows, sources] = 0
    while True:
        new = np.minimum.accumulate(way - most, axis=1) + most
        new = np.minimum.accumulate((new - least)[:, ::-1], axis=1)[:, ::-1] + least
        new[:, window:] = np.minimum(new[:, window:], new[:, :-window] + high)
        new[:, :-window] = np.minimum(new[:, :-window], new[:, window:] - low)
        if (new[rows, sources] < 0).any():
            return None
        if (new == way).all():
            return way
        way = new


def _sums(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest number of G and C before each position, (L + 1,) each."""
    least, most = (letters & (ANY - _STRONG)) == 0, (letters & _STRONG) != 0
    return np.concatenate([[0], least.cumsum()]), np.concatenate([[0], most.cumsum()])


def _check_gc(template: Template, gc: GcRange) -> None:
    letters = template.sets
    low, high, window = gc.counts(len(letters))
    least, most = _sums(letters)
    greatest, fewest = most[window:] - most[:-window], least[window:] - least[:-window]
    place = f"{template.place}: template {template.name}"
    if low > high:
        raise InputError(f"{place}: --gc {gc}: no number of {window} bases has such a share; wider bounds would work")
    for start in np.flatnonzero((greatest < low) | (fewest > high))[:1].tolist():
        raise InputError(
            f"{place}: --gc {gc}: bases {start + 1}-{start + window} ({_short(letters[start : start + window])}) can "
            f"have {fewest[start]} to {greatest[start]} G or C where {low} to {high} are due; wider bounds or a freer "
            "template would work"
        )
    if _shortest(letters, gc, np.zeros(1, dtype=int)) is None:
        raise InputError(f"{place}: --gc {gc}: no choice of bases suits all windows at once; wider bounds would work")


def _short(letters: np.ndarray) -> str:
    text = letters_of(letters)
    return text if len(text) <= 20 else f"{text[:17]}..."
