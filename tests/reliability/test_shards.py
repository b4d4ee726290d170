"""Shards and killed processes give the FASTA of one undisturbed process, byte for byte."""

import gzip
import json
import os
import random
import signal

import pytest

from benchmarks import chaos
from dnadiff.checkpoints.folder import save_model
from dnadiff.cli import main
from dnadiff.data.fasta import read_fasta
from dnadiff.data.fasta_writer import fasta_record
from dnadiff.data.partial_fasta import PartialFasta, Text, progress
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError, ResourceError
from dnadiff.recipes import fasta_output
from dnadiff.recipes.shards import Shard
from tests.tiny import SPEC, tiny_denoiser

ONE, TWO = fasta_record("one", "ACGT", "seed=1"), fasta_record("two", "GG")


pytestmark = pytest.mark.usefixtures("no_child_left")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", tiny_denoiser(), NucleotideTokenizer(), SPEC, {"step": 120})
    return str(folder)


def words(run, out, *more):
    """23 sequences in 8 batches."""
    size = ["-n", "23", "--batch-size", "3", "--length", "4"]
    return ["sample", run, *size, "--seed", "5", "-q", "-o", str(out), *more]


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The bytes of one process that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "x.fa"
    assert main(words(run, out)) == 0
    return out.read_bytes()


def refusal(capfd, *command):
    capfd.readouterr()
    assert main(list(command)) == 2
    told = capfd.readouterr().err
    assert told.startswith("dna-diff: error: ") and told.count("\n") == 1
    return told


def test_shards_are_contiguous_equal_and_complete():
    for total in range(1, 14):
        for of in range(1, total + 1):
            shares = [Shard(number, of).take(range(5, 5 + total), "items") for number in range(1, of + 1)]
            assert [item for share in shares for item in share] == list(range(5, 5 + total))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
    with pytest.raises(InputError, match="3 items cannot be shared by 4"):
        Shard(1, 4).take(range(3), "items")


@pytest.mark.parametrize("of", [1, 2, 4])
@pytest.mark.parametrize("suffix", ["fa", "fa.gz"])
def test_shards_one_after_the_other_are_the_file_of_one_process(run, whole, tmp_path, of, suffix):
    parts = [tmp_path / f"{number}.{suffix}" for number in range(1, of + 1)]
    for number, part in enumerate(parts, 1):
        assert main(words(run, part, "--shard", f"{number}/{of}")) == 0
    joined = b"".join(part.read_bytes() for part in parts)
    assert (gzip.decompress(joined) if suffix == "fa.gz" else joined) == whole
    (tmp_path / f"all.{suffix}").write_bytes(joined)
    assert [record.name for record in read_fasta(tmp_path / f"all.{suffix}")] == [
        f"synthetic_{number}" for number in range(1, 24)
    ]
    facts = json.loads((tmp_path / f"1.{suffix}.provenance.json").read_text())
    assert facts["shard"] == f"1/{of}" and facts["n"] == 23
    assert len(list(tmp_path.iterdir())) == 2 * of + 1


def torn(at, keep):
    """Kills the process in the middle of its at-th batch, once a share of the batch is on the disk."""

    def act(count=[0]):  # noqa: B006 - counts the calls
        before = PartialFasta._write

        def write(self, text):
            count[0] += 1
            if count[0] == at:
                before(self, text[: int(keep * len(text))])
                os.kill(os.getpid(), signal.SIGKILL)
            before(self, text)

        PartialFasta._write = write

    return act


def killed_at(module, name, after=False):
    """Kills the process before or after it calls something."""

    def act():
        called = getattr(module, name)

        def call(*args, **kwargs):
            if after:
                called(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(module, name, call)

    return act


def code_of(folder, prepare, command, **environment):
    def act():
        os.environ.update(environment)
        prepare()
        return main(command)

    return chaos.ended(chaos.child(act, folder / "stderr"), 60)


MOMENTS = {
    "first line": torn(1, 0.5), "before any record": torn(2, 0), "torn record": torn(3, 0.4),
    "torn mark": torn(4, 0.99), "between batches": torn(5, 1), "last batch": torn(9, 0.7),
    "all there": killed_at(fasta_output, "write_provenance"), "provenance there": killed_at(fasta_output, "join"),
    "output there": killed_at(fasta_output, "join", after=True),
}  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_goes_on_and_nobody_ever_sees_half_a_file(run, whole, tmp_path, moment):
    out = tmp_path / "x.fa"
    assert code_of(tmp_path, MOMENTS[moment], words(run, out)) == -signal.SIGKILL
    assert not out.exists() or out.read_bytes() == whole
    done = progress(tmp_path / "x.fa.partial").records
    assert done == {"torn record": 3, "torn mark": 6, "between batches": 12, "last batch": 21}.get(
        moment, 23 if "there" in moment else 0
    )
    if done:
        assert main(words(run, out)) == 2, "what is done is not thrown away unasked"
    assert main(words(run, out, "--resume")) == 0
    assert out.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stderr", "x.fa", "x.fa.provenance.json"]


def test_shards_killed_again_and_again_at_random_give_the_same_bytes(run, whole, tmp_path):
    rng, parts = random.Random(0), [tmp_path / f"{number}.fa" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        command = words(run, part, "--shard", f"{number}/2", "--resume")
        for _ in range(2):
            code_of(tmp_path, torn(rng.randint(2, 3), rng.random()), command)
        assert 0 < progress(tmp_path / f"{number}.fa.partial").records < 11
        assert main(command) == 0
    assert b"".join(part.read_bytes() for part in parts) == whole


def test_a_finished_shard_is_left_alone(run, tmp_path, capfd):
    command = ["sample", run, "-n", "4", "--seed", "5", "--shard", "1/2", "--resume", "-o", str(tmp_path / "x.fa")]
    assert main(command) == 0
    made = (tmp_path / "x.fa").stat().st_mtime_ns
    capfd.readouterr()
    assert main(command) == 0
    assert "finished" in capfd.readouterr().err and (tmp_path / "x.fa").stat().st_mtime_ns == made
    told = refusal(capfd, *command, "--length", "8")
    assert "x.fa: was made with length 16, not 8; the same settings or another -o work" in told
    assert "shard" in refusal(capfd, *command, "--shard", "2/2")
    (tmp_path / "x.fa.provenance.json").unlink()
    assert "x.fa: was made with n null, not 4" in refusal(capfd, *command)


def test_other_settings_do_not_go_on_with_what_is_there(run, tmp_path, capfd):
    out = tmp_path / "x.fa"
    assert code_of(tmp_path, torn(4, 0.5), words(run, out)) == -signal.SIGKILL
    before = (tmp_path / "x.fa.partial").read_bytes()
    assert "with temperature 1.0, not 0.5" in refusal(capfd, *words(run, out, "--resume", "--temperature", "0.5"))
    assert "holds 6 finished sequences; --resume" in refusal(capfd, *words(run, out))
    assert (tmp_path / "x.fa.partial").read_bytes() == before and not out.exists()


def test_a_drawn_seed_is_kept(run, tmp_path):
    command = ["sample", run, "-n", "9", "--batch-size", "2", "-q", "--resume", "-o", str(tmp_path / "x.fa")]
    assert code_of(tmp_path, torn(4, 0), command) == -signal.SIGKILL
    seed = progress(tmp_path / "x.fa.partial").settings["seed"]
    assert main(command) == 0 and main(command) == 0
    assert main([*command[:-1], str(tmp_path / "y.fa"), "--seed", str(seed)]) == 0
    assert (tmp_path / "x.fa").read_bytes() == (tmp_path / "y.fa").read_bytes()


@pytest.mark.parametrize("killed", [False, True])
def test_the_ranks_of_torchrun_write_one_file(run, whole, tmp_path, killed):
    command = words(run, tmp_path / "x.fa", "--resume")
    ranks = [{"RANK": str(rank), "WORLD_SIZE": "2"} for rank in (0, 1)]
    if killed:
        assert code_of(tmp_path, torn(4, 0.5), command, **ranks[1]) == -signal.SIGKILL
        assert not (tmp_path / "x.fa").exists()
    pids = []
    for names in ranks:

        def act(names=names):
            os.environ.update(names)
            return main(command)

        pids.append(chaos.child(act, tmp_path / "stderr"))
    assert [chaos.ended(pid, 60) for pid in pids] == [0, 0], (tmp_path / "stderr").read_text()
    assert (tmp_path / "x.fa").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stderr", "x.fa", "x.fa.provenance.json"]


def test_another_number_of_ranks_is_refused(run, tmp_path, monkeypatch, capfd):
    assert code_of(tmp_path, torn(3, 0), words(run, tmp_path / "x.fa"), RANK="1", WORLD_SIZE="2") == -signal.SIGKILL
    assert "x.fa.partial-2of2: was begun by another number" in refusal(
        capfd, *words(run, tmp_path / "x.fa", "--resume")
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "-o -: several processes cannot share" in refusal(capfd, *words(run, "-"))
    assert "--seed: is missing" in refusal(capfd, "sample", run, "-o", str(tmp_path / "x.fa"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--shard", "1/2"], "--seed: is missing, and all shards must be given the same; --seed 1 would work"),
        (["--shard", "0/2", "--seed", "1"], "'0/2' is not a part such as 1/4"),
        (["--shard", "3/2", "--seed", "1"], "'3/2' is not a part such as 1/4"),
        (["--shard", "2", "--seed", "1"], "'2' is not a part such as 1/4"),
        (["--shard", "1/11", "--seed", "1"], "10 sequences cannot be shared by 11 shards"),
        (["--resume"], "--resume: goes on with a file; -o FILE would work"),
    ],
)
def test_what_cannot_be_cut_is_refused(run, tmp_path, capfd, more, told):
    assert told in refusal(capfd, "sample", run, *more)


def test_two_processes_do_not_write_the_same_file(tmp_path):
    path = tmp_path / "x.fa.partial"
    with PartialFasta(path, {"seed": 1}, resume=False) as part:
        part.add(Text(ONE, 1))
        with pytest.raises(InputError, match="another process is writing it"):
            PartialFasta(path, {"seed": 1}, resume=True)
    assert progress(path).records == 1


def test_a_file_that_is_not_ours_is_not_touched(tmp_path):
    (tmp_path / "x.fa.partial").write_bytes(ONE)
    with pytest.raises(InputError, match="was not written by dnadiff"):
        PartialFasta(tmp_path / "x.fa.partial", {}, resume=True)
    assert (tmp_path / "x.fa.partial").read_bytes() == ONE


def test_the_file_is_what_the_module_says(tmp_path):
    with PartialFasta(tmp_path / "p", {"seed": 1}, resume=False) as part:
        part.add(Text(ONE + TWO, 2))
    assert (tmp_path / "p").read_text() == (';{"seed": 1}\n;0 00000000\n>one seed=1\nACGT\n>two\nGG\n;2 5d990159\n')


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "p"
    with PartialFasta(path, {"seed": 1}, resume=False) as part:
        part.add(Text(ONE, 1))
        first = path.stat().st_size
        part.add(Text(TWO + TWO, 2))
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert progress(path).records == (1 if size >= first else 0)
    head = data.index(b"\n") + 1
    for place in range(head, len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert progress(path).records == (1 if place >= first else 0)


def test_a_block_without_a_record_leaves_nothing_and_one_that_fails_keeps_what_is_done(tmp_path):
    path = tmp_path / "p"
    with pytest.raises(KeyboardInterrupt), PartialFasta(path, {}, resume=False):
        raise KeyboardInterrupt
    assert not path.exists()
    full = pytest.raises(ResourceError, match=r"No space left on device.; what was finished is kept")
    with full, PartialFasta(path, {}, resume=False) as part:
        part.add(Text(ONE, 1))
        part._file.close()
        part._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by the block
        part.add(Text(TWO, 1))
    assert progress(path).records == 1
