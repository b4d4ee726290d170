"""Temperature, nucleus and top-k on distributions one can read."""

import math

import pytest
import torch

from dnadiff.diffusion.sampler import inverse_cdf
from dnadiff.diffusion.truncation import Truncation, nucleus, tempered, top_k
from dnadiff.errors import InputError

P = torch.tensor([0.1, 0.5, 0.1, 0.3], dtype=torch.float64)
LOG_P = P.log()


def probabilities(log_p):
    return log_p.exp().tolist()


def test_nucleus_keeps_the_token_that_crosses_p():
    """.5 does not reach .6; .5 + .3 does, and .3 is the token that crosses."""
    assert probabilities(nucleus(LOG_P, 0.6)) == pytest.approx([0, 0.5 / 0.8, 0, 0.3 / 0.8])


def test_nucleus_smaller_than_the_likeliest_token_keeps_it():
    assert probabilities(nucleus(LOG_P, 0.01)) == [0, 1, 0, 0]


def test_nucleus_that_is_met_exactly_needs_no_more():
    half = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
    assert probabilities(nucleus(half, 0.5)) == [1, 0, 0]


def test_nucleus_takes_the_lower_of_equal_tokens():
    assert probabilities(nucleus(LOG_P, 0.85)) == pytest.approx([0.1 / 0.9, 0.5 / 0.9, 0, 0.3 / 0.9])


def test_nucleus_of_one_keeps_all():
    assert probabilities(nucleus(LOG_P, 1.0)) == pytest.approx(P.tolist())


def test_tempered():
    assert probabilities(tempered(LOG_P, 0.5)) == pytest.approx((P**2 / (P**2).sum()).tolist())
    assert probabilities(tempered(LOG_P, 1e6)) == pytest.approx([0.25] * 4, abs=1e-5)
    impossible = torch.tensor([math.log(0.5), math.log(0.5), -math.inf])
    assert probabilities(tempered(impossible, 100.0)) == [0.5, 0.5, 0]
    assert probabilities(tempered(LOG_P, 5e-324)) == [0, 1, 0, 0]


def test_top_k():
    assert probabilities(top_k(LOG_P, 2)) == pytest.approx([0, 0.5 / 0.8, 0, 0.3 / 0.8])
    assert probabilities(top_k(LOG_P, 3)) == pytest.approx([0.1 / 0.9, 0.5 / 0.9, 0, 0.3 / 0.9])
    assert probabilities(top_k(LOG_P, 99)) == pytest.approx(P.tolist())


def test_rows_are_their_own_and_inputs_stay():
    rows = torch.stack([LOG_P, LOG_P.flip(0)]).float()
    before = rows.clone()
    for cut in (lambda x: nucleus(x, 0.6), lambda x: top_k(x, 2), lambda x: tempered(x, 0.7)):
        both = cut(rows)
        assert both.dtype == torch.float64
        assert torch.equal(both[0], cut(rows[0])) and torch.equal(both[1], cut(rows[1]))
    assert torch.equal(rows, before)


@pytest.mark.parametrize("call", [lambda: nucleus(LOG_P, 0), lambda: nucleus(LOG_P, 1.5), lambda: top_k(LOG_P, 0)])
def test_impossible_settings(call):
    with pytest.raises(InputError, match="needs"):
        call()


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_impossible_temperatures(temperature):
    with pytest.raises(InputError, match="temperature"):
        tempered(LOG_P, temperature)


def test_inverse_cdf_gives_each_token_its_share_of_the_unit_interval():
    u = torch.tensor([0.0, 0.0999, 0.1001, 0.5999, 0.6001, 0.6999, 0.7001, 1 - 2**-53], dtype=torch.float64)
    assert inverse_cdf(LOG_P.expand(8, 4), u).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_inverse_cdf_never_takes_an_impossible_token():
    log_p = torch.tensor([-math.inf, math.log(0.3), -math.inf, math.log(0.7) - 900, -math.inf], dtype=torch.float64)
    u = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert set(inverse_cdf(log_p.expand(3, 5), u).tolist()) <= {1, 3}


def test_truncation_applies_temperature_then_top_k_then_nucleus():
    """Squared, .25 : .09 : .01 : .01; of the first three, .6 is reached by the first alone."""
    kept = Truncation(temperature=0.5, top_k=3, nucleus_p=0.6)(LOG_P)
    assert probabilities(kept) == [0, 1, 0, 0]
    three = probabilities(Truncation(temperature=0.5, top_k=3)(LOG_P))
    assert three == pytest.approx([0.01 / 0.35, 0.25 / 0.35, 0, 0.09 / 0.35])
    assert probabilities(Truncation(top_k=2, nucleus_p=0.6)(LOG_P)) == [0, 1, 0, 0]  # of two, .625 is enough
    assert probabilities(Truncation(nucleus_p=0.6)(LOG_P)) == pytest.approx([0, 0.5 / 0.8, 0, 0.3 / 0.8])
    assert Truncation()(LOG_P) is LOG_P
