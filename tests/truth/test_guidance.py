"""Classifier-free guidance on a table with two classes, whose guided conditionals are written out."""

import itertools
import math

import pytest
import torch

from dnadiff.diffusion import Autoregressive, FirstHitting, classifier_free, of_class
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal
from dnadiff.random import Draws
from tests.labelled import CLASSES, MIXED, guided_conditional, labelled
from tests.oracle import BASES, BOS, LENGTH, MASK, SEQUENCES, chi_square_p, law_of_reveals, mixture
from tests.tiny import SPEC, tiny_denoiser

N = 4000
ORDERS = list(itertools.permutations(range(LENGTH)))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_conditionals(gamma):
    denoiser = classifier_free(labelled(), gamma, 2)
    x = torch.tensor([[MASK, 8, MASK], [MASK, MASK, 9]])
    p = denoiser(x, None, labels=torch.tensor([0, 1])).exp()
    for row, label, i, shown in ((0, 0, 2, [1]), (1, 1, 0, [2]), (1, 1, 1, [2])):
        for base in BASES:
            y = [*x[row].tolist()]
            y[i] = base
            want = guided_conditional(gamma, label)(tuple(y), i, shown)
            assert p[row, i, base].item() == pytest.approx(want, rel=1e-9)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, LENGTH, dtype=p.dtype))
    assert p[0, 1, 8] == 1, "shown tokens are carried over"


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0])
def test_samples_follow_the_guided_conditionals(gamma):
    of = guided_conditional(gamma, 1)
    want = mixture([(1 / len(ORDERS), law_of_reveals([(i,) for i in o], conditional=of)) for o in ORDERS])
    if gamma in (0.0, 1.0):
        exact = MIXED if gamma == 0 else CLASSES[1]
        assert all(want[x] == pytest.approx(exact[x], rel=1e-9) for x in SEQUENCES)
    sampler = FirstHitting(classifier_free(labelled(), gamma, 2), rows_per_call=N)
    x = sampler(torch.full((N, LENGTH), MASK), Draws(0, range(N)), labels=torch.ones(N, dtype=torch.int64))
    assert chi_square_p(x, want) > 1e-3


CONDITIONAL = {**SPEC["backbone"], "n_classes": 2}


def tiny_labelled(**changes):
    return tiny_denoiser(backbone=CONDITIONAL, **changes)


def test_tokens_asked_about_by_number_are_guided_alike():
    denoiser, x, labels = classifier_free(tiny_labelled(), 2.0, 2), torch.full((2, 4), MASK), torch.tensor([0, 1])
    some = denoiser(x, None, labels=labels, at=torch.tensor([1, 6, 7]))
    torch.testing.assert_close(some, denoiser(x, None, labels=labels).flatten(0, 1)[[1, 6, 7]])


def test_samples_are_the_same_to_the_bit_at_batch_1_7_and_64():
    sampler = FirstHitting(classifier_free(tiny_labelled(), 2.0, 2))
    x, labels, ids = torch.full((64, 5), MASK), torch.arange(64) % 2, list(range(64))
    whole = sampler(x, Draws(5, ids), labels=labels)
    for size, step in ((1, 9), (7, 19)):
        for i in range(0, 64, step):
            part = slice(i, i + size)
            assert torch.equal(sampler(x[part], Draws(5, ids[part]), labels=labels[part]), whole[part])


def test_one_call_with_twice_the_rows_is_two_calls():
    denoiser, x = tiny_labelled(time_conditioning=True), torch.full((3, 8), MASK)
    t, labels = torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 0])
    at = torch.tensor([[1, 4], [0, 0], [7, 2]])
    with torch.no_grad():
        got = classifier_free(denoiser, 1.7, 2)(x, t, labels=labels, at=at)
        cond, free = denoiser(x, t, labels=labels, at=at), denoiser(x, t, at=at)
    bases = list(BASES)
    want = (1.7 * cond - 0.7 * free)[..., bases].log_softmax(-1)
    torch.testing.assert_close(got[..., bases], want, atol=1e-5, rtol=1e-5)


def test_next_token_models_are_guided_through_their_cache():
    next_token = {"name": "next_token", "mask_id": MASK, "allowed": list(BASES)}
    denoiser = classifier_free(tiny_labelled(parameterization=next_token), 2.0, 2)
    x = torch.full((2, 8), MASK)
    x[:, 0] = BOS
    labels, u = torch.tensor([0, 1]), Draws(0, [0, 1]).uniform("token", 0, 8)
    out = Autoregressive(denoiser)(x, Draws(0, [0, 1]), labels=labels)
    with torch.no_grad():
        p = denoiser(out, None, pattern=BlockCausal(1), labels=labels).double().exp()
    drawn = (p.cumsum(-1)[:, :-1] <= (u[:, 1:, None] * p.sum(-1)[:, :-1, None])).sum(-1)
    assert torch.equal(out[:, 1:], drawn)


@pytest.mark.parametrize("gamma", [-0.5, math.nan, math.inf])
def test_impossible_strengths(gamma):
    with pytest.raises(InputError, match="gamma="):
        classifier_free(tiny_labelled(), gamma, 2)


def test_labels_are_needed():
    with pytest.raises(InputError, match="n_classes=0"):
        classifier_free(tiny_denoiser(), 1.0, 0)
    with pytest.raises(InputError, match="give labels"):
        classifier_free(tiny_labelled(), 1.0, 2)(torch.full((1, 4), MASK), None)


def test_a_denoiser_of_one_class_takes_no_other():
    with pytest.raises(InputError, match="of one class already"):
        of_class(tiny_labelled(), 0, 2)(torch.full((1, 4), MASK), None, labels=torch.tensor([1]))
