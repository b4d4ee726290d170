"""The versions of the packages underneath, and which of them must not be used.

``LEAST`` repeats the floors of ``pyproject.toml``, because an environment can be changed after it was installed; a test
keeps the two equal. Nothing is imported to look at it: two releases of Lightning ran their payload when imported.
"""

import platform
import re
from collections.abc import Callable, Iterator
from importlib import metadata

from dnadiff import __version__
from dnadiff.recipes.findings import Finding, note, ok, problem

LEAST = {
    "torch": "2.10", "lightning": "2.6.4", "numpy": "2", "einops": "0.8", "biopython": "1.85", "pyfaidx": "0.9.2.2",
    "scikit-learn": "1.5", "safetensors": "0.8", "hydra-core": "1.3.8", "omegaconf": "2.3", "rich": "13",
    "tokenizers": "0.22", "matplotlib": "3.9", "tensorboard": "2.18",
}  # fmt: skip
EXTRAS = {"flash-attn": "2.8", "transformers": "5.3", "wandb": "0.20"}
MALICIOUS = {
    (name, version): "is a malicious upload that steals credentials when it is imported (GHSA-w37p-236h-pfx3); "
    "uninstall it, change every credential it could read, and install 2.6.4 or newer"
    for name in ("lightning", "pytorch-lightning")
    for version in ("2.6.2", "2.6.3")
}
WHY = {
    "torch": "a checkpoint can make it run code (CVE-2026-24747)",
    "transformers": "a config.json can make it run code (CVE-2026-4372)",
}


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def version_findings(version_of: Callable[[str], str | None] = installed) -> Iterator[Finding]:
    """What is installed, and what is wrong with it.

    Args:
        version_of: Gives the version of a package, or None if it is missing.
    """
    yield ok("dnadiff", __version__)
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if platform.system() == "Windows":
        yield problem("python", f"{system}: files are locked in the POSIX way; Linux inside Windows (WSL) would work")
    else:
        yield ok("python", system)
    for name in LEAST:
        yield _required(name, version_of(name))
    for name in EXTRAS:
        yield _optional(name, version_of(name))
    other = version_of("pytorch-lightning")
    if other is not None and ("pytorch-lightning", _plain(other)) in MALICIOUS:
        yield problem("pytorch-lightning", f"{other} {MALICIOUS['pytorch-lightning', _plain(other)]}")


def older(version: str, least: str) -> bool:
    """Whether a version comes before another, by their numbers: ``older("2.9.1", "2.10")`` is true."""
    return _numbers(version) < _numbers(least)


def _required(name: str, version: str | None) -> Finding:
    if version is None:
        return problem(name, f"missing; {_install(name)}")
    if (name, _plain(version)) in MALICIOUS:
        return problem(name, f"{version} {MALICIOUS[name, _plain(version)]}")
    if older(version, LEAST[name]):
        return problem(name, f"{version} is too old: {WHY.get(name, 'dnadiff was not made for it')}; {_install(name)}")
    return ok(name, version)


def _optional(name: str, version: str | None) -> Finding:
    if version is None:
        return ok(name, "not installed (optional)")
    if older(version, EXTRAS[name]):
        why = WHY.get(name, "dnadiff was not made for it")
        return note(name, f"{version} (optional) is too old: {why}; {EXTRAS[name]} or newer works")
    return ok(name, version)


def _install(name: str) -> str:
    return f"pip install '{name}>={LEAST[name]}' would work"


def _plain(version: str) -> str:
    """The version without its local part: ``2.13.0+cpu`` is ``2.13.0``."""
    return version.partition("+")[0]


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", _plain(version))]
    while numbers and numbers[-1] == 0:  # 2.10 and 2.10.0 are the same
        numbers.pop()
    return tuple(numbers)
