"""A model folder without its run scores whole genomes: to the bit what the run would score, from the spec alone."""

import json
import shutil

import numpy as np
import pytest

import dnadiff
from dnadiff.checkpoints.folder import load
from dnadiff.cli import main
from dnadiff.data.genome import open_genome
from dnadiff.data.intervals import Interval
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.data.windows import WindowDataset
from dnadiff.diffusion import MaskedNELBO, NextTokenNLL
from dnadiff.evaluation.likelihood import score
from dnadiff.recipes.convert import convert
from dnadiff.recipes.evaluate import evaluate
from tests.foreign import lightning
from tests.runs import fasta, random_bases, run, write_genome

METHODS = {
    "mdlm": {},
    "mdlm of N": {"data__n_policy": "token"},
    "blocks": {"algo": "bd3lm", "block_size": 5},
    "next tokens": {"algo": "ar"},
}


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A genome that no model was trained on, with some N."""
    bases = random_bases(700, 3)
    return fasta(
        tmp_path_factory.mktemp("other") / "other.fa", {"a": f"{bases[:100]}NN{bases[100:]}", "b": "ACGT" * 30}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return run(write_genome(folder / "g.fa"), folder / "run", train__steps=2)


@pytest.mark.parametrize("method", METHODS)
def test_the_score_is_that_of_the_run_to_the_bit(method, other, tmp_path, capsys):
    folder = run(write_genome(tmp_path / "g.fa"), tmp_path / "run", train__steps=1, **METHODS[method])
    of_run = evaluate(str(folder), other, seed=3, both_strands=True, quiet=True)
    assert len(of_run["rows"]) > 1
    model = shutil.move(folder / "model", tmp_path / "downloaded")
    shutil.rmtree(folder)
    capsys.readouterr()
    alone = evaluate(model, other, seed=3, both_strands=True, quiet=True)
    assert alone["rows"] == of_run["rows"][:1]
    assert alone["settings"] == of_run["settings"] | {"run": model}
    assert alone["protocol"][:2] == of_run["protocol"][:2] and not any("counted on" in x for x in alone["protocol"])
    notes = capsys.readouterr().err.splitlines()
    assert notes == [f"dna-diff: note: {line}" for line in alone["protocol"][2:4]] and len(alone["protocol"]) == 5
    assert "is a model folder: it has no split, and may have been trained on some of this sequence" in notes[0]
    assert "no Markov floors" in notes[1] and "uniform bases cost 2" in alone["verdict"]


def test_a_pretrained_copy_knows_the_genome_it_was_trained_on(trained, tmp_path, capsys):
    dnadiff.Pretrained.from_pretrained(trained).save_pretrained(tmp_path / "copy")
    out, genome = tmp_path / "report.json", str(trained.parent / "g.fa")
    words = ["--windows", "5", "--seed", "1", "-q", "-o"]
    assert main(["evaluate", str(tmp_path / "copy"), genome, *words, str(out)]) == 0
    assert "it has no split, and was trained on parts of this very genome" in capsys.readouterr().err
    facts = json.loads((tmp_path / "report.json.provenance.json").read_text())
    assert str(tmp_path / "copy") in facts["inputs"] and len(facts["inputs"]) == 2
    want = evaluate(str(trained), genome, windows=5, seed=1, quiet=True)["rows"][0]
    assert json.loads(out.read_text())["rows"] == [want]


def test_several_genomes_are_scored_with_one_seed_that_is_told(trained, other, tmp_path):
    words = ["evaluate", str(trained), other, str(trained.parent / "g.fa"), "--windows", "3", "-q", "-o"]
    assert main([*words, str(tmp_path / "drawn.json")]) == 0
    drawn = json.loads((tmp_path / "drawn.json").read_text())
    seed = json.loads((tmp_path / "drawn.json.provenance.json").read_text())["seed"]
    assert drawn["settings"]["seed"] == seed
    assert main([*words, str(tmp_path / "again.json"), "--seed", str(seed)]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == drawn


def test_scores_are_computed_where_the_process_computes(trained, other, monkeypatch):
    """On a device without values, which refuses to give any."""
    monkeypatch.setattr("dnadiff.training.ranks.device", lambda: "meta")
    with pytest.raises(RuntimeError, match="meta"):
        evaluate(str(trained), other, windows=2, seed=1, quiet=True)


def test_shards_of_a_model_merge_to_the_report_of_one_process(trained, other, tmp_path):
    words = [str(trained / "model"), other, "--seed", "1", "--batch-size", "4", "-q", "-o"]
    parts = [str(tmp_path / f"{number}.npz") for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        assert main(["evaluate", *words, part, "--shard", f"{number}/2"]) == 0
    assert main(["evaluate", *words, str(tmp_path / "whole.json")]) == 0
    assert main(["evaluate", words[0], "--merge", *parts, "-q", "-o", str(tmp_path / "merged.json")]) == 0
    assert (tmp_path / "merged.json").read_text() == (tmp_path / "whole.json").read_text()


@pytest.mark.parametrize("name", ["mdlm", "ar"])
def test_a_converted_model_is_scored_by_what_its_folder_says(name, other, tmp_path):
    """N is one of its tokens; the autoregressive one begins with [BOS]."""
    convert(str(lightning(tmp_path / "a.ckpt", name)), str(tmp_path / "model"), tokenizer="nucleotide")
    row = evaluate(str(tmp_path / "model"), other, seed=4, quiet=True)["rows"][0]
    store, denoiser = open_genome(other), load(tmp_path / "model")
    whole = [Interval(contig, 0, size) for contig, size in store.sizes.items()]
    tokens = {"n_policy": "token", "bos": name == "ar"}
    windows = WindowDataset(store, whole, NucleotideTokenizer(), 32, seed=0, mode="tiling", **tokens)
    objective = MaskedNELBO(denoiser.process) if name == "mdlm" else NextTokenNLL()
    want = score(denoiser, objective, [windows.__getitems__(np.arange(len(windows)))], seed=4)
    assert row["bits_per_base"] == want.bits_per_base and row["bases"] == want.counts.sum()


def test_tokens_that_are_no_nucleotides_are_refused(other, tmp_path, capsys):
    convert(str(lightning(tmp_path / "a.ckpt", tokenizer=None)), str(tmp_path / "model"))
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "model"), other]) == 2
    assert capsys.readouterr().err.endswith("its tokens are ids; a model of nucleotides would work\n")
