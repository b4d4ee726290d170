"""What readers of other implementations' checkpoints share: their result, and the weights of a published folder.

A folder of the Hugging Face hub holds ``config.json`` and the weights by name, as ``model.safetensors`` or, in older
ones, as a pickled ``pytorch_model.bin``, which is read without running it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dnadiff.checkpoints.pickles import Archive, mapping
from dnadiff.data.tokenizers import Tokenizer
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.errors import InputError

ORIGIN = "converted from"
"""The key of ``Converted.facts``, and of a provenance, that says what a model was."""

Rename = Callable[[Mapping[Any, Any], Path], dict[str, Any]]
"""From what a file stores by name to what is wanted of it by the network's names; the path is for messages."""


@dataclass(frozen=True)
class Converted:
    """A foreign model in dnadiff's terms: what ``save_model`` writes.

    Attributes:
        denoiser: With the checkpoint's weights, in evaluation mode.
        tokenizer: Its tokenizer.
        spec: What it is built from.
        facts: What is known of how the weights came about.
        inputs: SHA-256 of each file read, by its path.
        warning: What its user must know; empty if nothing.
    """

    denoiser: Denoiser
    tokenizer: Tokenizer
    spec: dict[str, Any]
    facts: dict[str, Any]
    inputs: dict[str, str]
    warning: str


def folder_weights(folder: Path, rename: Rename) -> tuple[Path, dict[str, Tensor]]:
    """The file with a folder's weights, and the weights as float32 by name.

    Args:
        folder: Of a published model.
        rename: Chooses and names them.

    Raises:
        InputError: There are none, or the file is damaged.
    """
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        try:
            named = rename(load_file(safe), safe)
        except SafetensorError as error:
            raise InputError(f"{safe}: is no safetensors file ({error}); copy or download it again") from error
        for name, value in named.items():
            if not value.is_floating_point():
                raise InputError(f"{safe}: {name} is {value.dtype}; weights of floating types would work")
        return safe, {name: value.float() for name, value in named.items()}
    if pickled.is_file():
        with Archive(pickled) as archive:
            named = rename(mapping(archive.root), pickled)
            return pickled, {name: archive.tensor(value) for name, value in named.items()}
    raise InputError(f"{folder}: has neither {safe.name} nor {pickled.name}; copy or download it again")


def name_parts(name: str, layers: str) -> tuple[str, str, str]:
    """Layer, part and leaf of a weight's name: 3, ``mlp.up_proj`` and ``weight`` of ``layers.3.mlp.up_proj.weight``.

    Args:
        name: The name, without what only says who holds the network.
        layers: What the names of the layers' weights begin with; outside there is no layer, and a dot ends the part.
    """
    if not name.startswith(layers):
        part, dot, leaf = name.rpartition(".")
        return "", part + dot, leaf
    layer, _, rest = name.removeprefix(layers).partition(".")
    part, _, leaf = rest.rpartition(".")
    return layer, part, leaf
