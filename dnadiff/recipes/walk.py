"""Which sampler walks, and how: the settings that ``sample`` and its kin share, and the sampler they amount to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import (
    Analytic,
    Ancestral,
    Autoregressive,
    BlockSampler,
    Denoiser,
    FirstHitting,
    Loop,
    Posterior,
    ReMDM,
    Revealing,
    Revising,
    Rule,
    Sampler,
    Sliding,
    Truncation,
    restricted,
)
from dnadiff.diffusion.stopping import EndToken, LowComplexity, Stop
from dnadiff.errors import InputError, did_you_mean
from dnadiff.recipes.model import Model


@dataclass(frozen=True)
class Walk:
    """How to sample. None is a sampler's own default, and the only value of what a sampler does not know.

    Attributes:
        sampler: A name of ``SAMPLERS``; None is the exact one of the model.
        steps: Steps of ``ancestral``, ``remdm``, ``posterior`` and ``analytic``; None is one a base.
            With blocks: of each block.
        candidates: Samples that ``revising`` makes of each sequence and chooses the best of; None is 8.
        tokens_per_step: Bases ``first_hitting`` reveals at once; None is 1, which is exact, but see ``paced``.
        temperature: Above 0; below 1 sharper, above 1 flatter.
        nucleus: Keep the likeliest bases up to this probability, in (0, 1]; 1 keeps all.
        top_k: Keep this many of the likeliest bases, 1 or more; None keeps all.
        remask: Strategy of ``remdm``, a name of ``remasking.ETAS``; None is ``cap``.
        eta: Strength of ``remdm``, in [0, 1]; None is the paper's for the strategy.
        t_on: When the loop of ``remask=loop`` begins, as in ``Loop``.
        t_off: When it ends.
        alpha_on: Share of the bases that is there meanwhile.
        stride: Slide a window of the training length by this many bases along longer sequences; None does not.
        block_size: Bases of a block, for models trained on blocks; None is what the model was trained on.
        label: Class to generate, of the model if it was trained with classes, or of the classifier; None asks for none.
        guidance: Strength of guidance towards the class, at least 0. None does not guide where the model knows the
            class, and is 1, Bayes' rule, where a classifier does.
        classifier: Folder of a model fine-tuned on masked sequences, which guides towards its class; None: the model
            guides itself.
        classifier_steps: How the classifier is asked, ``exact`` or ``first-order``; None is exact.
        rows_per_call: Sequences the network reads together, as of ``Sampler``.
        stop_at_end: End a sequence at the first [SEP], for models of blocks trained with it.
        min_complexity: End a sequence whose last 256 bases fall below this share of the greatest entropy, as of
            ``LowComplexity``, for models of blocks; None does not.
    """

    sampler: str | None = None
    steps: int | None = None
    candidates: int | None = None
    tokens_per_step: int | None = None
    temperature: float = 1.0
    nucleus: float = 1.0
    top_k: int | None = None
    remask: str | None = None
    eta: float | None = None
    t_on: float | None = None
    t_off: float | None = None
    alpha_on: float | None = None
    stride: int | None = None
    block_size: int | None = None
    label: str | None = None
    guidance: float | None = None
    classifier: str | None = None
    classifier_steps: str | None = None
    rows_per_call: int | None = None
    stop_at_end: bool = False
    min_complexity: float | None = None

    def given(self, *names: str) -> dict[str, object]:
        """Those of some settings that are not None."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


EXACT = Walk()
"""The default: one base a call, from the model's own distribution."""


Shared = Mapping[str, Any]
"""What all samplers take: truncation and rows_per_call."""


@dataclass(frozen=True)
class Kind:
    """A sampler that a command may name.

    Attributes:
        sampler: Its class.
        needs: The models it walks, in words.
        own: Settings that belong to it and not to every sampler.
        make: The sampler of a denoiser, the settings, a number of bases and what all samplers take.
    """

    sampler: type[Sampler]
    needs: str
    own: tuple[str, ...]
    make: Callable[[Denoiser, Walk, int, Shared], Sampler]


def _first_hitting(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    return FirstHitting(denoiser, **walk.given("tokens_per_step"), **shared)


def _ancestral(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    return Ancestral(denoiser, length if walk.steps is None else walk.steps, **shared)


def _remdm(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    loop = walk.given("t_on", "t_off", "alpha_on")
    if loop and walk.remask != "loop":
        raise InputError(f"{_flag(next(iter(loop)))}: belongs to --remask loop")
    steps = length if walk.steps is None else walk.steps
    return ReMDM(denoiser, steps, **walk.given("remask", "eta"), loop=Loop(**loop), **shared)


def _posterior(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    return Posterior(denoiser, length if walk.steps is None else walk.steps, **shared)


def _analytic(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    return Analytic(denoiser, length if walk.steps is None else walk.steps, **shared)


def _revising(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    return Revising(denoiser, **walk.given("steps", "candidates"), **shared)


def _autoregressive(denoiser: Denoiser, walk: Walk, length: int, shared: Shared) -> Sampler:
    return Autoregressive(denoiser, **shared)


MASKED = "a model of masked diffusion (algo=mdlm)"

SAMPLERS = {
    "first_hitting": Kind(FirstHitting, MASKED, ("tokens_per_step",), _first_hitting),
    "ancestral": Kind(Ancestral, MASKED, ("steps",), _ancestral),
    "remdm": Kind(ReMDM, MASKED, ("steps", "remask", "eta", "t_on", "t_off", "alpha_on"), _remdm),
    "posterior": Kind(Posterior, "a model that revises bases (algo=udlm or algo=d3pm)", ("steps",), _posterior),
    "analytic": Kind(Analytic, "a model of ratios (algo=sedd)", ("steps",), _analytic),
    "revising": Kind(Revising, "a model that repairs bases (algo=sundae)", ("steps", "candidates"), _revising),
    "autoregressive": Kind(Autoregressive, "a model of next tokens (algo=ar)", (), _autoregressive),
}
"""The samplers a command may name; of those that go with a model the first is its default."""


def checked(walk: Walk) -> Walk:
    """The settings, whose names are known and belong together; what the model must decide is left open.

    Raises:
        InputError: There is no such sampler, or a setting belongs to another one.
    """
    if walk.sampler is None:
        return walk
    if walk.sampler not in SAMPLERS:
        raise InputError(f"--sampler {walk.sampler}: {did_you_mean(walk.sampler, SAMPLERS)}")
    own = SAMPLERS[walk.sampler].own
    for name in [field.name for field in fields(walk)]:
        owners = [other for other, kind in SAMPLERS.items() if name in kind.own]
        if owners and name not in own and walk.given(name):
            takes = ", ".join(map(_flag, own)) or "none of its own"
            theirs = " and ".join(filter(None, [", ".join(owners[:-1]), owners[-1]]))
            raise InputError(f"{_flag(name)}: belongs to --sampler {theirs}; {walk.sampler} takes {takes}")
    return walk


def settled(walk: Walk, denoiser: Denoiser) -> Walk:
    """The settings with the sampler named, for the record.

    Raises:
        InputError: There is no such sampler, a setting belongs to another one, or it does not go with the model.
    """
    fits = [name for name, kind in SAMPLERS.items() if isinstance(denoiser.parameterization, kind.sampler.works_with)]
    if not fits:
        found = type(denoiser.parameterization).__name__
        raise InputError(f"this model predicts by {found}, which no sampler walks; one of algo=mdlm or ar would work")
    walk = checked(replace(walk, sampler=fits[0]) if walk.sampler is None else walk)
    if walk.sampler not in fits:
        needs = SAMPLERS[walk.sampler].needs
        raise InputError(f"--sampler {walk.sampler}: needs {needs}; with this model {' or '.join(fits)} would work")
    return walk


CALLS = 64
"""Calls of the network that a sequence takes, or a block of a model of blocks, where nobody asked for another pace."""


def paced(walk: Walk, model: Model, length: int) -> Walk:
    """The settled settings with the pace of plain generation where none was asked for.

    ``first_hitting`` reveals 1/64 of the bases that are walked together in a call, and one at least, so whatever is
    shorter than 128 bases is drawn exactly. Classes are still drawn one base a call, for guidance is only right so, and
    text is, whose neighbours say much more of each other. docs/decisions.md says what it loses.

    Args:
        walk: The settings, settled.
        model: The model.
        length: Bases of a sequence.
    """
    asked = walk.tokens_per_step is not None or walk.label is not None
    if asked or walk.sampler != "first_hitting" or not isinstance(model.tokenizer, NucleotideTokenizer):
        return walk
    together = length if walk.stride is None else min(length, model.window)
    if model.block_size is not None:
        together = walk.block_size or model.block_size
    return replace(walk, tokens_per_step=max(1, together // CALLS))


def sampler_for(model: Model, walk: Walk, length: int, rule: Rule | None = None) -> Sampler:
    """The sampler of some settings for a model and sequences of ``length`` bases: by blocks if it was trained on them.

    A block sees at most a training window, so sequences can be of any length.

    Args:
        model: The model.
        walk: The settings.
        length: Bases of a sequence.
        rule: What may come, given a whole row as it stands, [BOS] included; None restricts nothing.

    Raises:
        InputError: A setting is impossible, belongs to another sampler, or does not go with the model or the rule.
    """
    if rule is not None and walk.stride is not None:
        raise InputError(f"--stride {walk.stride}: constraints are about whole sequences; leave it out")
    if model.block_size is None:
        denoiser = model.denoiser if rule is None else restricted(model.denoiser, rule)
        return sampler_of(denoiser, walk, length, window=model.window, lead=int(model.bos))
    size, read = walk.block_size or model.block_size, model.window + model.bos
    if size > read:
        raise InputError(f"--block-size {size}: the model read {read} tokens at a time; 1 to {read} would work")
    if walk.stride is not None:
        raise InputError(f"--stride {walk.stride}: a model of blocks goes on block by block; leave it out")
    stop = _stops(model, walk)
    steps = sampler_of(model.denoiser, replace(walk, block_size=None, stop_at_end=False, min_complexity=None), size)
    if not isinstance(steps, Revealing):
        raise InputError(f"--sampler {walk.sampler}: walks whole sequences; first_hitting or ancestral walk blocks")
    tokenizer, window = model.tokenizer, read // size * size
    fill = tokenizer.sep_id if tokenizer.pad_id is None else tokenizer.pad_id
    return BlockSampler(steps, size, window=window, stop=stop, fill=fill, rule=rule)


def _stops(model: Model, walk: Walk) -> list[Stop]:
    """The rules that end a sequence before its length."""
    tokenizer, share, rules = model.tokenizer, walk.min_complexity, []
    if walk.stop_at_end:
        if tokenizer.sep_id not in model.denoiser.parameterization.allowed:
            raise InputError("--stop-at-end: the model was trained without [SEP] and never draws one; leave it out")
        rules.append(EndToken(tokenizer.sep_id))
    if share is not None:
        if not 0 < share < 1:
            raise InputError(f"--min-complexity {share:g}: needs a number between 0 and 1")
        if not isinstance(tokenizer, NucleotideTokenizer):
            raise InputError(f"--min-complexity {share:g}: counts words of bases; leave it out for text")
        rules.append(LowComplexity(tokenizer.base_ids, share=share))
    return rules


def sampler_of(denoiser: Denoiser, walk: Walk, length: int, *, window: int | None = None, lead: int = 0) -> Sampler:
    """The sampler of some settings, for sequences of ``length`` bases.

    Args:
        denoiser: The model.
        walk: The settings.
        length: Bases of a sequence.
        window: Bases of a training window, for ``stride``; None where sequences are not slid along.
        lead: Tokens before the bases, such as [BOS].

    Raises:
        InputError: A setting is impossible, belongs to another sampler, or does not go with the model.
    """
    if walk.block_size is not None:
        raise InputError(f"--block-size {walk.block_size}: whole sequences are walked here; leave it out")
    if walk.stop_at_end or walk.min_complexity is not None:
        flag = "--stop-at-end" if walk.stop_at_end else f"--min-complexity {walk.min_complexity:g}"
        raise InputError(f"{flag}: only models of blocks (algo=bd3lm) end sequences early; leave it out")
    if walk.rows_per_call is not None and walk.rows_per_call < 1:
        raise InputError(f"--rows-per-call {walk.rows_per_call}: needs 1 or more")
    walk = settled(walk, denoiser)
    make, truncation = SAMPLERS[walk.sampler].make, Truncation(walk.temperature, walk.nucleus, walk.top_k)
    shared = {"truncation": truncation, "rows_per_call": walk.rows_per_call}
    if walk.stride is None:
        return make(denoiser, walk, length, shared)
    if window is None or length <= window:
        most = "one window" if window is None else f"the window of {window} bases"
        raise InputError(f"--stride {walk.stride}: slides along sequences longer than {most}; leave it out here")
    return Sliding(make(denoiser, walk, window, shared), window + lead, walk.stride, lead=lead)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
