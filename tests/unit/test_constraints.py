"""The last word on a design: found by eye in literal strings, and by Biopython on both strands of random ones."""

import random
from fractions import Fraction

import numpy as np
import pytest
from Bio.Restriction import AllEnzymes, Analysis, RestrictionBatch
from Bio.Seq import Seq
from Bio.SeqUtils import gc_fraction, nt_search

from dnadiff.data.constraints import (
    Constraints,
    GcRange,
    departures,
    parse_constraints,
    parse_gc,
    parse_motif,
    sites_of,
    violations,
)
from dnadiff.data.template import Template, sets_of
from dnadiff.errors import InputError


def told(sequence, **given):
    named = {"gc": None, "avoid": (), "avoid_sites": (), "max_homopolymer": None} | given
    return [str(violation) for violation in violations(sequence, parse_constraints(**named))]


@pytest.mark.parametrize(
    ("sequence", "given", "found"),
    [
        ("AAGAATTCAA", {"avoid_sites": ["EcoRI"]}, ["EcoRI (GAATTC) at 3-8"]),
        ("AAGAGACCAA", {"avoid_sites": ["BsaI"]}, ["BsaI (GGTCTC) at 3-8"]),  # GGTCTC on the other strand
        ("GGTCTC", {"avoid_sites": ["BsaI"]}, ["BsaI (GGTCTC) at 1-6"]),  # it would cut beyond the end
        ("GAGTCGACTC", {"avoid": ["ganTC"]}, ["GANTC at 1-5", "GANTC at 6-10"]),
        ("ACACAC", {"avoid": ["ACAC"]}, ["ACAC at 1-4", "ACAC at 3-6"]),
        ("TTAAAATT", {"max_homopolymer": 3}, ["a run of 4 A at 3-6"]),
        ("TTAAAATT", {"max_homopolymer": 4}, []),
        ("GGAT", {"gc": "0.5-0.5"}, []),
        ("GGAT", {"gc": "0.6-0.7"}, ["2 G or C in 4 bases at 1-4"]),
        ("GGATAT", {"gc": "0.25-1:4"}, ["0 G or C in 4 bases at 3-6"]),
        ("GGGATTTT", {"gc": "0.5-0.75:2"}, ["2 G or C in 2 bases at 1-3", "0 G or C in 2 bases at 4-8"]),
        ("GGA", {"gc": "0.5-0.7:100"}, []),  # shorter than the window: one window
        ("GA-TTCGAATT", {"avoid_sites": ["EcoRI"]}, []),  # an open base is none
        ("GG-GGG", {"gc": "0-0.5:3"}, ["3 G or C in 3 bases at 4-6"]),
    ],
)
def test_what_a_biologist_sees(sequence, given, found):
    assert told(sequence, **given) == found


def test_sites_are_biopythons_on_both_strands():
    """Every enzyme of REBASE, on random sequence: the same yes or no as a search that also finds where it cuts."""
    rng, pad = random.Random(3), "N" * 60  # Biopython leaves out sites that would be cut beyond the ends
    sites = {enzyme: Constraints(sites_of([str(enzyme)])) for enzyme in AllEnzymes}
    for sequence in ("".join(rng.choices("ACGT", k=60)) for _ in range(4)):
        cuts = Analysis(RestrictionBatch(AllEnzymes), Seq(pad + sequence + pad), linear=True).full()
        for enzyme, where in cuts.items():
            assert bool(violations(sequence, sites[enzyme])) == bool(where), (enzyme, sequence)


def test_motifs_are_biopythons():
    rng = random.Random(4)
    for _ in range(200):
        sequence = "".join(rng.choices("ACGT", k=40))
        motif = "".join(rng.choices("ACGTRYSWKMBDHVN", k=rng.randint(1, 5))) + "A"
        forward = nt_search(sequence, motif)[1:]
        back = [40 - len(motif) - i for i in nt_search(str(Seq(sequence).reverse_complement()), motif)[1:]]
        found = [violation.start for violation in violations(sequence, Constraints((parse_motif(motif),)))]
        assert found == sorted({*forward, *back})


def test_gc_is_biopythons_in_every_window():
    rng = random.Random(5)
    for _ in range(100):
        sequence, window = "".join(rng.choices("ACGT", k=30)), rng.randint(1, 40)
        low, high = sorted((Fraction(rng.randint(0, 20), 20), Fraction(rng.randint(0, 20), 20)))
        width = min(window, 30)
        shares = [gc_fraction(sequence[i : i + width]) for i in range(31 - width)]
        wrong = {j for i, share in enumerate(shares) if not low <= Fraction(share).limit_denominator(100) <= high
                 for j in range(i, i + width)}  # fmt: skip
        found = violations(sequence, Constraints(gc=GcRange(low, high, window)))
        assert {j for violation in found for j in range(violation.start, violation.end)} == wrong


def test_bounds_are_counts_without_rounding_errors():
    assert parse_gc("0.1-0.29").counts(100) == (10, 29, 100)  # 0.29 * 100 is 28.999... in binary
    assert parse_gc(".07-0.3:100").counts(500) == (7, 30, 100)  # and 0.07 * 100 is 7.000...01


def test_departures_from_a_template():
    template = Template("t", sets_of("ARNC"), "t.fa:1")
    assert departures("AGTC", template) == []
    assert [str(d) for d in departures("ACTG", template)] == [
        "C where the template has R at 2-2",
        "G where the template has C at 4-4",
    ]
    assert [str(d) for d in departures("ANNC", template)] == [
        "N where the template has R at 2-2",
        "N where the template has N at 3-3",
    ]
    assert [str(d) for d in departures("AGT", template)] == ["3 bases where 4 are due at 1-4"]


def test_words_are_both_strands_once():
    words = parse_constraints(None, ["GATC", "AAG"], [], 1).words()
    assert words == [(4, 1, 8, 2), (1, 1, 4), (2, 8, 8), (1, 1), (2, 2), (4, 4), (8, 8)]
    assert np.all(sets_of("GATC") == [4, 1, 8, 2])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"gc": "0.6-0.4"}, "--gc 0.6-0.4: the bounds are reversed; 0.4-0.6 would work"),
        ({"gc": "40-60"}, "--gc 40-60: found a share above 1; shares from 0 to 1 such as 0.4-0.6 would work"),
        ({"gc": "0.4"}, "--gc 0.4: is not LOW-HIGH or LOW-HIGH:WINDOW; 0.4-0.6 or 0.4-0.6:100 would work"),
        ({"gc": "0.4-0.6:0"}, "--gc 0.4-0.6:0: a window of 0 bases; 1 or more would work"),
        ({"avoid": ["GAXTC"]}, "--avoid GAXTC: found 'X' at position 3; A C M G R S V T W Y H K D B N U would work"),
        ({"avoid": ["NN"]}, "--avoid NN: is in every sequence; a motif such as GGTCTC or GANTC would work"),
        ({"avoid_sites": ["ECORI"]}, "--avoid-sites ECORI: no such enzyme; did you mean EcoRI?"),
        ({"avoid_sites": ["EcoR1"]}, "--avoid-sites EcoR1: no such enzyme; did you mean EcoRI or EcoRII or EcoRV?"),
        ({"avoid_sites": ["scissors"]},
         "--avoid-sites scissors: no such enzyme; names of REBASE such as EcoRI or BsaI would work"),
        ({"max_homopolymer": 0}, "--max-homopolymer 0: needs 1 or more"),
    ],
)  # fmt: skip
def test_what_is_refused(given, line):
    with pytest.raises(InputError) as caught:
        told("ACGT", **given)
    assert str(caught.value) == line
