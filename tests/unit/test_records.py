"""Records as they are made: the text of the sampler's own sequences, handed on line by line."""

import functools
import itertools
import json

import numpy as np
import pytest
import torch

from dnadiff.data.fasta_writer import fasta_record
from dnadiff.data.text_tokenizers import ByteTokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import BlockSampler, FirstHitting
from dnadiff.random import Draws
from dnadiff.recipes.model import Model
from dnadiff.recipes.records import Recorder
from dnadiff.recipes.text_records import text_recorder
from dnadiff.recipes.walk import Walk
from tests.oracle import BOS, MASK
from tests.tiny import SPEC, tiny_denoiser

MODEL = Model(tiny_denoiser(), NucleotideTokenizer(), window=15, bos=True, name="step=1 model=x", block_size=4)


def recorder(length, rows_per_call=None):
    steps = FirstHitting(MODEL.denoiser, 2, rows_per_call=rows_per_call)
    return Recorder(MODEL, BlockSampler(steps, 4, window=16), 5, length)


@functools.cache
def written_out(numbers, length):
    """The same records from the sampler called with whole rows."""
    x = torch.full((len(numbers), 1 + length), MASK)
    x[:, 0] = BOS
    sampler = BlockSampler(FirstHitting(MODEL.denoiser, 2), 4, window=16)
    sequences = [MODEL.tokenizer.decode(row) for row in sampler(x, Draws(5, numbers))[:, 1:].numpy()]
    records = zip(numbers, sequences, strict=True)
    return b"".join(fasta_record(f"synthetic_{i + 1}", s, "seed=5 step=1 model=x") for i, s in records)


@pytest.mark.parametrize("length", [1, 60, 71])
@pytest.mark.parametrize(
    ("batch", "together", "ends"), [(1, None, [1, 1, 1]), (2, None, [1, 1, 1]), (3, 2, [2, 1]), (3, 3, [1, 2])]
)
def test_the_text_is_that_of_the_whole_rows(length, batch, together, ends):
    texts = list(recorder(length, together).records(range(2, 5), batch, lambda _: None))
    assert b"".join(text.fasta for text in texts) == written_out(range(2, 5), length)
    assert [text.records for text in texts if text.records] == ends
    assert all(text.fasta.endswith(b"\n") for text in texts)


def test_a_record_is_handed_on_as_it_grows_and_may_be_longer_than_memory():
    texts = recorder(10**15).records(range(1), 1, lambda _: None)
    found = list(itertools.islice(texts, 4))
    assert all(text.records == 0 for text in found)
    assert found[0].fasta == b">synthetic_1 seed=5 step=1 model=x\n"
    assert [len(text.fasta) for text in found[1:]] == [61] * 3
    assert b"".join(text.fasta for text in found) == written_out(range(1), 180)


@pytest.mark.parametrize("blocks", [True, False])
def test_rows_are_always_read_with_the_same_others(blocks):
    """Any stretch of numbers, cut into batches anyhow: the same calls, and the text of those that are wanted."""
    makes = recorder(9, 3)
    if not blocks:
        makes = Recorder(MODEL, FirstHitting(MODEL.denoiser, rows_per_call=3), 5, 9)
    reads, found = [], {}
    hook = MODEL.denoiser.register_forward_pre_hook(lambda _, args: reads.append(len(args[0])))
    for items in (range(9), range(2), range(1, 3), range(2, 7), range(8, 9)):
        for batch in (1, 4):
            texts = makes.records(items, batch, lambda _: None)
            found[items, batch] = b"".join(text.fasta for text in texts).split(b">")[1:]
    hook.remove()
    assert set(reads) == {3}
    for (items, _), records in found.items():
        assert records == [found[range(9), 1][i] for i in items]
    assert list(makes.records(range(4, 4), 1, lambda _: None)) == []


def test_progress_counts_every_base():
    made = []
    list(recorder(10).records(range(3), 2, made.append))
    assert sum(made) == 30


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("items", [range(9), range(2, 7)])
def test_every_text_is_made_once_however_many_are_read_together(together, items):
    """Three texts of each of three prompts: the calls of a prompt reach into the numbers of the next one."""
    words = ByteTokenizer()
    subs = {"name": "subs", "mask_id": words.mask_id, "allowed": list(words.clean_ids)}
    denoiser = tiny_denoiser(backbone={**SPEC["backbone"], "vocab_size": words.vocab_size}, parameterization=subs)
    starts = [np.append(words.encode(prompt), [words.mask_id] * 2) for prompt in "abc"]
    model = Model(denoiser, words, window=16, bos=False, name="")
    makes = text_recorder(model, Walk(rows_per_call=together), 5, starts, 3)
    texts = list(makes.records(items, 64, lambda _: None))
    lines = [json.loads(line) for text in texts for line in text.fasta.splitlines()]
    assert [line["sample"] for line in lines] == [item + 1 for item in items]
    assert [line["text"][0] for line in lines] == ["abc"[item // 3] for item in items]
    assert sum(text.records for text in texts) == len(items)
