"""Pairs from train to predictions: a small task is learned, judged beside what needs no model, and written down."""

import json
from dataclasses import replace

import pytest

from dnadiff.checkpoints.folder import read_spec
from dnadiff.cli import main
from dnadiff.recipes.taken_over import with_source
from dnadiff.recipes.train import train
from dnadiff.schema import AlgoConfig, DataConfig, TaskConfig, TokenizerConfig
from tests.pairs import SMALL, write_pairs
from tests.runs import settings, write_genome


@pytest.fixture(scope="module")
def config():
    return settings(**{name.replace(".", "__"): value for name, value in SMALL.items()})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(scope="module")
def pairs(place):
    return write_pairs(place / "pairs.csv")


def made(config, path, out, steps=2, **changes):
    """A finished run of a configuration with other sections."""
    run = replace(config.train, steps=steps)
    return train(replace(config, train=run, **changes), str(path), str(out), quiet=True)


@pytest.fixture(scope="module")
def trained(config, place, pairs):
    return made(config, pairs, place / "mdlm", 60)


@pytest.fixture(scope="module")
def from_left(config, place, pairs):
    return made(config, pairs, place / "ar", algo=AlgoConfig("ar"), estimator="auto")


def report(folder, out, *flags):
    assert main(["evaluate", str(folder), "--seed", "1", "-q", "-o", str(out), *flags]) == 0
    found = json.loads(out.read_text())
    return found, {row["name"]: row for row in found["rows"]}


def test_a_small_task_is_learned_and_judged_beside_what_needs_no_model(trained, place):
    found, rows = report(trained, place / "a.json", "--generate", "12")
    model, floor = found["rows"][0], found["rows"][-4]
    assert floor["name"].startswith("Markov best") and model["bits_per_base"] < floor["bits_per_base"] - 0.5
    assert model["bases"] == 2 * model["windows"] == floor["bases"]
    written, copied = rows["model, targets written"], rows["copy of the source"]
    assert written["same_bases"] - 2 * written["same_bases_error"] > copied["same_bases"] + 0.2
    assert copied["exact_match"] == 0 and written["exact_match"] > 0.5
    assert "each scored given its source" in found["protocol"][0] and "the best of 8 candidates" in found["protocol"][3]


def test_targets_are_written_to_a_table(trained, place, pairs):
    lines = (place / "pairs.csv").read_text().splitlines()[:4]
    (place / "few.csv").write_text("\n".join(lines) + "\n")
    (place / "alone.tsv").write_text("source\n" + "".join(f"{line.partition(',')[0]}\n" for line in lines[1:]))
    words = ["sample", str(trained), "--seed", "3", "-q", "--sampler", "ancestral", "--steps", "3", "--candidates", "2"]
    assert main([*words, "--pairs", str(place / "few.csv"), "-o", str(place / "out.tsv")]) == 0
    assert main([*words, "--pairs", str(place / "alone.tsv"), "--batch-size", "2", "-o", str(place / "o.jsonl")]) == 0
    head, *rows = [line.split("\t") for line in (place / "out.tsv").read_text().splitlines()]
    assert head == ["source", "target", "prediction"]
    assert [",".join(row[:2]) for row in rows] == lines[1:]
    told = [json.loads(line) for line in (place / "o.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in told] == [row[2] for row in rows]  # neither target nor batch decides
    assert all(row["target"] == "" for row in told) and all(set(row[2]) <= set("ACGT") for row in rows)
    assert json.loads((place / "out.tsv.provenance.json").read_text())["candidates"] == 2


@pytest.mark.parametrize(("algo", "more"), [("sundae", {}), ("bd3lm", {"block_size": 4})])
def test_other_methods_begin_with_an_autoregressive_model(config, from_left, place, pairs, algo, more):
    more = {"algo": AlgoConfig(algo), "estimator": "auto", "init_from": str(from_left), **more}
    folder = made(config, pairs, place / algo, **more)
    assert (
        read_spec(folder)["pairs"] == {"source_length": None} and 1 in read_spec(folder)["parameterization"]["allowed"]
    )
    _, rows = report(folder, place / f"{algo}.json", "--generate", "2", "--windows", "4")
    assert 0 <= rows["model, targets written"]["identity"] <= 1


def test_text_is_written_greedily_by_next_tokens(config, place):
    (place / "says.jsonl").write_text(
        "".join(json.dumps({"source": f"{a} {b}", "target": f"{b}!"}) + "\n" for a in "xbcde" for b in "fghij")
    )
    more = {"algo": AlgoConfig("ar"), "estimator": "auto", "model": replace(config.model, length=16)}
    text = {"task": TaskConfig("text"), "tokenizer": TokenizerConfig("bytes")}
    folder = made(config, place / "says.jsonl", place / "text", **more, **text)
    taken = with_source([f"init_from={folder}", "data.pairs=true"])
    assert "tokenizer.name=model" in taken and "data.bos=true" in taken and not any("text." in word for word in taken)
    found, rows = report(folder, place / "t.json", "--generate", "3")
    assert rows["model (exact)"]["tokens"] == 3 * rows["model (exact)"]["windows"]  # two letters and the end
    assert rows["model (exact)"]["characters"] == 2 * rows["model (exact)"]["windows"]
    assert rows["copy of the source"]["f1"] == pytest.approx(2 / 3) and "greedily" in found["protocol"][3]


def test_windows_are_cut_for_every_method_and_their_ends_written(config, place):
    genome = write_genome(place / "genome.fa")
    sections = {"algo": AlgoConfig(prefix=True), "data": DataConfig(), "model": replace(config.model, length=32)}
    folder = made(config, genome, place / "cut", **sections)
    found, rows = report(folder, place / "c.json", "--windows", "12", "--generate", "2")
    assert read_spec(folder)["prefix"] is True and "given its beginning" in found["protocol"][0]
    assert (
        rows["model (bound)"]["bases"] < 12 * 32 * 0.8
        and rows["Markov order 3"]["bases"] == rows["model (bound)"]["bases"]
    )
    assert rows["Markov order 3"]["bits_per_base"] < 1  # the chain has read the beginning: A C G T follow each other
    assert rows["model, targets written"]["same_bases"] >= 0


def test_what_does_not_go_together_is_one_line(trained, from_left, place, pairs, capsys):
    picture = ["--run", str(trained), "--picture", str(place / "x.png")]
    genome = write_genome(place / "real.fa")
    for words, line in (
        (["bench", "zeroshot", str(trained)], "was trained on pairs and scores targets of sources; dna-diff evaluate"),
        (["bench", "zeroshot", str(trained / "model"), genome], "was trained on pairs and scores targets of sources"),
        (["compare", genome, genome, *picture], "was trained on pairs; a run that was trained on a genome would work"),
        (
            ["sample", str(trained)],
            "was trained on pairs and writes targets of sources; sample --pairs FILE would work",
        ),
        (["sample", str(trained), "--pairs", pairs, "--shard", "1/2"], "--shard: has no use beside --pairs"),
        (["sample", str(trained), "--pairs", pairs, "-o", str(place / "x.fa")], "a name that ends in .tsv, .csv or"),
        (["evaluate", str(trained), "--both-strands"], "--both-strands: what is given lies left of what is scored"),
        (["evaluate", str(trained), "--bleu"], "--bleu: compares texts, and these are bases"),
        (
            ["evaluate", str(trained), pairs, pairs, "--generate", "3"],
            "--generate 3: targets are written of one data set",
        ),
    ):
        assert main(words) == 2
        assert line in capsys.readouterr().err
    assert not (place / "x.fa").exists()
