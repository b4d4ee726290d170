"""``dna-diff compare --task text``: generated texts beside pieces of real text of the same lengths, under a judge."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.folder import (
    build_objective,
    load,
    load_tokenizer,
    model_folder,
    model_hash,
    read_provenance,
    read_spec,
    scoring_section,
)
from dnadiff.checkpoints.foreign import ORIGIN, Converted
from dnadiff.checkpoints.manifest import foreign_kind
from dnadiff.checkpoints.provenance import provenance
from dnadiff.checkpoints.upstream import read_upstream
from dnadiff.data.documents import documents
from dnadiff.data.stream import sha256_of
from dnadiff.data.subwords import read_subwords
from dnadiff.data.text_tokenizers import ByteTokenizer
from dnadiff.data.tokenizer import TextTokenizer
from dnadiff.errors import InputError, did_you_mean
from dnadiff.evaluation.likelihood import Scores, score
from dnadiff.evaluation.text import CONVENTIONS, distinct, judged_rows, per_text, token_entropy
from dnadiff.random import keyed_uniform
from dnadiff.recipes.tables import Column, check_out, publish
from dnadiff.training import ranks

RUNS = (1, 2, 3)  # words of a run that distinct-n counts
_TOGETHER = 16

COLUMNS = (
    Column("", "name"),
    Column("texts", "texts", style=",d"),
    Column("tokens", "tokens", style=",d"),
    Column("generative perplexity", "generative_perplexity", "generative_perplexity_error", ".3f"),
    Column("bits per character", "bits_per_character", "character_error"),
    Column("entropy, nats", "entropy", "entropy_error"),
    *(Column(f"distinct-{n}", f"distinct_{n}", style=".3f") for n in RUNS),
)


class Judge:
    """A model that says how likely texts are.

    Args:
        run: Run or model folder of a model of text, or a folder of a Hugging Face model that ``convert`` reads.
        convention: How it reads texts longer than its window, a name of ``evaluation.text.CONVENTIONS``.
        seed: Of its draws, where its likelihood is a bound.

    Attributes:
        tokenizer: Numbers the texts.
        convention: As given.
        inputs: SHA-256 of what it was read from.
        bare: Whether its windows begin with no token of its own: it is GPT-2, as in the published conventions.

    Raises:
        InputError: There is no such model or convention.
    """

    def __init__(self, run: str, convention: str, seed: int) -> None:
        if convention not in CONVENTIONS:
            raise InputError(f"--convention {convention}: {did_you_mean(convention, CONVENTIONS)}")
        model = _foreign(run) if foreign_kind(run) else _published(run)
        if not isinstance(model.tokenizer, TextTokenizer):
            raise InputError(f"--judge {run}: its tokens are {model.tokenizer.name}; a model of text would work")
        self.tokenizer, self.convention, self._seed = model.tokenizer, convention, seed
        self.inputs, self._denoiser, spec = model.inputs, model.denoiser, model.spec
        self._objective = build_objective(scoring_section(spec), self._denoiser.process)
        self.bare = model.facts.get(ORIGIN) == "gpt2 folder"
        self._denoiser.to(ranks.device())
        self._length, self._bos = int(spec["length"]), bool(spec.get("bos", False)) and not self.bare

    @property
    def exact(self) -> bool:
        """Whether it knows the likelihood itself and not a bound."""
        return self._objective.exact

    def scores(self, texts: Sequence[str]) -> Scores:
        """What each text costs, with the characters that its tokens stand for."""
        found = self.tokenizer.encoded(texts)
        rows, owners = judged_rows(
            found, self._length, self.convention, bos=self.tokenizer.bos_id if self._bos else None,
            filler=self.tokenizer.filler, first_given=self.bare,
        )  # fmt: skip
        batches = (
            {name: array[start : start + _TOGETHER] for name, array in rows.items()}
            for start in range(0, len(owners), _TOGETHER)
        )
        found = score(self._denoiser, self._objective, batches, seed=self._seed, device=ranks.device())
        return per_text(found, owners)


def _published(run: str) -> Converted:
    """A model of this project."""
    inputs = {str(model_folder(run)): model_hash(run)}
    return Converted(load(run), load_tokenizer(run), read_spec(run), read_provenance(run), inputs, "")


def _foreign(folder: str) -> Converted:
    """A model of another library with the tokenizer beside it; nothing is written."""
    read_subwords(folder, "--judge ")
    return read_upstream(Path(folder), tokenizer=folder)


def compare_texts(
    real: str,
    synthetic: str,
    out: str | None = None,
    *,
    judge: str | None = None,
    convention: str = "bd3lm",
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol``, a row of the synthetic and one of the real texts, and the settings.

    Args:
        real: Text to compare with: a file of any kind that is read.
        synthetic: Generated texts, as ``sample`` writes them.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        judge: Run, model or Hugging Face folder that says how likely the texts are; None leaves that out and counts
            bytes.
        convention: How the judge reads long texts: ``mdlm`` or ``bd3lm``.
        seed: Chooses the pieces of real text; None draws one, which is reported.
        quiet: Print nothing but results.
        argv: The command line, for the provenance.

    Raises:
        InputError: An input cannot be used.
    """
    check_out(out)
    seed = secrets.randbits(32) if seed is None else seed
    asked = None if judge is None else Judge(judge, convention, seed)
    texts = _read(synthetic)
    pieces = _pieces("\n\n".join(_read(real)), [len(text) for text in texts], seed, real)
    rows = [_row("synthetic", texts, asked), _row("real", pieces, asked)]
    inputs = {name: sha256_of(name) for name in (real, synthetic)}
    inputs |= {} if asked is None else asked.inputs
    settings = {"real": real, "synthetic": synthetic, "judge": judge, "convention": convention, "seed": seed}
    report = {"protocol": _protocol(asked, judge, real), "rows": rows, "settings": settings}
    publish(out, report, COLUMNS, provenance(argv or [], seed, inputs), quiet)
    return report


def _read(path: str) -> list[str]:
    found = list(documents(path))
    if not found:
        raise InputError(f"{path}: found no text; one that is not blank would work")
    return found


def _pieces(text: str, lengths: Sequence[int], seed: int, name: str) -> list[str]:
    """Disjoint pieces of a text with some lengths, from shares of it in order."""
    spare = len(text) - sum(lengths)
    if spare < 0:
        raise InputError(
            f"{name}: has {len(text):,} characters where {sum(lengths):,} are generated; a longer text, or fewer "
            "samples, would work"
        )
    gaps = keyed_uniform(np.arange(len(lengths) + 1), "real pieces", seed)
    at, out = 0, []
    for length, gap in zip(lengths, gaps / gaps.sum(), strict=False):
        at += int(gap * spare)
        out.append(text[at : at + length])
        at += length
    return out


def _row(name: str, texts: Sequence[str], judge: Judge | None) -> dict[str, Any]:
    tokenizer = ByteTokenizer() if judge is None else judge.tokenizer
    ids = [found.ids for found in tokenizer.encoded(texts)]
    entropy, error = token_entropy(ids)
    row = {"name": name, "texts": len(texts), "tokens": sum(map(len, ids))}
    row |= {} if judge is None else _judged(judge.scores(texts))
    return row | {"entropy": entropy, "entropy_error": _finite(error)} | {
        f"distinct_{n}": _finite(distinct(texts, n)) for n in RUNS
    }  # fmt: skip


def _judged(scores: Scores) -> dict[str, Any]:
    perplexity, letters = 2**scores.bits_per_base, scores.by_character
    return {
        "generative_perplexity": perplexity,
        "generative_perplexity_error": _finite(perplexity * np.log(2) * scores.standard_error),
        "bits_per_character": None if letters is None else letters.bits_per_base,
        "character_error": None if letters is None else _finite(letters.standard_error),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _protocol(judge: Judge | None, run: str | None, real: str) -> list[str]:
    lines = [f"real: pieces of {real}, as long as the generated texts; ± is the standard error over texts"]
    if judge is None:
        return [*lines, "entropy: of the bytes of a text; distinct-n: different runs of n words over all of them"]
    windows = "windows that overlap by half" if judge.convention == "bd3lm" else "disjoint windows"
    what = "exact" if judge.exact else "an upper bound"
    what += ", without [BOS], so the first token is not scored" * judge.bare
    return [
        *lines,
        f"judge: {run}, {what}, texts tokenized again, {windows} ({judge.convention}), no end token among them",
        "entropy: of the judge's tokens of a text; distinct-n: different runs of n words over all of them",
    ]
