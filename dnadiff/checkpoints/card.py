"""The model card: README.md of a model folder, in the form model hubs read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_CARD = """\
---
library_name: dnadiff
tags: [dna, genomics, discrete-diffusion, masked-diffusion]
---

# A discrete diffusion model of DNA

{backbone}, {parameters:,} parameters, trained on windows of {length:,} bases (algorithm {algo}).
It gives the probability of every masked base of a sequence given the bases that are shown: it generates, fills in and
scores DNA.

```
dna-diff sample FOLDER -n 10 -o synthetic.fa
```

```python
import dnadiff
denoiser = dnadiff.load("FOLDER")
```

## How it came about

| | |
|---|---|
{facts}

## Limits

It knows the genomes it was trained on and nothing else: sequences it generates resemble them in statistics, and nothing
about their function follows. Screen generated sequence before synthesis, as you would any other.
`MANIFEST.sha256` lists the hashes of the files; `sha256sum --check MANIFEST.sha256` verifies them.
"""


def card(spec: Mapping[str, Any], provenance: Mapping[str, Any], parameters: int) -> str:
    """The text of a model card.

    Args:
        spec: What the denoiser is built from.
        provenance: How the weights came about; every value becomes a row of the table.
        parameters: Number of weights.
    """
    facts = "\n".join(f"| {key} | {_cell(value)} |" for key, value in _flat(provenance))
    backbone = spec["backbone"]
    sizes = ", ".join(f"{key} {backbone[key]}" for key in ("hidden_size", "n_blocks", "n_heads") if key in backbone)
    return _CARD.format(
        backbone=f"{str(backbone['name']).upper()} ({sizes})",
        parameters=parameters,
        length=spec["length"],
        algo=spec["algo"],
        facts=facts,
    )


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested facts as pairs, the names of the levels joined by spaces."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "\\|").replace("\n", " ")
