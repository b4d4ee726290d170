r"""Generated sequences against real ones: GC content, length, k-mer spectra.

The divergence of two k-mer spectra p, q is Jensen and Shannon's in bits, without a square root (Lin,
Divergence measures based on the Shannon entropy, 1991)::

    JS(p, q) = H((p + q) / 2) - H(p) / 2 - H(q) / 2,     0 (equal) to 1 (disjoint)

Spectra pool both strands. A divergence between finite samples is never zero: if both come from one source of
independent bases and hold N words a strand, it is near 4**k / (8 N ln 2). So it is only ever read beside the divergence
of two disjoint sets of real windows of equal number and lengths. Two more rows show what the figure is worth: real
windows with the bases of each shuffled (composition kept, order lost) and uniform bases.

Every row is measured against one reference, n windows of the real genome; the row *real* holds n others. Standard
errors are those of a bootstrap over sequences (Efron, 1979), of the reference and of the row alike. For many
sequences the spectra are summed in 256 groups first and the groups are drawn, so memory stays bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnadiff.data import alphabet
from dnadiff.errors import InputError
from dnadiff.random import key64

LEAST_KNOWN = 0.9  # share of A, C, G, T in a real window
LONGEST_K = 8  # a spectrum of 65,536 words
_GROUPS = 256
_REPLICATES = 200


@dataclass(frozen=True)
class Samples:
    """What is compared: sequences of store codes (A0 C1 G2 T3, 4 unknown), (n,) uint8 each.

    Attributes:
        reference: Real windows that every row is measured against.
        rows: The compared sets by name, all of the same number: synthetic, real, shuffled, uniform.
        notes: What the caller should tell the reader, such as that some sequences were left out.
    """

    reference: list[np.ndarray]
    rows: dict[str, list[np.ndarray]]
    notes: list[str]


def draw_samples(real: Sequence[np.ndarray], synthetic: Sequence[np.ndarray], seed: int) -> Samples:
    """Synthetic sequences and the real windows to hold them against.

    The real records are cut into disjoint slots as long as the longest synthetic sequence (a shorter record or the
    end of a record is a shorter slot), drawn at random, and cut to the lengths of the synthetic sequences. If the
    real genome has fewer than twice as many slots as there are synthetic sequences, only as many of those as fit are
    compared.

    Args:
        real: Records of the real file, store codes.
        synthetic: Generated sequences, store codes.
        seed: Of the choices.

    Raises:
        InputError: There is nothing to compare, or not two real windows.
    """
    if not synthetic:
        raise InputError("synthetic sequences: found none; at least one would work")
    rng = np.random.default_rng(key64("compare", seed))
    slots = _slots(real, max(map(len, synthetic)))
    n = min(len(synthetic), len(slots) // 2)
    if n == 0:
        raise InputError(
            f"real sequences: found {len(slots)} usable window of the length of the longest synthetic sequence, with "
            f"{100 * LEAST_KNOWN:g} % of A, C, G, T; two or more would work"
        )
    notes = []
    if n < len(synthetic):
        notes.append(
            f"the real genome has {len(slots)} windows: {n} of {len(synthetic)} synthetic sequences are compared"
        )
        synthetic = [synthetic[i] for i in np.sort(rng.permutation(len(synthetic))[:n])]
    first, second = _windows_like(slots, synthetic, rng)
    if min(sum(map(len, windows)) for windows in (first, second)) < sum(map(len, synthetic)):
        notes.append("real records are shorter than the synthetic sequences: the windows' lengths differ")
    rows = {
        "synthetic": list(synthetic),
        "real": second,
        "shuffled": [rng.permutation(window) for window in second],
        "uniform": [rng.integers(0, 4, len(window), dtype=np.uint8) for window in second],
    }
    return Samples(first, rows, notes)


def gc_contents(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """GC share of the known bases of each sequence, (n,) in [0, 1]; NaN where none is known."""
    strong = np.array([np.count_nonzero((s == 1) | (s == 2)) for s in sequences], dtype=float)
    known = np.array([np.count_nonzero(s < 4) for s in sequences], dtype=float)
    return np.divide(strong, known, out=np.full(len(known), np.nan), where=known > 0)


def kmer_counts(sequences: Sequence[np.ndarray], k: int, groups: int | None = None) -> np.ndarray:
    """How often each k-mer occurs on both strands, (G, 4**k) int64; words with unknown bases are left out.

    Word c_1 ... c_k stands in column sum c_i 4**(k - i).

    Args:
        sequences: Store codes.
        k: Length of the words, 1 to 8.
        groups: Sequence i is added to row i modulo this; None sums them all in one row.
    """
    if not 1 <= k <= LONGEST_K:
        raise InputError(f"k-mer length: found {k}; 1 to {LONGEST_K} would work")
    rows = groups or 1
    gap = np.full(1, 4, dtype=np.uint8)  # an unknown base, so that no word spans two sequences
    out = np.zeros((rows, 4**k), dtype=np.int64)
    for row in range(rows):
        joined = np.concatenate([part for sequence in sequences[row::rows] for part in (sequence, gap)])
        out[row] = _words(joined, k) + _words(alphabet.reverse_complement(joined), k)
    return out


def js_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of two spectra in bits, (...,) in [0, 1]; counts (..., K) need not be normalised.

    Raises:
        InputError: A spectrum is empty.
    """
    totals = p.sum(-1, keepdims=True), q.sum(-1, keepdims=True)
    if not (totals[0].all() and totals[1].all()):
        raise InputError("k-mer spectrum: found no word; sequences of at least k known bases would work")
    p, q = p / totals[0], q / totals[1]
    return np.maximum(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2, 0.0)


def report(samples: Samples, ks: Sequence[int], seed: int) -> list[dict]:
    """One row a compared set, in plain JSON values.

    Keys: name, sequences, bases, length_mean, length_min, length_max, gc_mean, gc_mean_error, gc_sd, gc_sd_error
    (shares), and for every k js_k, js_k_error (bits), js_k_excess and js_k_excess_error: the divergence less that of
    the real row, with the error of that difference under the same draws of the reference.
    """
    rows = {name: _simple_figures(name, sequences, seed) for name, sequences in samples.rows.items()}
    for k in ks:
        real, real_draws = _divergences(samples, "real", k, seed)
        for name, row in rows.items():
            value, draws = (real, real_draws) if name == "real" else _divergences(samples, name, k, seed)
            row[f"js_{k}"], row[f"js_{k}_error"] = value, _spread(draws)
            row[f"js_{k}_excess"] = value - real
            row[f"js_{k}_excess_error"] = _spread(draws - real_draws)
    return list(rows.values())


def _slots(real: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    """Disjoint stretches of the real records of at most ``size`` bases, most of them known."""
    cut = [record[i : i + size] for record in real for i in range(0, len(record), size)]
    return [slot for slot in cut if np.count_nonzero(slot < 4) >= max(1, LEAST_KNOWN * len(slot))]


def _windows_like(
    slots: list[np.ndarray], synthetic: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two disjoint sets of windows with the lengths of the synthetic sequences, longest to the longest slots."""
    lengths = np.sort([len(s) for s in synthetic])[::-1]
    order = rng.permutation(len(slots))
    order = order[np.argsort([-len(slots[i]) for i in order], kind="stable")]
    chosen = [[], []]
    for j, length in enumerate(lengths):
        side = rng.integers(2)  # of two neighbours in size, which goes where is a coin's choice
        for which, place in ((side, 2 * j), (1 - side, 2 * j + 1)):
            chosen[which].append(_known_part(slots[order[place]], length))
    return chosen[0], chosen[1]


def _known_part(slot: np.ndarray, length: int) -> np.ndarray:
    """The first ``length`` bases of a slot, or where too many of them are unknown, the first so many that are known."""
    if length >= len(slot):
        return slot
    known = np.concatenate([[0], np.cumsum(slot < 4)])
    start = int(np.minimum(known[length:] - known[: len(known) - length], np.ceil(LEAST_KNOWN * length)).argmax())
    return slot[start : start + length]


def _words(sequence: np.ndarray, k: int) -> np.ndarray:
    """Counts of the words of one strand, (4**k,)."""
    n = len(sequence) - k + 1
    if n < 1:
        return np.zeros(4**k, dtype=np.int64)
    word, known = np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool)
    for i in range(k):
        base = sequence[i : i + n]
        word = 4 * word + base
        known &= base < 4
    return np.bincount(word[known], minlength=4**k)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log2(np.where(p > 0, p, 1.0))).sum(-1)


def _divergences(samples: Samples, name: str, k: int, seed: int) -> tuple[float, np.ndarray]:
    """The divergence of a row from the reference, and its bootstrap replicates (R,)."""
    groups = min(_GROUPS, len(samples.reference))
    reference = kmer_counts(samples.reference, k, groups)
    row = kmer_counts(samples.rows[name], k, groups)
    value = float(js_divergence(reference.sum(0), row.sum(0)))
    if groups == 1:
        return value, np.full(_REPLICATES, np.nan)
    of_reference, of_row = (_resampled(groups, seed, who, k) for who in ("reference", name))
    p, q = of_reference @ reference, of_row @ row
    if not (p.any(-1) & q.any(-1)).all():  # a replicate of sequences shorter than a word has no spectrum
        return value, np.full(_REPLICATES, np.nan)
    return value, js_divergence(p, q)


def _resampled(n: int, seed: int, *key: object) -> np.ndarray:
    """How often each of n things is drawn in each bootstrap replicate, (R, n)."""
    rng = np.random.default_rng(key64("bootstrap", seed, *key))
    return rng.multinomial(n, np.full(n, 1 / n), size=_REPLICATES)


def _spread(draws: np.ndarray) -> float | None:
    """The standard deviation of bootstrap replicates; None if one cannot be had of every draw."""
    return None if np.isnan(draws).any() else float(draws.std(ddof=1))


def _simple_figures(name: str, sequences: list[np.ndarray], seed: int) -> dict:
    lengths = np.array([len(s) for s in sequences])
    gc = gc_contents(sequences)
    gc = gc[np.isfinite(gc)]
    if len(gc) == 0:
        raise InputError(f"{name} sequences: found no known base; A, C, G or T would work")
    drawn = gc[np.random.default_rng(key64("bootstrap gc", seed, name)).integers(0, len(gc), (_REPLICATES, len(gc)))]
    return {
        "name": name,
        "sequences": len(sequences),
        "bases": int(lengths.sum()),
        "length_mean": float(lengths.mean()),
        "length_min": int(lengths.min()),
        "length_max": int(lengths.max()),
        "gc_mean": float(gc.mean()),
        "gc_mean_error": float(drawn.mean(1).std(ddof=1)) if len(gc) > 1 else None,
        "gc_sd": float(gc.std()),
        "gc_sd_error": float(drawn.std(1).std(ddof=1)) if len(gc) > 1 else None,
    }
