"""Targets that a model writes behind what is given: the sources of pairs, or the beginnings of windows.

Many targets can be written for each and one kept, the one that the model's own bound on -log p(target | given) is least
for, estimated with the same noise for all of them; a model that repairs tokens (algo=sundae) makes and compares its
candidates itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Batch, NextToken, Objective, Revise, Subs
from dnadiff.random import Draws, key64
from dnadiff.recipes.model import Model
from dnadiff.recipes.walk import Walk, sampler_for

ROWS = 16
"""Rows that a network reads together where nothing else is said."""

_DRAWS = 4  # estimates of the bound of a candidate


@dataclass(frozen=True)
class Decoding:
    """How targets are written.

    Attributes:
        walk: The sampler and its settings.
        candidates: Targets of each row, of which one is kept.
        words: The same for people.
    """

    walk: Walk
    candidates: int
    words: str


def usual_decoding(model: Model[Any]) -> Decoding:
    """How the targets of a model are written that are compared with others.

    Next tokens greedily, from a cache; blocks one token a call at temperature 0.2; everything else in 10 steps at
    temperature 0.2, the best of 8 candidates (Han et al., 2024, arXiv:2401.17181).
    """
    predicts, walk = model.denoiser.parameterization, Walk(rows_per_call=ROWS)
    if isinstance(predicts, NextToken):
        return Decoding(replace(walk, top_k=1), 1, "greedily")
    if model.block_size is not None:
        blocks = replace(walk, temperature=0.2, stop_at_end=model.pairs)
        return Decoding(blocks, 1, f"in blocks of {model.block_size}, a token a call at temperature 0.2")
    walk = replace(walk, steps=10, temperature=0.2, sampler="ancestral" if isinstance(predicts, Subs) else None)
    words = "in 10 steps at temperature 0.2, the best of 8 candidates by the model itself"
    return Decoding(*with_candidates(model, walk, 8), words)


def with_candidates(model: Model[Any], walk: Walk, candidates: int | None) -> tuple[Walk, int]:
    """The settings, and how many candidates are left to compare for those who walk by them; None is the usual."""
    own = isinstance(model.denoiser.parameterization, Revise)
    return (replace(walk, candidates=candidates), 1) if own else (walk, candidates or 1)


def completed(
    model: Model[Any], objective: Objective, decoding: Decoding, windows: Mapping[str, np.ndarray], seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> np.ndarray:  # fmt: skip
    """The rows (B, L) of some windows with everything that is scored written anew, int64.

    Args:
        model: What writes.
        objective: What candidates are compared by.
        decoding: How.
        windows: A batch of ``Dataset``: of it ``tokens``, ``valid``, ``given`` and ``item_ids`` are read.
        seed: With the number of a row it decides all draws.
        progress: Told of every call of the network by how many tokens there are more.

    Raises:
        InputError: A setting is impossible, or does not go with the model.
    """
    device, many, mask_id = next(model.denoiser.parameters()).device, decoding.candidates, model.tokenizer.mask_id
    wanted = windows["valid"] & ~windows["given"]
    starts = torch.from_numpy(np.where(wanted, mask_id, windows["tokens"])).to(device)
    ids = (windows["item_ids"][:, None] * many + np.arange(many)).reshape(-1)
    sampler = sampler_for(model, decoding.walk, starts.shape[1] - model.bos)
    rows = sampler(starts.repeat_interleave(many, 0), Draws(seed, ids), progress=progress)
    masked = (starts == mask_id).repeat_interleave(many, 0)
    if model.pairs:
        rows = _ended(rows, masked, model.tokenizer.sep_id)
    if many > 1:
        valid = torch.from_numpy(windows["valid"]).to(device).repeat_interleave(many, 0)
        batch = Batch(rows, valid, ~masked, None if bool(valid.all()) else valid)
        cost = _cost(model, objective, batch, seed, windows["item_ids"].repeat(many))
        rows = rows[torch.arange(len(starts), device=device) * many + cost.view(-1, many).argmin(1)]
    return rows.cpu().numpy()


def letters(ids: np.ndarray, tokenizer: Tokenizer) -> str:
    """The text or the bases of token ids, without anything that stands for none."""
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer.text(ids)
    bases = (*NucleotideTokenizer.base_ids, NucleotideTokenizer.n_id)
    return tokenizer.decode(ids[np.isin(ids, bases)])


def target_of(row: np.ndarray, scored: np.ndarray, tokenizer: Tokenizer, *, pairs: bool) -> str:
    """What a row says where it is scored, of pairs up to the first end.

    Args:
        row: Token ids, (L,).
        scored: Where, (L,) bool.
        tokenizer: The model's.
        pairs: Whether the row is a pair.
    """
    ids = row[scored]
    ends = np.flatnonzero(ids == tokenizer.sep_id)
    return letters(ids[: ends[0]] if pairs and len(ends) else ids, tokenizer)


def _ended(rows: torch.Tensor, masked: torch.Tensor, sep_id: int) -> torch.Tensor:
    """The rows with the end token in every place behind the first one that was written, as pairs have it."""
    ended = ((rows == sep_id) & masked).long().cumsum(1) > 0
    return torch.where(ended & masked, sep_id, rows)


def _cost(model: Model[Any], objective: Objective, batch: Batch, seed: int, item_ids: np.ndarray) -> torch.Tensor:
    """An estimate of the bound of every row, nats (B,); rows of the same number have the same noise."""
    total = torch.zeros(len(batch.x0), dtype=torch.float64, device=batch.x0.device)
    for draw in range(1 if objective.exact else _DRAWS):
        with torch.inference_mode():
            loss = objective(model.denoiser, batch, Draws(key64("candidates", seed, draw), item_ids))
        total = total + torch.where(loss.valid, loss.nll, 0.0).double().sum(-1)
    return total
