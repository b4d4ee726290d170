"""What a run that begins with another model takes over from it: its network and window and, of text, its tokens.

``dna-diff train`` with ``init_from=MODEL`` need not repeat the sizes of the network: nothing else could work. Settings
that were given win, so a window may be shorter, and a network that is not the source's is refused by name.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from dnadiff.recipes import run_folder
from dnadiff.recipes.network import PLACED, SIZES
from dnadiff.schema import ModelConfig

_FREE = ("model.length", "model.dropout")  # what of the network may differ from the source's


def with_source(overrides: list[str]) -> list[str]:
    """The overrides, with what ``init_from`` settles and nobody has set before them.

    An ``experiment``, a preset of ``model`` or a key of it but window and dropout says which network is meant; then
    only the tokens are taken over. Without ``init_from`` nothing is added.

    Args:
        overrides: ``key=value``, as ``config.compose`` takes them.

    Raises:
        InputError: There is no such model.
    """
    given = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    source = given.get("init_from", "null")
    if source == "null":
        return overrides
    from dnadiff.checkpoints.folder import load_tokenizer, read_spec
    from dnadiff.data.tokenizer import TextTokenizer

    spec, ours = read_spec(source), {}
    if not any(key in ("model", "experiment") or (key.startswith("model.") and key not in _FREE) for key in given):
        ours |= network_settings(spec)
    if isinstance(load_tokenizer(source), TextTokenizer) and "experiment" not in given:
        bos = {"data.bos": "true"} if spec.get("bos") else {}
        ours |= text_settings(source, spec, pairs=given.get("data.pairs", "false").lower() == "true") | bos
        if any(key.partition(".")[0] == "tokenizer" for key in given):
            ours = {key: value for key, value in ours.items() if not key.startswith("tokenizer.")}
    return [*(f"{key}={value}" for key, value in ours.items() if key not in given), *overrides]


def network_settings(spec: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the section ``model`` that are the network of a spec and its window, as they are typed.

    Args:
        spec: That of a model.
    """
    backbone, defaults = spec["backbone"], {of.name: of.default for of in fields(ModelConfig)}
    name = str(backbone["name"])
    keys = SIZES[name] + (("positions",) if name in PLACED else ())
    values = {f"model.{key}": word(backbone.get(key, defaults[key])) for key in keys}
    more = {"model.rc": word("rc" in backbone), "model.length": str(spec["length"])}
    return {"model": {"dit": "tiny"}.get(name, name), **values, **more}


def text_settings(source: str, spec: Mapping[str, Any], *, pairs: bool) -> dict[str, str]:
    """The settings of the tokens of a model of text, and of how its windows are cut; a run says how its texts are read.

    Args:
        source: Run or model folder.
        spec: Its spec.
        pairs: Whether pairs are read, which are no documents and are not cut.
    """
    path, cut = Path(source) / run_folder.CONFIG, spec.get("text", {})
    values = vars(run_folder.run_config(source).text) if (Path(source) / "model").is_dir() and path.exists() else cut
    text = {} if pairs else {f"text.{key}": word(value) for key, value in values.items()}
    return {"task": "text", "tokenizer.name": "model", "tokenizer.path": source, **text}


def word(value: object) -> str:
    """A value as it is typed behind ``key=``."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
