"""From the configuration of a foreign checkpoint to the spec of a denoiser.

Three layouts say the same in other words: MDLM's configuration (``parameterization``, ``backbone``), BD3-LM's (a
section ``algo``, ``block_size``), and the flat ``config.json`` of the published folders (``model_type``,
``hidden_dim``). Each becomes one ``Settings``; the sizes that the weights show are not asked for.

Noise: MDLM's loglinear schedule keeps eps = 1e-3, BD3-LM's is exactly t. AR models and, if the first token is never
masked (``algo.ignore_bos``), block models begin with [BOS].
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.pickles import Stub, described, state
from dnadiff.errors import InputError, did_you_mean

_METHODS = {"subs": "mdlm", "d3pm": "d3pm", "sedd": "sedd", "ar": "ar"}  # parameterization -> algo
_MDLM_NOISE = {
    "loglinear": {"name": "loglinear", "eps": 1e-3},
    "cosine": {"name": "cosine", "eps": 1e-3},
    "cosinesqr": {"name": "cosine_squared", "eps": 1e-3},
    "linear": {"name": "linear"},
    "geometric": {"name": "geometric"},
}
_WITH_RANGE = ("linear", "geometric")
_BACKBONES = ("dit", "ar", "hf_dit", "ddit")
_MOST_VALUES = 100_000  # of a pickled configuration; published ones have hundreds


@dataclass(frozen=True)
class Settings:
    """What a configuration says of a model.

    Attributes:
        algo: ``mdlm``, ``d3pm``, ``sedd``, ``bd3lm`` or ``ar``.
        parameterization: That of a spec, without ``mask_id`` and ``allowed``.
        objective: What the model is scored with, as in a spec.
        hidden_size: Width.
        n_blocks: Layers.
        n_heads: Attention heads.
        length: Tokens in a window.
        dropout: Probability of dropout in training.
        time_conditioning: Whether the network is told the noise level.
        schedule: The noise schedule of a spec.
        bos: Whether a window begins with [BOS].
        block_size: Tokens in a block; None without blocks.
    """

    algo: str
    parameterization: Mapping[str, Any]
    objective: Mapping[str, Any]
    hidden_size: int
    n_blocks: int
    n_heads: int
    length: int
    dropout: float
    time_conditioning: bool
    schedule: Mapping[str, Any]
    bos: bool
    block_size: int | None


def plain(value: object) -> Any:  # noqa: ANN401 (JSON)
    """A pickled configuration as plain values: dictionaries, lists, texts, numbers; interpolations stay as text.

    OmegaConf's containers keep their content in ``_content`` and its leaves in ``_val``; any other object is None, and
    so is a number of more than 64 bits.

    Raises:
        InputError: It has more values than any configuration, perhaps some of them many times.
        RecursionError: It contains itself.
    """
    return _plain(value, iter(range(_MOST_VALUES)))


def _plain(value: object, left: Iterator[int]) -> Any:  # noqa: ANN401 (JSON)
    if next(left, None) is None:
        raise InputError(f"its configuration has more than {_MOST_VALUES:,} values; a checkpoint as it was saved works")
    if isinstance(value, Stub):
        known = state(value)
        if "_content" in known:
            return _plain(known["_content"], left)
        return _plain(known["_val"], left) if "_val" in known else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item, left) for key, item in value.items() if _is_leaf(key)}
    if isinstance(value, list | tuple):
        return [_plain(item, left) for item in value]
    return value if _is_leaf(value) else None


def _is_leaf(value: object) -> bool:
    return value is None or isinstance(value, str | float) or (isinstance(value, int) and value.bit_length() <= 64)


class Reader:
    """Values of a nested configuration by dotted name, each checked for its type.

    Args:
        values: The configuration.
        path: The file it came from, for messages.
    """

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self.values, self.path = values, path

    def has(self, key: str) -> bool:
        """Whether there is such a key and its value is not null."""
        return self._at(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        """The text of a key, or the default where there is one."""
        return self._typed(key, default, str, "a text")

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        """The whole number of a key, at least ``least``, or the default where there is one."""
        number = self._typed(key, default, int, "a whole number")
        if number < least:
            raise self.refusal(key, number, f"at least {least} would work")
        return number

    def real(self, key: str, default: float) -> float:
        """The number of a key, finite."""
        number = self._typed(key, default, (int, float), "a number")
        if not abs(number) <= sys.float_info.max:
            raise self.refusal(key, f"{number!r:.60}", "a finite number would work")
        return float(number)

    def flag(self, key: str, default: bool) -> bool:
        """The truth value of a key."""
        return self._typed(key, default, bool, "true or false")

    def demand(self, wanted: Mapping[str, bool | str]) -> None:
        """Nothing if some keys have the values wanted, or are left out.

        Raises:
            InputError: One has another, which would make another function of the weights.
        """
        for key, value in wanted.items():
            found = self.flag(key, value) if isinstance(value, bool) else self.text(key, value)
            if found != value:
                raise self.refusal(key, found, f"{value} would work")

    def refusal(self, key: str, found: object, works: str) -> InputError:
        """An error that names the file, the key, what it holds and what would work."""
        return InputError(f"{self.path}: its configuration has {key}={found}; {works}")

    def _at(self, key: str) -> Any:  # noqa: ANN401 (JSON)
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _typed(self, key: str, default: Any, kind: Any, words: str) -> Any:  # noqa: ANN401 (JSON)
        value = self._at(key)
        if value is None:
            if default is None:
                raise InputError(f"{self.path}: its configuration lacks {key}; {words} would work")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.refusal(key, value, f"{words} would work")
        return value


def pickled_settings(config: object, path: Path) -> Settings:
    """The settings of a Lightning checkpoint of MDLM or BD3-LM.

    Raises:
        InputError: A key is missing, or asks for something that dnadiff has not.
    """
    try:
        values = plain(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: its configuration contains itself; a checkpoint as it was saved works") from error
    if not isinstance(values, Mapping) or "model" not in values:
        found = described(config)
        raise InputError(f"{path}: holds no configuration of MDLM or BD3-LM ({found}); a checkpoint with one works")
    reader = Reader(values, path)
    if reader.text("diffusion", "absorbing_state") != "absorbing_state":
        raise reader.refusal("diffusion", reader.text("diffusion"), "absorbing_state would work")
    return _block(reader) if reader.has("algo") else _masked(reader)


def _masked(reader: Reader) -> Settings:
    """MDLM's layout."""
    algo = _method(reader, "parameterization")
    backbone = reader.text("backbone", "dit")
    if backbone not in _BACKBONES:
        raise reader.refusal("backbone", backbone, f"{', '.join(_BACKBONES)} would work")
    kind = reader.text("noise.type", "loglinear")
    if kind not in _MDLM_NOISE:
        raise reader.refusal("noise.type", kind, did_you_mean(kind, _MDLM_NOISE))
    schedule = dict(_MDLM_NOISE[kind])
    if kind in _WITH_RANGE:
        schedule |= {key: reader.real(f"noise.{key}", 0.0) for key in ("sigma_min", "sigma_max")}
    parameterization, objective = _parts(algo, reader.whole("T", 0, 0), reader.flag("subs_masking", False))
    conditioned = reader.flag("time_conditioning", False) and algo != "ar"
    return Settings(
        algo, parameterization, objective, **_sizes(reader), time_conditioning=conditioned, schedule=schedule,
        bos=algo == "ar", block_size=None,
    )  # fmt: skip


def _block(reader: Reader) -> Settings:
    """BD3-LM's layout."""
    algo, method = reader.text("algo.name"), _method(reader, "algo.parameterization")
    if algo not in ("mdlm", "bd3lm", "sedd", "ar"):
        raise reader.refusal("algo.name", algo, "mdlm, bd3lm, sedd and ar would work")
    conditioned = reader.flag("algo.time_conditioning", False) and algo != "ar"
    noise = reader.text("noise.type", "loglinear")
    if noise != "loglinear" and conditioned:  # else the network does not depend on it
        raise reader.refusal("noise.type", noise, "a model that is told the noise level works with loglinear")
    # sigma of a fully masked token would be infinite with eps = 0; upstream cuts it off at -log 1e-3
    schedule = {"name": "loglinear", "eps": 1e-3 if conditioned or reader.flag("algo.mdlm_loss_scale", False) else 0.0}
    blocks = algo == "bd3lm" and reader.flag("algo.cross_attn", True)
    sizes = _sizes(reader)
    whole = reader.values.get("block_size") == "${model.length}"
    block_size = (sizes["length"] if whole else reader.whole("block_size")) if blocks else None
    if block_size is not None and sizes["length"] % block_size:
        raise reader.refusal("block_size", block_size, f"a divisor of model.length={sizes['length']} would work")
    parameterization, objective = _parts(method, 0, False, block_size)
    bos = algo == "ar" or (blocks and reader.flag("algo.ignore_bos", True))
    return Settings(
        "bd3lm" if blocks else method, parameterization, objective, **sizes, time_conditioning=conditioned,
        schedule=schedule, bos=bos, block_size=block_size,
    )  # fmt: skip


def _method(reader: Reader, key: str) -> str:
    name = reader.text(key, "subs")
    if name not in _METHODS:
        raise reader.refusal(key, name, did_you_mean(name, _METHODS))
    return _METHODS[name]


def _parts(
    algo: str, steps: int, subs_masking: bool, block_size: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameterization and objective of a method; ``steps`` 0 is continuous time."""
    if algo == "ar":
        return {"name": "next_token"}, {"name": "next_token_nll"}
    if algo == "sedd":
        return {"name": "sedd"}, {"name": "score_entropy", "estimator": "count"}
    if algo == "d3pm":
        bound = {"name": "discrete_nelbo", "T": steps, "reconstruction": True}
        return {"name": "d3pm", "subs_masking": subs_masking}, bound
    if block_size is not None:
        return {"name": "subs"}, {"name": "block_nelbo", "block_size": block_size, "estimator": "count"}
    if steps:
        return {"name": "subs"}, {"name": "discrete_nelbo", "T": steps}
    return {"name": "subs"}, {"name": "masked_nelbo", "estimator": "count"}


def _sizes(reader: Reader) -> dict[str, Any]:
    return {
        "hidden_size": reader.whole("model.hidden_size"),
        "n_blocks": reader.whole("model.n_blocks"),
        "n_heads": reader.whole("model.n_heads"),
        "length": reader.whole("model.length"),
        "dropout": reader.real("model.dropout", 0.0),
    }


def folder_settings(values: Mapping[str, Any], path: Path) -> Settings:
    """The settings of a published folder's ``config.json`` with ``model_type`` ``mdlm`` or ``bd3lm``.

    The causal models of that layout are the AR baselines; those without blocks are MDLM. It does not say which
    parameterization a model has; only SEDD's are conditioned on time among the latter, so these are refused.

    Raises:
        InputError: A key is missing, or asks for something that dnadiff has not.
    """
    reader = Reader(values, path)
    kind = reader.text("model_type")
    if kind not in ("mdlm", "bd3lm"):
        raise reader.refusal("model_type", kind, "mdlm, bd3lm, caduceus, llama, gpt2, bert and roberta would work")
    causal = reader.flag("causal", False)
    conditioned = reader.flag("time_conditioning", False) and not causal
    blocks = kind == "bd3lm" and not causal and reader.flag("cross_attn", True)
    if kind == "bd3lm" and conditioned:
        raise reader.refusal("time_conditioning", True, "a Lightning checkpoint, which names the method, would work")
    algo = "ar" if causal else "bd3lm" if blocks else "mdlm"
    block_size = reader.whole("block_size") if blocks else None
    parameterization, objective = _parts(algo, 0, False, block_size)
    return Settings(
        algo=algo,
        parameterization=parameterization,
        objective=objective,
        hidden_size=reader.whole("hidden_dim"),
        n_blocks=reader.whole("n_blocks"),
        n_heads=reader.whole("n_heads"),
        length=reader.whole("model_length"),
        dropout=reader.real("dropout", 0.0),
        time_conditioning=conditioned,
        schedule={"name": "loglinear", "eps": 1e-3 if kind == "mdlm" else 0.0},
        bos=algo != "mdlm",
        block_size=block_size,
    )


def spec_of(settings: Settings, vocab_size: int, mask_id: int, cond_dim: int | None) -> dict[str, Any]:
    """The spec of a converted model; everything but the mask can be a clean token.

    Args:
        settings: What the configuration says.
        vocab_size: V, as the embeddings have it.
        mask_id: Id of the mask.
        cond_dim: Width of the conditioning vector; None if the network takes none.
    """
    backbone = {
        "name": "dit", "vocab_size": vocab_size, "hidden_size": settings.hidden_size, "n_blocks": settings.n_blocks,
        "n_heads": settings.n_heads, "dropout": settings.dropout, "adaln": cond_dim is not None,
    }  # fmt: skip
    if cond_dim is not None:
        backbone["cond_dim"] = cond_dim
    allowed = [i for i in range(vocab_size) if i != mask_id]
    blocks = {} if settings.block_size is None else {"block_size": settings.block_size}
    return {
        "algo": settings.algo,
        **blocks,
        "length": settings.length,
        "bos": settings.bos,
        "time_conditioning": settings.time_conditioning,
        "backbone": backbone,
        "parameterization": {**settings.parameterization, "mask_id": mask_id, "allowed": allowed},
        "process": {"name": "absorbing", "schedule": dict(settings.schedule)},
        "objective": dict(settings.objective),
    }
