"""Denoiser: log p(x0 | xt) normalised over the allowed set, whoever computes the logits."""

import pytest
import torch

from dnadiff.diffusion import AbsorbingProcess, Denoiser, LogLinear, Subs
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal
from tests.oracle import BASES, MASK, VOCAB, ideal
from tests.tiny import SPEC, tiny_denoiser

XT = torch.tensor([[MASK, 7, MASK, 10, 2, MASK], [MASK, MASK, MASK, 4, 4, 8]])
CADUCEUS = {"name": "caduceus", "vocab_size": VOCAB, "hidden_size": 16, "n_blocks": 1, "adaln": False}
T = torch.tensor([0.3, 0.9], dtype=torch.float64)


@pytest.fixture(params=["dit", "conditioned dit", "both strands", "caduceus", "ideal"])
def case(request):
    if request.param == "ideal":
        return ideal(), XT[:, :3]
    if request.param == "both strands":
        return tiny_denoiser(backbone={**SPEC["backbone"], "rc": [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11]}), XT
    if request.param == "caduceus":
        return tiny_denoiser(backbone=CADUCEUS), XT
    return tiny_denoiser(time_conditioning=request.param == "conditioned dit"), XT


def test_normalised_over_allowed_and_carried_over(case):
    denoiser, xt = case
    with torch.no_grad():
        p = denoiser(xt, T).exp()
    assert p.shape == (*xt.shape, VOCAB)
    torch.testing.assert_close(p.sum(-1), torch.ones(xt.shape, dtype=p.dtype))
    masked = xt == MASK
    outside = [i for i in range(VOCAB) if i not in BASES]
    assert (p[masked][:, outside] == 0).all() and (p[masked][:, list(BASES)] > 0).all()
    assert torch.equal(p[~masked], torch.nn.functional.one_hot(xt, VOCAB)[~masked].to(p.dtype))


def test_at_asks_for_some_positions(case):
    denoiser, xt = case
    at = torch.tensor([[2, 0], [1, 1]])
    with torch.no_grad():
        some, everything = denoiser(xt, T, at=at), denoiser(xt, T)
    torch.testing.assert_close(some, everything.gather(1, at[..., None].expand(-1, -1, VOCAB)))


def test_at_by_number_takes_any_number_of_tokens_a_row(case):
    denoiser, xt = case
    wanted = torch.zeros_like(xt, dtype=torch.bool)
    wanted[0, 1:], wanted[1, 0] = True, True
    t = torch.stack([T, T.flip(0), T], dim=1) if denoiser.time_conditioning else T
    t = t.repeat(1, 2) if t.ndim == 2 else t  # a time of its own for every token
    with torch.no_grad():
        some, everything = denoiser(xt, t, at=wanted.flatten().nonzero()[:, 0]), denoiser(xt, t)
    torch.testing.assert_close(some, everything[wanted])


def test_at_by_number_reads_one_before_with_shift():
    shifted = tiny_denoiser(shift=True, bos=True)
    wanted = torch.tensor([[False, True, False, True, True, True], [False, False, True, False, False, False]])
    torch.testing.assert_close(shifted(XT, T, at=wanted.flatten().nonzero()[:, 0]), shifted(XT, T)[wanted])


def test_inputs_are_not_written_to(case):
    denoiser, xt = case
    before, t = xt.clone(), T.clone()
    denoiser(xt, T)
    assert torch.equal(xt, before) and torch.equal(t, T)


def test_time_reaches_the_backbone_only_with_time_conditioning():
    plain, conditioned = tiny_denoiser(), tiny_denoiser(time_conditioning=True)
    assert torch.equal(plain(XT, T), plain(XT, None))
    assert not torch.equal(conditioned(XT, T), conditioned(XT, T / 2))
    by_token = conditioned(XT, T[:, None].expand(XT.shape))
    torch.testing.assert_close(by_token, conditioned(XT, T))
    with pytest.raises(InputError, match="t=None"):
        conditioned(XT, None)


class Spy(torch.nn.Module):
    """A backbone that gives bfloat16 logits and keeps what it was told."""

    def forward(self, tokens, sigma, **kwargs):
        self.sigma, self.kwargs = sigma, kwargs
        return torch.linspace(0, 1, VOCAB).expand(*tokens.shape, VOCAB).bfloat16()


def test_backbone_is_told_sigma_and_everything_else():
    spy, process = Spy(), AbsorbingProcess(LogLinear(), MASK)
    valid, labels = XT != 4, torch.tensor([0, 1])
    log_p = Denoiser(spy, Subs(MASK, BASES), process, time_conditioning=True)(
        XT, T, pattern=BlockCausal(2), valid=valid, labels=labels
    )
    torch.testing.assert_close(spy.sigma, -torch.log1p(-(1 - 1e-3) * T).float())
    assert spy.kwargs == {"pattern": BlockCausal(2), "valid": valid, "labels": labels, "cache": None, "at": None}
    assert log_p.dtype == torch.float32  # bfloat16 has 3 digits: too few for a likelihood
    torch.testing.assert_close(log_p[XT == MASK].exp().sum(-1), torch.ones(6), rtol=1e-6, atol=0)


def test_hidden_keys_do_not_matter():
    denoiser, valid = tiny_denoiser(), XT != 4
    other = torch.where(valid, XT, 5)
    torch.testing.assert_close(denoiser(XT, T, valid=valid)[valid], denoiser(other, T, valid=valid)[valid])
    assert not torch.allclose(denoiser(XT, T)[valid], denoiser(other, T)[valid])


def test_the_table_refuses_what_it_cannot_honour():
    with pytest.raises(InputError, match="hidden keys"):
        ideal()(XT[:, :3], T, valid=XT[:, :3] > 0)
