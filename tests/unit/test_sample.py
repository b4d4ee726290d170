"""``sample``: FASTA a tool can read, the same for every batch size, with where it came from."""

import gzip
import json

import pytest
import torch
from Bio import SeqIO

from dnadiff.checkpoints.folder import model_hash, save_model
from dnadiff.cli import main
from dnadiff.data.text_tokenizers import ByteTokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Autoregressive, FirstHitting, Sliding, Truncation
from dnadiff.diffusion.classifier_guidance import STEPS
from dnadiff.diffusion.remasking import ETAS
from dnadiff.errors import InputError
from dnadiff.random import Draws
from dnadiff.recipes.model import Model
from dnadiff.recipes.sample import sample
from dnadiff.recipes.walk import SAMPLERS, Walk, paced, settled
from dnadiff.verbs import walk as verbs
from tests.oracle import BASES, BOS, MASK, VOCAB
from tests.tiny import SPEC, tiny_denoiser, tiny_next_token


def publish(folder, **changes):
    spec = {**SPEC, **changes}
    save_model(folder / "model", tiny_denoiser(**changes), NucleotideTokenizer(), spec, {"step": 120})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("run"))


def records(path):
    with open(path) as file:
        return list(SeqIO.parse(file, "fasta"))


def test_same_bytes_at_batch_1_7_and_64(run, tmp_path):
    files = [tmp_path / f"{size}.fa" for size in (1, 7, 64)]
    for size, file in zip((1, 7, 64), files, strict=True):
        sample(run, file, n=65, length=2, batch_size=size, seed=5, quiet=True)
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()
    sample(run, tmp_path / "few.fa", n=3, length=2, seed=5, quiet=True)
    assert files[0].read_bytes().startswith((tmp_path / "few.fa").read_bytes()), "asking for more changes nothing"


def test_records(run, tmp_path):
    sample(run, tmp_path / "x.fa", n=4, seed=5, quiet=True)
    found = records(tmp_path / "x.fa")
    assert [record.id for record in found] == [f"synthetic_{i}" for i in (1, 2, 3, 4)]
    assert all(len(record) == 16 and set(record.seq) <= set("ACGT") for record in found)
    assert len({str(record.seq) for record in found}) == 4
    assert found[0].description == f"synthetic_1 seed=5 step=120 model={model_hash(run)[:8]}"


def test_it_is_the_samplers_own_sequence(run, tmp_path):
    sample(
        run,
        tmp_path / "x.fa",
        n=1,
        length=12,
        seed=5,
        quiet=True,
        walk=Walk(tokens_per_step=2, temperature=0.8, nucleus=0.9),
    )
    walk = FirstHitting(tiny_denoiser(), 2, truncation=Truncation(temperature=0.8, nucleus_p=0.9))
    tokens = walk(torch.full((1, 12), MASK), Draws(5, [0]))[0]
    assert str(records(tmp_path / "x.fa")[0].seq) == NucleotideTokenizer().decode(tokens.numpy())


def test_a_sequence_takes_64_calls_unless_another_pace_is_asked_for(run, tmp_path, capsys):
    sample(run, tmp_path / "x.fa", n=1, length=130, seed=5)
    assert "130 bases each, 2 at a time (--tokens-per-step 1 is exact), seed 5," in capsys.readouterr().err
    tokens = FirstHitting(tiny_denoiser(), 2)(torch.full((1, 130), MASK), Draws(5, [0]))[0]
    assert str(records(tmp_path / "x.fa")[0].seq) == NucleotideTokenizer().decode(tokens.numpy())
    assert json.loads((tmp_path / "x.fa.provenance.json").read_text())["tokens_per_step"] == 2


@pytest.mark.parametrize(
    ("walk", "length", "changes", "pace"),
    [
        (Walk("first_hitting"), 1024, {}, 16),
        (Walk("first_hitting"), 127, {}, 1),
        (Walk("first_hitting", tokens_per_step=3), 1024, {}, 3),
        (Walk("first_hitting", label="promoter"), 1024, {}, None),
        (Walk("ancestral"), 1024, {}, None),
        (Walk("first_hitting", stride=8), 1024, {"window": 256}, 4),
        (Walk("first_hitting"), 4096, {"block_size": 16}, 1),
        (Walk("first_hitting", block_size=256), 4096, {"block_size": 16}, 4),
        (Walk("first_hitting"), 1024, {"tokenizer": ByteTokenizer()}, None),
    ],
)
def test_the_pace_where_none_is_asked_for(walk, length, changes, pace):
    facts = {"tokenizer": NucleotideTokenizer(), "window": 4096, "bos": False, "name": "", **changes}
    assert paced(walk, Model(tiny_denoiser(), **facts), length).tokens_per_step == pace


def test_provenance(run, tmp_path):
    sample(
        run, tmp_path / "x.fa.gz", n=2, seed=5, quiet=True, walk=Walk("ancestral", steps=4), argv=["dna-diff", "sample"]
    )
    with gzip.open(tmp_path / "x.fa.gz", "rt") as file:
        assert len(list(SeqIO.parse(file, "fasta"))) == 2
    facts = json.loads((tmp_path / "x.fa.gz.provenance.json").read_text())
    assert facts["seed"] == 5 and facts["inputs"] == {str(run): model_hash(run)}
    assert (facts["sampler"], facts["steps"], facts["dtype"], facts["screening"]) == ("ancestral", 4, "fp32", "none")


def test_seed_is_drawn_and_told(run, tmp_path, capsys):
    sample(run, tmp_path / "x.fa", n=1)
    seed = json.loads((tmp_path / "x.fa.provenance.json").read_text())["seed"]
    assert f"seed {seed}," in capsys.readouterr().err
    sample(run, tmp_path / "again.fa", n=1, seed=seed, quiet=True)
    assert (tmp_path / "again.fa").read_bytes() == (tmp_path / "x.fa").read_bytes()
    assert capsys.readouterr().err == ""


def test_longer_than_the_window_works_with_a_note(run, tmp_path, capsys):
    sample(run, tmp_path / "x.fa", n=1, length=40, seed=1)
    assert "more than the 16" in capsys.readouterr().err
    assert len(records(tmp_path / "x.fa")[0]) == 40


def test_models_with_other_tokens_still_give_bases_and_bos_is_not_one(tmp_path):
    allowed = {"name": "subs", "mask_id": MASK, "allowed": [1, 7, 8, 9, 10, 11]}
    run = publish(tmp_path / "run", bos=True, parameterization=allowed)
    sample(run, tmp_path / "x.fa", n=3, seed=1, quiet=True)
    for record in records(tmp_path / "x.fa"):
        assert len(record) == 15 and set(record.seq) <= set("ACGT")


@pytest.mark.parametrize("blocks", [{}, {"block_size": 4}])
def test_sequences_longer_than_the_learned_positions_are_refused_before_anything_is_written(tmp_path, capfd, blocks):
    sizes = {"vocab_size": VOCAB, "hidden_size": 8, "n_blocks": 1, "n_heads": 2, "positions": 16}
    run = publish(tmp_path / "run", bos=True, backbone={"name": "gpt2", **sizes}, **blocks)
    with pytest.raises(InputError, match="found sequences of 16; 15, the most that it has learned"):
        sample(run, n=1, length=16, seed=1, quiet=True)
    assert not capfd.readouterr().out
    sample(run, tmp_path / "x.fa", n=1, length=15, seed=1, quiet=True)
    if not blocks:
        sample(run, tmp_path / "y.fa", n=1, length=40, seed=1, walk=Walk(stride=5), quiet=True)


def test_bf16_is_another_precision_of_the_same_thing(run, tmp_path):
    sample(run, tmp_path / "x.fa", n=2, seed=1, dtype="bf16", quiet=True)
    assert json.loads((tmp_path / "x.fa.provenance.json").read_text())["dtype"] == "bf16"
    assert all(len(record) == 16 for record in records(tmp_path / "x.fa"))


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"length": 0}, "--length 0"),
        ({"length": 10**9}, "1 to 1024 would work"),
        ({"n": 0}, "--number 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"dtype": "fp8"}, "--dtype fp8"),
        ({"walk": Walk(sampler="first_hiting")}, "did you mean first_hitting"),
        ({"walk": Walk(steps=4)}, "--steps"),
        ({"walk": Walk(sampler="ancestral", tokens_per_step=2)}, "--tokens-per-step"),
        ({"walk": Walk(sampler="ancestral", steps=0)}, "steps=0"),
        ({"walk": Walk(temperature=0.0)}, "temperature"),
        ({"walk": Walk(nucleus=2.0)}, "nucleus"),
        ({"walk": Walk(top_k=0)}, "top_k=0"),
        ({"walk": Walk(rows_per_call=0)}, "--rows-per-call 0"),
        ({"walk": Walk(remask="cap")}, "--remask: belongs to --sampler remdm; first_hitting takes --tokens-per-step"),
        ({"walk": Walk("ancestral", eta=0.1)}, "--eta: belongs to --sampler remdm; ancestral takes --steps"),
        ({"walk": Walk("remdm", remask="capp")}, "did you mean cap"),
        ({"walk": Walk("remdm", t_on=0.5)}, "--t-on: belongs to --remask loop"),
        ({"walk": Walk("remdm", remask="loop", t_on=0.01)}, "t_off < t_on"),
        (
            {"walk": Walk("autoregressive")},
            "needs a model of next tokens .*; .*first_hitting or ancestral or remdm would",
        ),
        ({"walk": Walk(stride=4)}, "--stride 4: slides along sequences longer than the window of 16 bases"),
        ({"walk": Walk(stride=17), "length": 40}, "stride=17: a window of 16 takes 1 to 16"),
    ],
)
def test_impossible_settings_write_nothing(run, tmp_path, wrong, found):
    with pytest.raises(InputError, match=found) as caught:
        sample(run, tmp_path / "x.fa", quiet=True, **wrong)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_every_sampler_from_the_command_line(run, tmp_path):
    for i, words in enumerate(
        (
            "--sampler remdm --steps 4 --remask conf",
            "--sampler remdm --steps 8 --remask loop --eta .1 --t-on .6 --t-off .1 --alpha-on .8",
            "--sampler ancestral --steps 3 --top-k 2 --length 40 --stride 8",
            "--length 40 --stride 16 --rows-per-call 2",
        )
    ):
        out = tmp_path / f"{i}.fa"
        assert main(["sample", str(run), "-o", str(out), "-n", "2", "--seed", "1", "-q", *words.split()]) == 0
        assert {len(record) for record in records(out)} == {40 if "--stride" in words else 16}
        assert json.loads((tmp_path / f"{i}.fa.provenance.json").read_text())["sampler"] in words + "first_hitting"


def test_a_stride_makes_the_sliding_samplers_sequence(run, tmp_path):
    sample(run, tmp_path / "x.fa", n=1, length=40, seed=5, quiet=True, walk=Walk(stride=8))
    tokens = Sliding(FirstHitting(tiny_denoiser()), 16, 8)(torch.full((1, 40), MASK), Draws(5, [0]))[0]
    assert str(records(tmp_path / "x.fa")[0].seq) == NucleotideTokenizer().decode(tokens.numpy())


def test_a_next_token_model_is_sampled_from_left_to_right(tmp_path):
    next_token = {"name": "next_token", "mask_id": MASK, "allowed": list(BASES)}
    run = publish(tmp_path / "run", bos=True, parameterization=next_token)
    sample(run, tmp_path / "x.fa", n=2, seed=5, quiet=True)
    x = torch.full((2, 16), MASK)
    x[:, 0] = BOS
    tokens = Autoregressive(tiny_next_token())(x, Draws(5, [0, 1]))[:, 1:]
    assert [str(r.seq) for r in records(tmp_path / "x.fa")] == [NucleotideTokenizer().decode(t.numpy()) for t in tokens]
    assert json.loads((tmp_path / "x.fa.provenance.json").read_text())["sampler"] == "autoregressive"
    with pytest.raises(InputError, match=r"needs a model of masked diffusion \(algo=mdlm\); .* autoregressive would"):
        sample(run, quiet=True, walk=Walk("remdm"))


def test_a_model_that_no_sampler_walks_is_refused():
    class Other(torch.nn.Module):
        parameterization = torch.nn.Identity()

    with pytest.raises(InputError, match="predicts by Identity, which no sampler walks"):
        settled(Walk(), Other())


def test_the_verbs_know_the_samplers_of_the_recipes():
    assert verbs.SAMPLERS == tuple(SAMPLERS) and verbs.REMASK == tuple(ETAS)
    assert verbs.CLASSIFIER_STEPS == STEPS


def test_existing_output_is_kept(run, tmp_path):
    (tmp_path / "x.fa").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        sample(run, tmp_path / "x.fa", quiet=True)
    assert (tmp_path / "x.fa").read_text() == "mine"


def test_command_line(run, tmp_path, capfd):
    assert main(["sample", str(run), "-n", "2", "--length", "8", "--seed", "3", "-q"]) == 0
    out, err = capfd.readouterr()
    assert err == "" and out.count(">") == 2 and "seed=3" in out
    assert main(["sample", str(tmp_path), "-o", str(tmp_path / "x.fa")]) == 2
    assert capfd.readouterr().err.startswith("dna-diff: error: ")


@pytest.mark.parametrize("words", [["--prompt", "ACGT"], ["--fill"]])
def test_what_only_text_has_is_refused(run, capsys, words):
    assert main(["sample", str(run), *words]) == 2
    assert capsys.readouterr().err == (
        f"dna-diff: error: {words[0]}: is for models of text; dna-diff design completes templates of bases\n"
    )
