r"""From a backbone's hidden states to a statement about the sequence, or about every base: classes, labels or numbers.

    features (B, N, D) --pooling--> (B, D) --dropout, linear--> outputs (B, T) --readout--> probabilities or numbers
    features (B, N, D) --dropout, linear--> outputs (B, N, T) --readout--> probabilities of every base

Poolings:

    mean        over the positions that count
    mean_all    over all positions, padding and [BOS] too, as Caduceus pools
    attention   a learned query's softmax over the positions that count; the mean at the start
    first       the first position: [BOS] where there is one
    positions   none: every position has weights of its own, for sequences that are aligned, such as at a start site

A predictor reads clean sequence, so its noise level sigma is 0. The backbone keeps the pattern of attention that it was
trained with. The linear layer is zero at the start: an untrained predictor says that everything is equally likely.

Shapes: B batch, N tokens, D width, T outputs.
"""

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnadiff.errors import InputError, did_you_mean
from dnadiff.models.attention import BlockCausal, Full, Pattern

POOLINGS = ("mean", "mean_all", "attention", "first", "positions")


class Head(nn.Module, abc.ABC):
    """Maps hidden states to outputs.

    Attributes:
        pooling: One of ``POOLINGS``, or ``none``.
        linear: What gives the outputs.
    """

    pooling: str
    linear: nn.Linear

    @abc.abstractmethod
    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Outputs of features (B, N, D) and the positions that count, (B, N) bool, one or more a row."""


class SequenceHead(Head):
    """Pools hidden states and maps them to outputs.

    Args:
        width: D.
        outputs: T.
        pooling: One of ``POOLINGS``.
        dropout: Probability, on the pooled state.
        length: N, which pooling by positions needs to know.

    Raises:
        InputError: There is no such pooling, or it lacks the length.
    """

    def __init__(
        self, width: int, outputs: int, *, pooling: str = "mean", dropout: float = 0.0, length: int = 0
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise InputError(f"pooling={pooling}: {did_you_mean(pooling, POOLINGS)}")
        if pooling == "positions" and not length:
            raise InputError("pooling=positions: needs the length of the rows; length=N would work")
        self.pooling, self.dropout = pooling, nn.Dropout(dropout)
        self.query = nn.Linear(width, 1, bias=False) if pooling == "attention" else None
        self.linear = nn.Linear(width * length if pooling == "positions" else width, outputs)
        for layer in filter(None, (self.query, self.linear)):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Outputs (B, T) float32 of features (B, N, D) and the positions that count, (B, N) bool, one or more a row."""
        return self.linear(self.dropout(self._pooled(features.float(), valid)))

    def _pooled(self, features: Tensor, valid: Tensor) -> Tensor:
        if self.pooling == "first":
            return features[:, 0]
        if self.pooling == "positions":
            return (features * valid[..., None]).flatten(1)
        if self.pooling == "mean_all":
            return features.mean(1)
        if self.query is None:
            weight = valid / valid.sum(1, keepdim=True)
        else:
            weight = self.query(features)[..., 0].masked_fill(~valid, -torch.inf).softmax(1)
        return (features * weight[..., None].to(features.dtype)).sum(1)


class TokenHead(Head):
    """Maps the hidden state of every position to outputs, the same way everywhere.

    Args:
        width: D.
        outputs: T.
        dropout: Probability, on the states.
    """

    def __init__(self, width: int, outputs: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.pooling, self.dropout = "none", nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        for parameter in self.linear.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Outputs (B, N, T) float32 of features (B, N, D); those of positions that do not count mean nothing."""
        return self.linear(self.dropout(features.float()))


class Readout(nn.Module, abc.ABC):
    """What outputs mean: what they cost beside the truth, and what they say."""

    @abc.abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What each row costs, (B,), of outputs (B, T) and the true targets."""

    @abc.abstractmethod
    def forward(self, outputs: Tensor) -> Tensor:
        """Probabilities, or numbers in the targets' own units, (B, T), of outputs (B, T)."""


class ClassReadout(Readout):
    """One of T classes: softmax; the loss is the cross-entropy in nats, of targets (B,) int64."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p(class), nats."""
        return F.cross_entropy(outputs, targets, reduction="none")

    def forward(self, outputs: Tensor) -> Tensor:
        """Probabilities of the classes; they add up to 1."""
        return outputs.softmax(-1)


class TokenReadout(Readout):
    """One of T classes for every position: softmax; targets (B, N) int64 are -1 where nothing counts."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of -log p(class) over the positions of a row that count, nats; 0 for a row without any."""
        costs = F.cross_entropy(outputs.transpose(1, 2), targets, ignore_index=-1, reduction="none")
        return costs.sum(1) / (targets >= 0).sum(1).clamp(min=1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Probabilities of the classes, (B, N, T); they add up to 1."""
        return outputs.softmax(-1)


class LabelReadout(Readout):
    """Any of T labels: a sigmoid each; the loss is the mean of T binary cross-entropies, of targets (B, T) 0 or 1."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the labels of -log p, nats."""
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(-1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Probability of each label."""
        return outputs.sigmoid()


class NumberReadout(Readout):
    """T numbers, learnt in units of their spread: output = (target - mean) / deviation; the loss is half the square.

    Args:
        mean: Of each number in the training part, (T,).
        deviation: Its standard deviation there, (T,), above 0.
    """

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32), persistent=False)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Half the mean square of the errors in standard deviations."""
        return 0.5 * (outputs - (targets - self.mean) / self.deviation).square().mean(-1)

    def forward(self, outputs: Tensor) -> Tensor:
        """Numbers in their own units."""
        return outputs * self.deviation + self.mean


class Predictor(nn.Module):
    """A backbone, a head and what its outputs mean.

    Args:
        backbone: Has ``features(tokens, sigma, *, pattern, valid)``, (B, N, D).
        head: From features to outputs.
        readout: What the outputs mean.
        pattern: The attention that the backbone was trained with, on clean tokens.

    Raises:
        InputError: The head pools the first position and the pattern hides all others from it.
    """

    def __init__(self, backbone: nn.Module, head: Head, readout: Readout, pattern: Pattern = Full()) -> None:
        super().__init__()
        if head.pooling == "first" and isinstance(pattern, BlockCausal):
            raise InputError("pooling=first: the first position of this model does not see the others; mean would work")
        self.backbone, self.head, self.readout, self.pattern = backbone, head, readout, pattern

    def forward(self, tokens: Tensor, valid: Tensor, given: Tensor, second: Tensor | None = None) -> Tensor:
        """Outputs (B, T) float32, or (B, N, T) of a ``TokenHead``, before the readout.

        Args:
            tokens: Token ids, (B, N).
            valid: Bases that count, (B, N) bool, one or more a row.
            given: Other tokens that may be seen, such as [BOS], (B, N) bool.
            second: Which are of a second sentence, (B, N) bool; only of a backbone that can be told.
        """
        shown = valid | given
        seen = None if bool(shown.all()) else shown
        sigma = torch.zeros(len(tokens), device=tokens.device)
        told = {} if second is None else {"second": second}
        return self.head(self.backbone.features(tokens, sigma, pattern=self.pattern, valid=seen, **told), valid)
