r"""When a generated row ends before its length is reached.

A rule is asked after each block. Given tokens never end a row: only what was generated counts.
"""

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dnadiff.errors import InputError

GO_ON = -1
"""The answer for a row that does not end."""


class Stop(abc.ABC):
    """A rule that ends rows.

    Attributes:
        span: Tokens it looks back on.
    """

    span: int

    @abc.abstractmethod
    def end(self, recent: Tensor, made: Tensor, new: int) -> Tensor:
        """How many of the last ``new`` tokens stay of a row that ends there, ``GO_ON`` where it does not, (B,) int64.

        Args:
            recent: The latest tokens of each row, at most ``span`` or ``new`` of them, (B, N) int64.
            made: Which of them were generated, (B, N) bool.
            new: Number of tokens since the rule was last asked, 1..N.
        """


@dataclass(frozen=True)
class EndToken(Stop):
    """Ends a row behind the first generated token ``end_id``, which stays.

    Attributes:
        end_id: Such as that of [SEP], in models trained with it.
        span: 1.
    """

    end_id: int
    span: int = 1

    def end(self, recent: Tensor, made: Tensor, new: int) -> Tensor:
        """Up to and with the first end token."""
        hit = (recent[:, -new:] == self.end_id) & made[:, -new:]
        return torch.where(hit.any(-1), hit.int().argmax(-1) + 1, GO_ON)


@dataclass(frozen=True)
class LowComplexity(Stop):
    """Ends a row whose last ``span`` tokens are all generated and repeat few words.

    The measure is the entropy of their overlapping words of ``word`` letters over the most it could be, the logarithm
    of the number of words or of the number of places for one, whichever is smaller: 1 is random sequence, 0 one letter
    repeated. (An entropy in nats with a fixed limit would depend on the alphabet: four letters reach 1.386.) The
    repeat itself stays.

    Attributes:
        letters: Ids that words are made of, such as those of A, C, G and T; words with others do not count.
        span: Tokens looked at, more than ``word``.
        word: Letters of a word.
        share: Least share of the greatest entropy, in (0, 1).
    """

    letters: tuple[int, ...]
    span: int = 256
    word: int = 3
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.word < self.span:
            raise InputError(
                f"word={self.word}, span={self.span}: needs a word of 1 letter or more, shorter than the span"
            )
        if not 0 < self.share < 1:
            raise InputError(f"share={self.share}: needs a number between 0 and 1")
        if len(self.letters) < 2:
            raise InputError(f"letters={self.letters}: needs two or more")

    def end(self, recent: Tensor, made: Tensor, new: int) -> Tensor:
        """After the newest token, where the tail is too simple."""
        if recent.shape[1] < self.span:
            return torch.full((len(recent),), GO_ON, device=recent.device)
        tail, made = recent[:, -self.span :], made[:, -self.span :]
        simple = self.complexity(tail) < self.share
        return torch.where(simple & made.all(-1), new, GO_ON)

    def complexity(self, tokens: Tensor) -> Tensor:
        """Entropy of the words of each row over the greatest possible, in [0, 1], (B,) float64; 0 without a word."""
        n = len(self.letters)
        letter = (tokens[..., None] == torch.tensor(self.letters, device=tokens.device)).int()
        index, known = letter.argmax(-1), letter.any(-1)
        places = n ** torch.arange(self.word, device=tokens.device)
        words = (index.unfold(1, self.word, 1) * places).sum(-1)  # a GPU has no matrix products of whole numbers
        words = torch.where(known.unfold(1, self.word, 1).all(-1), words, n**self.word)
        counts = torch.zeros(len(tokens), n**self.word + 1, dtype=torch.float64, device=tokens.device)
        counts = counts.scatter_add(1, words, torch.ones_like(words, dtype=torch.float64))[:, :-1]
        p = counts / counts.sum(-1, keepdim=True).clamp(min=1)
        return -torch.xlogy(p, p).sum(-1) / min(math.log(n**self.word), math.log(words.shape[1]))
