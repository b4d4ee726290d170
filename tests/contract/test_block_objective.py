"""BlockNELBO keeps the contract of an objective: what is masked, what counts, what rows depend on."""

import pytest
import torch

from dnadiff.diffusion import Batch, BlockNELBO, Clip
from dnadiff.errors import InputError
from dnadiff.random import Draws
from tests.contract.test_objective import B, L, batch_of
from tests.oracle import MASK
from tests.tiny import tiny_denoiser

CASES = [("count", 1), ("count", 5), ("count", 16), ("time", 4)]


@pytest.fixture(params=CASES, ids=str)
def objective(request):
    estimator, size = request.param
    return BlockNELBO(tiny_denoiser().process, size, estimator)


@pytest.mark.parametrize("conditioned", [False, True])
def test_what_counts(objective, conditioned):
    denoiser, batch = tiny_denoiser(time_conditioning=conditioned), batch_of()
    noised = objective.noise(batch, Draws(0, range(B)))
    loss = objective.loss(denoiser, batch, noised)
    maskable = batch.valid & ~batch.given
    masked = noised.xt == MASK
    assert torch.equal(loss.valid, maskable)
    assert not masked[~maskable].any(), "a pad or a given token was masked"
    assert torch.equal(noised.xt[~masked], batch.x0[~masked])
    assert (loss.nll[~masked] == 0).all() and (loss.nll[masked] > 0).all()
    assert noised.t.shape == (B, L) and noised.t.min() >= 0 and noised.t.max() <= 1


def test_rows_do_not_depend_on_their_batch(objective):
    batch = batch_of()
    whole = objective.noise(batch, Draws(0, range(100, 100 + B)))
    for i in range(B):
        row = slice(i, i + 1)
        alone = objective.noise(Batch(batch.x0[row], batch.valid[row], batch.given[row]), Draws(0, [100 + i]))
        for ours, theirs in ((alone.xt, whole.xt), (alone.t, whole.t), (alone.weight, whole.weight)):
            assert torch.equal(ours, theirs[row])


def test_inputs_are_not_written_to(objective):
    denoiser, batch = tiny_denoiser(), batch_of()
    before = [value.clone() for value in (batch.x0, batch.valid, batch.given)]
    objective(denoiser, batch, Draws(0, range(B)))
    assert all(map(torch.equal, before, (batch.x0, batch.valid, batch.given)))


def test_an_empty_batch_costs_nothing_and_has_gradients_of_zero(objective):
    denoiser = tiny_denoiser()
    batch = Batch(torch.full((2, L), 4), torch.zeros(2, L, dtype=torch.bool))
    loss = objective(denoiser, batch, Draws(0, [0, 1]))
    loss.mean.backward()
    assert loss.mean == 0 and loss.count == 0
    assert all((p.grad == 0).all() for p in denoiser.parameters())


def test_gradients_are_finite_beside_empty_rows_and_hidden_tokens(objective):
    denoiser, batch = tiny_denoiser(), batch_of()
    hidden = Batch(batch.x0, batch.valid, batch.given, visible=batch.valid | batch.given)
    objective(denoiser, hidden, Draws(0, range(B))).mean.backward()
    assert all(p.grad.isfinite().all() for p in denoiser.parameters())
    assert any((p.grad != 0).any() for p in denoiser.parameters())


def test_hidden_tokens_change_nothing(objective):
    """What stands under a pad is neither seen in the noisy half nor in the clean one."""
    denoiser, batch = tiny_denoiser(), batch_of()
    x0 = torch.where(batch.valid | batch.given, batch.x0, 6)
    losses = [
        objective(denoiser, Batch(x, batch.valid, batch.given, batch.valid | batch.given), Draws(0, range(B)))
        for x in (batch.x0, x0)
    ]
    torch.testing.assert_close(losses[0].nll, losses[1].nll)


def test_loss_compiles_without_a_graph_break():
    denoiser, batch = tiny_denoiser(), batch_of()
    objective = BlockNELBO(denoiser.process, 4)
    noised = objective.noise(batch, Draws(0, range(B)))
    compiled = torch.compile(lambda: objective.loss(denoiser, batch, noised).nll, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(), objective.loss(denoiser, batch, noised).nll)


def test_time_conditioning_tells_each_block_its_own_time_and_the_clean_half_none():
    """Published code tells all blocks the time of the first."""
    denoiser, seen = tiny_denoiser(time_conditioning=True), []
    denoiser.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    objective, batch = BlockNELBO(denoiser.process, 4), batch_of()
    noised = objective.noise(batch, Draws(0, range(B)))
    objective.loss(denoiser, batch, noised)
    sigma = denoiser.process.schedule.sigma(noised.t).float()
    assert torch.equal(seen[0], torch.cat([sigma, torch.zeros_like(sigma)], dim=1))
    assert noised.t[4].unique_consecutive().shape == (4,) and (noised.t[4] > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block_size": 0}, "block_size=0"),
        ({"block_size": 4, "estimator": "exact"}, "count, time"),
        ({"block_size": 4, "published": True}, "estimator='time'"),
        ({"block_size": 4, "clip": Clip(0.3, 0.8)}, "whole numbers from 1 to 4"),
        ({"block_size": 4, "clip": Clip(2, 5)}, "whole numbers from 1 to 4"),
        ({"block_size": 4, "estimator": "time", "clip": Clip(0.0, 0.5)}, "times above 0"),
        ({"block_size": 4, "estimator": "time", "clip": Clip(0.6, 0.5)}, "the lower first"),
    ],
)
def test_impossible_settings(arguments, message):
    with pytest.raises(InputError, match=message):
        BlockNELBO(tiny_denoiser().process, **arguments)
