"""The averaged weights against the sum they are defined by."""

import pytest
import torch
from torch import nn

from dnadiff.training.ema import EMA


def averaged(decay, values):
    """The shadow after the parameter has taken some values."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, values[0])
    ema = EMA(module, decay)
    for value in values[1:]:
        nn.init.constant_(module.weight, value)
        ema.update()
    return float(ema.shadow["weight"])


def test_the_average_is_the_weighted_sum_it_is_defined_by():
    values, decay = [3.0, 1.0, -2.0, 5.0, 4.0, 4.0], 0.3
    decays = [min(decay, (1 + n) / (10 + n)) for n in range(5)]
    assert decays == pytest.approx([0.1, 2 / 11, 0.25, 0.3, 0.3])
    expected = values[0]
    for value, d in zip(values[1:], decays, strict=True):
        expected = d * expected + (1 - d) * value
    assert averaged(decay, values) == pytest.approx(expected, rel=1e-6)


def test_after_the_warm_up_the_decay_is_the_one_asked_for():
    values = [1.0] + [0.0] * 200  # what is left of the first value is the product of all decays
    product = 1.0
    for n in range(200):
        product *= min(0.9, (1 + n) / (10 + n))
    assert averaged(0.9, values) == pytest.approx(product, rel=1e-4)


def test_without_decay_the_average_is_the_weights():
    assert averaged(0.0, [1.0, 2.0, 7.0]) == 7.0


def test_applied_lends_the_average_and_gives_the_weights_back_whatever_happens():
    module = nn.Linear(2, 2)
    ema = EMA(module, 0.5)
    averaged = module.weight.detach().clone()
    nn.init.ones_(module.weight)
    raw = module.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), ema.applied():
        assert torch.equal(module.weight, averaged)
        raise ZeroDivisionError
    assert torch.equal(module.weight, raw)


def test_state_continues_the_average():
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    first, second = EMA(one, 0.9), EMA(other, 0.9)
    for _ in range(3):
        nn.init.normal_(one.weight)
        first.update()
    second.load_state_dict(first.state_dict())
    other.load_state_dict(one.state_dict())
    for ema, module in ((first, one), (second, other)):
        nn.init.ones_(module.weight)
        ema.update()
    assert all(torch.equal(first.shadow[name], second.shadow[name]) for name in first.shadow)
    assert second.updates == 4
