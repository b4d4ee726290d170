"""Draws: a row's uniforms depend on the seed, its own number, the stream and the step, and on nothing else."""

import numpy as np
import pytest
import torch
from scipy import stats

from dnadiff.random import Draws, key64

IDS = [0, 1, 2, 77, 2**40]


def test_rows_do_not_depend_on_their_batch():
    whole = Draws(3, IDS).uniform("mask", 0, 5)
    alone = torch.cat([Draws(3, [i]).uniform("mask", 0, 5) for i in IDS])
    assert torch.equal(whole, alone)
    assert torch.equal(Draws(3, IDS[::-1]).uniform("mask", 0, 5), whole.flip(0))
    assert torch.equal(Draws(3, IDS).rows(slice(1, 3)).uniform("mask", 0, 5), whole[1:3])
    strata = Draws(3, IDS).stratified("time")
    assert torch.equal(strata, torch.cat([Draws(3, [i]).stratified("time") for i in IDS]))


def test_a_row_is_the_beginning_of_a_generator_of_its_own():
    for row, i in zip(Draws(3, IDS).uniform("mask", 2, 4, 5), IDS, strict=True):
        philox = np.random.Philox(key=[key64("seed", 3), i], counter=[0, 0, 2, key64("stream", "mask")])
        assert row.tolist() == np.random.Generator(philox).random((4, 5)).tolist()


def test_nothing_is_consumed():
    draws = Draws(3, IDS)
    first = draws.uniform("mask", 0, 5)
    draws.uniform("token", 4, 9), draws.stratified("time")
    assert torch.equal(draws.uniform("mask", 0, 5), first)


@pytest.mark.parametrize("other", [(4, IDS, "mask", 0), (3, [9], "mask", 0), (3, IDS, "token", 0), (3, IDS, "mask", 1)])
def test_every_part_of_the_address_matters(other):
    seed, ids, stream, step = other
    ours = Draws(3, IDS).uniform("mask", 0, 5)
    assert not (Draws(seed, ids).uniform(stream, step, 5) == ours[: len(ids)]).any()


def test_uniforms_are_uniform_float64():
    u = Draws(0, range(500)).uniform("mask", 0, 4, 10)
    assert u.shape == (500, 4, 10) and u.dtype == torch.float64
    assert u.min() >= 0 and u.max() < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("start", [0, 10**12])
@pytest.mark.parametrize("n", [8, 100, 1000])
def test_strata_spread_evenly_over_any_run_of_samples(start, n):
    u = Draws(1, range(start, start + n)).stratified("time").sort().values
    assert u[0] >= 0 and u[-1] < 1
    assert u.diff().max() < 3 / n and u.diff().min() > 0.3 / n


def test_recorded_values():
    """The same on every machine and in every version, or old seeds would mean something else."""
    assert Draws(7, [5]).uniform("mask", 2, 2)[0].tolist() == RECORDED_UNIFORM
    assert Draws(7, [5]).stratified("time").item() == RECORDED_STRATUM


RECORDED_UNIFORM = [0.7118876949885751, 0.16548727944156238]
RECORDED_STRATUM = 0.6189200046913431


def test_draws_after_some_positions_are_those_of_the_longer_rows():
    whole, rest = Draws(3, [5, 9]), Draws(3, [5, 9]).after(4)
    assert torch.equal(rest.uniform("token", 2, 6), whole.uniform("token", 2, 10)[:, 4:])
    assert torch.equal(rest.uniform("pair", 0, 3, 2), whole.uniform("pair", 0, 7, 2)[:, 4:])
    assert torch.equal(rest.after(1).rows(slice(1, 2)).uniform("token", 0, 2), whole.uniform("token", 0, 7)[1:, 5:])
