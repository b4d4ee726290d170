"""What may come next, against every sequence there is; and the law of drawing under such a rule, added up by hand."""

import itertools
import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from dnadiff.data.constraints import Constraints, GcRange, Motif, violations
from dnadiff.data.lookahead import Lookahead, Words, gc_fitting
from dnadiff.data.template import Template, sets_of
from dnadiff.diffusion import BlockSampler, FirstHitting, restricted
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.oracle import BASES, LENGTH, MASK, VOCAB, chi_square_p, conditional, ideal, mixture

LETTERS = [15, 15, 15, 1, 2, 4, 8, 5, 10, 7, 11]


def fits(sets, constraints):
    """Every sequence of a template that keeps to the constraints."""
    choices = ["".join(base for bit, base in enumerate("ACGT") if number >> bit & 1) for number in sets]
    return [s for s in map("".join, itertools.product(*choices)) if not violations(s, constraints)]


def bases_of(sequences, length):
    """Which bases occur at each position, as sets."""
    return [sum(1 << "ACGT".index(base) for base in {s[i] for s in sequences}) for i in range(length)]


def random_words(rng):
    letters = [rng.choices("ACGTNRY", k=rng.randint(0, 2)) + rng.choices("ACRY") for _ in range(rng.randint(1, 3))]
    motifs = tuple(Motif("".join(each), "".join(each)) for each in letters)
    return Constraints(motifs, None, rng.choice([None, 1, 2]))


def random_gc(rng):
    low, high = sorted((Fraction(rng.randint(0, 10), 10), Fraction(rng.randint(0, 10), 10)))
    return Constraints(gc=GcRange(low, high, rng.choice([None, 2, 3, 4])))


@pytest.mark.parametrize("make", [random_words, random_gc])
def test_what_fits_is_what_some_sequence_has(make):
    rng, possible = random.Random(1), 0
    for _ in range(120):
        length = rng.randint(1, 6)
        sets, constraints = rng.choices(LETTERS, k=length), make(rng)
        sequences = fits(sets, constraints)
        possible += bool(sequences)
        at = list(range(length))
        step = [15] * length if constraints.gc is None else gc_fitting(sets, at, constraints.gc)
        word = Words(constraints.words()).fitting(sets, at)
        found = [a & b & c for a, b, c in zip(sets, step, word, strict=True)]
        assert found == bases_of(sequences, length), (sets, constraints)
        template = Template("t", np.array(sets, dtype=np.uint8), "t.fa:1")
        if sequences:
            Lookahead(constraints).check(template)
        else:
            with pytest.raises(InputError, match=r"^t.fa:1: template t: "):
                Lookahead(constraints).check(template)
    assert 20 < possible < 110


def test_together_nothing_that_some_sequence_has_is_missed_and_something_always_fits():
    rng = random.Random(2)
    for _ in range(60):
        sets, words, gc = rng.choices(LETTERS, k=5), random_words(rng), random_gc(rng)
        both = Constraints(words.motifs, gc.gc, words.max_homopolymer)
        found = Lookahead(both).fitting(sets, range(5))
        assert all(f and f & ~s == 0 for f, s in zip(found, sets, strict=True))
        sequences = fits(sets, both)
        assert all(f & b == b for f, b in zip(found, bases_of(sequences, 5), strict=True))


@pytest.mark.parametrize(
    ("letters", "constraints", "line"),
    [
        ("NGAATTCN", Constraints((Motif("EcoRI", "GAATTC"),)), "its fixed bases have EcoRI at 2-7"),
        ("GANTCN", Constraints((Motif("GANTC", "GANTC"),)), "no choice of bases up to position 5 avoids GANTC"),
        ("NAAAAN", Constraints(max_homopolymer=3), "its fixed bases have a run of 4 A at 2-5"),
        ("RRN", Constraints((Motif("RR", "RR"),), None, 2), "up to position 2 avoids RR and runs of more than 2"),
        ("GGGGNNNN", Constraints(gc=GcRange(Fraction(0), Fraction(1, 4), None)),
         "--gc 0-0.25: bases 1-8 (GGGGNNNN) can have 4 to 8 G or C where 0 to 2 are due"),
        ("NNN", Constraints(gc=GcRange(Fraction(1, 2), Fraction(1, 2), None)), "no number of 3 bases has such a share"),
        ("GGNNTT", Constraints(gc=GcRange(Fraction(1, 2), Fraction(1, 2), 4)), "no choice of bases suits all"),
        ("GNA", Constraints(gc=GcRange(Fraction(1, 2), Fraction(1, 2), 2)), "no choice of bases suits all windows"),
    ],
)  # fmt: skip
def test_the_impossible_is_named_with_its_place(letters, constraints, line):
    with pytest.raises(InputError) as caught:
        Lookahead(constraints).check(Template("t", sets_of(letters), "t.fa:1"))
    assert line in str(caught.value) and "\n" not in str(caught.value)


CONSTRAINTS = Constraints((Motif("AC", "AC"), Motif("CG", "CG")), None, 2)
TEMPLATE = sets_of("NNR").tolist()
LOOKAHEAD = Lookahead(CONSTRAINTS)


def rule(tokens, at):
    """The rule of the constraints, for tokens of the oracle."""
    out = torch.zeros(*at.shape, VOCAB, dtype=torch.bool)
    for row, positions, allowed in zip(tokens.tolist(), at.tolist(), out, strict=True):
        known = [1 << BASES.index(t) if t in BASES else s for t, s in zip(row, TEMPLATE, strict=True)]
        for i, fitting in enumerate(LOOKAHEAD.fitting(known, positions)):
            allowed[i, list(BASES)] = torch.tensor([bool(fitting >> bit & 1) for bit in range(4)])
    return out


def law_under_the_rule(orders):
    """Some orders of the positions equally likely; each drawn among the bases that leave a sequence, renormalised."""
    possible = [tuple(BASES["ACGT".index(base)] for base in s) for s in fits(TEMPLATE, CONSTRAINTS)]
    laws = []
    for order in orders:
        law = {(MASK,) * LENGTH: 1.0}
        for i in order:
            grown = {}
            for x, p in law.items():
                left = {s[i] for s in possible if all(a in (MASK, b) for a, b in zip(x, s, strict=True))}
                shown = [j for j in range(LENGTH) if x[j] != MASK]
                options = {(*x[:i], b, *x[i + 1 :]): conditional((*x[:i], b, *x[i + 1 :]), i, shown) for b in left}
                for y, chance in options.items():
                    grown[y] = grown.get(y, 0.0) + p * chance / sum(options.values())
            law = grown
        laws.append((1 / len(orders), law))
    return mixture(laws)


def test_drawing_under_the_rule_follows_its_law():
    n = 4000
    sampler = FirstHitting(restricted(ideal(), rule), rows_per_call=n)
    x = sampler(torch.full((n, LENGTH), MASK), Draws(0, range(n)))
    law = law_under_the_rule(list(itertools.permutations(range(LENGTH))))
    assert sum(law.values()) == pytest.approx(1)
    assert chi_square_p(x, law) > 1e-3


@pytest.mark.parametrize(("size", "orders"), [(1, [(0, 1, 2)]), (2, [(0, 1, 2), (1, 0, 2)])])
def test_blocks_are_drawn_under_the_rule_too(size, orders):
    """The rule looks ahead to blocks that the network does not see yet."""
    n = 4000
    sampler = BlockSampler(FirstHitting(ideal(), rows_per_call=n), size, rule=rule)
    x = sampler(torch.full((n, LENGTH), MASK), Draws(0, range(n)))
    assert chi_square_p(x, law_under_the_rule(orders)) > 1e-3


def test_a_rule_that_allows_everything_changes_nothing():
    x, draws = torch.full((50, LENGTH), MASK), Draws(0, range(50))
    free = restricted(ideal(), lambda tokens, at: torch.ones(*at.shape, VOCAB, dtype=torch.bool))
    assert torch.equal(FirstHitting(free)(x, draws), FirstHitting(ideal())(x, draws))
    assert torch.equal(free(x, None), ideal()(x, None))
