"""``design``: templates kept, constraints kept, nothing but what was asked for, and one line for every mistake."""

import json
import random

import pytest
import torch
from Bio import SeqIO

from benchmarks.templates import faults, random_designer, random_template, trial
from dnadiff.checkpoints.folder import model_hash, save_model
from dnadiff.data.constraints import Violation, parse_constraints
from dnadiff.data.template import Template, sets_of
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import BlockSampler, FirstHitting
from dnadiff.errors import InputError
from dnadiff.random import Draws, key64
from dnadiff.recipes.design import conditional, design
from dnadiff.recipes.designer import ROUNDS, Designer
from dnadiff.recipes.model import open_model
from dnadiff.recipes.walk import EXACT, Walk
from tests.oracle import BASES, BOS, MASK
from tests.tiny import BLOCKS, SPEC, tiny_denoiser

LETTERS = "ATGNNNNRYNNNTAA"
CONSTRAINTS = {"gc": "0.3-0.7:10", "avoid": ["GATC"], "avoid_sites": ["EcoRI", "BsaI"], "max_homopolymer": 3}


def publish(folder, **changes):
    spec = {**SPEC, **changes}
    save_model(folder / "model", tiny_denoiser(**changes), NucleotideTokenizer(), spec, {"step": 120})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("blocks"), **BLOCKS)


def template(path, text=f">probe\n{LETTERS}\n"):
    path.write_text(text)
    return path


def records(path):
    with open(path) as file:
        return {record.id: str(record.seq) for record in SeqIO.parse(file, "fasta")}


def silent(_):
    return None


def test_templates_and_constraints_are_kept_and_the_rest_differs(run, tmp_path, capsys):
    fasta = template(tmp_path / "t.fa", f">probe\n{LETTERS}\n>long\n{'N' * 70}\n")
    design(run, fasta, tmp_path / "x.fa", n=6, seed=5, walk=Walk(tokens_per_step=4), **CONSTRAINTS)
    found = records(tmp_path / "x.fa")
    assert list(found) == [f"{name}_design_{i}" for name in ("probe", "long") for i in range(1, 7)]
    for name, sequence in found.items():
        assert faults(LETTERS if name.startswith("probe") else "N" * 70, sequence, CONSTRAINTS) == []
    assert len(set(found.values())) > 10
    told = capsys.readouterr().err
    assert "2 templates of 15 to 70 bases, 6 of each, seed 5" in told and "1 are longer than the 16 bases" in told
    assert "no GATC, no EcoRI (GAATTC), no BsaI (GGTCTC), G+C 0.3-0.7:10, runs of at most 3" in told
    assert "written      12 of 12 designs" in told and "verified" in told


def test_two_hundred_random_templates_under_random_constraints(run):
    """The small sister of benchmarks/templates.py: same cases, same independent check."""
    model, rng, outcomes = open_model(run), random.Random(9), []
    while len(outcomes) < 200:
        if len(outcomes) % 5 == 0:
            designer, given = random_designer(model, rng)
        out = trial(designer, given, random_template(rng, 5, 25), len(outcomes))
        if out["status"] != "refused":
            outcomes.append(out)
    assert [out for out in outcomes if out.get("faults")] == []
    assert sum(out["status"] == "rejected" for out in outcomes) <= 4
    assert sum(out["status"] == "repaired" for out in outcomes) > 10, "the check had something to do"


def test_the_independent_check_sees_every_kind_of_fault():
    given = {"gc": "0.4-0.6:4", "avoid": ["GAY"], "avoid_sites": ["BsaI"], "max_homopolymer": 2}
    assert faults("NNNNN", "ACGTA", given) == []
    assert faults("ANNNR", "CAGTC", given) == [
        "fixed base changed",
        "letter not kept",
        "motif",
    ]
    assert faults("NNNN", "ACG", given) == ["length changed", "GC"]
    assert faults("NNNNN", "ACGTN", {**given, "gc": None}) == ["not a base", "letter not kept"]
    assert faults("N" * 8, "ACATCGTA", {**given, "gc": None}) == ["motif"]  # GAT on the other strand
    assert faults("N" * 8, "AGAGACCA", {**given, "avoid": [], "gc": None}) == ["restriction site"]
    assert faults("N" * 6, "ACGGGT", {**given, "gc": None}) == ["homopolymer"]


def test_without_constraints_it_is_the_samplers_own_infilling(run, tmp_path):
    """Fixed bases and N only: the draws of first-hitting given the fixed bases, so exact where the model is."""
    fasta = template(tmp_path / "t.fa", ">a\nACNNNNGNNT\n")
    design(run, fasta, tmp_path / "x.fa", n=3, seed=5, quiet=True)
    tokenizer = NucleotideTokenizer()
    start = torch.tensor([[*tokenizer.encode("AC"), *[MASK] * 4, 9, MASK, MASK, 10]] * 3)
    tokens = FirstHitting(tiny_denoiser())(start, Draws(key64("design", 5, "a", 0), [1, 2, 3]))
    assert list(records(tmp_path / "x.fa").values()) == [tokenizer.decode(row.numpy()) for row in tokens]


def test_a_design_depends_on_its_name_number_and_seed_alone(run, tmp_path):
    both = template(tmp_path / "both.fa", f">a\n{LETTERS}\n>b\n{'N' * 20}\n")
    alone = template(tmp_path / "b.fa", f">b\n{'N' * 20}\n")
    settings = {"seed": 3, "quiet": True, "walk": Walk(tokens_per_step=8), "max_homopolymer": 2, "avoid": ["CG"]}
    design(run, both, tmp_path / "1.fa", n=9, batch_size=1, **settings)
    design(run, both, tmp_path / "4.fa", n=9, batch_size=4, **settings)
    design(run, alone, tmp_path / "b5.fa", n=5, **settings)
    assert (tmp_path / "1.fa").read_bytes() == (tmp_path / "4.fa").read_bytes()
    assert (tmp_path / "1.fa.design.tsv").read_text() == (tmp_path / "4.fa.design.tsv").read_text()
    assert "repaired" in (tmp_path / "1.fa.design.tsv").read_text()
    whole = records(tmp_path / "1.fa")
    assert records(tmp_path / "b5.fa") == {name: whole[name] for name in (f"b_design_{i}" for i in range(1, 6))}
    settings["seed"] = 4
    design(run, alone, tmp_path / "other.fa", n=5, **settings)
    assert records(tmp_path / "other.fa") != records(tmp_path / "b5.fa")


def test_names_and_rounds_have_draws_of_their_own(run, tmp_path):
    fasta = template(tmp_path / "t.fa", f">a\n{'N' * 30}\n>b\n{'N' * 30}\n")
    design(run, fasta, tmp_path / "x.fa", n=4, seed=1, quiet=True)
    found = records(tmp_path / "x.fa")
    assert len(set(found.values())) == 8
    designer = Designer(open_model(run), EXACT, parse_constraints(None, [], [], None), 1)
    letters = Template("a", sets_of("N" * 30), "t.fa:1")
    start = designer._start(letters, 1)
    first, second = (designer._walk(letters, EXACT, start, [1], round_, silent) for round_ in (0, 1))
    assert not torch.equal(first, second)


def test_even_if_drawing_were_broken_nothing_wrong_would_come_out(run, monkeypatch):
    """Without any steering, codes and constraints are kept by the last check alone: what breaks them is rejected."""
    anything = torch.zeros(12, dtype=torch.bool)
    anything[7:11] = True
    monkeypatch.setattr(Designer, "_sets", lambda self, letters: anything)
    monkeypatch.setattr(Designer, "_fitting", lambda self, letters, tokens, at: anything.expand(*at.shape, 12))
    given = {"gc": None, "avoid": ["CG"], "avoid_sites": [], "max_homopolymer": 2}
    letters = "RYNNSWNN"
    designer = Designer(open_model(run), Walk(tokens_per_step=8), parse_constraints(**given), 1)
    found = [drawn.sequence for drawn in designer.draw(Template("t", sets_of(letters), "t.fa:1"), range(16), silent)]
    assert None in found and len(set(found)) > 3
    assert all(faults(letters, sequence, given) == [] for sequence in found if sequence is not None)


def test_a_mask_frees_an_interval_of_a_sequence(run, tmp_path):
    fasta, bed = template(tmp_path / "t.fa", ">a\nACGTACGTACGT\n"), tmp_path / "m.bed"
    bed.write_text("a\t4\t8\n")
    design(run, fasta, tmp_path / "x.fa", n=20, mask=bed, seed=1, quiet=True)
    found = records(tmp_path / "x.fa").values()
    assert {sequence[:4] + sequence[8:] for sequence in found} == {"ACGTACGT"} and len(set(found)) > 10


def test_models_with_other_tokens_and_bos(tmp_path):
    allowed = {"name": "subs", "mask_id": MASK, "allowed": [1, 7, 8, 9, 10, 11]}
    other = publish(tmp_path / "run", bos=True, parameterization=allowed)
    settings = {"n": 5, "seed": 1, "quiet": True, "walk": Walk(tokens_per_step=8), **CONSTRAINTS}
    design(other, template(tmp_path / "t.fa"), tmp_path / "x.fa", **settings)
    for sequence in records(tmp_path / "x.fa").values():
        assert faults(LETTERS, sequence, CONSTRAINTS) == []
    assert "repaired" in (tmp_path / "x.fa.design.tsv").read_text(), "the repair, too, leaves [BOS] alone"


def test_a_repair_masks_the_open_bases_of_the_stretch_and_no_more(tmp_path):
    designer = Designer(open_model(publish(tmp_path, bos=True)), EXACT, parse_constraints(None, [], [], None), 1)
    letters = Template("t", sets_of("NNNNNNANNNNN"), "t.fa:1")
    start = designer._start(letters, 1)[0]
    drawn = start.masked_fill(start == MASK, 8)
    broken = [Violation(5, 8, "GATC"), Violation(0, 1, "")]
    masked = [designer._masked(letters, start, drawn, broken, round_) == MASK for round_ in (1, 2, ROUNDS)]
    assert [(row.nonzero()[:, 0] - 1).tolist() for row in masked] == [
        [0, 5, 7],
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 10],
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11],
    ]


def test_what_became_of_each_design_is_written_down(run, tmp_path):
    fasta = template(tmp_path / "t.fa")
    words = ["dna-diff", "design"]
    design(run, fasta, tmp_path / "x.fa.gz", n=2, seed=5, quiet=True, argv=words, gc="0.2-0.8")
    lines = (tmp_path / "x.fa.gz.design.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["template", "design", "status", "rounds", "bases_drawn_again", "broken"]
    assert [line.split("\t")[:2] for line in lines[1:]] == [["probe", "1"], ["probe", "2"]]
    facts = json.loads((tmp_path / "x.fa.gz.provenance.json").read_text())
    assert facts["seed"] == 5 and facts["inputs"][str(run)] == model_hash(run) and str(fasta) in facts["inputs"]
    assert (facts["constraints"], facts["clean"], facts["screening"]) == ("G+C 0.2-0.8", 2, "none")


def test_each_record_names_its_conditional(run, tmp_path):
    fasta = template(tmp_path / "t.fa", ">a\nACNN\n>b\nACRN\n")
    design(run, fasta, tmp_path / "x.fa", seed=5, quiet=True)
    heads = [line for line in (tmp_path / "x.fa").read_text().splitlines() if line.startswith(">")]
    model = f"seed=5 step=120 model={model_hash(run)[:8]}"
    assert heads == [f">a_design_1 {model} conditional=exact", f">b_design_1 {model} conditional=approximate:codes"]
    open_, free = Template("a", sets_of("AN"), "t.fa:1"), parse_constraints(None, [], [], None)
    opened = open_model(run)
    assert conditional(open_, EXACT, free, opened) == "exact"
    for walk, why in (
        (Walk(tokens_per_step=2), "2-at-once"),
        (Walk(temperature=0.9), "temperature"),
        (Walk(nucleus=0.9), "nucleus"),
        (Walk(top_k=2), "top-k"),
        (Walk("ancestral", steps=9), "ancestral"),
        (Walk("remdm", steps=9), "remdm"),
    ):
        assert conditional(open_, walk, free, opened) == f"approximate:{why}"
    assert conditional(open_, EXACT, parse_constraints(None, ["GATC"], [], None), opened) == "approximate:constraints"


@pytest.mark.parametrize(
    ("letters", "size", "hidden"),
    [
        ("NNNNNNNN", None, False), ("ACGTACGT", None, False), ("ACGNNNNN", None, False), ("NNANNNNN", None, False),
        ("NNNANNNN", None, True), ("ANNNNNNA", None, True), ("NNNANNNN", 8, False), ("NANNNNNN", 1, True),
    ],
)  # fmt: skip
def test_what_a_model_of_blocks_does_not_see(blocks, letters, size, hidden):
    """[BOS] and three bases are the first block of four."""
    given, free = Template("a", sets_of(letters), "t.fa:1"), parse_constraints(None, [], [], None)
    said = conditional(given, Walk(block_size=size), free, open_model(blocks))
    assert said == ("approximate:left-only" if hidden else "exact")


def test_a_model_of_blocks_fills_templates_by_its_own_sampler(blocks, tmp_path, capsys):
    fasta = template(tmp_path / "t.fa", ">a\nACNNNNGNNTNNNNNNNNNN\n")
    design(blocks, fasta, tmp_path / "x.fa", n=3, seed=5)
    tokenizer = NucleotideTokenizer()
    start = torch.tensor([[BOS, *tokenizer.encode("AC"), *[MASK] * 4, 9, MASK, MASK, 10, *[MASK] * 10]] * 3)
    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4, window=16)
    tokens = sampler(start, Draws(key64("design", 5, "a", 0), [1, 2, 3]), allowed=torch.arange(12) > 6)
    assert list(records(tmp_path / "x.fa").values()) == [tokenizer.decode(row[1:].numpy()) for row in tokens]
    told = capsys.readouterr().err
    assert "1 have fixed bases further right" in told and "approximately (left-only)" in told


@pytest.mark.parametrize("walk", [EXACT, Walk(block_size=1), Walk(tokens_per_step=4)])
def test_a_model_of_blocks_keeps_templates_and_constraints(blocks, tmp_path, walk):
    """Longer than the window, with fixed bases that the network does not see and the constraints must."""
    letters = "N" * 17 + "GAAT" + "NRYN" * 3 + "ATC" + "N" * 9
    fasta = template(tmp_path / "t.fa", f">a\n{letters}\n")
    design(blocks, fasta, tmp_path / "x.fa", n=4, seed=5, walk=walk, quiet=True, **CONSTRAINTS)
    found = records(tmp_path / "x.fa")
    assert len(found) == len(set(found.values())) == 4
    assert [faults(letters, sequence, CONSTRAINTS) for sequence in found.values()] == [[]] * 4
    if walk.tokens_per_step is None:
        assert "repaired" not in (tmp_path / "x.fa.design.tsv").read_text(), "one base at a time leads into no dead end"


def test_models_and_settings_that_cannot_fill_a_template_are_refused(run, tmp_path):
    fasta = template(tmp_path / "t.fa")
    next_token = publish(
        tmp_path / "ar", bos=True, parameterization={"name": "next_token", "mask_id": MASK, "allowed": list(BASES)}
    )
    with pytest.raises(InputError, match=r"found a model of next tokens .*, .* or one of blocks .* would work"):
        design(next_token, fasta, tmp_path / "x.fa", quiet=True)
    blocks = publish(tmp_path / "blocks", bos=True, block_size=4)
    for walk, told in (
        (Walk("remdm"), "walks whole sequences"),
        (Walk(block_size=99), "--block-size 99"),
        (Walk(min_complexity=0.5), "belong to sample"),
        (Walk(rows_per_call=2), "belong to sample"),
    ):
        with pytest.raises(InputError, match=told):
            design(blocks, fasta, tmp_path / "x.fa", quiet=True, walk=walk)
    with pytest.raises(InputError, match="--block-size 4: whole sequences are walked here"):
        design(run, fasta, tmp_path / "x.fa", quiet=True, walk=Walk(block_size=4))
    with pytest.raises(InputError, match="--stride 4: a template is filled as a whole"):
        design(run, fasta, tmp_path / "x.fa", quiet=True, walk=Walk(stride=4))
    assert not (tmp_path / "x.fa").exists()


def hopeless(run):
    """A designer and a template that passes every proof and that nothing fits: GC asks for what the words forbid."""
    constraints = parse_constraints("1-1", ["CG", "CC"], [], None)
    return Designer(open_model(run), EXACT, constraints, 1), Template("t", sets_of("NNN"), "t.fa:1")


def test_what_cannot_be_repaired_is_rejected_after_so_many_rounds(run):
    designer, letters = hopeless(run)
    designer.lookahead.check(letters)
    for drawn in designer.draw(letters, [1, 2], silent):
        assert drawn.sequence is None and drawn.rounds == ROUNDS
        assert drawn.resampled == 3 * ROUNDS
        assert drawn.broken


def test_if_all_are_rejected_nothing_is_written(run, tmp_path):
    fasta = template(tmp_path / "t.fa", ">t\nNNN\n")
    with pytest.raises(InputError, match=r"t.fa:1: none of 2 designs met no CG, no CC, G\+C 1-1 in 8 rounds of repair"):
        design(run, fasta, tmp_path / "x.fa", n=2, gc="1-1", avoid=["CG", "CC"], seed=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["t.fa"]
