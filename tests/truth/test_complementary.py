"""Complementary masks: what one sample of a window shows the other hides, and each by itself is unbiased."""

import numpy as np
import pytest
import torch

from dnadiff.data.dataset import Dataset
from dnadiff.data.twice import Twice
from dnadiff.diffusion import Batch, MaskedNELBO
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, LENGTH, P, ideal
from tests.tiny import tiny_denoiser

PROCESS = tiny_denoiser().process


def twice_each(rows, length):
    """Windows two times running, of different lengths."""
    x0 = torch.tensor(BASES)[torch.randint(0, 4, (rows, length), generator=torch.Generator().manual_seed(0))]
    valid = torch.arange(length) < length - torch.arange(rows)[:, None] % 5
    return Batch(x0.repeat_interleave(2, 0), valid.repeat_interleave(2, 0))


def test_the_second_hides_what_the_first_shows_and_one_token_more():
    batch = twice_each(6, 16)
    noised = MaskedNELBO(PROCESS, complementary=True).noise(batch, Draws(0, range(10, 22)))
    masked, n = noised.weight > 0, batch.valid.sum(-1)
    first, second = masked[::2], masked[1::2]
    assert torch.equal(first | second, batch.valid[::2])
    assert (first & second).sum(-1).tolist() == [1] * 6
    assert torch.allclose(noised.weight.max(-1).values, n / masked.sum(-1).double())
    plain = MaskedNELBO(PROCESS).noise(Batch(batch.x0[::2], batch.valid[::2]), Draws(0, range(5, 11)))
    assert torch.equal(noised.xt[::2], plain.xt) and torch.equal(noised.t[::2], plain.t)


def test_rows_do_not_depend_on_their_batch():
    batch, objective = twice_each(4, 12), MaskedNELBO(PROCESS, complementary=True)
    whole = objective.noise(batch, Draws(3, range(100, 108)))
    for i in range(8):
        alone = objective.noise(Batch(batch.x0[i : i + 1], batch.valid[i : i + 1]), Draws(3, [100 + i]))
        assert torch.equal(alone.xt[0], whole.xt[i]) and torch.equal(alone.weight[0], whole.weight[i])


def test_a_window_without_a_base_costs_nothing():
    batch = Batch(torch.full((2, 4), 4), torch.zeros(2, 4, dtype=torch.bool))
    loss = MaskedNELBO(PROCESS, complementary=True)(tiny_denoiser(), batch, Draws(0, [0, 1]))
    assert float(loss.total.detach()) == 0


@pytest.mark.parametrize("turned", [0, 1])
def test_each_sample_alone_is_unbiased(turned):
    """The ideal denoiser of a table pays -log P of a sequence, by either half of the samples."""
    n, sequence = 4000, max(P, key=P.get)
    x0 = torch.tensor([sequence] * n)
    objective = MaskedNELBO(ideal().process, complementary=True)
    draws = Draws(1, np.arange(n) * 2 + turned)
    nats = objective(ideal(), Batch(x0, torch.ones(n, LENGTH, dtype=torch.bool)), draws).nll.sum(-1)
    plain = MaskedNELBO(ideal().process)(
        ideal(), Batch(x0, torch.ones(n, LENGTH, dtype=torch.bool)), Draws(2, range(n))
    ).nll.sum(-1)
    error = float((nats.var() + plain.var()) / n) ** 0.5
    assert abs(float(nats.mean() - plain.mean())) < 4 * error


def test_what_a_time_conditioned_network_is_told_has_the_law_of_its_masks():
    """Given k of n masks the move chance is Beta(k, n - k + 1), of mean k / (n + 1), for both samples."""
    n, length = 20_000, 6
    batch = Batch(torch.full((n, length), BASES[0]), torch.ones(n, length, dtype=torch.bool))
    noised = MaskedNELBO(PROCESS, complementary=True).noise(batch, Draws(5, range(n)))
    chance, k = PROCESS.schedule.move_chance(noised.t), (noised.weight > 0).sum(-1)
    for turned in (0, 1):
        for wanted in range(1, length + 1):
            some = chance[turned::2][k[turned::2] == wanted]
            assert abs(float(some.mean()) - wanted / (length + 1)) < 5 * float(some.std()) / len(some) ** 0.5


def test_times_have_no_complement():
    with pytest.raises(InputError, match="complementary=True: goes with even numbers of masks"):
        MaskedNELBO(PROCESS, "time", complementary=True)


class Numbered(Dataset):
    """Samples that hold their number."""

    tokenizer, length, windows, source = None, 1, 7, ("here", "0")

    def __len__(self):
        return 7

    def __getitems__(self, numbers):
        ids = np.array(numbers)
        return {"tokens": ids[:, None], "item_ids": ids}


def test_every_window_comes_twice_running_under_its_own_number():
    twice = Twice(Numbered())
    batch = twice.__getitems__([0, 1, 2, 3, 9])
    assert batch["tokens"][:, 0].tolist() == [0, 0, 1, 1, 4] and batch["item_ids"].tolist() == [0, 1, 2, 3, 9]
    assert len(twice) == 14 and twice.windows == 7 and twice.source == ("here", "0")
