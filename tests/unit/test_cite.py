"""dna-diff cite: well-formed BibTeX, and the papers behind what a run used."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

from dnadiff import __version__, schema
from dnadiff.cli import main
from dnadiff.recipes import cite
from dnadiff.recipes.cite import keys_of, references

ROOT = Path(__file__).parents[2]


def a_run(folder, algo="mdlm", estimator="count", optim="muon", backbone="dit", digest="00", task="dna"):
    """A run folder as far as citing reads it."""
    folder.mkdir()
    config = {"algo": {"name": algo}, "estimator": estimator, "optim": {"name": optim}}
    config |= {"model": {"backbone": backbone}, "task": {"name": task}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "provenance.json").write_text(json.dumps({"inputs": {"genome.fa": digest}}))
    return folder


def test_every_entry_is_bibtex():
    text = (ROOT / "dnadiff" / "references.bib").read_text()
    assert len(references()) == text.count("\n@") + 1 > 10
    for key, entry in references().items():
        assert re.fullmatch(
            r"@(inproceedings|article|misc)\{[a-z]+\d{4}[a-z]+,\n(  [a-z]+ = \{.+\},?\n)+\}\n", entry
        ), key
        assert entry.count("{") == entry.count("}")
        fields = dict(re.findall(r"^  ([a-z]+) = \{(.+)\},?$", entry, flags=re.MULTILINE))
        assert key.startswith(re.split(r"[ ,]", fields["author"])[0].lower()) and fields["year"] in key
        assert {"title", "author", "year"} <= set(fields) and fields.keys() & {"eprint", "doi", "url"}
        lines = entry.splitlines()[1:-1]
        assert [line.endswith(",") for line in lines] == [True] * (len(lines) - 1) + [False], key


def test_what_the_tables_name_is_there_and_all_of_it_is_named():
    tables = (cite.ALGOS, cite.ESTIMATORS, cite.OPTIMIZERS, cite.BACKBONES)
    named = {key for table in tables for keys in table.values() for key in keys}
    named |= {*cite.BASES, *cite.GENOMES.values()}
    assert named <= set(references())
    assert set(references()) - named == {"wang2025remasking"}  # a sampler
    assert set(schema.ALGOS) <= set(cite.ALGOS) and set(schema.ESTIMATORS) == set(cite.ESTIMATORS)
    assert set(schema.OPTIMIZERS) == set(cite.OPTIMIZERS) and set(schema.BACKBONES) == set(cite.BACKBONES)


def test_the_genome_is_known_by_its_content():
    file = ROOT / "data" / "ecoli_k12_mg1655.fa.gz"
    assert cite.GENOMES[hashlib.sha256(file.read_bytes()).hexdigest()] == "blattner1997complete"


@pytest.mark.parametrize(
    ("settings", "there", "absent"),
    [
        ({}, {"sahoo2024simple", "ou2025your", "zheng2025masked", "jordan2024muon"}, {"blattner1997complete"}),
        ({"estimator": "time"}, {"sahoo2024simple"}, {"ou2025your"}),
        ({"optim": "adamw"}, {"loshchilov2019decoupled"}, {"jordan2024muon"}),
        ({"digest": next(iter(cite.GENOMES))}, {"blattner1997complete"}, {"lou2024discrete"}),
        ({"algo": "sedd"}, {"lou2024discrete", "peebles2023scalable"}, {"sahoo2024simple", "ou2025your"}),
        ({"algo": "bd3lm"}, {"arriola2025block"}, {"austin2021structured"}),
        ({"algo": "sundae", "backbone": "llama"}, {"han2024transfer", "touvron2023llama"}, {"peebles2023scalable"}),
        ({"backbone": "caduceus"}, {"schiff2024caduceus", "gu2023mamba"}, {"peebles2023scalable"}),
        ({}, {"schiff2024caduceus", "peebles2023scalable"}, {"gu2023mamba"}),
        ({"task": "text"}, {"sahoo2024simple"}, {"nguyen2023hyenadna", "schiff2024caduceus"}),
    ],
)
def test_a_run_is_cited_by_what_it_used(tmp_path, settings, there, absent):
    keys = keys_of(a_run(tmp_path / "run", **settings))
    assert there <= set(keys) and not absent & set(keys) and len(keys) == len(set(keys))


def test_the_command_prints_bibtex(tmp_path, capsys):
    assert main(["cite"]) == 0
    own = capsys.readouterr().out
    assert own.startswith("@software{dnadiff,") and f"version = {{{__version__}}}" in own and own.count("@") == 1
    assert main(["cite", str(a_run(tmp_path / "run"))]) == 0
    out = capsys.readouterr().out
    assert out.startswith(own) and "@inproceedings{sahoo2024simple,\n  title = {Simple and Effective Masked" in out
    assert main(["cite", "--all"]) == 0
    assert capsys.readouterr().out.count("\n@") == len(references())


@pytest.mark.parametrize("damage", ["missing", "text", "list", "algo"])
def test_what_is_no_run_is_refused(tmp_path, capsys, damage):
    run = a_run(tmp_path / "run", algo="unheard-of" if damage == "algo" else "mdlm")
    if damage == "missing":
        (run / "provenance.json").unlink()
    elif damage in ("text", "list"):
        (run / "config.json").write_text("{" if damage == "text" else "[]")
    assert main(["cite", str(run)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "a run folder written by dna-diff train would work" in err


def test_a_run_and_all_contradict_each_other(capsys):
    assert main(["cite", "run", "--all"]) == 2
    assert capsys.readouterr().err == "dna-diff: error: --all: contradicts run; leave one of them out\n"


def test_the_citation_file_names_this_version():
    facts = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert facts["version"] == __version__ and facts["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(facts)
