"""The sampler without a cache that the benchmark measures is the same sampler: same tokens, and nothing remembered."""

import pytest
import torch

from benchmarks.block_sampling import Resent
from dnadiff.diffusion import BlockSampler, FirstHitting
from dnadiff.random import Draws
from tests.oracle import MASK
from tests.tiny import tiny_denoiser


def sampled(denoiser, window, x):
    return BlockSampler(FirstHitting(denoiser, rows_per_call=3), 4, window=window)(x, Draws(1, range(3)))


@pytest.mark.parametrize(("window", "keep"), [(None, None), (8, None), (28, 28)])
def test_the_tokens_without_a_cache_are_those_with_one(window, keep):
    """Also where a window slides, as long as everything is read again; read anew alone, a window forgets."""
    denoiser, fed = tiny_denoiser().double(), []
    x = torch.full((3, 26), MASK)
    x[:, 0] = 9
    cached = sampled(denoiser, window, x)
    denoiser.backbone.register_forward_pre_hook(lambda _, args: fed.append(args[0].shape[1]))
    assert torch.equal(sampled(Resent(denoiser, keep), window, x), cached)
    assert fed == sorted(fed) and fed[0] == 4 and fed[-1] == 26, "every call feeds everything"
    prompt = x.clone()
    prompt[:, :14] = cached[:, :14]
    assert torch.equal(sampled(Resent(denoiser, keep), window, prompt), cached)


def test_a_window_that_is_read_anew_is_no_longer_than_it_is():
    denoiser, fed = tiny_denoiser(), []
    denoiser.backbone.register_forward_pre_hook(lambda _, args: fed.append(args[0].shape[1]))
    sampled(Resent(denoiser, 8), 8, torch.full((3, 26), MASK))
    assert max(fed) == 8
