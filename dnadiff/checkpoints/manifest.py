"""MANIFEST.sha256: the SHA-256 of every file of a folder, in the format of ``sha256sum --check``.

Weights with a flipped bit load without complaint and give slightly wrong numbers; neither PyTorch's nor the safetensors
format notices. The manifest does.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dnadiff.data.plain_json import read_json
from dnadiff.errors import InputError

NAME = "MANIFEST.sha256"
_MOST_BYTES = 1 << 20


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(folder: Path) -> str:
    """The text of the manifest of a folder's files, the manifest itself left out, by name."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != NAME)
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in names)


def read_manifest(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file by its name, as the manifest has it.

    Raises:
        InputError: There is no manifest, or it is not one.
    """
    path = folder / NAME
    if not path.is_file():
        if kind := foreign_kind(folder):
            raise InputError(f"{folder}: is a {kind} of another library; dna-diff convert {folder} -o MODEL would work")
        raise InputError(f"{folder}: has no {NAME}, so it was not written whole; a folder that dnadiff published works")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: is larger than any manifest; a folder that dnadiff published works")
    sums = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        digest, gap, name = line.partition("  ")
        if len(digest) != 64 or set(digest) - set("0123456789abcdef") or not gap or Path(name).name != name or not name:
            raise InputError(f"{path}:{number}: found {line[:40]!r}; 'SHA-256, two spaces, file name' would work")
        sums[name] = digest
    return sums


def foreign_kind(folder: str | Path) -> str:
    """What a folder of the Hugging Face libraries calls its model, such as ``gpt2``; empty of any other folder."""
    path = Path(folder) / "config.json"
    if not path.is_file() or (Path(folder) / NAME).exists():
        return ""
    return str(read_json(path, "copy or download it again").get("model_type", ""))


def verify(folder: Path, names: Iterable[str]) -> None:
    """Compares files with the manifest.

    Args:
        folder: Where files and manifest are.
        names: The files that are wanted, which the manifest must list.

    Raises:
        InputError: A file is missing, or is not the one that was written.
    """
    sums = read_manifest(folder)
    for name in names:
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: is missing; copy or download the folder again")
        if name not in sums:
            raise InputError(f"{path}: is not in {NAME}; copy or download the folder again")
        if sha256(path) != sums[name]:
            raise InputError(f"{path}: is damaged or was edited (SHA-256 differs from {NAME}); copy it again")
