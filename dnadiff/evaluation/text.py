r"""Figures of generated text that need no reference text: entropy, distinct words, and how a judge finds it.

*Sample entropy*: the entropy of the histogram of a sample's tokens, in nats, averaged over samples. Text that repeats
itself has little, whatever a judge says of it; published models of OpenWebText are at 5.2 to 5.5 with 1024 of GPT-2's
tokens (Zheng et al. 2024, arXiv:2409.02908). It depends on the tokenizer and on the length, so only samples with
both alike compare.

*distinct-n*: different runs of n words over all runs of n words, over all samples (Li et al., A diversity-promoting
objective function for neural conversation models, 2016). It falls with the amount of text.

*Generative perplexity* is the perplexity of the samples under another model, the judge, after they were tokenized again
by its tokenizer. Two conventions are published, and they differ:

    mdlm    a window of the judge at a time; of end tokens only the first of a sample counts (Sahoo et al. 2024)
    bd3lm   windows of the judge that overlap by half, each token scored in the first window that has it, no end token
            (Arriola et al. 2025)

A low figure alone says little: repetition lowers it too. Read it beside the entropy, and beside that of real text.
"""

from collections.abc import Sequence

import numpy as np

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
    """The windows by which a judge reads a sample: first token, end, and the first that is scored.

    Args:
        length: Tokens of the sample, 1 or more.
        window: Tokens the judge reads at a time, 2 or more.
        convention: ``mdlm`` or ``bd3lm``.
    """
    stride = window if convention == "mdlm" else max(1, window // 2)
    out, done = [], 0
    for start in range(0, length, stride):
        end = min(start + window, length)
        out.append((start, end, done))
        done = end
        if end == length:
            break
    return out


def counted(ids: np.ndarray, end_id: int, convention: str) -> np.ndarray:
    """Which tokens of a sample count, (n,) bool.

    Args:
        ids: Of the judge, (n,).
        end_id: The judge's end token.
        convention: ``mdlm`` counts the first end token, ``bd3lm`` none.
    """
    ends = ids == end_id
    first = ends & (np.cumsum(ends) == 1)
    return ~ends | first if convention == "mdlm" else ~ends


def _entropy(ids: np.ndarray) -> float:
    p = np.unique(ids, return_counts=True)[1] / len(ids)
    return float(-(p * np.log(p)).sum())
