r"""Likelihood of held-out windows: bits per base, how sure the figure is, and what simpler models pay.

Of text a base is a token, and the figures are called bits per token. Beside them stand bits per character: the same
bits over the characters that the scored tokens stand for, an end token standing for none.

The bound of a window is estimated by drawing its corruption once or several times. Every draw is addressed by (seed,
draw number, strand, window number), so a score depends on neither the batch size nor the other windows.

With b_w bits and c_w scored bases in window w of W, bits per base are the ratio R = sum b_w / sum c_w, and the
residuals e_w = (b_w - R c_w) W / sum c_w give its errors:

- *standard error* = sd(e_w) / sqrt(W), over windows: how far another set of windows of the same kind would lie. With
  equal c_w it is the sd of the per-window bits per base over sqrt(W) (the ratio form of Cochran, Sampling techniques,
  1977, ch. 6). It includes the noise of the draws.
- *Monte-Carlo error*: the part that more draws would remove, from the variance between the draws of each window.
  Draws of different windows count as independent; they are stratified, so the true error is smaller.
- *paired difference*: the residuals of two models are subtracted window by window, which removes what makes windows
  hard for both.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.objective import Batch, Objective
from dnadiff.errors import InputError
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.token_chain import TokenChain
from dnadiff.random import Draws, key64

WindowBatch = Mapping[str, np.ndarray]
Read = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Codes of a window, where they may be context, and where they are scored; each (B, L)."""


@dataclass(frozen=True)
class Scores:
    """What some windows cost.

    Attributes:
        item_ids: The windows' numbers, (W,) int64.
        bits: Bits of all scored bases of each window, one column a draw, (W, M) float64.
        counts: Scored bases, (W,) int64.
        characters: Characters that the windows' tokens stand for, (W,) int64; None where a token is a letter.
    """

    item_ids: np.ndarray
    bits: np.ndarray
    counts: np.ndarray
    characters: np.ndarray | None = None

    @property
    def bits_per_base(self) -> float:
        """Bits of all bases over their number."""
        return float(self.bits.mean(1).sum() / self.counts.sum())

    @property
    def residuals(self) -> np.ndarray:
        """e_w of the module's formula, (W,) bits per base; they sum to zero."""
        return (self.bits.mean(1) - self.bits_per_base * self.counts) / self.counts.mean()

    @property
    def standard_error(self) -> float:
        """Of bits per base, over windows; NaN with one window."""
        return _standard_error(self.residuals)

    @property
    def monte_carlo_error(self) -> float | None:
        """Of bits per base, over draws; None with one draw, which cannot tell."""
        draws = self.bits.shape[1]
        if draws == 1:
            return None
        return float(np.sqrt(self.bits.var(1, ddof=1).sum() / draws) / self.counts.sum())

    @property
    def by_character(self) -> "Scores | None":
        """The same scores a character; None where a token is a letter, or no token stands for one."""
        if self.characters is None or not self.characters.any():
            return None
        return Scores(self.item_ids, self.bits, self.characters)


def score(
    denoiser: Denoiser,
    objective: Objective,
    batches: Iterable[WindowBatch],
    *,
    seed: int,
    samples: int = 1,
    strand: str = "+",
    device: torch.device | str = "cpu",
) -> Scores:
    """What the model pays for each window that has a base to score.

    Args:
        denoiser: The model, in evaluation mode.
        objective: The bound.
        batches: Windows: tokens (B, L) int64, valid and given (B, L) bool, item_ids (B,) int64 and,
            for models with classes, labels (B,) int64; of pairs ``counted`` and ``once``, see ``data.pair_windows``.
        seed: Of the draws.
        samples: Draws a window.
        strand: Part of the address of the draws, so that the two strands of a window have draws of their own.
        device: Where the model is.
    """
    ids, bits, counts, characters = [], [], [], []
    for window in batches:
        batch = _as_batch(window, device)
        columns = []
        for draw in range(samples):
            draws = Draws(key64("score", seed, draw, strand), window["item_ids"])
            with torch.inference_mode():
                loss = objective(denoiser, batch, draws)
            nats = torch.where(loss.valid, loss.nll, 0.0).double().sum(-1)
            columns.append(nats.cpu().numpy() / np.log(2))
        ids.append(np.asarray(window["item_ids"]))
        bits.append(np.stack(columns, axis=1))
        counts.append(_counted(window, loss.valid.sum(-1).cpu().numpy()))
        if "characters" in window:
            characters.append(np.asarray(window["characters"]))
    return _scored(ids, bits, counts, samples, characters)


def floor_scores(
    chain: MarkovChain,
    batches: Iterable[WindowBatch],
    tokenizer: NucleotideTokenizer,
    orders: Sequence[int] | None = None,
) -> dict[int, Scores]:
    """What Markov chains pay for each window, by order; context restarts at the left edge of every window.

    Args:
        chain: Counted on the training split.
        batches: The windows of :func:`score`.
        tokenizer: Says which ids are A, C, G and T; every other token is not scored.
        orders: None for all the chain has.
    """
    codes_of = np.full(tokenizer.vocab_size, 4, dtype=np.uint8)
    codes_of[list(tokenizer.base_ids)] = range(4)

    def bases(window: WindowBatch) -> Read:
        codes = codes_of[window["tokens"]]
        known = window["valid"] & (codes < 4)
        return codes, known, known & ~window["given"]

    return _chain_scores(chain, batches, bases, range(chain.order + 1) if orders is None else orders)


def token_floor_scores(chain: TokenChain, batches: Iterable[WindowBatch]) -> dict[int, Scores]:
    """What Markov chains of tokens pay for each window, by order; context restarts at the left edge of every window.

    What a cut gives is context; the source of a pair is none, and of its target's ends the first is paid for.

    Args:
        chain: Counted on the training documents.
        batches: The windows of :func:`score`.
    """

    def tokens(window: WindowBatch) -> Read:
        scored = window["once"] if "once" in window else window["valid"] & ~window["given"]
        return window["tokens"], scored | window["prefix"] if "prefix" in window else scored, scored

    return _chain_scores(chain, batches, tokens, range(chain.order + 1))


def _chain_scores(
    chain: MarkovChain | TokenChain,
    batches: Iterable[WindowBatch],
    read: Callable[[WindowBatch], Read],
    orders: Sequence[int],
) -> dict[int, Scores]:
    """What each order of a chain pays for the codes that ``read`` finds in a window where it says that they count."""
    ids, counts = [], []
    bits: dict[int, list[np.ndarray]] = {order: [] for order in orders}
    for window in batches:
        codes, known, scored = read(window)
        ids.append(np.asarray(window["item_ids"]))
        counts.append(_counted(window, scored.sum(1)))
        for order in orders:
            paid = np.where(scored, chain.bits(codes, known, order=order), 0.0)
            bits[order].append(paid.sum(1, keepdims=True))
    return {order: _scored(ids, bits[order], counts, 1) for order in orders}


def reverse_complement(window: WindowBatch, tokenizer: NucleotideTokenizer) -> dict[str, np.ndarray]:
    """The windows as read from the other strand; an opening [BOS] stays in front."""
    first = int(window["given"][:, 0].all())
    turned = {name: _turned(np.asarray(window[name]), first) for name in ("tokens", "valid", "given", "weight")}
    turned["tokens"][:, first:] = tokenizer.complement(turned["tokens"][:, first:])
    return turned | {name: window[name] for name in ("item_ids", "labels") if name in window}


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of all parts in the order of their windows; a window that several parts scored counts once.

    Raises:
        InputError: No window has a base to score.
    """
    ids, first = np.unique(np.concatenate([part.item_ids for part in parts]), return_index=True)
    if not len(ids):
        raise InputError("windows to score: found no base; windows with A, C, G or T would work")
    bits, counts = (np.concatenate([getattr(part, name) for part in parts])[first] for name in ("bits", "counts"))
    named = [part.characters for part in parts if part.characters is not None]
    return Scores(ids, bits, counts, np.concatenate(named)[first] if named else None)


def average(one: Scores, other: Scores) -> Scores:
    """The mean of two scores of the same windows, such as those of the two strands."""
    if not np.array_equal(one.item_ids, other.item_ids) or not np.array_equal(one.counts, other.counts):
        raise ValueError("scores of different windows cannot be averaged")
    return Scores(one.item_ids, (one.bits + other.bits) / 2, one.counts, one.characters)


def difference(model: Scores, floor: Scores) -> tuple[float, float]:
    """Bits per base of the model minus those of the floor, and the standard error of that, paired by window."""
    if not np.array_equal(model.item_ids, floor.item_ids):
        raise ValueError("scores of different windows cannot be paired")
    return model.bits_per_base - floor.bits_per_base, _standard_error(model.residuals - floor.residuals)


def chosen_floors(floors: Mapping[int, Scores]) -> dict[str, Scores]:
    """Orders 0, 3, 6 and the best, by name.

    The best is the one that pays least for these very windows: a choice that favours the floor.
    """
    named = {f"Markov order {order}": floors[order] for order in (0, 3, 6) if order in floors}
    if floors:
        best = min(floors, key=lambda order: floors[order].bits_per_base)
        named[f"Markov best (order {best})"] = floors[best]
    return named


def summarise(model: Scores, floors: Mapping[str, Scores], *, exact: bool = False, unit: str = "base") -> list[dict]:
    """One row for the model, which says whether it is a bound, and one a floor, in plain JSON values.

    Keys: name, bits_per_base, standard_error, monte_carlo_error (None with one draw), nats_per_base, perplexity,
    windows, bases; floors also difference (model minus floor: negative when the model is better) and
    difference_error, paired. With another unit these are bits_per_token and so on, and there are perplexity_error,
    bits_per_character, character_error and characters too.
    """
    rows = [_row("model (exact)" if exact else "model (bound)", model, unit)]
    for name, floor in floors.items():
        gap, error = difference(model, floor)
        row = _row(name, replace(floor, characters=model.characters), unit)
        rows.append(row | {"difference": gap, "difference_error": _finite(error)})
    return rows


def _row(name: str, scores: Scores, unit: str) -> dict:
    nats = scores.bits_per_base * np.log(2)
    row = {
        "name": name,
        f"bits_per_{unit}": scores.bits_per_base,
        "standard_error": _finite(scores.standard_error),
        "monte_carlo_error": scores.monte_carlo_error,
        f"nats_per_{unit}": float(nats),
        "perplexity": float(np.exp(nats)),
        "windows": len(scores.counts),
        f"{unit}s": int(scores.counts.sum()),
    }
    return row if unit == "base" else row | _of_text(scores, row["perplexity"])


def _of_text(scores: Scores, perplexity: float) -> dict:
    """What a row of text has more: the error of the perplexity, to first order, and the figures a character."""
    letters = scores.by_character
    return {
        "perplexity_error": _finite(perplexity * np.log(2) * scores.standard_error),
        "bits_per_character": None if letters is None else letters.bits_per_base,
        "character_error": None if letters is None else _finite(letters.standard_error),
        "characters": None if letters is None else int(letters.counts.sum()),
    }


def _counted(window: WindowBatch, scored: np.ndarray) -> np.ndarray:
    """What the bits of each window are divided by, (B,): its scored tokens, unless it says so itself."""
    return np.where(scored > 0, window["counted"], 0) if "counted" in window else scored


def _turned(values: np.ndarray, first: int) -> np.ndarray:
    return np.concatenate([values[:, :first], values[:, first:][:, ::-1]], axis=1)


def _as_batch(window: WindowBatch, device: torch.device | str) -> Batch:
    tokens, valid, given = (torch.as_tensor(window[name], device=device) for name in ("tokens", "valid", "given"))
    shown = valid | given
    labels = torch.as_tensor(window["labels"], device=device) if "labels" in window else None
    return Batch(tokens, valid, given if given.any() else None, None if shown.all() else shown, labels)


def _scored(
    ids: list[np.ndarray],
    bits: list[np.ndarray],
    counts: list[np.ndarray],
    draws: int,
    characters: Sequence[np.ndarray] = (),
) -> Scores:
    """The windows of all batches that have a base to score."""
    none = np.empty(0, dtype=np.int64)
    all_ids, all_counts = np.concatenate([none, *ids]), np.concatenate([none, *counts])
    some = all_counts > 0
    named = np.concatenate(characters)[some] if characters else None
    return Scores(all_ids[some], np.concatenate([np.empty((0, draws)), *bits])[some], all_counts[some], named)


def _standard_error(residuals: np.ndarray) -> float:
    return float(residuals.std(ddof=1) / np.sqrt(len(residuals))) if len(residuals) > 1 else float("nan")


def _finite(value: float) -> float | None:
    """The value, or None where it is NaN, which JSON has no word for."""
    return value if np.isfinite(value) else None
