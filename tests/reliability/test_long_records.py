"""A record that is written while it is made: the same bytes whatever happens on the way."""

import gzip
import json
import signal

import pytest

from dnadiff.checkpoints.folder import save_model
from dnadiff.cli import main
from dnadiff.data.partial_fasta import PartialFasta, Text, progress
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import ResourceError
from tests.reliability.test_shards import code_of, torn
from tests.tiny import BLOCKS, SPEC, tiny_denoiser

pytestmark = pytest.mark.usefixtures("no_child_left")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", tiny_denoiser(), NucleotideTokenizer(), SPEC | BLOCKS, {"step": 120})
    return str(folder)


def words(run, out, *more):
    """Three records of 130 bases, far beyond the 15 that the model read."""
    size = ["-n", "3", "--length", "130", "--tokens-per-step", "4"]
    return ["sample", run, *size, "--seed", "5", "-q", "-o", str(out), *more]


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "x.fa"
    assert main(words(run, out)) == 0
    assert [len(line) for line in out.read_text().splitlines()[1:4]] == [60, 60, 10]
    return out.read_bytes()


def test_batches_shards_streams_and_gzip_hold_the_same_text(run, whole, tmp_path, capfdbinary):
    assert main(words(run, tmp_path / "x.fa", "--batch-size", "2")) == 0
    assert (tmp_path / "x.fa").read_bytes() == whole
    for number in (1, 2):
        assert main(words(run, tmp_path / f"part{number}.fa", "--shard", f"{number}/2")) == 0
    assert b"".join((tmp_path / f"part{number}.fa").read_bytes() for number in (1, 2)) == whole
    assert main(words(run, tmp_path / "x.fa.gz")) == 0
    assert gzip.decompress((tmp_path / "x.fa.gz").read_bytes()) == whole
    capfdbinary.readouterr()
    assert main(words(run, "-")) == 0
    assert capfdbinary.readouterr().out == whole


def test_rows_together_are_cut_by_number_not_by_shard(run, tmp_path):
    more = ["--rows-per-call", "2"]
    assert main(words(run, tmp_path / "x.fa", *more, "--batch-size", "1")) == 0
    for number in (1, 2):
        assert main(words(run, tmp_path / f"part{number}.fa", *more, "--shard", f"{number}/2")) == 0
    whole = (tmp_path / "x.fa").read_bytes()
    assert b"".join((tmp_path / f"part{number}.fa").read_bytes() for number in (1, 2)) == whole
    assert json.loads((tmp_path / "x.fa.provenance.json").read_text())["rows_per_call"] == 2


@pytest.mark.parametrize(("at", "records"), [(2, 0), (5, 0), (8, 1), (13, 2)])
def test_a_process_killed_within_a_record_begins_it_again(run, whole, tmp_path, at, records):
    """A record is written in four goes: its header, two lines, and the last bases with the mark."""
    out = tmp_path / "x.fa"
    assert code_of(tmp_path, torn(at, 0.5), words(run, out)) == -signal.SIGKILL
    partial = tmp_path / "x.fa.partial"
    assert progress(partial).records == records and not out.exists()
    assert partial.stat().st_size > progress(partial).size, "half a record is there"
    assert main(words(run, out, "--resume")) == 0
    assert out.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stderr", "x.fa", "x.fa.provenance.json"]


def test_half_a_record_is_cut_off_and_no_trace_of_it_stays(tmp_path):
    path = tmp_path / "p"
    with PartialFasta(path, {}, resume=False) as part:
        part.add(Text(b">one\nAC\n", 0))
        part.add(Text(b"GT\n", 1))
        part.add(Text(b">two\nAA\n", 0))
    assert path.read_bytes().endswith(b"\n>two\nAA\n") and progress(path).records == 1
    with PartialFasta(path, {}, resume=True) as part:
        part.add(Text(b">two\nCC\n", 1))
    assert progress(path).records == 2 and b"AA" not in path.read_bytes()


def test_a_disk_that_fills_up_within_a_record_keeps_those_before(tmp_path):
    path = tmp_path / "p"
    full = pytest.raises(ResourceError, match="what was finished is kept")
    with full, PartialFasta(path, {}, resume=False) as part:
        part.add(Text(b">one\nAC\n", 1))
        part._file.close()
        part._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by the block
        part.add(Text(b">two\nAA\n", 0))
    assert progress(path).records == 1
    other = tmp_path / "q"
    with pytest.raises(KeyboardInterrupt), PartialFasta(other, {}, resume=False) as part:
        part.add(Text(b">one\nAC\n", 0))
        raise KeyboardInterrupt
    assert not other.exists(), "half a record is nothing to go on with"
