"""One-hot rows in the place of token ids: the same hidden states, and slopes that finite differences confirm."""

import pytest
import torch
import torch.nn.functional as F

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.models.caduceus import Caduceus
from dnadiff.models.decoder import GPT2, Llama
from dnadiff.models.dit import DiT
from dnadiff.models.encoder import Bert
from dnadiff.models.rc import ReverseComplement
from tests.oracle import BASES, MASK, VOCAB

PAIRS = tuple(NucleotideTokenizer().complement(torch.arange(VOCAB).numpy()).tolist())
BACKBONES = {
    "dit": lambda: DiT(VOCAB, 8, 1, 2, cond_dim=4, stem=3),
    "caduceus": lambda: Caduceus(VOCAB, 8, 1),
    "llama": lambda: Llama(VOCAB, 8, 1, 2),
    "gpt2": lambda: GPT2(VOCAB, 8, 1, 2, positions=8),
    "bert": lambda: Bert(VOCAB, 8, 1, 2, positions=8),
    "both strands": lambda: ReverseComplement(DiT(VOCAB, 8, 1, 2, cond_dim=4), PAIRS),
}


@pytest.fixture(params=BACKBONES)
def backbone(request):
    torch.manual_seed(0)
    backbone = BACKBONES[request.param]().double().eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.normal_(std=0.4)
    return backbone


X, SIGMA = torch.tensor([[MASK, *BASES, MASK, 7], [10, 9, MASK, 8, 8, 7, 7]]), torch.zeros(2)


def test_hidden_states_are_the_same(backbone):
    with torch.no_grad():
        torch.testing.assert_close(backbone.features(F.one_hot(X, VOCAB).double(), SIGMA), backbone.features(X, SIGMA))


def test_slopes_are_those_of_finite_differences(backbone):
    generator = torch.Generator().manual_seed(1)
    rows, way = F.one_hot(X, VOCAB).double(), torch.randn(2, 7, VOCAB, generator=generator, dtype=torch.float64)

    def value(x):
        return backbone.features(x, SIGMA).pow(3).sum()

    (slope,) = torch.autograd.grad(value(rows.requires_grad_()), rows)
    with torch.no_grad():
        step = 3e-3 * way  # norms are computed in float32
        difference = (value(rows + step) - value(rows - step)) / 6e-3
    assert float((slope * way).sum()) == pytest.approx(float(difference), rel=5e-3)
