"""``dna-diff bench zeroshot``: whether a model finds real sequence likelier than its shuffle, without any training."""

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.checkpoints.folder import (
    build_objective,
    load,
    load_tokenizer,
    model_folder,
    model_hash,
    read_spec,
    scoring_section,
)
from dnadiff.checkpoints.provenance import provenance
from dnadiff.data.example_batches import Frame
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.evaluation.likelihood import Scores, WindowBatch, average, floor_scores, reverse_complement, score
from dnadiff.evaluation.markov import MarkovChain
from dnadiff.evaluation.pairs import chosen_orders, paired
from dnadiff.evaluation.shuffle import shuffled
from dnadiff.random import key64
from dnadiff.recipes.methods import likelihood_in_words
from dnadiff.recipes.real_windows import pieces_of, windows_of
from dnadiff.recipes.tables import Column, check_out, publish
from dnadiff.training import ranks

COLUMNS = (
    Column("", "name"),
    Column("accuracy", "accuracy"),
    Column("from", "accuracy_low"),
    Column("to", "accuracy_high"),
    Column("pairs", "pairs", style=",d"),
    Column("real", "real"),
    Column("shuffled", "shuffled"),
    Column("real - shuffled, bits per base", "difference", "difference_error", "+.4f"),
)


def zeroshot(
    model: str,
    data: str | None = None,
    out: str | None = None,
    *,
    n: int = 1000,
    samples: int = 1,
    both_strands: bool = False,
    batch_size: int = 64,
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> dict[str, Any]:
    """The report: ``protocol``, ``verdict``, a row for the model and one a Markov chain of the run, as of ``paired``.

    Args:
        model: Run folder or model folder.
        data: FASTA, a table of sequences, or a genome store; None is the held-out test split of the run.
        out: ``.json``, ``.tsv``, ``-`` or None, see ``tables.publish``.
        n: Pairs at most, evenly spaced.
        samples: Draws a sequence.
        both_strands: Average the scores of both strands.
        batch_size: Sequences at once; changes no figure by more than rounding.
        seed: Of the shuffles and the draws; None draws one, which is reported.
        quiet: Print nothing but results.
        argv: The command line, for the provenance.

    Raises:
        InputError: The model or the data cannot be used, or there is nothing to score.
    """
    check_out(out)
    seed = secrets.randbits(32) if seed is None else seed
    denoiser, spec = load(model), read_spec(model)
    if not isinstance(load_tokenizer(model), NucleotideTokenizer):
        raise InputError(f"{model}: reads no nucleotides; a model trained on DNA would work")
    if spec.get("pairs", False):
        raise InputError(f"{model}: was trained on pairs and scores targets of sources; dna-diff evaluate would work")
    scoring = scoring_section(spec)
    likelihood, objective = likelihood_in_words(scoring), build_objective(scoring, denoiser.process)
    if objective.exact and samples != 1:
        raise InputError(f"--samples {samples}: the likelihood of {model} is exact and draws nothing; leave it out")
    bos, allowed = bool(spec.get("bos", False)), spec["parameterization"]["allowed"]
    pieces, window = pieces_of(model, spec, data), int(spec["length"]) - bos
    real = windows_of(pieces, window, n)
    pairs = [(i, one, shuffled(one, np.random.default_rng(key64("shuffle", seed, i)))) for i, one in enumerate(real)]
    differing = [pair for pair in pairs if not np.array_equal(pair[1], pair[2])]
    if not differing:
        raise InputError(f"{pieces.what}: every sequence is its only shuffle; longer ones would work")
    batches = _Batches(differing, bos, NucleotideTokenizer.n_id in allowed, batch_size)
    denoiser.to(ranks.device())

    def cost(windows: Iterator[WindowBatch], strand: str) -> Scores:
        return score(denoiser, objective, windows, seed=seed, samples=samples, strand=strand, device=ranks.device())

    rows = [paired("model (exact)" if objective.exact else "model (bound)", *batches.scored(cost, both_strands))]
    rows += [paired(name, *scores) for name, scores in _floors(model, batches, both_strands).items()]
    strands = "both strands, averaged" if both_strands else "forward strand"
    drawn = "" if objective.exact else f"{samples} draw{'s' * (samples > 1)} a sequence, the same for both, "
    report = {
        "protocol": [
            f"{pieces.what}: {len(differing):,} pairs of a sequence of at most {window:,} bases and its shuffle, which "
            f"keeps every pair of neighbours; {len(pairs) - len(differing):,} left out whose shuffle is the same",
            f"{likelihood}, {drawn}{strands}, seed {seed}; the interval is Wilson's, 95 %",
            *pieces.notes, verdict(rows),
        ],
        "verdict": verdict(rows), "rows": rows,
        "settings": {"model": model, "data": data, "n": n, "draws": samples, "both_strands": both_strands, "seed": seed,
                     "objective": dict(scoring)},
    }  # fmt: skip
    for note in pieces.notes:
        print(f"dna-diff: note: {note}", file=sys.stderr)
    inputs = {str(model_folder(model)): model_hash(model), **pieces.digests}
    publish(out, report, COLUMNS, provenance(argv or [], seed, inputs), quiet)
    return report


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence: how many pairs the model tells, whether that is more than chance, and what the best chain tells."""
    model, floors = rows[0], rows[1:]
    above = model["accuracy_low"] > 0.5
    says = "more often than chance" if above else "no more often than chance"
    best = f"; {floors[-1]['name']}: {floors[-1]['accuracy']:.1%}" if floors else ""
    return f"the model prefers the real sequence in {model['accuracy']:.1%} of {model['pairs']:,} pairs, {says}{best}"


class _Batches:
    """The pairs as batches of one length each, real sequences and shuffles alike.

    Args:
        pairs: Number, codes and shuffled codes of each.
        bos: Whether a row begins with [BOS].
        n_token: Whether N is a token.
        size: Sequences at once.
    """

    def __init__(
        self, pairs: Sequence[tuple[int, np.ndarray, np.ndarray]], bos: bool, n_token: bool, size: int
    ) -> None:
        self.pairs = sorted(pairs, key=lambda pair: (len(pair[1]), pair[0]))
        self.bos, self.n_token, self.size = bos, n_token, size

    def rows(self, side: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches of the real sequences (side 0) or of the shuffles (side 1)."""
        for length, equal in groupby(self.pairs, key=lambda pair: len(pair[1])):
            group, frame = list(equal), Frame(length + self.bos, self.bos, self.n_token)
            for start in range(0, len(group), self.size):
                part = group[start : start + self.size]
                rows = frame.rows([pair[1 + side] for pair in part])
                ids = np.array([pair[0] for pair in part], dtype=np.int64)
                yield rows | {"item_ids": ids, "weight": np.ones(rows["tokens"].shape, dtype=np.float32)}

    def scored(self, cost: Callable[[Iterator[WindowBatch], str], Scores], both_strands: bool) -> tuple[Scores, Scores]:
        """What real sequences and shuffles cost, in the same order."""
        return self._side(0, cost, both_strands), self._side(1, cost, both_strands)

    def _side(self, side: int, cost: Callable[[Iterator[WindowBatch], str], Scores], both_strands: bool) -> Scores:
        forward = cost(self.rows(side), "+")
        if not both_strands:
            return forward
        tokenizer = NucleotideTokenizer()
        return average(forward, cost((reverse_complement(rows, tokenizer) for rows in self.rows(side)), "-"))


def _floors(model: str, batches: _Batches, both_strands: bool) -> dict[str, tuple[Scores, Scores]]:
    """What the run's Markov chains pay for both sides, by name; nothing for a model without a run."""
    path = Path(model) / "baseline.npz"
    if not path.exists():
        return {}
    chain, tokenizer = MarkovChain.load(path), NucleotideTokenizer()
    found = {}
    for order in range(chain.order + 1):

        def cost(windows: Iterator[WindowBatch], strand: str, order: int = order) -> Scores:
            return floor_scores(chain, windows, tokenizer, [order])[order]

        found[order] = batches.scored(cost, both_strands)
    return chosen_orders(found)
