"""Batches are the same whoever reads them: this process, forked workers or spawned ones."""

import multiprocessing

import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks import chaos
from dnadiff.cli import main
from dnadiff.data.genome import build_store
from dnadiff.data.intervals import Interval
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.training.writer import read_checkpoint
from tests.reliability.test_ranks import FINE, note_samples
from tests.runs import write_genome


def as_is(batch):
    return {key: torch.from_numpy(value) for key, value in batch.items()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    generator = torch.Generator().manual_seed(1)
    letters = "".join("ACGTacgtN"[i] for i in torch.randint(9, (50_000,), generator=generator))
    (folder / "g.fa").write_text(f">a\n{letters[:30_000]}\n>b\n{letters[30_000:]}\n")
    store = build_store(folder / "g.fa", folder / "store")
    intervals = [Interval("a", 100, 29_000), Interval("b", 0, 20_000)]
    return WindowDataset(
        store, intervals, NucleotideTokenizer(), 64, seed=3, mode="random", reverse_complement=0.5, min_valid=0.5
    )


def batches(dataset, workers, context=None):
    numbers = [list(range(8 * i, 8 * i + 8)) for i in range(12)]
    loader = DataLoader(
        dataset, batch_sampler=numbers, collate_fn=as_is, num_workers=workers, multiprocessing_context=context
    )
    return list(loader)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_two_workers_read_what_one_process_reads(dataset, method):
    alone = batches(dataset, 0)
    assert len({tuple(batch["tokens"].flatten().tolist()) for batch in alone}) == 12
    together = batches(dataset, 2, method)
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_spawned_processes_read_what_this_one_reads(dataset):
    numbers = [list(range(8 * i, 8 * i + 8)) for i in range(12)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        together = pool.map(dataset.__getitems__, numbers, chunksize=2)
    for one, other in zip(map(dataset.__getitems__, numbers), together, strict=True):
        assert all((one[key] == other[key]).all() for key in one)


def _digest(dataset, first, queue):
    rows = [dataset.__getitems__(list(range(i, i + 50)))["tokens"].sum(1).tolist() for i in range(first, 3000, 50)]
    queue.put([value for row in rows for value in row])


def test_forked_processes_that_read_at_once_disturb_nobody(dataset):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_digest, args=(dataset, 0, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(timeout=30)
    alone = [
        int(value) for i in range(0, 3000, 50) for value in dataset.__getitems__(range(i, i + 50))["tokens"].sum(1)
    ]
    assert all(result == alone for result in results)


def test_neither_workers_nor_accumulation_change_samples_masks_or_loss(tmp_path):
    genome, seen, losses = write_genome(tmp_path / "g.fa"), {}, {}
    for workers, accumulate in ((0, 1), (0, 2), (2, 1), (4, 2)):
        folder = tmp_path / f"{workers}-{accumulate}"
        folder.mkdir()
        more = {"data.workers": workers, "optim.accumulate": accumulate, "train.val_every": 99, "train.steps": 3}

        def act(folder=folder, settings=FINE | more):
            note_samples(folder)(0)
            return main(["train", genome, *chaos.words(settings), "-o", str(folder / "run"), "-q"])

        assert chaos.finished(act, folder, 120) == 0, (folder / "stderr").read_text()
        lines = (folder / "samples-0").read_text().splitlines()
        first = FINE["optim.batch_size"]  # the plan has tried the samples of the first step too
        seen[workers, accumulate] = sorted(line for line in lines if int(line.split()[0]) >= first)
        states = [read_checkpoint(folder / "run" / "checkpoints" / f"step-{n}") for n in (1, 2, 3)]
        losses[workers, accumulate] = [state["running"]["nats"] for state in states]
    assert len(seen[0, 1]) == 2 * 8
    assert all(lines == seen[0, 1] for lines in seen.values())
    assert all(values == pytest.approx(losses[0, 1], rel=1e-6) for values in losses.values())
