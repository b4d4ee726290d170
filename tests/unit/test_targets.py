"""Targets behind what is given: the source stays, the first end ends, and the cheapest candidate is kept."""

import numpy as np
import torch

from dnadiff.data.pair_windows import Pair, PairWindows
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.diffusion import FirstHitting, TokenLoss
from dnadiff.random import Draws
from dnadiff.recipes.model import Model
from dnadiff.recipes.targets import Decoding, completed, target_of
from dnadiff.recipes.walk import Walk
from tests.tiny import tiny_denoiser

A, END, MASK = NUCLEOTIDES.base_ids[0], NUCLEOTIDES.sep_id, NUCLEOTIDES.mask_id
ALLOWED = [END, *NUCLEOTIDES.base_ids]
MANY = 6


class LikesFewA:
    """An objective whose cost of a row is how many A it has where it is scored."""

    exact = True

    def __call__(self, denoiser, batch, draws):
        return TokenLoss((batch.x0 == A).double(), batch.maskable)


def windows(*pairs):
    made = [
        Pair("p", source, target, NUCLEOTIDES.encode(source), NUCLEOTIDES.encode(target)) for source, target in pairs
    ]
    return PairWindows(made, NUCLEOTIDES, 12, source=("p", ""), bos=True)


def test_the_cheapest_candidate_is_kept_and_nothing_follows_an_end():
    denoiser = tiny_denoiser(parameterization={"name": "subs", "mask_id": MASK, "allowed": ALLOWED})
    model = Model(denoiser, NUCLEOTIDES, 11, True, "tiny", pairs=True)
    batch = windows(("ACG", "T"), ("AAAAA", "CC"), ("T", "G")).__getitems__([0, 1, 2])
    kept = completed(model, LikesFewA(), Decoding(Walk(), MANY, ""), batch, seed=3)
    assert np.array_equal(kept[batch["given"]], batch["tokens"][batch["given"]])
    starts = torch.from_numpy(np.where(batch["given"], batch["tokens"], MASK)).repeat_interleave(MANY, 0)
    drawn = FirstHitting(denoiser)(starts, Draws(3, np.arange(3 * MANY))).numpy().reshape(3, MANY, 12)
    for row, given, candidates in zip(kept, batch["given"], drawn, strict=True):
        told = [list(candidate[~given]) for candidate in candidates]
        cut = [one[: one.index(END)] if END in one else one for one in told]
        costs = [one.count(A) for one in cut]
        assert len(set(costs)) > 1
        best = cut[int(np.argmin(costs))]
        assert row[~given].tolist() == best + [END] * (int((~given).sum()) - len(best))
        assert target_of(row, ~given, NUCLEOTIDES, pairs=True) == NUCLEOTIDES.decode(best)
