r"""Undoing the tokenization of published text sets: ``It 's 5 @,@ 000 .`` becomes ``It's 5,000.`` and so on.

Perplexities of these sets are only comparable if the text was restored in the same way, so the rules and their order
are those of MDLM's zero-shot protocol (Sahoo et al. 2024), which go back to GPT-2's and Megatron's. They are tables of
replacements, one applied after the other; a replacement never sees what a later one makes.
"""

import re
from collections.abc import Callable, Sequence

Rule = tuple[str, str]
"""What is replaced, as it stands, by what."""

Pattern = tuple[re.Pattern[str], str]
"""What is replaced, as an expression, by what."""

Step = Rule | Pattern


def _spaced(*marks: str) -> list[Rule]:
    """Marks that stand between blanks join the word before them."""
    return [(f" {mark} ", f"{mark} ") for mark in marks]


def _expressions(*pairs: tuple[str, str]) -> list[Pattern]:
    return [(re.compile(pattern), by) for pattern, by in pairs]


_WIKITEXT: list[Step] = [
    ("s '", "s'"),
    *((f" @{mark}@ ", mark) for mark in "-,."),
    *_spaced(*":;.!?,"),
    *_expressions(
        (r"\(\s*([^)]*?)\s*\)", r"(\1)"), (r"\[\s*([^\]]*?)\s*\]", r"[\1]"), (r"{\s*([^}]*?)\s*}", r"{\1}"),
        (r'"\s*([^"]*?)\s*"', r'"\1"'), (r"'\s*([^']*?)\s*'", r"'\1'"),
    ),
    *((" ".join("=" * n), "=" * n) for n in (4, 3, 2)),
    (" ° ", "°"), (" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "), (" 's", "'s"),
]  # fmt: skip

_PTB: list[Step] = [
    (" 's", "'s"), ("s ' ", "s' "), (" n't", "n't"), (" \n ", "\n"), ("\\/", "/"),
    *[(" N ", " 1 ")] * 10,  # neighbours share a blank, so one pass misses every other one
    ("$ 1", "$1"), ("# 1", "#1"), ("<unk>", "?"),
]  # fmt: skip

_LM1B: list[Step] = [
    ("http : / / ", "http://"), ("https : / / ", "https://"),
    *_expressions((r" '(\w+)", r"'\1"), (r" (\w+) \. ", r" \1. "), (r" (\w+) \.$", r" \1.")),
    *_spaced("?"), *_expressions((r" \?$", "?")), *_spaced("!"), *_expressions((r" !$", "!")),
    *_spaced(",", ":", ";"), (" / ", "/"),
    *_expressions(
        (r'" ([^"]+) "', r'"\1"'), (r"' ([^']+) '", r"'\1'"),
        (r"\( ([^()]+) \)", r"(\1)"), (r"\[ ([^\[\]]+) \]", r"[\1]"),
    ),
    ("$ ", "$"), ("£ ", "£"),
]  # fmt: skip

_LAMBADA: list[Step] = [("“", '"'), ("”", '"')]


def _applied(text: str, steps: Sequence[Step]) -> str:
    for what, by in steps:
        text = text.replace(what, by) if isinstance(what, str) else what.sub(by, text)
    return text


def wikitext(text: str) -> str:
    """WikiText's tokens as text."""
    return _applied(text, _WIKITEXT)


def ptb(text: str) -> str:
    """Penn Treebank's tokens as text; every number N becomes 1 and an unknown word a question mark."""
    return _applied(text, _PTB)


def lm1b(text: str) -> str:
    """The tokens of the One Billion Word benchmark as text."""
    return _applied(text, _LM1B)


def lambada(text: str) -> str:
    """A passage of LAMBADA with plain quotation marks, on a line of its own."""
    return "\n" + _applied(text, _LAMBADA).strip()


def scientific_papers(text: str) -> str:
    """Articles of arXiv and PubMed as text: WikiText's rules, then those of the One Billion Word benchmark."""
    return lm1b(wikitext(text))


DETOKENIZERS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "wikitext": wikitext,
    "ptb": ptb,
    "lm1b": lm1b,
    "lambada": lambada,
    "scientific_papers": scientific_papers,
}
"""By the name of the set; ``none`` changes nothing."""
