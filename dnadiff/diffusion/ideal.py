r"""The ideal denoiser of a small table p(x): exact conditionals instead of a network.

With exact conditionals the NELBO is -log p(x), samplers draw p(x), and infilling draws p(x | given). That makes a table
the oracle of the tests and a way to see what a schedule, an objective or a sampler does without training anything.

    >>> import torch
    >>> from dnadiff.diffusion import AbsorbingProcess, IdealDenoiser, LogLinear
    >>> process = AbsorbingProcess(LogLinear(), mask_id=3)
    >>> sequences = torch.tensor([[7, 8], [9, 10]])                # AC and GT
    >>> denoiser = IdealDenoiser(sequences, torch.tensor([0.25, 0.75]), process, vocab_size=12)
    >>> denoiser(torch.tensor([[3, 3]]), None).exp()[0, 0, [7, 9]]
    tensor([0.2500, 0.7500], dtype=torch.float64)
    >>> denoiser(torch.tensor([[3, 8]]), None).exp()[0, 0, [7, 9]]
    tensor([1., 0.], dtype=torch.float64)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.parameterization import FLOOR, NextToken, Subs
from dnadiff.diffusion.process import AbsorbingProcess
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, Full, Pattern
from dnadiff.models.cache import KVCache
from dnadiff.models.chosen import pick


class IdealDenoiser(Denoiser):
    """The denoiser whose conditionals are those of a table.

    Args:
        sequences: The possible sequences, (S, L) int64, each once; every token that occurs is allowed.
        p: Their probabilities, (S,), summing to 1.
        process: The corruption; only its mask matters, exact conditionals do not depend on time.
        vocab_size: V, above every id.
    """

    def __init__(self, sequences: Tensor, p: Tensor, process: AbsorbingProcess, vocab_size: int) -> None:
        allowed = tuple(int(i) for i in sequences.unique())
        super().__init__(Table(sequences, p, process.mask_id, vocab_size), Subs(process.mask_id, allowed), process)


class Table(nn.Module):
    """A backbone that answers from a table p(x), as logits log p(x_i | the unmasked tokens it may see), float64.

    Arguments as of ``IdealDenoiser``. Under any pattern a position is told what the pattern lets it see, and nothing of
    the rest. Tokens that the table rules out get ``FLOOR``, and so does everything where what is seen occurs in no
    sequence.
    """

    def __init__(self, sequences: Tensor, p: Tensor, mask_id: int, vocab_size: int) -> None:
        super().__init__()
        self.mask_id = mask_id
        self.register_buffer("sequences", sequences.long())
        self.register_buffer("p", p.double())
        self.register_buffer("onehot", F.one_hot(sequences.long(), vocab_size).double())

    def forward(
        self,
        tokens: Tensor,
        sigma: Tensor,
        *,
        pattern: Pattern = Full(),
        valid: Tensor | None = None,
        labels: Tensor | None = None,
        cache: KVCache | None = None,
        at: Tensor | slice | None = None,
    ) -> Tensor:
        """Logits (B, N, V), or (B, M, V) at the positions ``at``; a cache remembers the tokens before these.

        Raises:
            InputError: Hidden keys or labels, which a table cannot honour.
        """
        if valid is not None or labels is not None:
            raise InputError("a table knows neither hidden keys nor labels: only valid=None, labels=None")
        past, forgotten = (0, 0) if cache is None else (cache.length, cache.forgotten)
        n = past + tokens.shape[1]
        if cache is not None:
            tokens = cache.extend(0, tokens[:, None, :, None], tokens[:, None, :, None])[0][:, 0, :, 0]
        i, positions = torch.arange(n, device=tokens.device), pattern.positions(n, tokens.device)
        sees = pattern.allows(i[past:, None], i[None, forgotten:], n).double()
        known = tokens[:, :, None] == self.sequences.T[positions[forgotten:]]
        conflict = ~known & (tokens != self.mask_id)[:, :, None]  # (B, M, S)
        fits = torch.einsum("nm,bms->bns", sees, conflict.double()) == 0
        weight = fits * self.p
        onehot = self.onehot[:, positions[past:]]
        p = torch.einsum("bns,snv->bnv", weight, onehot) / weight.sum(-1, keepdim=True).clamp(min=1e-300)
        return _asked(p.clamp(min=1e-300).log().masked_fill(p == 0, FLOOR), at)


class IdealNextToken(Denoiser):
    """The autoregressive model whose conditionals are those of a table: log p(x_{i+1} | x_0..x_i) at position i.

    Args:
        sequences: The possible sequences with their [BOS] or whatever comes first, (S, L) int64, each once. Tokens that
            occur after position 0 are allowed.
        p: Their probabilities, (S,), summing to 1.
        process: Names the mask.
        vocab_size: V, above every id.
    """

    def __init__(self, sequences: Tensor, p: Tensor, process: AbsorbingProcess, vocab_size: int) -> None:
        allowed = tuple(int(i) for i in sequences[:, 1:].unique())
        super().__init__(NextTable(sequences, p, vocab_size), NextToken(process.mask_id, allowed), process)


class NextTable(nn.Module):
    """A causal backbone that answers from a table p(x), as logits log p(x_{i+1} | x_0..x_i), float64.

    Arguments as of ``IdealNextToken``. Continuations that the table rules out get ``FLOOR``; at the last position there
    is no next token and every logit is 0.
    """

    def __init__(self, sequences: Tensor, p: Tensor, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.register_buffer("sequences", sequences.long())
        self.register_buffer("p", p.double())

    def forward(
        self,
        tokens: Tensor,
        sigma: Tensor,
        *,
        pattern: Pattern = Full(),
        valid: Tensor | None = None,
        labels: Tensor | None = None,
        cache: KVCache | None = None,
        at: Tensor | slice | None = None,
    ) -> Tensor:
        """Logits (B, N, V), or (B, M, V) at the positions ``at``; a cache holds the tokens before these.

        Raises:
            InputError: A pattern other than BlockCausal(1), hidden keys, or labels.
        """
        if pattern != BlockCausal(1) or valid is not None or labels is not None:
            raise InputError(
                "a table of next tokens sees what lies left: only pattern=BlockCausal(1), no valid or labels"
            )
        past = 0
        if cache is not None:
            past, as_keys = cache.length, tokens[:, None, :, None]
            tokens = cache.extend(0, as_keys, as_keys)[0][:, 0, :, 0]
        fits = (tokens[:, None] == self.sequences[:, : tokens.shape[1]]).long().cumprod(-1)  # (B, S, N)
        following = F.one_hot(self.sequences[:, 1 : tokens.shape[1] + 1], self.vocab_size).double()
        following = F.pad(following, (0, 0, 0, tokens.shape[1] - following.shape[1]), value=1.0)
        weight = fits * self.p[:, None]
        p = torch.einsum("bsn,snv->bnv", weight, following) / weight.sum(1).clamp(min=1e-300)[..., None]
        return _asked(p.clamp(min=1e-300).log().masked_fill(p == 0, FLOOR)[:, past:], at)


def _asked(logits: Tensor, at: Tensor | slice | None) -> Tensor:
    """The positions ``at`` of logits (B, N, V)."""
    return pick(logits, at)
