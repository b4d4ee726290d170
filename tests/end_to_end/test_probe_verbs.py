"""embed, bench probe and bench zeroshot from the command line, on models whose figures are known beforehand."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dnadiff.checkpoints.embedder import load_embedder
from dnadiff.checkpoints.folder import model_hash, save_model
from dnadiff.cli import main
from dnadiff.data import alphabet
from dnadiff.data.genome import cache_folder
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Denoiser
from dnadiff.errors import InputError
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.recipes import embed as embed_recipe
from dnadiff.recipes.probe import probe
from dnadiff.recipes.zeroshot import zeroshot
from tests import tiny
from tests.labels import write_task
from tests.runs import SPEC, fasta, random_bases, untrained
from tests.tiny import tiny_denoiser


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr("dnadiff.recipes.probe.RESAMPLES", 19)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A run of a network that finds everything equally likely."""
    return untrained(tmp_path_factory.mktemp("flat"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder with opinions of its own."""
    folder = tmp_path_factory.mktemp("model") / "model"
    save_model(folder, tiny_denoiser(**SPEC), NucleotideTokenizer(), SPEC, {})
    return folder


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("task"), 80)


def test_embed_writes_names_vectors_and_how_they_came_about(model, tmp_path):
    data, out = fasta(tmp_path / "x.fa", {"a": "ACGT", "b b": "GGATTNC", "c": "T" * 40}), tmp_path / "x.npz"
    words = ["--layer", "0", "--pooling", "max", "--both-strands", "--batch-size", "2"]
    assert main(["embed", str(model), data, "-o", str(out), *words]) == 0
    with np.load(out, allow_pickle=False) as file:
        assert file["names"].tolist() == ["a", "b", "c"] and file["embeddings"].dtype == np.float32
        wanted = load_embedder(model).embed(["ACGT", "GGATTNC", "T" * 40], layer=0, pooling="max", both_strands=True)
        np.testing.assert_allclose(file["embeddings"], wanted, atol=1e-6)
    facts = json.loads((tmp_path / "x.npz.provenance.json").read_text())
    told = {"layer": 0, "pooling": "max", "both_strands": True, "dtype": "fp32", "sequences": 3, "width": 16}
    assert told.items() <= facts.items() and facts["inputs"][str(model)] == model_hash(model)


def test_sequences_longer_than_training_are_told_of_and_bf16_is_near(model, tmp_path, capsys):
    data = fasta(tmp_path / "x.fa", {"a": "ACGT", "b": "ACGGT" * 10})
    for dtype in ("fp32", "bf16"):
        assert main(["embed", str(model), data, "-o", str(tmp_path / f"{dtype}.npz"), "--dtype", dtype]) == 0
    line = "dna-diff: note: 1 of 2 sequences are longer than the 32 bases that the model was trained on\n"
    assert capsys.readouterr().err == 2 * line
    exact, rough = (np.load(tmp_path / f"{dtype}.npz")["embeddings"] for dtype in ("fp32", "bf16"))
    assert exact.dtype == rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_parquet_has_a_column_a_component_or_its_package_is_named(model, tmp_path, capsys):
    data, out = fasta(tmp_path / "x.fa", {"a": "ACGT", "b": "GG"}), tmp_path / "x.parquet"
    code = main(["embed", str(model), data, "-o", str(out)])
    if importlib.util.find_spec("pyarrow") is None:
        assert code == 2 and "pip install 'dnadiff[text]', or an output in .npz, would work" in capsys.readouterr().err
        assert not out.exists()
        return
    from pyarrow import parquet

    table = parquet.read_table(out)
    assert code == 0 and table.column_names == ["name", *(f"e{i}" for i in range(16))]
    wanted = load_embedder(model).embed(["ACGT", "GG"])
    assert table["name"].to_pylist() == ["a", "b"] and table["e3"].to_pylist() == wanted[:, 3].tolist()


def test_probes_find_the_composition_and_name_every_layer(model, task, tmp_path, capsys):
    out = tmp_path / "report.json"
    assert main(["bench", "probe", str(model), str(task), "--layer", "all", "--seed", "3", "-o", str(out), "-q"]) == 0
    report = json.loads(out.read_text())
    names = [row["name"] for row in report["rows"]]
    trained = [f"{probe}, layer {layer}" for layer in (0, 1) for probe in ("linear", "neighbours")]
    assert names == [*trained, *(f"{name}, untrained" for name in trained), "k-mers and positions", "most frequent"]
    by_name = {row["name"]: row for row in report["rows"]}
    assert by_name["linear, layer 0"]["accuracy"] > 0.85 and by_name["linear, layer 0"]["n"] == 40
    assert by_name["most frequent"]["accuracy"] == 0.5
    assert by_name["linear, layer 0"]["accuracy_low"] < by_name["linear, layer 0"]["accuracy"]
    best = max((by_name[name] for name in trained), key=lambda row: row["validation"])
    chosen = report["verdict"].removeprefix("chosen on the validation part: ").partition(", test")[0]
    assert by_name[chosen]["validation"] == best["validation"]
    assert report["protocol"][0].startswith("80 train, 40 valid, 40 test; the network is not changed; mean pooling")
    assert report["settings"]["seed"] == 3 and capsys.readouterr().out == ""


def test_vectors_are_computed_once_whatever_the_split(model, tmp_path, monkeypatch):
    task, counted = tmp_path / "all.csv", []
    rows = [f"{random_bases(20, i)},{'ab'[i % 2]}" for i in range(40)]
    task.write_text("\n".join(["sequence,label", *rows, rows[0]]) + "\n")
    compute = embed_recipe.vectors_of

    def counting(embedder, codes, how, batch_size):
        counted.append(len(codes))
        return compute(embedder, codes, how, batch_size)

    monkeypatch.setattr(embed_recipe, "vectors_of", counting)
    first = probe(str(model), str(task), seed=1)
    assert counted == [40]
    assert probe(str(model), str(task), seed=2) != first and counted == [40]
    probe(str(model), str(task), seed=2, how=embed_recipe.How(pooling="max"))
    assert counted == [40, 40]
    files = sorted((cache_folder() / "embeddings").glob("*.npy"))
    for file in files:
        file.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read as embeddings; removing it would work"):
        probe(str(model), str(task), seed=1)
    for file in files:
        file.unlink()


def test_cached_vectors_are_in_the_order_asked_for(model):
    embedder, how = load_embedder(model), embed_recipe.How()
    codes = [alphabet.encode(text) & alphabet.CODE_BITS for text in ("TTGA", "ACG", "TTGA", "CCCCC")]
    found = embed_recipe.cached_vectors(str(model), embedder, codes, how, 8)
    np.testing.assert_allclose(found, embedder.embed(codes), atol=1e-6)
    again = embed_recipe.cached_vectors(str(model), embedder, codes[::-1], how, 8)
    np.testing.assert_array_equal(again, found[::-1])


def test_other_targets_are_probed_too(model, tmp_path):
    rng, lines = np.random.default_rng(0), ["sequence,gc,at_start"]
    for _ in range(90):
        text = "".join(rng.choice(list("ACGT"), 16))
        lines.append(f"{text},{sum(x in 'GC' for x in text) / 16 + 0.001:.4f},{rng.random():.3f}")
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    report = probe(str(model), str(tmp_path / "x.csv"), keys=("gc",), seed=1, layers=[0])
    assert report["kind"] == "regression" and report["rows"][0]["pearson"] > 0.9


def test_a_model_that_finds_all_equally_likely_tells_no_pair(flat, tmp_path, capsys):
    """So does a chain of order 1, as the shuffles keep all neighbours."""
    report = zeroshot(str(flat), n=20, seed=1, both_strands=True, quiet=True)
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["model (bound)", "Markov order 1", "Markov order 3", report["rows"][-1]["name"]]
    for name in ("model (bound)", "Markov order 1"):
        assert (rows[name]["accuracy"], rows[name]["ties"], rows[name]["pairs"]) == (0.5, 20, 20)
    assert rows["model (bound)"]["real"] == rows["model (bound)"]["shuffled"] == pytest.approx(2)
    assert rows["Markov order 3"]["ties"] == 0 and rows["Markov order 3"]["accuracy_low"] < 0.5
    assert "in 50.0% of 20 pairs, no more often than chance; Markov best" in report["verdict"]
    assert report["protocol"][0].startswith("the run's test split: 20 pairs of a sequence of at most 32 bases")
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def periodic(tmp_path_factory):
    """A run whose chain knows a repeated word by heart, and sequences of that word: short, long, and with N."""
    run = untrained(tmp_path_factory.mktemp("periodic"))
    word = "AACAGATCCGCTGGTTAC" * 12
    MarkovChain.fit([alphabet.encode(word) & alphabet.CODE_BITS], 4).save(run / "baseline.npz")
    records = {
        "short": word[:25],
        "long": word[:100],
        "some": word[5:20] + "N" + word[20:30],
        "much": "N" * 9 + word[:20],
    }
    return run, fasta(run / "words.fa", records)


def test_a_chain_that_knows_the_sequence_tells_every_pair(periodic, tmp_path):
    run, data = periodic
    out = tmp_path / "report.json"
    assert main(["bench", "zeroshot", str(run), data, "--seed", "2", "-q", "-o", str(out)]) == 0
    report = json.loads(out.read_text())
    rows = {row["name"]: row for row in report["rows"]}
    # 25, 32 + 32 + 32 (4 left over are less than half a window) and 26 with one N; 9 of 29 unknown are too many
    assert rows["Markov order 1"]["pairs"] == 5 and rows["Markov order 1"]["accuracy"] == 0.5
    assert rows["Markov order 3"]["accuracy"] == 1.0
    assert report["rows"][-1]["accuracy"] == 1.0 and report["rows"][-1]["difference"] < -0.3


@pytest.mark.parametrize("method", ["mdlm", "blocks", "next tokens"])
def test_both_of_a_pair_are_masked_alike_and_figures_hold_whatever_the_batch(method, periodic, tmp_path, monkeypatch):
    spec = {**tiny.SPEC, "length": 16 + (method != "mdlm")}
    if method == "blocks":
        spec |= {**tiny.BLOCKS, "objective": {"name": "block_nelbo", "block_size": 4, "estimator": "count"}}
    elif method == "next tokens":
        next_token = {**spec["parameterization"], "name": "next_token"}
        spec |= {"bos": True, "parameterization": next_token, "objective": {"name": "next_token_nll"}}
    save_model(tmp_path / "m", tiny_denoiser(**spec), NucleotideTokenizer(), spec, {})
    asked, forward = [], Denoiser.forward

    def watched(self, xt, t, **options):
        asked.append((xt == 3).clone())
        return forward(self, xt, t, **options)

    monkeypatch.setattr(Denoiser, "forward", watched)
    options = {"seed": 4, "quiet": True} | ({} if method == "next tokens" else {"samples": 2})
    whole = zeroshot(str(tmp_path / "m"), periodic[1], **options)
    half = len(asked) // 2
    assert half and all(torch.equal(a, b) for a, b in zip(asked[:half], asked[half:], strict=True))
    assert any(mask.any() for mask in asked) == (method != "next tokens")
    single = zeroshot(str(tmp_path / "m"), periodic[1], batch_size=1, **options)
    assert len(whole["rows"]) == 1 and whole["rows"][0]["name"] == f"model ({'exact' if 'next' in method else 'bound'})"
    assert whole["rows"][0]["ties"] == 0
    for key, value in whole["rows"][0].items():
        close = single["rows"][0][key]
        assert close == value if isinstance(value, str) else math.isclose(close, value, rel_tol=1e-4, abs_tol=1e-5)


def test_a_genome_that_was_trained_on_is_told_of(flat, tmp_path, capsys):
    import hashlib

    genome = flat / "genome.fa"
    digest = hashlib.sha256(Path(genome).read_bytes()).hexdigest()
    save_model(tmp_path / "m", tiny_denoiser(**SPEC), NucleotideTokenizer(), SPEC, {"inputs": {"genome.fa": digest}})
    zeroshot(str(tmp_path / "m"), str(genome), n=4, seed=1, quiet=True)
    assert "the model was trained on parts of it" in capsys.readouterr().err
    assert main(["prepare", str(genome), "-o", str(tmp_path / "store"), "-q"]) == 0
    report = zeroshot(str(tmp_path / "m"), str(tmp_path / "store"), n=4, seed=1, quiet=True)
    assert "the model was trained on parts of it" in capsys.readouterr().err
    assert report["rows"][0]["pairs"] == 4
