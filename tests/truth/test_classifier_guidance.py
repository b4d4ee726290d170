"""Classifier guidance on a table with two classes: the class given any half-finished sequence is added up by hand."""

import itertools
import math

import pytest
import torch

from dnadiff.diffusion import AbsorbingProcess, Ancestral, FirstHitting, IdealDenoiser, LogLinear, classifier_guided
from dnadiff.errors import InputError
from dnadiff.models.attention import Full
from dnadiff.models.cache import KVCache
from dnadiff.random import Draws
from tests.labelled import CLASSES, LAWS, MIXED, guided_conditional
from tests.oracle import BASES, LENGTH, MASK, SEQUENCES, VOCAB, chi_square_p, law_of_reveals, mixture
from tests.tiny import tiny_next_token

N = 4000
ORDERS = list(itertools.permutations(range(LENGTH)))
TABLE = torch.tensor(SEQUENCES)


def unconditional():
    """The ideal denoiser of the two classes together."""
    return IdealDenoiser(TABLE, LAWS[2], AbsorbingProcess(LogLinear(), MASK), VOCAB)


def class_given(label):
    """The exact log p(class | x_t): what share of the sequences that x_t can become is of the class."""

    def classifier(tokens):
        fits = ((tokens[:, None] == TABLE) | (tokens[:, None] == MASK)).all(-1).double()
        return (0.5 * fits @ LAWS[label]).log() - (fits @ LAWS[2]).log()

    return classifier


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_conditionals_are_those_of_bayes_rule(gamma):
    """With exact models on both sides they are the ones that classifier-free guidance has, which are written out."""
    x = torch.tensor([[MASK, 8, MASK], [MASK, MASK, 9]])
    for label in (0, 1):
        denoiser = classifier_guided(unconditional(), class_given(label), gamma)
        p = denoiser(x, None).exp()
        asked = denoiser(x, None, at=torch.tensor([[2, 0], [1, 1]])).exp()
        for row, i, shown in ((0, 2, [1]), (0, 0, [1]), (1, 1, [2])):
            for base in BASES:
                y = [*x[row].tolist()]
                y[i] = base
                want = guided_conditional(gamma, label)(tuple(y), i, shown)
                assert p[row, i, base].item() == pytest.approx(want, rel=1e-9)
        assert torch.equal(asked, torch.stack([p[0, [2, 0]], p[1, [1, 1]]]))
        assert torch.equal(denoiser(x, None, at=slice(1, 3)).exp(), p[:, 1:])
        torch.testing.assert_close(p.sum(-1), torch.ones(2, LENGTH, dtype=p.dtype))
        assert p[0, 1, 8] == 1, "shown tokens are carried over"


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0])
def test_one_draws_the_class_exactly_and_others_follow_the_guided_conditionals(gamma):
    of = guided_conditional(gamma, 1)
    want = mixture([(1 / len(ORDERS), law_of_reveals([(i,) for i in o], conditional=of)) for o in ORDERS])
    if gamma in (0.0, 1.0):
        exact = MIXED if gamma == 0 else CLASSES[1]
        assert all(want[x] == pytest.approx(exact[x], rel=1e-9) for x in SEQUENCES)
    sampler = FirstHitting(classifier_guided(unconditional(), class_given(1), gamma), rows_per_call=N)
    assert chi_square_p(sampler(torch.full((N, LENGTH), MASK), Draws(0, range(N))), want) > 1e-3


def test_with_given_bases_the_class_is_drawn_given_them():
    """p(x | y, the middle is C), though the given base lies between the open ones."""
    total = sum(p for x, p in CLASSES[1].items() if x[1] == 8)
    want = {x: p / total for x, p in CLASSES[1].items() if x[1] == 8}
    x = torch.tensor([[MASK, 8, MASK]]).repeat(N, 1)
    sampler = FirstHitting(classifier_guided(unconditional(), class_given(1), 1.0), rows_per_call=N)
    assert chi_square_p(sampler(x, Draws(3, range(N))), want) > 1e-3


def test_many_steps_come_near_the_class():
    sampler = Ancestral(classifier_guided(unconditional(), class_given(1), 1.0), 200, rows_per_call=N)
    assert chi_square_p(sampler(torch.full((N, LENGTH), MASK), Draws(1, range(N))), CLASSES[1]) > 1e-3


WEIGHTS = torch.randn(LENGTH, VOCAB, generator=torch.Generator().manual_seed(0))


def linear(x):
    """A log p(y | x_t) that adds up over the positions, masks too; reads tokens and one-hot rows."""
    rows = x if x.is_floating_point() else torch.nn.functional.one_hot(x, VOCAB).float()
    return (rows * WEIGHTS).sum((1, 2)) - 9.0


def curved(x):
    return -linear(x).square() / 9


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_first_order_is_exact_where_the_classifier_is_linear_and_not_elsewhere(gamma):
    x = torch.tensor([[MASK, 8, MASK], [MASK, MASK, MASK]])
    for classifier, equal in ((linear, True), (curved, False)):
        exact, first = (
            classifier_guided(unconditional(), classifier, gamma, steps=steps)(x, None, at=torch.tensor([[0, 2]] * 2))
            for steps in ("exact", "first-order")
        )
        assert torch.allclose(exact.exp(), first.exp(), atol=1e-5) is equal


def test_first_order_takes_the_slope_at_the_sequence_as_it_stands():
    """The slope of -linear^2 / 9 is -2 linear W / 9: written out, not differentiated."""
    x = torch.tensor([[MASK, 8, MASK]])
    got = classifier_guided(unconditional(), curved, 1.5, steps="first-order")(x, None)[0, 2, list(BASES)]
    free = unconditional()(x, None)[0, 2, list(BASES)]
    slope = -2 / 9 * linear(x) * WEIGHTS[2, list(BASES)]
    torch.testing.assert_close(got, (free + 1.5 * slope).log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_samplers_can_take_gradients():
    """They walk in inference mode, where nothing is differentiated."""
    samples = [
        FirstHitting(classifier_guided(unconditional(), linear, 2.0, steps=steps), rows_per_call=50)(
            torch.full((50, LENGTH), MASK), Draws(0, range(50))
        )
        for steps in ("exact", "first-order")
    ]
    assert torch.equal(*samples)


def test_what_a_classifier_rules_out_is_never_drawn():
    def no_a(tokens):
        return torch.where((tokens == BASES[0]).any(-1), -torch.inf, 0.0)

    x, draws = torch.full((400, LENGTH), MASK), Draws(0, range(400))
    for gamma, drawn in ((0.0, True), (0.5, False)):
        out = FirstHitting(classifier_guided(unconditional(), no_a, gamma), rows_per_call=400)(x, draws)
        assert bool((out == BASES[0]).any()) is drawn


@pytest.mark.parametrize("gamma", [-0.5, math.nan, math.inf])
def test_impossible_strengths(gamma):
    with pytest.raises(InputError, match="gamma="):
        classifier_guided(unconditional(), linear, gamma)


def test_what_cannot_be_guided_is_refused():
    with pytest.raises(InputError, match="steps=exakt: did you mean exact"):
        classifier_guided(unconditional(), linear, 1.0, steps="exakt")
    with pytest.raises(InputError, match="found a denoiser with NextToken; one with Subs works"):
        classifier_guided(tiny_next_token(), linear, 1.0)
    with pytest.raises(InputError, match="a cache hides the beginning"):
        classifier_guided(unconditional(), linear, 1.0)(TABLE[:1], None, pattern=Full(), cache=KVCache())
