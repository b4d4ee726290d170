"""What simpler models pay for windows: Markov chains of bases, or of tokens, from a run's counts."""

from collections.abc import Callable, Iterable
from pathlib import Path

from dnadiff.data.tokenizer import Tokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.evaluation.likelihood import Scores, WindowBatch, floor_scores, token_floor_scores
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.token_chain import TokenChain

Floors = Callable[[Iterable[WindowBatch]], dict[int, Scores]]
"""What Markov chains pay for some windows, by order."""


def floors_of(path: Path, tokenizer: Tokenizer, *, pairs: bool = False) -> Floors:
    """What tells the floors of windows, from a file of counts.

    Args:
        path: ``baseline.npz`` of a run.
        tokenizer: The run's.
        pairs: Whether the windows are pairs, whose targets end with a token whatever the tokens are.

    Raises:
        InputError: The file is missing, damaged or of another kind of data.
    """
    if isinstance(tokenizer, NucleotideTokenizer) and not pairs:
        bases = MarkovChain.load(path)
        return lambda windows: floor_scores(bases, windows, tokenizer)
    tokens = TokenChain.load(path)
    return lambda windows: token_floor_scores(tokens, windows)
