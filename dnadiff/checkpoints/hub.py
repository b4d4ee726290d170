"""Models in the style of the Hugging Face hub: ``from_pretrained`` and ``save_pretrained``.

    >>> model = dnadiff.Pretrained.from_pretrained("folder")           # or "owner/name"      # doctest: +SKIP
    >>> model.denoiser(xt, t)                                                                 # doctest: +SKIP
    >>> model.save_pretrained("another-folder")                                               # doctest: +SKIP

A name on the hub is ``owner/name`` where there is no such folder; it needs the package ``huggingface_hub``. Only
safetensors, JSON and the manifest are fetched: nothing that could be executed.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnadiff.checkpoints.folder import load, load_tokenizer, read_provenance, read_spec, save_model
from dnadiff.checkpoints.manifest import NAME
from dnadiff.data.tokenizers import Tokenizer
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.errors import InputError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_FETCHED = ("*.safetensors", "*.json", NAME)


@dataclass(frozen=True)
class Pretrained:
    """A trained model with all that its folder says of it.

    Attributes:
        denoiser: In evaluation mode.
        tokenizer: How its tokens are numbered.
        spec: What the denoiser is built from.
        provenance: How the weights came about, plain JSON values.
    """

    denoiser: Denoiser
    tokenizer: Tokenizer
    spec: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> "Pretrained":
        """The model of a run folder, a model folder, or a name on the hub.

        Args:
            source: A path, or ``owner/name``.
            revision: Branch, tag or commit on the hub; None is its main branch.

        Raises:
            InputError: There is none, it is damaged, or the hub cannot be reached.
        """
        folder = fetched(source, revision=revision)
        return cls(load(folder), load_tokenizer(folder), read_spec(folder), read_provenance(folder))

    def save_pretrained(self, path: str | Path) -> None:
        """Writes a model folder that ``from_pretrained`` and ``dnadiff.load`` read; one that is there is replaced.

        Raises:
            InputError: The weights are no longer what the spec describes, or the folder cannot be written to.
            ResourceError: The disk is full.
        """
        save_model(Path(path), self.denoiser, self.tokenizer, self.spec, self.provenance)


def fetched(source: str | Path, *, revision: str | None = None) -> Path:
    """The local path of a source: itself, or the copy of a folder on the hub.

    Args:
        source: A path, or ``owner/name`` where no such path exists.
        revision: Branch, tag or commit on the hub; None is its main branch.

    Raises:
        InputError: The package is missing, there is no such model, or the hub cannot be reached.
    """
    path = Path(source)
    if path.exists() or not _ID.fullmatch(str(source)):
        if revision is not None:
            raise InputError(f"revision={revision}: belongs to a name on the hub; {source} is none")
        return path
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise InputError(
            f"{source}: no such folder, and the hub needs a package that is missing; pip install huggingface_hub works"
        ) from error
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(_FETCHED)))
    except Exception as error:  # the package, its HTTP library and the system each have errors of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{source}: no such folder, and the hub did not give it ({reason}); a local folder would work"
        ) from error
