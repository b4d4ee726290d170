"""Records that end before their length: where, and what their first line says."""

import math
from collections import Counter

import pytest
import torch
from Bio import SeqIO

from dnadiff.checkpoints.folder import save_model
from dnadiff.cli import main
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import BlockSampler, FirstHitting
from dnadiff.random import Draws
from tests.oracle import BASES, BOS, MASK, VOCAB
from tests.tiny import BLOCKS, SPEC, tiny_denoiser

SEP, LENGTH = 1, 70
ENDS = {"parameterization": {**SPEC["parameterization"], "allowed": [SEP, *BASES]}}


def publish(folder, **changes):
    spec = SPEC | BLOCKS | changes
    save_model(folder / "model", tiny_denoiser(**changes), NucleotideTokenizer(), spec, {"step": 120})
    return str(folder)


@pytest.fixture(scope="module")
def ending(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("ending"), **ENDS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("plain"))


def sampled(run, out, *words):
    assert main(["sample", run, "--seed", "5", "-q", "-o", str(out), *words]) == 0
    with open(out) as file:
        return [
            (str(record.seq), record.description.partition("model=")[2][8:]) for record in SeqIO.parse(file, "fasta")
        ]


@pytest.fixture(scope="module")
def free():
    """The tokens of six records that nothing stops."""
    x = torch.full((6, 1 + LENGTH), MASK)
    x[:, 0] = BOS
    allowed = torch.zeros(1 + LENGTH, VOCAB, dtype=torch.bool)
    allowed[:, list(BASES)], allowed[2:, SEP] = True, True
    sampler = BlockSampler(FirstHitting(tiny_denoiser(**ENDS), 2, rows_per_call=6), 4, window=16)
    return sampler(x, Draws(5, range(6)), allowed=allowed)[:, 1:].tolist()


@pytest.mark.parametrize("together", [(), ("--rows-per-call", "3"), ("--rows-per-call", "4")])
def test_a_record_ends_at_the_first_end_token(ending, free, tmp_path, together):
    """As if nothing had stopped it and it were cut there; a record has one base at least."""
    words = ["-n", "6", "--length", str(LENGTH), "--tokens-per-step", "2", "--stop-at-end", *together]
    found = sampled(ending, tmp_path / "x.fa", *words)
    cut = [row[: row.index(SEP)] if SEP in row else row for row in free]
    letters = dict(zip(BASES, "ACGT", strict=True))
    assert [sequence for sequence, _ in found] == ["".join(letters[i] for i in row) for row in cut]
    assert [said for _, said in found] == [" ended=end-token" if len(row) < LENGTH else "" for row in cut]
    assert len({len(row) for row in cut}) > 2, "the test needs records of several lengths"


def test_without_the_flag_every_record_has_its_length(ending, tmp_path):
    found = sampled(ending, tmp_path / "x.fa", "-n", "3", "--length", str(LENGTH), "--tokens-per-step", "4")
    assert [(len(sequence), said) for sequence, said in found] == [(LENGTH, "")] * 3


def complexity(sequence):
    """Entropy of the words of three of the last 256 bases, in units of the most there can be."""
    counts = Counter(sequence[i : i + 3] for i in range(len(sequence) - 256, len(sequence) - 2))
    return -sum(n / 254 * math.log(n / 254) for n in counts.values()) / math.log(64)


def test_a_record_ends_where_it_repeats_itself(plain, tmp_path):
    """The rule is asked behind every block once there are 256 bases; the first share below the limit ends it."""
    cold = ["-n", "1", "--length", "400", "--temperature", "0.5", "--tokens-per-step", "4"]
    ((whole, _),) = sampled(plain, tmp_path / "whole.fa", *cold)
    shares = {end: complexity(whole[:end]) for end in range(259, 400, 4)}
    limit = (2 * min(shares.values()) + max(shares.values())) / 3
    first = next(end for end, share in shares.items() if share < limit)
    assert 259 < first and limit < 0.9, "the test needs a record that becomes simpler"
    ((cut, said),) = sampled(plain, tmp_path / "cut.fa", *cold, "--min-complexity", str(limit))
    assert cut == whole[:first] and said == " ended=low-complexity"
    least = str(0.99 * min(shares.values()))
    assert sampled(plain, tmp_path / "kept.fa", *cold, "--min-complexity", least) == [(whole, "")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stop-at-end"], "--stop-at-end: the model was trained without [SEP] and never draws one; leave it out"),
        (["--min-complexity", "1"], "--min-complexity 1: needs a number between 0 and 1"),
        (["--min-complexity", "0"], "'0' is not a number above 0"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(plain, tmp_path, capsys, words, told):
    assert main(["sample", plain, "-o", str(tmp_path / "x.fa"), *words]) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--stop-at-end"], ["--min-complexity", "0.5"]])
def test_models_of_whole_sequences_fill_them(tmp_path, capsys, words):
    save_model(tmp_path / "model", tiny_denoiser(), NucleotideTokenizer(), SPEC, {})
    assert main(["sample", str(tmp_path), *words]) == 2
    assert f"{' '.join(words)}: only models of blocks (algo=bd3lm) end sequences early" in capsys.readouterr().err
