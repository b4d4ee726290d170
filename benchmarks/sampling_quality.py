"""What ``sampling.py`` says of quality: k-mers beside held-out windows, and bits that drawing together loses."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dnadiff.evaluation.generation import Samples, report
from dnadiff.recipes.model import Model

KS = (3, 4)
SHARES = (1 / 64, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0)
"""Masked shares at which the network is asked about held-out windows."""
WINDOWS = 48


def measured_quality(
    real: Sequence[np.ndarray], made: Mapping[str, list[np.ndarray]], whole: list[np.ndarray], seed: int
) -> dict:
    """Divergences of every set from half of the held-out windows, beside the other half.

    Args:
        real: Held-out windows.
        made: Sequences of the sides, the stand-in for the reference first; all of the same number.
        whole: Sequences that the reference itself walked, fewer.
        seed: Of the bootstrap.

    Returns:
        ``rows`` by name: js_3, js_4 in bits with errors, and ``equal``, whether neither exceeds that of the stand-in by
        more than two standard errors of the difference; ``real``, the same of real windows; ``whole``, the walked
        sequences beside as many of the stand-in.
    """
    name, sequences = next(iter(made.items()))
    n = min(len(sequences), len(real) // 2)
    order = np.random.default_rng(seed).permutation(len(real))
    against, other = ([real[i] for i in order[part]] for part in (slice(n), slice(n, 2 * n)))
    sets = {"real": other} | {side: found[:n] for side, found in made.items()}
    rows = {row["name"]: row for row in report(Samples(against, sets, []), KS, seed)}
    beside = {row["name"]: row for row in differences(against, sequences[:n], sets, seed)}
    for side, row in rows.items():
        row["equal"] = all(excess(beside[side], k) <= 2 for k in KS)
    real_row = rows.pop("real")
    few = len(whole)
    checked = differences(against[:few], sequences[:few], {"ddpm_cache": whole}, seed)[-1]
    keys = [f"js_{k}{end}" for k in KS for end in ("", "_error")]
    return {
        "rows": {side: {key: row[key] for key in (*keys, "sequences", "equal")} for side, row in rows.items()},
        "real": {key: real_row[key] for key in ("name", "sequences", *keys)},
        "whole": {key: checked[key] for key in checked if key.startswith(("js_", "sequences"))}
        | {"js_excess_is_over": name},
    }


def differences(
    against: list[np.ndarray], stand_in: list[np.ndarray], sets: Mapping[str, list[np.ndarray]], seed: int
) -> list[dict]:
    """Rows of ``report`` whose excess is that over the stand-in: it measures all rows against the one called real."""
    named = {"real": stand_in} | {("held out" if side == "real" else side): found for side, found in sets.items()}
    rows = report(Samples(against, named, []), KS, seed)
    return [{**row, "name": {"held out": "real"}.get(row["name"], row["name"])} for row in rows[1:]]


def excess(row: dict, k: int) -> float:
    """The difference of a row from the stand-in in standard errors; 0 of the stand-in itself."""
    error = row[f"js_{k}_excess_error"]
    return row[f"js_{k}_excess"] / error if error else 0.0


def lost_bits(model: Model, real: Sequence[np.ndarray], length: int, at_once: Sequence[int], seed: int) -> dict:
    """What k at a time loses against one at a time, bits per base, by k: ``lost`` and its error over windows."""
    curves = masked_bits(model, real[: WINDOWS * max(1, len(real) // WINDOWS) : max(1, len(real) // WINDOWS)], seed)
    exact = walked_bits(curves, length, 1)
    found = {}
    for k in at_once:
        lost = walked_bits(curves, length, k) - exact
        found[k] = {"lost": float(lost.mean()), "lost_error": float(lost.std(ddof=1) / len(lost) ** 0.5)}
    return found


def walked_bits(curves: np.ndarray, length: int, k: int) -> np.ndarray:
    """Mean -log2 p of a base, k at a time, of each window, (W,), from its curve (W, S) over ``SHARES``."""
    first = np.arange(0, length, k)
    weights = np.minimum(k, length - first) / length
    return np.array([np.interp(1 - first / length, SHARES, curve) @ weights for curve in curves])


@torch.inference_mode()
def masked_bits(model: Model, real: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Mean -log2 p of masked bases of each window when each of ``SHARES`` is masked, (W, S)."""
    ids, rng = torch.tensor(model.tokenizer.base_ids), np.random.default_rng(seed)
    out = np.empty((len(real), len(SHARES)))
    for row, codes in enumerate(real):
        clean = ids[torch.from_numpy(codes.astype(np.int64))]
        lead = clean.new_full((int(model.bos),), model.tokenizer.bos_id)
        order = torch.from_numpy(rng.permutation(len(codes)))
        for column, share in enumerate(SHARES):
            at = order[: max(1, round(share * len(codes)))]
            x = clean.index_fill(0, at, model.denoiser.process.mask_id)
            log_p = model.denoiser(torch.cat([lead, x])[None], torch.tensor([share]), at=at[None] + int(model.bos))
            out[row, column] = -log_p[0].gather(-1, clean[at][:, None]).double().mean() / np.log(2)
    return out
