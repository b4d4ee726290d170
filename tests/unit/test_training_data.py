"""Which samples a step reads, however it is shared out."""

import signal
from itertools import islice

import pytest

from dnadiff.errors import InputError
from dnadiff.training import signals
from dnadiff.training.datamodule import SampleNumbers


def step_ids(step, world, accumulate, first_step=0):
    """The sample numbers of a step, micro-batch by micro-batch and rank by rank, as the gradient sums them."""
    shares = [iter(SampleNumbers(16, accumulate, rank, world, first_step)) for rank in range(world)]
    skipped = [list(islice(share, (step - first_step) * accumulate)) for share in shares]
    assert len(skipped) == world
    return [number for _ in range(accumulate) for share in shares for number in next(share)]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_step_reads_the_same_samples_in_the_same_order_for_every_world_and_micro_batch(world, accumulate):
    for step in (0, 3):
        assert step_ids(step, world, accumulate) == list(range(16 * step, 16 * step + 16))
    assert step_ids(5, world, accumulate, first_step=4) == list(range(80, 96))


def test_ranks_read_equal_shares():
    first = [next(iter(SampleNumbers(16, 2, rank, 4, 0))) for rank in range(4)]
    assert first == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match=r"batch_size=16: cannot be shared by 3 processes .* a multiple of 6 would"):
        SampleNumbers(16, 2, 0, 3, 0)


def test_data_workers_leave_signals_to_the_trainer():
    before = {number: signal.getsignal(number) for number in signals.HEARD}
    try:
        signals.unheard()
        assert all(signal.getsignal(number) == signal.SIG_IGN for number in signals.HEARD)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
