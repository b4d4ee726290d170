"""What an adaptation began with and came to: the same function at first, and what held-out windows cost.

*Identity.* Before anything is trained, the new model must be the function that its source is. With ``shift`` that is
said in the model's own terms: in blocks of 1 it gives every token the source's probabilities. Without ``shift`` the
mask is a place that the source never had, and what must agree is the clean half of [x_t ; x_0]: the network itself,
read causally.

*Costs.* Source and new model pay for the same validation windows: the source's exact likelihood, the new model's bound
at its first step and at its end, and what the new network, read from left to right, pays at its end.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dnadiff.checkpoints.folder import (
    WEIGHTS,
    build_denoiser,
    build_objective,
    load,
    load_tokenizer,
    model_folder,
    model_hash,
    read_spec,
)
from dnadiff.diffusion import Denoiser, NextToken, NextTokenNLL, Objective
from dnadiff.errors import DnadiffError
from dnadiff.evaluation.likelihood import score
from dnadiff.models.attention import BlockCausal, BlockDiffusion
from dnadiff.recipes.corpus import open_corpus
from dnadiff.recipes.init_from import embedding_name, fresh, start_from
from dnadiff.recipes.run_folder import run_config
from dnadiff.recipes.scoring import batches_of
from dnadiff.recipes.training_plan import spec_of
from dnadiff.schema import Config

NAME = "adapt.json"
TOLERANCE = 1e-5  # nats; the two ways of computing differ in the order of their sums
_ROWS, _LONGEST = 4, 128  # what the identity is checked on


def checked_identity(config: Config) -> dict[str, Any]:
    """How far the model that training begins with is from its source, as plain values.

    Raises:
        DnadiffError: Further than ``TOLERANCE``.
    """
    spec = spec_of(config, load_tokenizer(config.init_from))
    denoiser = build_denoiser(spec).eval()
    start_from(config.init_from, denoiser, spec)
    found, what = _difference(load(config.init_from), denoiser, min(spec["length"], _LONGEST))
    if not found <= TOLERANCE:
        raise DnadiffError(f"{config.init_from}: the new model differs from it by {found:.1e} nats at its beginning")
    return {"largest_difference": found, "tolerance": TOLERANCE, "what": what}


@torch.no_grad()
def _difference(source: Denoiser, denoiser: Denoiser, length: int) -> tuple[float, str]:
    """The largest difference of log-probabilities on random tokens, and of which."""
    generator, mask_id = torch.Generator().manual_seed(0), denoiser.process.mask_id
    ids = torch.tensor(denoiser.parameterization.allowed)
    x = ids[torch.randint(len(ids), (_ROWS, length), generator=generator)]
    t = torch.zeros(_ROWS)
    theirs = source(x, t, pattern=BlockCausal(1))[:, :-1]
    masked = torch.full_like(x, mask_id)
    masked[:, 0] = x[:, 0]
    both = torch.cat([masked, x], dim=1)
    if not denoiser.shift:
        logits = denoiser(both, torch.zeros(both.shape), pattern=BlockDiffusion(1), next_token=True)
        return _farthest(logits[:, length:-1], theirs, ids), "the clean half in blocks of 1 is the source"
    ours = denoiser(both, torch.zeros(both.shape), pattern=BlockDiffusion(1), at=slice(0, length))[:, 1:]
    return _farthest(ours, theirs, ids), "blocks of 1 are the source"


def _farthest(ours: Tensor, theirs: Tensor, ids: Tensor) -> float:
    """Both among the tokens that the new model can draw: the source may know more."""
    ours, theirs = (log_p[..., ids].log_softmax(-1) for log_p in (ours, theirs))
    return float((ours - theirs).abs().max())


def report(run: str | Path) -> dict[str, Any]:
    """What a finished adaptation took over, began as and came to, as plain values.

    Args:
        run: The run folder; the source that it began with must still be there.

    Raises:
        InputError: The run or its source cannot be read.
    """
    config = run_config(run)
    source, spec = config.init_from, read_spec(run)
    start = fresh(spec, config.seed)
    start_from(source, start, spec)
    theirs = load(source)
    return {
        "from": {"path": str(source), "weights": str(model_folder(source) / WEIGHTS), "sha256": model_hash(source)},
        "to": {
            "algo": spec["algo"], "block_size": spec.get("block_size"), "shift": start.shift,
            "steps": config.train.steps, "grow": config.algo.grow, "opening": config.algo.opening,
            "ar_weight": config.algo.ar_weight, "windows": config.train.steps * config.optim.batch_size,
            "tokens": config.train.steps * config.optim.batch_size * config.model.length,
        },
        "parameters": _parameters(theirs, start),
        "identity": checked_identity(config),
        "held_out": _costs(run, config, theirs, start.eval()),
    }  # fmt: skip


def _parameters(theirs: Denoiser, ours: Denoiser) -> dict[str, Any]:
    """Which were taken over, which were not there, and which row of them is new."""
    old, new = theirs.backbone.state_dict(), ours.backbone.state_dict()
    return {
        "taken": sum(new[name].numel() for name in new if name in old),
        "new": sorted(new.keys() - old.keys()),
        "missing": sorted(old.keys() - new.keys()),
        "new_rows": [f"{embedding_name(ours.backbone)}[{ours.process.mask_id}]"],
    }


def _costs(run: str | Path, config: Config, theirs: Denoiser, start: Denoiser) -> dict[str, Any] | None:
    """Bits of a token of the validation windows; None if there are none."""
    corpus = open_corpus(config)
    dataset = corpus.held_out("valid")
    if dataset is None:
        return None
    n = min(len(dataset), config.train.val_windows)
    numbers = np.arange(n, dtype=np.int64) * len(dataset) // n
    end = load(run)
    bound = build_objective(read_spec(run)["objective"], end.process)
    asked: dict[str, tuple[Denoiser, Objective]] = {
        "source": (theirs, NextTokenNLL()),
        "bound_before": (start, bound),
        "bound_after": (end, bound),
        "from_the_left_after": (_next_token(end), NextTokenNLL()),
    }
    costs = {}
    for name, (denoiser, objective) in asked.items():
        scores = score(denoiser, objective, batches_of(dataset, numbers, 64), seed=config.seed)
        costs[name] = {"bits": scores.bits_per_base, "standard_error": scores.standard_error}
    return {"windows": n, "bits_per": corpus.unit, **costs}


def _next_token(denoiser: Denoiser) -> Denoiser:
    """The same network, read from left to right."""
    parts = denoiser.parameterization
    return Denoiser(denoiser.backbone, NextToken(parts.mask_id, parts.allowed), denoiser.process).eval()


def said(found: dict[str, Any]) -> list[str]:
    """The costs of a report, a line each, for people."""
    costs = found["held_out"]
    if costs is None:
        return ["held out     no validation windows, so nothing to compare"]
    names = {
        "source": "the source, exact", "bound_before": "the new model at its beginning, bound",
        "bound_after": "the new model, bound", "from_the_left_after": "the new network from left to right, exact",
    }  # fmt: skip
    lines = [f"{costs[key]['bits']:.4f} ± {costs[key]['standard_error']:.4f}" for key in names]
    unit = costs["bits_per"]
    return [f"held out     {line} bits per {unit}: {name}" for line, name in zip(lines, names.values(), strict=True)]
