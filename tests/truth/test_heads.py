"""Heads against sums written by hand, sklearn's losses, and what a predictor may depend on."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from dnadiff.checkpoints.predictor import build_predictor, predictions
from dnadiff.data import alphabet
from dnadiff.data.example_batches import ExampleDataset, Frame
from dnadiff.data.parts import Part
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.models.heads import POOLINGS, ClassReadout, LabelReadout, NumberReadout, SequenceHead
from tests.labels import SPEC, tiny_predictor

RNG = np.random.default_rng(1)
FEATURES = torch.from_numpy(RNG.normal(size=(3, 5, 4))).float()
VALID = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]).bool()


def head_of(pooling):
    head = SequenceHead(4, 2, pooling=pooling, length=5)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(generator=generator)
    return head


def by_hand(pooling, head, features, valid):
    if pooling == "first":
        return features[0]
    if pooling == "positions":
        return np.concatenate([row if counts else 0 * row for row, counts in zip(features, valid, strict=True)])
    if pooling == "mean_all":
        return sum(features) / len(features)
    rows = [row for row, counts in zip(features, valid, strict=True) if counts]
    weights = [1.0] * len(rows)
    if pooling == "attention":
        weights = [float(np.exp(row @ head.query.weight[0].detach().numpy())) for row in rows]
    return sum(weight * row for weight, row in zip(weights, rows, strict=True)) / sum(weights)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_are_the_sums_they_are_called(pooling):
    head = head_of(pooling)
    wanted = [by_hand(pooling, head, x, v) for x, v in zip(FEATURES.numpy(), VALID.numpy(), strict=True)]
    weight, bias = (p.detach().numpy() for p in head.linear.parameters())
    assert np.allclose(head(FEATURES, VALID).detach(), np.stack(wanted) @ weight.T + bias, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "attention", "positions"])
def test_what_does_not_count_changes_nothing(pooling):
    other = torch.where(VALID[..., None], FEATURES, torch.full_like(FEATURES, 100.0))
    assert torch.equal(head_of(pooling)(FEATURES, VALID), head_of(pooling)(other, VALID))


def test_an_untrained_head_says_that_all_is_equally_likely():
    outputs = SequenceHead(4, 8, pooling="attention")(FEATURES, VALID)
    assert torch.allclose(ClassReadout()(outputs), torch.full((3, 8), 1 / 8))
    assert torch.allclose(LabelReadout()(outputs), torch.full((3, 8), 1 / 2))


def test_losses_are_those_of_sklearn_and_of_the_definition():
    outputs = torch.from_numpy(RNG.normal(size=(6, 3)))
    classes, labels = torch.tensor([0, 2, 1, 1, 0, 2]), torch.from_numpy(RNG.integers(0, 2, (6, 3))).double()
    numbers = torch.from_numpy(RNG.normal(size=(6, 3)))
    readout = ClassReadout()
    assert readout.loss(outputs, classes).mean().item() == pytest.approx(log_loss(classes, readout(outputs)))
    readout = LabelReadout()
    apart = [log_loss(labels[:, t], readout(outputs)[:, t], labels=[0, 1]) for t in range(3)]
    assert readout.loss(outputs, labels).mean().item() == pytest.approx(np.mean(apart))
    readout = NumberReadout([1.0, 0.0, -2.0], [2.0, 1.0, 0.5])
    errors = (readout(outputs) - numbers) / torch.tensor([2.0, 1.0, 0.5])
    assert torch.allclose(readout.loss(outputs, numbers), 0.5 * (errors**2).mean(-1))
    assert torch.allclose(readout(torch.zeros(1, 3)), torch.tensor([[1.0, 0.0, -2.0]]))


def test_padding_and_unknown_bases_are_not_seen():
    """The same bases in a longer row, and N where there is padding: the outputs stay."""
    predictor, codes = tiny_predictor(), [np.array([0, 1, 2, 3, 3, 1], dtype=np.uint8)]
    short, long = (predictions(predictor, Frame(length), codes) for length in (6, 16))
    assert np.allclose(short, long, atol=1e-6)
    unknown = [np.append(codes[0], [4, 4, 4]).astype(np.uint8)]
    assert np.array_equal(predictions(predictor, Frame(16), unknown), long)
    assert not np.allclose(predictions(predictor, Frame(16, n_token=True), unknown), long, atol=1e-6)


def test_a_row_does_not_depend_on_the_batch():
    predictor, frame = tiny_predictor(), Frame(16)
    codes = [RNG.integers(0, 5, n).astype(np.uint8) for n in (3, 16, 9, 12, 5)]
    whole = predictions(predictor, frame, codes)
    assert np.allclose(predictions(predictor, frame, codes, batch_size=2), whole, atol=1e-6)
    assert whole.shape == (5, 2) and predictions(predictor, frame, []).shape == (0, 2)


def test_both_strands_give_one_answer_and_it_is_their_mean():
    predictor, frame = tiny_predictor(), Frame(16)
    codes = [RNG.integers(0, 4, n).astype(np.uint8) for n in (7, 16)]
    other = [alphabet.reverse_complement(x) for x in codes]
    both = predictions(predictor, frame, codes, both_strands=True)
    assert np.allclose(both, predictions(predictor, frame, other, both_strands=True), atol=1e-6)
    one, two = (np.log(predictions(predictor, frame, x)) for x in (codes, other))
    mean = np.exp((one + two) / 2)
    assert np.allclose(both, mean / mean.sum(1, keepdims=True), atol=1e-6)
    assert not np.allclose(both, np.exp(one), atol=1e-3)


@pytest.mark.parametrize("name", ["dit", "caduceus"])
def test_a_backbone_of_both_strands_gives_one_answer_by_itself(name):
    """Rows that are full; with padding the two strands have it on different sides."""
    sizes = {"hidden_size": 16, "n_blocks": 1, "cond_dim": 8, "adaln": False, "vocab_size": 12}
    pairs = NucleotideTokenizer().complement(np.arange(12)).tolist()
    backbone = {"name": name, **sizes, **({"n_heads": 2} if name == "dit" else {})}
    codes = [RNG.integers(0, 4, 16).astype(np.uint8) for _ in range(3)]
    other = [alphabet.reverse_complement(x) for x in codes]
    for rc, equal in ((pairs, True), (None, False)):
        predictor = tiny_predictor(backbone={**backbone, **({"rc": rc} if rc else {})})
        one, two = (predictions(predictor, Frame(16), x) for x in (codes, other))
        assert np.allclose(one, two, atol=1e-6) is equal


def test_a_causal_backbone_stays_causal():
    """A base changes what lies behind it alone; the first tells nothing of the others, so pooling it is refused."""
    causal = {"name": "block_causal", "block_size": 1}
    predictor, full = tiny_predictor(pattern=causal), tiny_predictor()
    tokens = torch.tensor([[2, 7, 8, 9, 10], [2, 7, 8, 9, 7]])
    sigma = torch.zeros(2)
    features = predictor.backbone.features(tokens, sigma, pattern=predictor.pattern)
    assert torch.allclose(features[0, :4], features[1, :4]) and not torch.allclose(features[0, 4], features[1, 4])
    given = torch.zeros(2, 5, dtype=torch.bool)
    assert not torch.allclose(predictor(tokens, ~given, given), full(tokens, ~given, given), atol=1e-4)
    with pytest.raises(InputError, match="the first position of this model does not see the others"):
        build_predictor({**SPEC, "pattern": causal, "head": {**SPEC["head"], "pooling": "first"}})


def test_a_row_begins_with_its_mark_and_keeps_the_middle_of_what_is_too_long():
    rows = Frame(5, bos=True).rows([np.array([0, 1, 2, 3, 4, 0, 1], dtype=np.uint8), np.array([4, 3], dtype=np.uint8)])
    assert rows["tokens"].tolist() == [[2, 8, 9, 10, 4], [2, 4, 10, 4, 4]]
    assert rows["valid"].tolist() == [[False, True, True, True, False], [False, False, True, False, False]]
    assert rows["given"].tolist() == [[True, False, False, False, False]] * 2
    assert Frame(5, n_token=True).rows([np.array([4, 0], dtype=np.uint8)])["tokens"].tolist() == [[11, 7, 4, 4, 4]]


def test_every_epoch_visits_every_example_once_in_another_order():
    codes = tuple(np.full(3, n % 4, dtype=np.uint8) for n in range(10))
    part = Part(tuple("abcdefghij"), codes, np.arange(10))
    data = ExampleDataset(part, Frame(4), seed=1)
    first, second = (data.__getitems__(range(start, start + 10))["targets"].tolist() for start in (0, 10))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second != list(range(10))
    assert data.__getitems__([13, 4])["targets"].tolist() == [second[3], first[4]]
    batch = data.__getitems__(range(10))
    assert [int(row[0]) - 7 for row in batch["tokens"]] == [n % 4 for n in first]
    turned = ExampleDataset(part, Frame(4), seed=1, reverse_complement=0.5).__getitems__(range(400))
    strand = [int(row[0]) - 7 != n % 4 for row, n in zip(turned["tokens"], turned["targets"], strict=True)]
    assert 150 < sum(strand) < 250
    always = ExampleDataset(part, Frame(4), seed=1, reverse_complement=1.0).__getitems__(range(10))
    assert [int(row[0]) - 7 for row in always["tokens"]] == [3 - n % 4 for n in first]
