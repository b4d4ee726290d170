"""``dna-diff cite``: dnadiff and the papers behind a run, as BibTeX.

What a run used is read from its folder: the algorithm and the estimator, the network, its tokens, the optimiser, and
the hash of the genome. The entries themselves are in ``references.bib`` beside the package's modules.
"""

import re
from pathlib import Path

from dnadiff import __version__
from dnadiff.data.plain_json import read_json
from dnadiff.errors import InputError

ALGOS = {
    "mdlm": ("sahoo2024simple", "zheng2025masked"),
    "bd3lm": ("arriola2025block", "zheng2025masked"),
    "d3pm": ("austin2021structured",),
    "sedd": ("lou2024discrete",),
    "udlm": ("schiff2025simple",),
    "ar": (),
    "mlm": ("devlin2019bert",),
    "sundae": ("savinov2022step", "han2024transfer"),
}
"""Papers of an algorithm, its default sampler's included."""
ESTIMATORS = {"count": ("ou2025your",), "time": (), "auto": ()}
OPTIMIZERS = {
    "adamw": ("loshchilov2019decoupled",),
    "muon": ("jordan2024muon", "liu2025muon", "loshchilov2019decoupled"),
}
BACKBONES = {
    "dit": ("peebles2023scalable",),
    "caduceus": ("schiff2024caduceus", "gu2023mamba"),
    "llama": ("touvron2023llama",),
    "gpt2": ("radford2019language",),
    "bert": ("devlin2019bert",),
}
BASES = ("nguyen2023hyenadna", "schiff2024caduceus")
"""The numbering of the bases, of every run that reads them."""
GENOMES = {"ae952b2873ef8badc956925a61c5b536d4e40322b4e8b15dde3d8eda7ce3c879": "blattner1997complete"}
"""Papers of genomes by the SHA-256 of the file: those of the project's data folder that have one."""
_HINT = "a run folder written by dna-diff train would work"


def cite(run: str | None = None, *, everything: bool = False) -> None:
    """Prints dnadiff's own entry and, if asked, those of a run or of everything dnadiff builds on.

    Args:
        run: A run folder.
        everything: Print every entry.

    Raises:
        InputError: The folder is no run.
    """
    entries = references()
    keys = list(entries) if everything else [] if run is None else keys_of(Path(run))
    print("\n".join([own_entry(), *(entries[key] for key in keys)]), end="")


def references() -> dict[str, str]:
    """Every entry of ``references.bib`` by its key, each ending in one newline."""
    text = (Path(__file__).parent.parent / "references.bib").read_text(encoding="utf-8")
    found = (entry.strip() + "\n" for entry in re.split(r"\n(?=@)", text))
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in found}


def own_entry() -> str:
    """The entry of this version of dnadiff."""
    lines = [
        "@software{dnadiff,",
        "  title = {dnadiff: Discrete Diffusion on Nucleotide Sequences},",
        "  author = {{The dnadiff developers}},",
        f"  version = {{{__version__}}},",
        "  license = {Apache-2.0}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def keys_of(run: Path) -> list[str]:
    """Keys of the entries behind what a run used, each once.

    Raises:
        InputError: The folder is no run, or its algorithm is unknown here.
    """
    config, facts = read_json(run / "config.json", _HINT), read_json(run / "provenance.json", _HINT)
    try:
        algo, estimator, optimizer = config["algo"]["name"], config["estimator"], config["optim"]["name"]
        masked = ESTIMATORS[estimator] if algo == "mdlm" else ()
        network = BACKBONES[config.get("model", {}).get("backbone", "dit")]
        bases = BASES if config.get("task", {}).get("name", "dna") == "dna" else ()
        keys = [*ALGOS[algo], *masked, *network, *bases, *OPTIMIZERS[optimizer]]
        keys += [GENOMES[digest] for digest in facts["inputs"].values() if digest in GENOMES]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{run}: is no run that this version knows ({error}); {_HINT}") from error
    return list(dict.fromkeys(keys))
