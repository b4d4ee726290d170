"""The methods: from ``algo`` to what a model predicts, what corrupts its data, what trains it and what scores it.

Every part is a section of plain JSON, a name of a closed table and constructor arguments, so that a model folder holds
what its denoiser and its likelihood are built from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.errors import InputError
from dnadiff.schema import Config

Section = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """The parts of a method as sections of plain JSON.

    Attributes:
        parameterization: From logits to probabilities, without ``mask_id`` and ``allowed``.
        process: Corruption, without its schedule.
        training: The objective that is minimised.
        scoring: The objective that is reported; None is the one that is minimised.
    """

    parameterization: Section
    process: Section
    training: Section
    scoring: Section | None = None


def method_of(config: Config, tokenizer: Tokenizer = NUCLEOTIDES) -> Method:
    """The parts of the method that a configuration names, for the tokens of a tokenizer."""
    return _METHODS[config.algo.name](config, tokenizer)


def allowed_tokens(config: Config, tokenizer: Tokenizer = NUCLEOTIDES) -> list[int]:
    """The ids that a clean token can have: A, C, G and T, N if it is a token, the end of targets if there are any.

    Of text all but the mask.
    """
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer.clean_ids
    known = [*NUCLEOTIDES.base_ids, *([NUCLEOTIDES.n_id] if config.data.n_policy == "token" else [])]
    return [NUCLEOTIDES.sep_id, *known] if config.data.pairs else known


def likelihood_in_words(scoring: Mapping[str, Any], unit: str = "base") -> str:
    """What the figures of a scoring objective are, such as ``upper bound on -log2 p, count estimator``.

    Args:
        scoring: The section of a spec.
        unit: What a token is called.

    Raises:
        InputError: They are no likelihood.
    """
    if scoring["name"] == "next_token_nll":
        return f"exact -log2 p, every {unit} given those before it"
    if scoring.get("block_size") == 1 and scoring["estimator"] == "count":
        return f"exact -log2 p in blocks of 1, every {unit} given those before it"
    ways = {
        "masked_nelbo": f"{scoring.get('estimator', 'count')} estimator",
        "block_nelbo": f"blocks of {scoring.get('block_size')}, {scoring.get('estimator')} estimator",
        "discrete_nelbo": f"one of {scoring.get('T')} steps drawn",
        "score_entropy": f"score entropy, {scoring.get('estimator', 'time')} estimator",
        "uniform_nelbo": "uniform noise at a time drawn",
    }
    if scoring["name"] not in ways:
        raise InputError(f"objective: {scoring['name']} bounds no likelihood; one of {', '.join(ways)} would work")
    return f"upper bound on -log2 p, {ways[scoring['name']]}"


def training_in_words(config: Config) -> str:
    """What a configuration trains with, in a few words."""
    given = ", targets given sources" if config.data.pairs else ", beginnings given" if config.algo.prefix else ""
    return _trained_with(config) + given


def _trained_with(config: Config) -> str:
    algo = config.algo
    if algo.name == "ar":
        return "ar, exact likelihood"
    conditioning = "conditioned on time" if config.time_conditioning else "no time conditioning"
    ablated = [f"no {key.replace('_', ' ')}" for key in ("carry_over", "zero_mask") if not getattr(algo, key)]
    if algo.name == "sundae":
        return f"{algo.name}, two repairs"
    what = (
        "15 % of the bases" if algo.name == "mlm" else f"{algo.T} steps" if algo.T else f"{config.estimator} estimator"
    )
    sizes = ", ".join(map(str, algo.block_sizes or [config.block_size]))
    blocks = [f"blocks of {sizes}"] if config.block_size else []
    if algo.clip or algo.clip_search:
        blocks += [f"noise levels {algo.clip[0]:g} to {algo.clip[1]:g}" if algo.clip else "noise levels searched"]
    on_the_way = [
        *([f"growing from 1 in {algo.grow:,} steps"] if algo.grow else []),
        *([f"attention opening in {algo.opening:,} steps ({algo.opening_by})"] if algo.opening else []),
        *(["read at the base before"] if algo.shift else []),
        *(["complementary masks"] if algo.complementary else []),
        *(["importance sampling"] if algo.importance_sampling else []),
        *([f"{algo.ar_weight:g} of the autoregressive loss"] if algo.ar_weight else []),
    ]
    return ", ".join([algo.name, *ablated, *blocks, *on_the_way, what, conditioning])


def _mdlm(config: Config, tokenizer: Tokenizer) -> Method:
    algo = config.algo
    whole = {} if algo.carry_over else {"reconstruction": True}
    parameterization = {"name": "subs"}
    if not (algo.carry_over and algo.zero_mask):
        parameterization |= {"carry_over": algo.carry_over, "zero_mask": algo.zero_mask}
    if algo.T:
        return Method(parameterization, {"name": "absorbing"}, {"name": "discrete_nelbo", "T": algo.T, **whole})
    skewed = {"importance_sampling": True} if algo.importance_sampling else {}
    scored = skewed if config.estimator == "time" else {}
    bound = {"name": "masked_nelbo", "estimator": config.estimator, **whole, **scored}
    training = {**bound, **skewed}
    if algo.opening:
        opening = {"steps": algo.opening, "how": algo.opening_by, "length": config.model.length}
        training = {"name": "opening_attention", "estimator": config.estimator, **opening}
    if algo.complementary:
        training = {**training, "complementary": True}
    return Method(parameterization, {"name": "absorbing"}, _with_ar(training, algo.ar_weight), bound)


def _with_ar(training: Section, weight: float) -> Section:
    """The training objective, and the autoregressive one beside it if it weighs anything."""
    return {**training, "ar_weight": weight} if weight else training


def _bd3lm(config: Config, tokenizer: Tokenizer) -> Method:
    bound = {"name": "block_nelbo", "block_size": config.block_size, "estimator": config.estimator}
    training, algo = bound, config.algo
    if algo.block_sizes:
        training = {"name": "mixed_block_nelbo", "block_sizes": algo.block_sizes, "estimator": config.estimator}
    elif algo.grow:
        training = {**bound, "name": "growing_blocks", "steps": algo.grow}
    elif algo.clip:
        training = {**bound, "clip": algo.clip}
    return Method({"name": "subs"}, {"name": "absorbing"}, _with_ar(training, algo.ar_weight), bound)


def _d3pm(config: Config, tokenizer: Tokenizer) -> Method:
    bound = {"name": "discrete_nelbo", "T": config.algo.T, "reconstruction": True}
    return Method({"name": "d3pm", "subs_masking": config.algo.subs_masking}, {"name": "absorbing"}, bound)


def _sedd(config: Config, tokenizer: Tokenizer) -> Method:
    scoring = {"name": "score_entropy", "estimator": "count"}
    return Method({"name": "sedd"}, {"name": "absorbing"}, {"name": "score_entropy"}, scoring)


def _udlm(config: Config, tokenizer: Tokenizer) -> Method:
    process = {"name": "uniform", "tokens": allowed_tokens(config, tokenizer)}
    scoring = {"name": "uniform_nelbo", "reconstruction": True}
    return Method({"name": "d3pm", "subs_masking": True}, process, {"name": "uniform_nelbo"}, scoring)


def _sundae(config: Config, tokenizer: Tokenizer) -> Method:
    process = {"name": "uniform", "tokens": allowed_tokens(config, tokenizer)}
    scoring = {"name": "uniform_nelbo", "reconstruction": True}
    return Method({"name": "revise"}, process, {"name": "sundae"}, scoring)


def _ar(config: Config, tokenizer: Tokenizer) -> Method:
    return Method({"name": "next_token"}, {"name": "absorbing"}, {"name": "next_token_nll"})


def _mlm(config: Config, tokenizer: Tokenizer) -> Method:
    bases = tokenizer.clean_ids if isinstance(tokenizer, TextTokenizer) else list(NUCLEOTIDES.base_ids)
    training = {"name": "masked_lm", "replacements": bases}
    scoring = {"name": "masked_nelbo", "estimator": "count"}
    return Method({"name": "subs", "carry_over": False}, {"name": "absorbing"}, training, scoring)


_METHODS: dict[str, Callable[[Config, Tokenizer], Method]] = {
    "mdlm": _mdlm,
    "bd3lm": _bd3lm,
    "d3pm": _d3pm,
    "sedd": _sedd,
    "udlm": _udlm,
    "sundae": _sundae,
    "ar": _ar,
    "mlm": _mlm,
}
