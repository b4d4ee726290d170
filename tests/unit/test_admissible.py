import numpy as np
import pytest

from dnadiff.data import admissible


def random_bases(rng, length):
    """Bases with runs of N of all sizes, some soft-masked."""
    bases = rng.integers(0, 4, length).astype(np.uint8)
    for _ in range(rng.integers(0, 6)):
        start = int(rng.integers(0, length))
        bases[start : start + int(rng.integers(1, 20))] = 4
    return bases | (rng.random(length) < 0.3).astype(np.uint8) << 7


@pytest.mark.parametrize("seed", range(40))
def test_runs_and_starts_agree_with_looking_at_every_window(seed, monkeypatch):
    monkeypatch.setattr(admissible, "_CHUNK", 7)
    rng = np.random.default_rng(seed)
    bases = random_bases(rng, 120)
    begin, length = int(rng.integers(0, 20)), int(rng.integers(1, 100))
    is_n = (bases[begin : begin + length] & 7) == 4
    runs = admissible.n_runs(bases, begin, length)
    covered = np.zeros(length, dtype=bool)
    for start, end in runs:
        assert not covered[start:end].any() and (start == 0 or not covered[start - 1])
        covered[start:end] = True
    assert (covered == is_n).all()

    offset = int(rng.integers(0, 50))
    a, b = offset, offset + length
    for span in (1, 3, 10, 30):
        for most in (0, 1, span // 2, span):
            wanted = [s for s in range(a, b - span + 1) if is_n[s - a : s - a + span].sum() <= most]
            ranges = admissible.start_ranges(runs + offset, a, b, span, most)
            assert [s for low, high in ranges for s in range(low, high)] == wanted
            assert (ranges[1:, 0] > ranges[:-1, 1]).all(), "adjacent ranges are joined"
            grid = [f + i * span for f, count in admissible.on_grid(ranges, a, span) for i in range(count)]
            assert grid == [s for s in wanted if (s - a) % span == 0]


def test_counts_of_n():
    runs = np.array([[2, 5], [9, 10]])
    starts, ends = np.array([0, 3, 4, 5, 0, 9]), np.array([2, 4, 10, 9, 20, 9])
    assert admissible.count_n(runs, starts, ends).tolist() == [0, 1, 2, 0, 4, 0]
