r"""Training in ten seconds: can this machine, with what is installed on it, lower a loss?

A nano model sees one window of random bases again and again. Uniform bases cost 2 bits each, whoever guesses; only a
model that learns this window by heart gets below. The objective, the transformer and the optimiser are those of
``dna-diff train``, on its device and in its precision; Lightning is left out, since it takes longer to import than the
test to run. Wrong matrix products, a broken autograd or lost updates all leave the loss at 2.
"""

import math
import time
from typing import NamedTuple

from dnadiff.recipes.findings import Finding, note, ok, problem

BOUND = 1.0
STEPS = 200
SECONDS = 10.0
ROWS, LENGTH, RATE = 8, 128, 0.01


class Outcome(NamedTuple):
    """How the test ended.

    Attributes:
        bits: Loss of the last ten steps, bits per base.
        steps: Steps taken.
        seconds: Time they took.
    """

    bits: float
    steps: int
    seconds: float


def overfit(steps: int = STEPS, seconds: float = SECONDS) -> Outcome:
    """Trains a nano model on one window until it falls below the bound, or the steps or the time are over.

    Args:
        steps: Most steps.
        seconds: Most time.
    """
    import numpy as np
    import torch

    from dnadiff.data.tokenizers import NucleotideTokenizer
    from dnadiff.diffusion import AbsorbingProcess, Batch, Denoiser, LogLinear, MaskedNELBO, Subs
    from dnadiff.models.dit import DiT
    from dnadiff.random import Draws, keyed_uniform
    from dnadiff.training import ranks
    from dnadiff.training.hardware import has_fast_bf16
    from dnadiff.training.optim import optimizer_of

    tokenizer, device = NucleotideTokenizer(), ranks.device()
    ids = torch.tensor(tokenizer.base_ids)
    codes = torch.from_numpy((4 * keyed_uniform(np.arange(LENGTH), "overfit")).astype(np.int64))
    x0 = ids[codes].repeat(ROWS, 1).to(device)
    batch = Batch(x0, torch.ones_like(x0, dtype=torch.bool))
    process = AbsorbingProcess(LogLinear(), tokenizer.mask_id)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = DiT(tokenizer.vocab_size, hidden_size=64, n_blocks=2, n_heads=1, adaln=False, stem=9)
    denoiser = Denoiser(backbone, Subs(tokenizer.mask_id, tokenizer.base_ids), process).to(device)
    optimizer = optimizer_of(denoiser, name="muon", lr=RATE, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)
    objective, bits, start = MaskedNELBO(process), [], time.perf_counter()
    for step in range(steps):
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=has_fast_bf16()):
            loss = objective(denoiser, batch, Draws(0, np.arange(ROWS) + step * ROWS)).mean
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        bits.append(float(loss.detach()) / math.log(2))
        if _recent(bits) < BOUND or not math.isfinite(bits[-1]) or time.perf_counter() - start > seconds:
            break
    return Outcome(_recent(bits), len(bits), time.perf_counter() - start)


def overfit_finding(outcome: Outcome) -> Finding:
    """What the outcome says of the machine; too slow to tell is no problem."""
    text = f"{outcome.bits:.2f} bits per base after {outcome.steps} steps in {outcome.seconds:.1f} s"
    if outcome.bits < BOUND:
        return ok("overfit test", f"{text}: below {BOUND:g}, so this machine trains")
    if outcome.steps < STEPS and math.isfinite(outcome.bits):
        return note("overfit test", f"{text}: too slow to tell; other work on the machine, or few cores, would do that")
    return problem("overfit test", f"{text}: not below {BOUND:g}, so training does not work; install torch again")


def _recent(bits: list[float]) -> float:
    """Mean of the last ten."""
    return sum(bits[-10:]) / len(bits[-10:])
