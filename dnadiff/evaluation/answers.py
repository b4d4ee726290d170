r"""How good written answers are beside the wanted ones, of text and of nucleotides.

*Text.* The figures of SQuAD (Rajpurkar et al., SQuAD: 100,000+ questions for machine comprehension of text, 2016) after
its normalisation: lower case, no punctuation, none of the words a, an and the, single blanks. ``exact_match`` is
whether the two are equal. ``f1`` is the harmonic mean of precision and recall of the bag of words; of two texts one of
which is empty it is whether both are (as SQuAD 2.0 has it). ``bleu`` is sacrebleu's corpus BLEU of the texts as they
are (Post, A call for clarity in reporting BLEU scores, 2018), 0 to 100.

*Nucleotides.* ``exact_match`` is whether the sequences are equal; ``same_bases`` the share of positions with the same
base, of the longer of the two; ``identity`` is 1 - d / (length of the longer), with d the least number of bases that
must be replaced, inserted or deleted (Levenshtein's distance), so one slip does not spoil what follows.

*Standard errors* are bootstrapped: the sd of a figure over samples of the pairs, drawn with replacement.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from dnadiff.errors import InputError

RESAMPLES = 1000
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)

Row = dict[str, float | None]


def normalised(text: str) -> str:
    """A text in lower case without punctuation and articles, its words a blank apart."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(written: str, wanted: str) -> float:
    """1 if two texts are the same once ``normalised``, else 0."""
    return float(normalised(written) == normalised(wanted))


def token_f1(written: str, wanted: str) -> float:
    """Harmonic mean of precision and recall of the words of two ``normalised`` texts, in [0, 1]."""
    one, other = normalised(written).split(), normalised(wanted).split()
    if not one or not other:
        return float(one == other)
    same = (Counter(one) & Counter(other)).total()
    return 2 * same / (len(one) + len(other))


def same_bases(written: str, wanted: str) -> float:
    """Share of the positions of the longer sequence where both have the same base, in [0, 1]; 1 of two empty ones."""
    longest = max(len(written), len(wanted))
    return sum(a == b for a, b in zip(written, wanted, strict=False)) / longest if longest else 1.0


def identity(written: str, wanted: str) -> float:
    """1 - Levenshtein's distance over the length of the longer sequence, in [0, 1]; 1 of two empty ones."""
    longest = max(len(written), len(wanted))
    return 1 - _distance(written, wanted) / longest if longest else 1.0


def figures(written: Sequence[str], wanted: Sequence[str], *, text: bool, bleu: bool = False) -> Row:
    """The means over all pairs and, with ``_error`` behind the name, their standard errors.

    Args:
        written: What was written, one or more.
        wanted: What was wanted, as many.
        text: Whether they are texts; else they are nucleotides.
        bleu: BLEU too, of texts.

    Raises:
        InputError: BLEU was asked for and sacrebleu is not installed.
    """
    measures = OF_TEXT if text else OF_BASES
    drawn = np.random.default_rng(0).integers(len(wanted), size=(RESAMPLES, len(wanted)))
    row: Row = {}
    for name, measure in measures.items():
        values = np.array([measure(one, other) for one, other in zip(written, wanted, strict=True)])
        row |= _with_error(name, float(values.mean()), values[drawn].mean(1))
    if bleu:
        score = corpus_bleu(written, wanted)
        row |= _with_error("bleu", score(np.arange(len(wanted))), np.array([score(rows) for rows in drawn]))
    return row


def corpus_bleu(written: Sequence[str], wanted: Sequence[str]) -> Callable[[np.ndarray], float]:
    """What gives the corpus BLEU of some of the pairs, by their numbers, repeats counting again; 0 to 100.

    Args:
        written: Texts.
        wanted: One reference each.

    Raises:
        InputError: sacrebleu is not installed.
    """
    check_bleu()
    from sacrebleu.metrics import BLEU

    counts, metric = [], BLEU(effective_order=True)  # each alone: only its counts are read, never its score
    for one, other in zip(written, wanted, strict=True):
        found = metric.sentence_score(one, [other])
        counts.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    table = np.array(counts, dtype=np.int64)

    def score(rows: np.ndarray) -> float:
        sys_len, ref_len, *grams = table[rows].sum(0).tolist()
        half = len(grams) // 2
        return float(BLEU.compute_bleu(grams[:half], grams[half:], sys_len, ref_len, smooth_method="exp").score)

    return score


def check_bleu() -> None:
    """Nothing if BLEU can be computed.

    Raises:
        InputError: sacrebleu is not installed.
    """
    try:
        import sacrebleu  # noqa: F401
    except ImportError as error:
        raise InputError("--bleu: needs sacrebleu, which is missing; pip install 'dnadiff[text]' works") from error


OF_TEXT: dict[str, Callable[[str, str], float]] = {"exact_match": exact_match, "f1": token_f1}
"""What is measured of a written and a wanted text."""

OF_BASES: dict[str, Callable[[str, str], float]] = {
    "exact_match": lambda written, wanted: float(written == wanted), "same_bases": same_bases, "identity": identity,
}  # fmt: skip
"""What is measured of a written and a wanted sequence."""


def _with_error(name: str, value: float, resampled: np.ndarray) -> Row:
    """A figure and its standard error from resamples."""
    return {name: value, f"{name}_error": float(resampled.std(ddof=1))}


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance, a row of the table at a time.

    With D[j] the distances to the first j letters but for insertions, min over k <= j of D[k] + j - k adds them all.
    """
    b, place = np.frombuffer(other.encode("utf-32-le"), dtype=np.uint32), np.arange(len(other) + 1)
    row = place
    for i, letter in enumerate(one, 1):
        best = np.empty_like(row)
        best[0] = i
        best[1:] = np.minimum(row[:-1] + (b != ord(letter)), row[1:] + 1)
        row = np.minimum.accumulate(best - place) + place
    return int(row[-1])
