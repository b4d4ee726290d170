r"""Figures of generated text that need no reference text: entropy, distinct words, and how a judge finds it.

*Sample entropy*: the entropy of the histogram of a sample's tokens, in nats, averaged over samples. Text that repeats
itself has little, whatever a judge says of it; published models of OpenWebText are at 5.2 to 5.5 with 1024 of GPT-2's
tokens (Zheng et al. 2024, arXiv:2409.02908). It depends on the tokenizer and on the length, so only samples with
both alike compare.

*distinct-n*: different runs of n words over all runs of n words, over all samples (Li et al., A diversity-promoting
objective function for neural conversation models, 2016). It falls with the amount of text.

*Generative perplexity* is the perplexity of the samples under another model, the judge, after they were tokenized again
by its tokenizer. Two conventions of reading texts longer than the judge's window are published:

    mdlm    disjoint windows (Sahoo et al. 2024)
    bd3lm   windows that overlap by half, each token scored in the first window that has it (Arriola et al. 2025)

Of end tokens MDLM scores the first of a sample and BD3-LM none; here a text has none. Under both the judge is GPT-2,
which begins with no token of its own and so does not score the first token of a window that none before it has (with
windows that overlap by half, the first of the text). A folder of GPT-2's is read so; any other judge that reads from
the left begins its windows with [BOS] and scores the first token too.

A low figure alone says little: repetition lowers it too. Read it beside the entropy, and beside that of real text.
"""

from collections.abc import Sequence

import numpy as np

from dnadiff.data.tokenizer import Encoded
from dnadiff.evaluation.likelihood import Scores

CONVENTIONS = ("mdlm", "bd3lm")


def token_entropy(samples: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean entropy of the samples' token histograms, nats, and its standard error over samples (NaN with one).

    Args:
        samples: Token ids, (n,) each; empty ones have no entropy and do not count.
    """
    values = np.array([_entropy(ids) for ids in samples if len(ids)])
    if not len(values):
        return float("nan"), float("nan")
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(values.mean()), float(error)


def distinct(texts: Sequence[str], n: int) -> float:
    """Different runs of ``n`` words over all of them, in (0, 1]; NaN if no text has so many words.

    Args:
        texts: The samples; words are what stands between blanks.
        n: Words of a run, 1 or more.
    """
    runs: list[tuple[str, ...]] = []
    for text in texts:
        words = text.split()
        runs += [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else float("nan")


def judged_windows(length: int, window: int, convention: str) -> list[tuple[int, int, int]]:
    """The windows by which a judge reads a text: first token, end, and the first that is scored.

    Args:
        length: Tokens of the text.
        window: Tokens the judge reads at a time, 2 or more.
        convention: A name of ``CONVENTIONS``.
    """
    stride = window if convention == "mdlm" else window // 2
    out, done = [], 0
    while done < length:
        start = 0 if not out else out[-1][0] + stride
        end = min(start + window, length)
        out.append((start, end, done))
        done = end
    return out


def judged_rows(
    texts: Sequence[Encoded], length: int, convention: str, *, bos: int | None, filler: int, first_given: bool = False
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The windows of some texts as one batch for ``likelihood.score``, and the text of each window, (windows,).

    Args:
        texts: Tokens of the judge.
        length: Tokens of a row.
        convention: A name of ``CONVENTIONS``.
        bos: Token that begins a row; None if none does.
        filler: Token that stands where nothing is.
        first_given: Read the first token of a window and do not score it, as a judge must that reads from the left and
            begins with no token of its own.
    """
    lead = int(bos is not None)
    places = [
        (number, place)
        for number, text in enumerate(texts)
        for place in judged_windows(len(text.ids), length - lead, convention)
    ]
    shape = (len(places), length)
    tokens, valid = np.full(shape, filler, dtype=np.int64), np.zeros(shape, dtype=bool)
    given, characters = np.zeros(shape, dtype=bool), np.zeros(len(places), dtype=np.int64)
    for row, (number, (start, end, seen)) in enumerate(places):
        done = max(seen, start + first_given)
        if bos is not None:
            tokens[row, 0], valid[row, 0], given[row, 0] = bos, True, True
        stop = lead + end - start
        tokens[row, lead:stop], valid[row, lead:stop] = texts[number].ids[start:end], True
        given[row, lead : lead + done - start] = True
        characters[row] = texts[number].characters[done:end].sum()
    batch = {"tokens": tokens, "valid": valid, "given": given, "item_ids": np.arange(len(places)),
             "characters": characters}  # fmt: skip
    return batch, np.array([number for number, _ in places], dtype=np.int64)


def per_text(scores: Scores, owners: np.ndarray) -> Scores:
    """The scores of windows summed over those of a text.

    Args:
        scores: Of windows that carry their characters.
        owners: The text of every window, by its number.
    """
    texts, at = np.unique(owners[scores.item_ids], return_inverse=True)
    bits = np.zeros((len(texts), scores.bits.shape[1]))
    np.add.at(bits, at, scores.bits)
    counts, characters = (
        np.bincount(at, weights=values, minlength=len(texts)).astype(np.int64)
        for values in (scores.counts, np.zeros(len(at)) if scores.characters is None else scores.characters)
    )
    return Scores(texts, bits, counts, characters)


def _entropy(ids: np.ndarray) -> float:
    p = np.unique(ids, return_counts=True)[1] / len(ids)
    return float(-(p * np.log(p)).sum())
