r"""Whether a model finds real sequence likelier than its shuffle: accuracy over pairs.

A pair counts 1 if the real sequence costs fewer bits, 1/2 if both cost the same but for rounding, and 0 otherwise. Both
are scored under the same draws: the same positions are masked in both. Of n pairs with accuracy p, the 95 % interval is
Wilson's (Probable inference, the law of succession, and statistical inference, 1927):

    (p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),      z = 1.96

It takes pairs for independent, and says nothing of other draws; more draws a sequence make both sides' scores surer.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dnadiff.evaluation.likelihood import Scores, difference

SAME = 1e-6  # bits a sequence; less is rounding
_Z = 1.959963984540054  # the normal distribution has 95 % within this


def wins(real: Scores, shuffled: Scores) -> np.ndarray:
    """What each pair counts, (W,): 1, 1/2 or 0.

    Args:
        real: What real sequences cost.
        shuffled: What their shuffles cost, under the same numbers.
    """
    if not np.array_equal(real.item_ids, shuffled.item_ids) or not np.array_equal(real.counts, shuffled.counts):
        raise ValueError("scores of different sequences cannot be paired")
    gap = shuffled.bits.mean(1) - real.bits.mean(1)
    return np.where(np.abs(gap) < SAME, 0.5, (gap > 0).astype(np.float64))


def interval(p: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy p over n pairs, within [0, 1]."""
    middle, spread = p + _Z**2 / (2 * n), _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return max(0.0, (middle - spread) / (1 + _Z**2 / n)), min(1.0, (middle + spread) / (1 + _Z**2 / n))


def paired(name: str, real: Scores, shuffled: Scores) -> dict[str, Any]:
    """A row of a table: accuracy and its interval, bits per base of both sides and their difference, paired.

    Args:
        name: Whose scores they are.
        real: What real sequences cost.
        shuffled: What their shuffles cost.
    """
    counted = wins(real, shuffled)
    accuracy = float(counted.mean())
    low, high = interval(accuracy, len(counted))
    gap, error = difference(real, shuffled)
    return {
        "name": name, "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high, "pairs": len(counted),
        "ties": int((counted == 0.5).sum()), "real": real.bits_per_base, "shuffled": shuffled.bits_per_base,
        "difference": gap, "difference_error": error if math.isfinite(error) else None,
    }  # fmt: skip


def chosen_orders(floors: Mapping[int, tuple[Scores, Scores]]) -> dict[str, tuple[Scores, Scores]]:
    """The scores of Markov chains of orders 1, 3, 6 and the best, by name.

    Order 1 cannot tell a sequence from a shuffle that keeps its neighbours: its accuracy of 1/2 shows that the shuffles
    are such. The best is the one that tells most of these very pairs: a choice that favours the floor.
    """
    named = {f"Markov order {order}": floors[order] for order in (1, 3, 6) if order in floors}
    if floors:
        best = max(floors, key=lambda order: wins(*floors[order]).mean())
        named[f"Markov best (order {best})"] = floors[best]
    return named
