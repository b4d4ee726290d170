"""Composing a configuration from presets and ``key=value`` overrides, and keeping it as plain JSON.

A folder of ``configs/`` named like a section holds its presets, chosen whole as in ``model=small``; single keys are
set as in ``optim.lr=1e-4``; ``experiment=NAME`` chooses several at once, and overrides win over it. The grammar is
Hydra's, and Hydra composes the files over the schema, once for each choice of presets; the keys are then set in a copy,
as Hydra does last. Nothing else of it is used: no working folders, import paths or resolvers. A value that holds ``${``
is refused, so a configuration is data and never a program. Text values are taken as they are typed: a path may hold
spaces, commas or an equals sign, and contigs are listed as ``a,b`` or ``[a,b]``.

There are two configurations, each a file beside the presets and a dataclass: ``config`` of training on a genome and
``finetune`` of fine-tuning. Every mistake is one line that names the key, what was found and what would work.
"""

import copy
import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from dnadiff.errors import InputError, did_you_mean
from dnadiff.schema import Config
from dnadiff.schema.finetune import FinetuneConfig

__all__ = [
    "SCHEMAS", "Config", "FinetuneConfig", "compose", "compose_finetune", "configs_folder", "from_json", "groups",
    "leaves", "to_json",
]  # fmt: skip

SCHEMAS: dict[str, type] = {"config": Config, "finetune": FinetuneConfig}
"""The configurations by the file of ``configs/`` that their presets are chosen in."""

_OF_FINETUNING = {"model", "optim", "tokenizer", "convention"}
"""The groups of presets that fine-tuning chooses from; conventions are its own."""

C = TypeVar("C", Config, FinetuneConfig)

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number, such as 3e-4",
    list[float]: "a list of numbers, such as [0.9,0.999]",
}


def configs_folder() -> Path:
    """The folder of presets: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


@functools.cache
def groups(schema: type = Config) -> Mapping[str, Mapping[str, Path]]:
    """The preset files that a configuration may choose, by group and name, such as ``groups()["model"]["tiny"]``."""
    folders = sorted(path for path in configs_folder().iterdir() if path.is_dir())
    names = {folder.name for folder in folders} - {"convention"} if schema is Config else _OF_FINETUNING
    folders = [folder for folder in folders if folder.name in names]
    return {folder.name: {file.stem: file for file in sorted(folder.glob("*.yaml"))} for folder in folders}


@functools.cache
def leaves(section: type = Config, prefix: str = "") -> Mapping[str, Any]:
    """The type of every key that holds a value, by dotted name: ``leaves()["optim.lr"]`` is ``float``."""
    found: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(section).items():
        found |= leaves(kind, f"{prefix}{name}.") if dataclasses.is_dataclass(kind) else {prefix + name: kind}
    return types.MappingProxyType(found)


def compose(overrides: list[str]) -> Config:
    """The configuration that the presets and some overrides describe.

    Args:
        overrides: ``key=value`` or ``group=preset``, each key once; keys win over presets.

    Raises:
        InputError: A key, preset or value that cannot be used, in one line.
    """
    return _with_noise_in_use(_composed(overrides, "config", "schema"), overrides)


def compose_finetune(overrides: list[str]) -> FinetuneConfig:
    """The configuration of fine-tuning that the presets and some overrides describe.

    Args:
        overrides: ``key=value`` or a preset of ``model``, ``optim``, ``tokenizer`` or ``convention``, each key once;
            keys win over presets. ``task=text`` is ``task.name=text``, as the presets of ``task`` are for training.

    Raises:
        InputError: A key, preset or value that cannot be used, in one line.
    """
    overrides = [f"task.name={word[5:]}" if word.startswith("task=") else word for word in overrides]
    given = next((override for override in overrides if override.startswith("model.length=")), None)
    if given:
        raise InputError(f"{given}: rows are as long as the longest sequence; data.length=BASES would work")
    return _composed(overrides, "finetune", "finetune_schema")


def _composed(overrides: list[str], name: str, node: str) -> Any:  # noqa: ANN401 (of the class that SCHEMAS names)
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_repeats(overrides)
    schema = SCHEMAS[name]
    presets = [override for override in overrides if _is_preset(override, schema)]
    config = copy.deepcopy(_of_presets(tuple(presets), name, node))
    for override in overrides:
        if override not in presets:
            _override(config, override, schema)
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from error


@functools.cache
def _of_presets(presets: tuple[str, ...], name: str, node: str) -> Any:  # noqa: ANN401 (an OmegaConf node)
    """What Hydra composes of the presets alone, kept: it takes 20 times as long as setting the keys after."""
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    ConfigStore.instance().store(name=node, node=SCHEMAS[name])
    try:
        with hydra.initialize_config_dir(str(configs_folder().resolve()), version_base="1.3"):
            return hydra.compose(name, overrides=list(presets))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from error


def to_json(config: Config | FinetuneConfig) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain JSON values."""
    return dataclasses.asdict(config)


def from_json(values: Mapping[str, Any], schema: type[C] = Config) -> C:
    """The configuration that ``to_json`` wrote; a key it does not hold takes its default.

    Args:
        values: What it wrote.
        schema: Of which configuration.

    Raises:
        InputError: An unknown key, or a value of the wrong type or range.
    """
    from omegaconf import OmegaConf

    overrides = copy.deepcopy(_nothing_set(schema))
    for key, value in _flat(values).items():
        if "${" in str(value):
            raise InputError(f"{key}={value}: interpolation is not supported; write the value")
        _set(overrides, key, value, str(value))
    return typing.cast(C, OmegaConf.to_object(overrides))


@functools.cache
def _nothing_set(schema: type) -> Any:  # noqa: ANN401 (an OmegaConf node)
    """A configuration of defaults, kept: making it of its classes takes three times as long as copying it."""
    from omegaconf import OmegaConf

    return OmegaConf.structured(schema)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _refuse_repeats(overrides: list[str]) -> None:
    given: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0]
        if key in given:
            raise InputError(f"{override}: {key} was given before, as {given[key]}; give it once")
        given[key] = override


def _is_preset(override: str, schema: type) -> bool:
    """Whether an override chooses a preset, which exists; else it names a key, which exists too."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override or repr('')}: is not key=value; for example train.minutes=5 or model=tiny")
    if "${" in override:
        raise InputError(f"{override}: interpolation is not supported; write the value")
    presets = groups(schema)
    if key in presets and value not in presets[key]:
        raise InputError(f"{override}: no such preset of {key}; {did_you_mean(value, presets[key])}")
    if key not in presets:
        _kind(key, schema)
    return key in presets


def _override(config: Any, override: str, schema: type) -> None:  # noqa: ANN401 (an OmegaConf node)
    """Sets the key of an override, its value read in Hydra's grammar; one of the wrong type is refused."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    kind = _kind(key, schema)
    if kind is str:
        empty = value == "null" and key not in _required_text(schema)
        literal = "null" if empty else _quoted(value)
    elif kind == list[str]:
        if value.startswith("[") != value.endswith("]"):
            raise InputError(f"{override}: expected names, such as chr1,chr2 or [chr1,chr2]")
        names = [name.strip().strip("\"'") for name in value.removeprefix("[").removesuffix("]").split(",")]
        literal = f"[{','.join(_quoted(name) for name in names if name)}]"
    else:
        literal = value
    try:
        parsed = OverridesParser.create().parse_override(f"{key}={literal}")
    except HydraException as error:
        raise InputError(f"{override}: expected {_KINDS.get(kind, 'text')}") from error
    if parsed.is_sweep_override():
        raise InputError(f"{override}: holds several values; give one")
    _set(config, key, parsed.value(), value)


def _set(config: Any, key: str, value: Any, shown: str) -> None:  # noqa: ANN401 (an OmegaConf node)
    """Sets one key of a configuration that OmegaConf holds, refusing a value of the wrong type."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    kind = _kind(key, OmegaConf.get_type(config))
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise InputError(f"{key}={shown}: expected {_KINDS.get(kind, 'text')}") from error


def _kind(key: str, schema: type) -> Any:  # noqa: ANN401 (a type or a generic alias)
    """The type of a key's value, without its ``| None``."""
    known = leaves(schema)
    if key not in known:
        sections = {name.rpartition(".")[0] for name in known} - {""}
        if key in sections:
            inside = ", ".join(name for name in known if name.startswith(f"{key}."))
            raise InputError(f"{key}: is a section, not a value; it holds {inside}")
        tails = [name for name in known if name.rpartition(".")[2] == key]
        hint = f"did you mean {tails[0]}?" if tails else did_you_mean(key, [*known, *groups(schema)])
        if not hint.startswith("did"):
            hint = f"`dna-diff config show{'' if schema is Config else ' finetune'}` lists them all"
        raise InputError(f"{key}: unknown key; {hint}")
    kind = known[key]
    parts = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return next(part for part in parts if part is not type(None))


def _required_text(schema: type) -> set[str]:
    return {key for key, kind in leaves(schema).items() if kind is str}


def _quoted(text: str) -> str:
    """Text as a quoted value of Hydra's grammar."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text=text, quote=Quote.single).with_quotes()


def _with_noise_in_use(config: Config, overrides: list[str]) -> Config:
    """The configuration, unless it asks for a noise schedule that nothing of it has a use for."""
    reasons = {"ar": "algo=ar has no noise; leave it out", "mlm": "algo=mlm has no schedule; leave it out"}
    counts = "the count estimator is exact for every schedule; add estimator=time or leave it out"
    for override in overrides:
        key = override.partition("=")[0]
        if config.estimator != "time" and (key == "noise" or key.startswith("noise.")):
            raise InputError(f"{override}: {reasons.get(config.algo.name, counts)}")
    return config
