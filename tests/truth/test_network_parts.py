"""Parts of the networks against what they are made of, written out."""

import pytest
import torch
import torch.nn.functional as F

from dnadiff.models.layers import neighbours, rotary_angles, rotate


def test_rotation_is_multiplication_by_complex_numbers_of_length_one():
    x, positions = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0)), torch.arange(7, 12)
    angles = positions[:, None] * 10_000.0 ** (-torch.arange(4) / 4)
    turned = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones(5, 4), angles)[:, None]
    expected = torch.cat([turned.real, turned.imag], dim=-1)
    cos, sin = rotary_angles(positions, 8)
    torch.testing.assert_close(rotate(x, cos, sin), expected, rtol=1e-5, atol=1e-5)
    by_row = [angle.expand(2, 5, 8) for angle in (cos, sin)]
    assert torch.equal(rotate(x, *by_row), rotate(x, cos, sin))


@pytest.mark.parametrize("vocabulary", [4, 20], ids=["one-hot rows", "embeddings"])
def test_neighbours_are_a_convolution_over_embeddings(vocabulary):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, vocabulary, (2, 11), generator=generator)
    table, weight = (torch.randn(shape, generator=generator).double() for shape in ((vocabulary, 6), (6, 6, 5)))
    table, weight = table.requires_grad_(), weight.requires_grad_()
    expected = F.conv1d(table[tokens].transpose(1, 2), weight, padding=2).transpose(1, 2)
    slopes = torch.autograd.grad(expected.pow(2).sum(), (table, weight))
    for given in (tokens, F.one_hot(tokens, vocabulary).double()):
        found = neighbours(given, table, weight)
        torch.testing.assert_close(found, expected)
        for one, other in zip(torch.autograd.grad(found.pow(2).sum(), (table, weight)), slopes, strict=True):
            torch.testing.assert_close(one, other)
