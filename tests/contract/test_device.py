"""What is computed on a device is what the host computes; tensors of both never meet, and a training step asks nothing.

The device is that of ``tests.device``, so this needs no accelerator. Caduceus is left out: its scan must know the kind
of device. What a GPU itself does is checked by ``tests/attention/test_gpu.py`` where there is one.
"""

import numpy as np
import pytest
import torch
from torch import nn

from dnadiff.checkpoints.folder import build_objective
from dnadiff.config import compose
from dnadiff.diffusion import (
    Autoregressive,
    BlockSampler,
    CountSearch,
    FirstHitting,
    Revising,
    ScoreGuided,
    Truncation,
    classifier_free,
    classifier_guided,
)
from dnadiff.diffusion.sampler import Sampler
from dnadiff.diffusion.stopping import EndToken
from dnadiff.evaluation.likelihood import score
from dnadiff.random import Draws
from dnadiff.recipes.init_from import fresh
from dnadiff.recipes.methods import method_of
from dnadiff.recipes.training_plan import spec_of
from dnadiff.training.module import DiffusionModule, as_batch
from dnadiff.training.muon import Muon
from tests.contract import test_block_sampler, test_sampler
from tests.device import DEVICE, There, device, moved
from tests.labels import tiny_predictor
from tests.oracle import BOS, VOCAB
from tests.tiny import SPEC, tiny_denoiser, tiny_next_token
from tests.truth.test_sundae import REVISE
from tests.unit.test_training_module import OPTIMIZER, SCHEDULE, windows

METHODS = {
    "mdlm": ["algo=mdlm"],
    "mdlm, times": ["algo=mdlm", "estimator=time"],
    "mdlm with time": ["algo=mdlm", "time_conditioning=true", "model.adaln=true"],
    "stem": ["algo=mdlm", "model.stem=5"],
    "both strands": ["algo=mdlm", "model.rc=true"],
    "blocks": ["algo=bd3lm", "block_size=4"],
    "blocks, times": ["algo=bd3lm", "block_size=4", "estimator=time"],
    "ar": ["algo=ar"],
    "ar, gpt2": ["algo=ar", "model=gpt2"],
    "ar, llama": ["algo=ar", "model=llama"],
    "d3pm": ["algo=d3pm"],
    "sedd": ["algo=sedd"],
    "udlm": ["algo=udlm"],
    "mlm": ["algo=mlm"],
    "mlm, bert": ["algo=mlm", "model=bert"],
    "sundae": ["algo=sundae"],
}
SIZE = ["model.length=16", "model.hidden_size=8", "model.n_blocks=2"]


def module_of(words):
    """A module of a method, its weights drawn."""
    own_stem = any(word.startswith("model") and word != "model.rc=true" for word in words)
    config = compose([*words, *([] if own_stem else ["model.stem=0"]), *SIZE])
    denoiser = fresh(spec_of(config), 0)
    for name, p in denoiser.named_parameters():
        if not name.endswith("A_log"):
            nn.init.normal_(p, std=0.2)  # what begins at zero would hide a mistake
    objective = build_objective(method_of(config).training, denoiser.process)
    options = {"optimizer": OPTIMIZER, "schedule": SCHEDULE, "ema_decay": 0.5, "compiled": False}
    module = DiffusionModule(denoiser, objective, seed=1, **options)
    module.config = config
    return module


def rows():
    """Windows with pads."""
    batch = windows(4)
    batch["valid"][1, 5:] = False
    return batch


@pytest.mark.parametrize("words", METHODS.values(), ids=METHODS)
def test_a_micro_batch_asks_the_device_nothing_and_has_the_gradients_of_the_host(words, monkeypatch):
    torch.manual_seed(0)
    module = module_of(words)
    loss = module.training_step(rows(), 0)
    loss.backward()
    wanted = {name: p.grad for name, p in module.named_parameters()}
    nats, module.micro = module.tally.sums, 0
    monkeypatch.setattr(DiffusionModule, "device", DEVICE)
    with device() as reads:
        moved(module)
        there = module.training_step(rows(), 0)
        there.backward()
        assert reads == [] and isinstance(module.tally.sums, There)
        torch.testing.assert_close(there.detach().cpu(), loss.detach())
        torch.testing.assert_close(module.tally.sums.cpu(), nats)
        for name, p in module.named_parameters():
            assert (p.grad is None) == (wanted[name] is None)
            if p.grad is not None:
                torch.testing.assert_close(p.grad.cpu(), wanted[name], rtol=1e-3, atol=3e-5)


def test_clipping_muon_and_the_average_ask_the_device_nothing():
    with device() as reads:
        module = module_of(["algo=mdlm"])
        moved(module)
        module.ema._live = dict(module.network.named_parameters())
        module.ema.follow()
        matrices = [p for p in module.parameters() if p.ndim == 2]
        muon = Muon(matrices, lr=0.1, weight_decay=0.1)
        reads.clear()
        for p in module.parameters():
            p.grad = torch.ones_like(p)
        norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters()])
        torch.nn.utils.clip_grads_with_norm_(module.parameters(), 1.0, norm)
        muon.step()
        module.ema.update()
        assert reads == []


def guided_by_a_class(_):
    return FirstHitting(classifier_free(tiny_denoiser(backbone={**SPEC["backbone"], "n_classes": 2}), 2.0, 2), 3)


def guided_by_a_classifier(denoiser, steps="exact"):
    """The classifier is part of the sampler, so that it is moved with it."""
    told = tiny_predictor(backbone={**SPEC["backbone"], "vocab_size": VOCAB})

    def classifier(tokens):
        shown = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return told(tokens, shown, ~shown).log_softmax(-1)[:, 1]

    sampler = FirstHitting(classifier_guided(denoiser, classifier, 2.0, steps=steps), 3)
    sampler.classifier = told
    return sampler


SAMPLERS = {
    **test_sampler.MAKE,
    **{f"blocks of {name}": test_block_sampler.MAKE[name] for name in ("4, 3 a step, window 8", "5 ancestral")},
    "nucleus": lambda d: FirstHitting(d, 3, truncation=Truncation(0.8, 0.9, 3)),
    "scored": lambda d: ScoreGuided(FirstHitting(d, 3), lambda x: (x == 8).double().sum(-1), 2.0, candidates=4),
    "a class": guided_by_a_class,
    "a classifier": guided_by_a_classifier,
    "autoregressive": lambda d: Autoregressive(tiny_next_token()),
    "revising": lambda d: Revising(tiny_denoiser(**REVISE), 3, 4),
    "ends": lambda d: BlockSampler(FirstHitting(d), 4, stop=[EndToken(8)], fill=4),
}


def move(sampler):
    """Moves all networks of a sampler."""
    for part in vars(sampler).values():
        if isinstance(part, nn.Module):
            moved(part)
        elif isinstance(part, Sampler):
            move(part)
    return sampler


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_sequences_are_those_of_the_host(make):
    x = test_block_sampler.start_of(4, 12)
    x[:, 0] = BOS
    options = {"allowed": torch.ones(4, 12, VOCAB, dtype=torch.bool)}
    options["allowed"][1, :, [8, 10]] = False
    if make is guided_by_a_class:
        options["labels"] = torch.arange(4) % 2
    wanted = make(tiny_denoiser())(x, Draws(5, range(4)), **options)
    with device():
        sampler = move(make(tiny_denoiser()))
        found = sampler(x.to(DEVICE), Draws(5, range(4)), **{name: o.to(DEVICE) for name, o in options.items()})
        assert torch.equal(found.cpu(), wanted)


@pytest.mark.parametrize("words", METHODS.values(), ids=METHODS)
def test_scores_are_those_of_the_host(words):
    torch.manual_seed(0)
    module, batch = module_of(words), {name: x.numpy() for name, x in rows().items()}
    section = spec_of(module.config)["objective"]
    objective = build_objective(section, module.denoiser.process)
    wanted = score(module.denoiser.eval(), objective, [batch], seed=1, samples=2)
    with device():
        found = score(moved(module.denoiser), objective, [batch], seed=1, samples=2, device=DEVICE)
    np.testing.assert_allclose(found.bits, wanted.bits, rtol=1e-5)


def test_the_search_for_noise_levels_is_that_of_the_host():
    search, batch, draws = CountSearch(tiny_denoiser().process, 4), as_batch(rows()), Draws(1, range(4))
    with torch.no_grad():
        wanted = search.measure(tiny_denoiser(), batch, draws)
        with device():
            there = as_batch({name: x.to(DEVICE) for name, x in rows().items()})
            torch.testing.assert_close(search.measure(moved(tiny_denoiser()), there, draws), wanted)


@pytest.mark.parametrize("pooling", ["mean", "attention", "first"])
def test_outputs_of_a_predictor_are_those_of_the_host(pooling):
    head = {"name": "sequence", "width": 16, "outputs": 2, "pooling": pooling, "dropout": 0.0}
    given = [rows()[name] for name in ("tokens", "valid", "given")]
    with torch.no_grad():
        wanted = tiny_predictor(head=head)(*given)
        with device():
            found = moved(tiny_predictor(head=head))(*(x.to(DEVICE) for x in given))
            torch.testing.assert_close(found.cpu(), wanted)
