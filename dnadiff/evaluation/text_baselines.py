r"""What can be predicted of text without a neural network: a linear model on its words, in whatever order.

A sentence is the words and pairs of adjacent words that it holds, in small letters, a punctuation mark being a word
too. A pair of sentences is the words that both hold, those that one of them holds, and the tenth in which the share of
words in both (of those in either, Jaccard) falls. Counts are weighted by rarity (TF-IDF: a word in d of n training
texts by 1 + log((1 + n) / (1 + d))) and scaled to length 1; logistic regression, or ridge regression of numbers, is
fitted to them. Of three strengths of regularisation the one that does best on the validation part is taken.
"""

import itertools
import re
from collections.abc import Iterator

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from dnadiff.data.labelled import Labelled
from dnadiff.data.parts import Part
from dnadiff.evaluation.probes import Known, LinearProbe

STRENGTHS = (0.3, 3.0, 30.0)
"""Inverse strengths of the regularisation that are tried; the middle one is taken if there is nothing to choose by."""

_WORD = re.compile(r"\w+|[^\w\s]")


def bag_of_words(data: Labelled, part: Part, metric: str) -> np.ndarray:
    """What the linear model on words says of a part, (n, T).

    Args:
        data: The model is fitted to its training part, the words' rarity too.
        part: What to predict.
        metric: Chooses the regularisation on the validation part.
    """
    vectors = TfidfVectorizer(analyzer=features, dtype=np.float64)
    train = Known(vectors.fit_transform(data.train.texts), data.train.targets)
    valid = None if data.valid is None else Known(vectors.transform(data.valid.texts), data.valid.targets)
    probe = LinearProbe(data.meaning.kind, STRENGTHS, scaled=False, classes=len(data.meaning.names))
    return probe.fit(train, valid, metric).predict(vectors.transform(part.texts))


def features(sentences: tuple[str, ...]) -> list[str]:
    """The words of a sentence and its pairs of adjacent words, or what two sentences share and do not.

    Args:
        sentences: One or two.
    """
    return list(_alone(sentences[0]) if len(sentences) == 1 else _together(*sentences))


def _words(sentence: str) -> list[str]:
    return _WORD.findall(sentence.lower())


def _alone(sentence: str) -> Iterator[str]:
    words = _words(sentence)
    yield from words
    yield from (f"{one} {other}" for one, other in itertools.pairwise(words))


def _together(first: str, second: str) -> Iterator[str]:
    one, other = set(_words(first)), set(_words(second))
    yield from (f"both {word}" for word in sorted(one & other))
    yield from (f"one {word}" for word in sorted(one ^ other))
    yield f"share {10 * len(one & other) // max(1, len(one | other))}"
