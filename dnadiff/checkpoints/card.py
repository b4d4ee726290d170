"""The model card: README.md of a model folder, in the form model hubs read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_CARD = """\
---
library_name: dnadiff
tags: [{tags}{method_tags}]
---

# {kind} of {what}

{backbone}, {parameters:,} parameters, trained on windows of {length:,} {unit}s (algorithm {algo}).
{gives}
{use}
```python
import dnadiff
denoiser = dnadiff.load("FOLDER")
```

## How it came about

| | |
|---|---|
{facts}

## Limits

{limits}

`MANIFEST.sha256` lists the hashes of the files; `sha256sum --check MANIFEST.sha256` verifies them.
"""


_PREDICTOR_CARD = """\
---
library_name: dnadiff
tags: [dna, genomics, sequence-classification]
---

# A predictor of {what}

A backbone of dnadiff with a head ({head}), {parameters:,} parameters, fine-tuned on labelled {noun} of up
to {length:,} {unit}.

```
dna-diff predict FOLDER {file} -o predictions.tsv
```

```python
import dnadiff
model = dnadiff.load_predictor("FOLDER")
model.predict(["{one}"])
```

## How it came about

| | |
|---|---|
{facts}

## Limits

Its figures hold for {noun} like those it was trained and tested on. A probability near 0 or 1 of one from elsewhere
says little.

`MANIFEST.sha256` lists the hashes of the files; `sha256sum --check MANIFEST.sha256` verifies them.
"""


_DNA = {
    "tags": "dna, genomics, ",
    "what": "DNA",
    "unit": "base",
    "use": "\n```\ndna-diff sample FOLDER -n 10 -o synthetic.fa\ndna-diff evaluate FOLDER genome.fa\n```\n",
    "limits": """\
It knows the genomes it was trained on and nothing else: sequences it generates resemble them in statistics, and nothing
about their function follows. Screen generated sequence before synthesis, as you would any other.""",
}
_IDS = {
    "tags": "",
    "what": "token ids",
    "unit": "token",
    "use": "",
    "limits": "It numbers its tokens by a vocabulary that did not come with it: it reads and writes ids.",
}
_TEXT = {
    "tags": "text, ",
    "what": "text",
    "unit": "token",
    "use": "\n```\ndna-diff sample FOLDER -n 10 -o texts.jsonl\ndna-diff evaluate FOLDER other.txt\n```\n",
    "limits": """\
It knows the texts it was trained on and nothing else: what it writes resembles them, and nothing about its truth
follows.""",
}
_PAIRS = """
```
dna-diff sample FOLDER --pairs sources.tsv -o predictions.tsv
dna-diff evaluate FOLDER pairs.tsv
```
"""  # what trained on pairs is used for
_MASKED = (
    "A discrete diffusion model",
    "discrete-diffusion, masked-diffusion",
    "It gives the probability of every {unit} of a sequence that is not known given those that are.",
)
_NOISED = (
    "A discrete diffusion model",
    "discrete-diffusion",
    "It gives the probability of every {unit} of a sequence given one in which any of them may be false.",
)
_METHODS = {
    "ar": (
        "An autoregressive model",
        "autoregressive",
        "It gives the probability of every {unit} of a sequence given those before it.",
    ),
    "bd3lm": (
        "A block diffusion model",
        "discrete-diffusion, block-diffusion",
        "It gives the probability of every {unit} of a block that is not known given those that are and all before it.",
    ),
    "mlm": ("A masked language model", "masked-language-model", _MASKED[2]),
    "sundae": _NOISED,
    "udlm": _NOISED,
}  # title, tags and what it gives, by the method; masked diffusion for all others
KINDS = {"dna": _DNA, "text": _TEXT, "ids": _IDS}
"""What a card says of the tokens, by what they are."""


def card(spec: Mapping[str, Any], provenance: Mapping[str, Any], parameters: int, *, tokens: str = "dna") -> str:
    """The text of a model card.

    Args:
        spec: What the denoiser is built from.
        provenance: How the weights came about; every value becomes a row of the table.
        parameters: Number of weights.
        tokens: What its tokens are, a name of ``KINDS``.
    """
    facts = "\n".join(f"| {key} | {_cell(value)} |" for key, value in _flat(provenance))
    backbone = spec["backbone"]
    sizes = ", ".join(f"{key} {backbone[key]}" for key in ("hidden_size", "n_blocks", "n_heads") if key in backbone)
    sizes += ", both strands alike" if "rc" in backbone else ""
    kind, method_tags, gives = _METHODS.get(spec["algo"], _MASKED)
    return _CARD.format(
        kind=kind,
        method_tags=method_tags,
        gives=gives.format(unit=KINDS[tokens]["unit"]),
        backbone=f"{str(backbone['name']).upper()} ({sizes})",
        parameters=parameters,
        length=spec["length"],
        algo=spec["algo"],
        facts=facts,
        **KINDS[tokens] | ({"use": _PAIRS} if spec.get("pairs") else {}),
    )


def predictor_card(
    spec: Mapping[str, Any], provenance: Mapping[str, Any], parameters: int, *, text: bool = False
) -> str:
    """The text of the card of a fine-tuned model.

    Args:
        spec: What the predictor is built from.
        provenance: How the weights came about.
        parameters: Number of weights.
        text: Whether it reads text.
    """
    names, kind = spec["labels"]["names"], spec["readout"]["name"]
    what = {
        "class": "one of the classes", "multilabel": "any of the labels", "regression": "the numbers",
        "tokens": "the class of every base, one of",
    }[kind]  # fmt: skip
    shown = ", ".join(map(str, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    read = {"noun": "texts", "unit": "tokens", "file": "texts.csv", "one": "A sentence."} if text else {
        "noun": "sequences", "unit": "bases", "file": "sequences.fa", "one": "ACGT"
    }  # fmt: skip
    return _PREDICTOR_CARD.format(
        **read,
        what=f"{what} {_cell(shown)}",
        parameters=parameters,
        length=spec["length"] - bool(spec.get("bos")),
        head=f"{spec['head']['pooling']} pooling" if "pooling" in spec["head"] else "on every base",
        facts="\n".join(f"| {key} | {_cell(value)} |" for key, value in _flat(provenance)),
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
