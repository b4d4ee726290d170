"""Random templates under random constraints, and whether a single design breaks its own.

    python benchmarks/templates.py [-n 10000] [-o benchmarks/results/templates.json]

Trains a small model on E. coli, makes random templates (20 to 200 random IUPAC letters) with random constraints (GC
overall or in windows, motifs, restriction enzymes, longest run) and designs one sequence of each. Every sequence is
checked with code of its own: Biopython's table of letters, its search for cut sites, regular expressions on both
strands. Templates that are refused before sampling, because nothing can fit, are counted and replaced, so that -n of
them are sampled. The JSON says what was refused, rejected and repaired, and any fault found. It grows as the work goes
on, and a run that was stopped goes on from it, with a model trained anew.
"""

import argparse
import json
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from Bio.Data.IUPACData import ambiguous_dna_values
from Bio.Restriction import CommOnly, RestrictionBatch
from Bio.Seq import Seq

from dnadiff.config import compose
from dnadiff.data.constraints import parse_constraints
from dnadiff.data.template import Template, sets_of
from dnadiff.errors import InputError
from dnadiff.recipes.designer import Designer
from dnadiff.recipes.model import Model, open_model
from dnadiff.recipes.train import train
from dnadiff.recipes.walk import Walk

ECOLI = Path(__file__).parent.parent / "data" / "ecoli_k12_mg1655.fa.gz"
CODES = "RYSWKMBDHV"
ENZYMES = sorted(str(enzyme) for enzyme in CommOnly if len(enzyme.site) >= 5)
PAD = "N" * 60  # Biopython leaves out sites that would be cut beyond the ends
REFUSALS = {
    "its fixed bases": "fixed bases break a constraint",
    "--gc": "GC out of reach",
    "no choice of bases up to": "every choice has a forbidden word",
}
TOGETHER = 10  # templates that are given the same constraints


def random_template(rng: random.Random, shortest: int = 20, longest: int = 200) -> str:
    """IUPAC letters: some share of fixed bases, of codes and of N."""
    fixed, codes = rng.choice([0.0, 0.1, 0.3, 0.6]), rng.choice([0.0, 0.1, 0.3, 1.0])
    weights = [fixed / 4] * 4 + [(1 - fixed) * codes / 10] * 10 + [(1 - fixed) * (1 - codes)]
    return "".join(rng.choices("ACGT" + CODES + "N", weights, k=rng.randint(shortest, longest)))


def random_constraints(rng: random.Random) -> dict[str, Any]:
    """Constraints in the words of the command line."""
    middle, half = rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.3)
    bounds = f"{middle - half:.2f}-{middle + half:.2f}"
    motifs = ["".join(rng.choices("ACGT" * 3 + CODES + "N", k=rng.randint(4, 9))) for _ in range(rng.randint(0, 3))]
    return {
        "gc": rng.choice([None, bounds, f"{bounds}:{rng.randint(15, 60)}"]),
        "avoid": [motif for motif in motifs if set(motif) != {"N"}],
        "avoid_sites": rng.sample(ENZYMES, rng.randint(0, 4)),
        "max_homopolymer": rng.choice([None, 3, 4, 5, 6]),
    }


def random_designer(model: Model, rng: random.Random) -> tuple[Designer, dict[str, Any]]:
    """A designer under random constraints, and these in the words of the command line."""
    given = random_constraints(rng)
    walk = Walk(tokens_per_step=rng.choices([1, 8, 32], [1, 10, 9])[0], temperature=rng.choice([0.5, 1.0, 1.0]))
    return Designer(model, walk, parse_constraints(**given), seed=1), given


def faults(letters: str, sequence: str, given: dict[str, Any]) -> list[str]:
    """What is wrong with a design, by code that the package does not have."""
    found = []
    if len(sequence) != len(letters):
        found.append("length changed")
    if set(sequence) - set("ACGT"):
        found.append("not a base")
    if any(letter in "ACGT" and base != letter for base, letter in zip(sequence, letters, strict=False)):
        found.append("fixed base changed")
    if any(base not in ambiguous_dna_values[letter] for base, letter in zip(sequence, letters, strict=False)):
        found.append("letter not kept")
    strands = sequence, str(Seq(sequence).reverse_complement())
    for motif in given["avoid"]:
        word = re.compile("".join(f"[{ambiguous_dna_values[letter]}]" for letter in motif))
        if any(word.search(strand) for strand in strands):
            found.append("motif")
    if given["avoid_sites"]:
        cuts = RestrictionBatch(given["avoid_sites"]).search(Seq(PAD + sequence + PAD))
        if any(cuts.values()):
            found.append("restriction site")
    run = given["max_homopolymer"]
    if run is not None and any(base * (run + 1) in sequence for base in "ACGT"):
        found.append("homopolymer")
    if given["gc"] is not None:
        bounds, _, window = given["gc"].partition(":")
        low, high = (int(100 * float(share) + 0.5) for share in bounds.split("-"))
        width = min(int(window or len(sequence)), len(sequence))
        pieces = [sequence[i : i + width] for i in range(len(sequence) - width + 1)]
        if any(not low * width <= 100 * (piece.count("G") + piece.count("C")) <= high * width for piece in pieces):
            found.append("GC")
    return found


def trial(designer: Designer, given: dict[str, Any], letters: str, number: int) -> dict[str, Any]:
    """What became of one template: refused, rejected, repaired or clean, and the faults of its design."""
    template = Template(f"t{number}", sets_of(letters), f"t.fa:{number}")
    try:
        designer.lookahead.check(template)
    except InputError as error:
        return {"status": "refused", "why": next(why for words, why in REFUSALS.items() if words in str(error))}
    design = designer.draw(template, [1], lambda _: None)[0]
    out = {"rounds": design.rounds, "resampled": design.resampled, "bases": len(letters)}
    if design.sequence is None:
        kinds = {"GC" if "G or C" in broken.what else "words" for broken in design.broken}
        return out | {"status": "rejected", "why": " and ".join(sorted(kinds)), "case": f"{letters} {given}"}
    status = "repaired" if design.rounds else "clean"
    return out | {"status": status, "faults": faults(letters, design.sequence, given)}


def sampled(model: Model, n: int, seed: int, out: Path) -> dict[str, Any]:
    """The figures of ``n`` templates that were sampled, and of those refused on the way; ``out`` keeps them."""
    old = json.loads(out.read_text()) if out.exists() else {}
    old = old if old.get("seed") == seed else {}
    tallies = {name: Counter(old.get(name, {})) for name in ("outcomes", "reasons", "faults", "rounds", "sums")}
    number, rejected = old.get("templates", 0), old.get("examples_of_rejected", [])
    before, start = old.get("seconds", 0), time.monotonic()
    figures: dict[str, Any] = old
    while tallies["sums"]["sampled"] < n:
        if number % TOGETHER == 0:
            designer, given = random_designer(model, random.Random(f"{seed} constraints {number // TOGETHER}"))
        number += 1
        found = trial(designer, given, random_template(random.Random(f"{seed} template {number}")), number)
        tallies["outcomes"][found["status"]] += 1
        if "why" in found:
            tallies["reasons"][f"{found['status']}: {found['why']}"] += 1
        if found["status"] != "refused":
            tallies["sums"].update(sampled=1, bases=found["bases"], bases_drawn_again=found["resampled"])
            tallies["rounds"][str(found["rounds"])] += 1
            tallies["faults"].update(found.get("faults", ()))
            rejected += [found["case"]] if "case" in found and len(rejected) < 10 else []
        if number % 100 == 0 or tallies["sums"]["sampled"] == n:
            seconds = round(before + time.monotonic() - start, 1)
            figures = {"seed": seed, "torch": torch.__version__, "templates": number, "seconds": seconds}
            figures |= tallies | {"examples_of_rejected": rejected}
            out.write_text(json.dumps(figures, indent=1) + "\n")
            print({name: figures[name] for name in ("templates", "outcomes", "faults", "seconds")}, flush=True)
    return figures


def trained(folder: str) -> Model:
    """A small model after some seconds on E. coli."""
    shape = ["model=nano", "model.hidden_size=32", "model.n_blocks=1", "model.stem=0"]
    return open_model(
        train(compose([*shape, f"data.path={ECOLI}", "train.minutes=0.5", "seed=1"]), out=f"{folder}/run")
    )


def main() -> None:
    """Runs the trials that are missing, prints what was found and writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", "--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "templates.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = sampled(trained(folder), args.number, args.seed, args.out)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
