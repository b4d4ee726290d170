"""``dna-diff design``: sequences that fit IUPAC templates and keep to constraints, as FASTA.

Design i of a template is the same for a seed whatever else is asked for; on a CPU in fp32 to the last bit.

What is drawn. With first-hitting, one base a call, letters that are fixed or N, and no constraints: the model's exact
p(open bases | fixed bases), wherever the fixed bases lie. A model of blocks does not see fixed bases in blocks to the
right; its draws are exact only if there are none. Other codes and the constraints restrict each position when
it is drawn, so earlier draws do not weigh what they leave to later ones; this and everything else that departs from the
exact conditional is named after ``conditional=`` in each record. (Keeping only those exact draws that happen to fit
would be exact again, but n letters of two bases keep one draw in about 2^n.)
"""

import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data import atomic
from dnadiff.data.constraints import Constraints, parse_constraints
from dnadiff.data.fasta_writer import FastaWriter, check_output
from dnadiff.data.stream import sha256_of
from dnadiff.data.template import Template, read_templates
from dnadiff.errors import InputError, did_you_mean
from dnadiff.recipes.conditioned import check_length, conditioned, hashes
from dnadiff.recipes.designer import ROUNDS, Design, Designer
from dnadiff.recipes.model import DTYPES, Model, open_model
from dnadiff.recipes.sample import FARTHEST, progress_bar
from dnadiff.recipes.tables import write_whole
from dnadiff.recipes.walk import EXACT, MASKED, SAMPLERS, Walk, sampler_for, settled

_SHOWN = 20  # templates with repairs or rejections that are listed on standard error; the file has them all


def design(
    run: str | Path,
    template: str | Path,
    out: str | Path = "-",
    *,
    n: int = 1,
    mask: str | Path | None = None,
    gc: str | None = None,
    avoid: Sequence[str] = (),
    avoid_sites: Sequence[str] = (),
    max_homopolymer: int | None = None,
    walk: Walk = EXACT,
    batch_size: int = 64,
    dtype: str = "fp32",
    seed: int | None = None,
    quiet: bool = False,
    argv: list[str] | None = None,
) -> None:
    """Writes designs as FASTA and, beside a file, what became of each (``OUT.design.tsv``) and ``OUT.provenance.json``.

    A design that cannot be brought to keep to the constraints is rejected: counted and reported, never written.

    Args:
        run: Run folder or model folder.
        template: FASTA of IUPAC letters, or ``-`` for standard input.
        out: FASTA file to write, which must not exist, or ``-`` for standard output; ``.gz`` compresses.
        n: Designs of each template.
        mask: BED file of intervals of the templates in which every base is free.
        gc: ``LOW-HIGH`` or ``LOW-HIGH:WINDOW``, the share of G and C of the whole or of every window.
        avoid: IUPAC motifs that may occur on neither strand.
        avoid_sites: Restriction enzymes that may cut nowhere, by name.
        max_homopolymer: Longest run of one base.
        walk: The sampler and its settings.
        batch_size: Designs at once; changes none.
        dtype: ``fp32`` or ``bf16``, of the network; tokens are drawn in float64.
        seed: None draws one, which is printed and recorded.
        quiet: Print errors only.
        argv: The command line, for the provenance.

    Raises:
        InputError: There is no such model, a template or setting is impossible, every design was rejected, or the
            output cannot be written.
    """
    _check(n=n, batch_size=batch_size, dtype=dtype)
    check_output(out)
    if not atomic.is_stream(out):
        atomic.check_file(f"{out}.design.tsv")
    constraints = parse_constraints(gc, avoid, avoid_sites, max_homopolymer)
    model = conditioned(open_model(run), walk)
    walk = _settled(walk, model)
    templates = read_templates(template, mask, longest=FARTHEST * model.window)
    check_length(model, max(map(len, templates)))
    seed = secrets.randbits(32) if seed is None else seed
    designer = Designer(model, walk, constraints, seed)
    for each in templates:
        designer.lookahead.check(each)
    _say(templates, n, model, f"seed {seed}, {model.name}", walk, constraints, quiet)
    model.denoiser.backbone.to(DTYPES[dtype])
    outcomes: list[tuple[Template, Design]] = []
    total = n * sum(int(each.open.sum()) for each in templates)
    with FastaWriter(out) as fasta, progress_bar(total, quiet) as progress:
        for each in templates:
            described = f"seed={seed} {model.name} conditional={conditional(each, walk, constraints, model)}"
            for start in range(1, n + 1, batch_size):
                for drawn in designer.draw(each, range(start, min(start + batch_size, n + 1)), progress):
                    outcomes.append((each, drawn))
                    if drawn.sequence is not None:
                        fasta.write(f"{each.name}_design_{drawn.number}", drawn.sequence, described)
        _check_some(outcomes, constraints)
    _report(outcomes, constraints, quiet)
    if not atomic.is_stream(out):
        write_whole(Path(f"{out}.design.tsv"), _tsv(outcomes).encode())
        files = {
            str(path): sha256_of(path) for path in (template, mask) if path is not None and not atomic.is_stream(path)
        }
        facts = provenance(argv or [], seed, {**hashes(run, walk), **files})
        status = Counter(_status(drawn) for _, drawn in outcomes)
        more = {"n": n, "constraints": _words(constraints), **asdict(walk), "dtype": dtype, **status}
        write_provenance(Path(out), facts | more | {"screening": "none"})


def conditional(template: Template, walk: Walk, constraints: Constraints, model: Model) -> str:
    """``exact``, or ``approximate:`` and what departs from the model's p(open bases | fixed bases)."""
    departs = {
        "codes": bool(template.restricted.any()),
        "constraints": bool(constraints),
        str(walk.sampler): walk.sampler not in (None, "first_hitting"),
        f"{walk.tokens_per_step}-at-once": walk.tokens_per_step not in (None, 1),
        "temperature": walk.temperature != 1,
        "nucleus": walk.nucleus != 1,
        "top-k": walk.top_k is not None,
        "guidance": walk.guidance not in (None, 1),
        "classifier": walk.classifier is not None,
        "left-only": unseen(template, walk, model),
    }
    names = [name for name, does in departs.items() if does]
    return f"approximate:{','.join(names)}" if names else "exact"


def unseen(template: Template, walk: Walk, model: Model) -> bool:
    """Whether some fixed base lies in a block to the right of an open one, where a model of blocks does not see it."""
    if model.block_size is None or template.open.all() or not template.open.any():
        return False
    blocks = (np.arange(len(template)) + model.bos) // (walk.block_size or model.block_size)
    return bool(blocks[~template.open].max() > blocks[template.open].min())


def _settled(walk: Walk, model: Model) -> Walk:
    """The settings with the sampler named; refuses what cannot fill templates before any work."""
    walk = settled(walk, model.denoiser)
    needs = SAMPLERS[walk.sampler].needs
    if needs != MASKED:
        blocks = "one of blocks (algo=bd3lm)"
        raise InputError(f"design: bases are fixed within a sequence; found {needs}, {MASKED} or {blocks} would work")
    if walk.stride is not None:
        raise InputError(f"--stride {walk.stride}: a template is filled as a whole; leave it out")
    if walk.stop_at_end or walk.min_complexity is not None or walk.rows_per_call is not None:
        raise InputError("--stop-at-end, --min-complexity and --rows-per-call: belong to sample; leave them out")
    sampler_for(model, walk, model.window)
    return walk


def _check(*, n: int, batch_size: int, dtype: str) -> None:
    for name, value in (("--number", n), ("--batch-size", batch_size)):
        if value < 1:
            raise InputError(f"{name} {value}: needs 1 or more")
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype}: {did_you_mean(dtype, DTYPES)}")


def _check_some(outcomes: Sequence[tuple[Template, Design]], constraints: Constraints) -> None:
    """Refuses an output without any record."""
    if all(drawn.sequence is None for _, drawn in outcomes):
        template, drawn = outcomes[0]
        raise InputError(
            f"{template.place}: none of {len(outcomes)} designs met {_words(constraints)} in {ROUNDS} rounds of repair "
            f"({template.name}: {drawn.broken[0]}); freer templates or fewer constraints would work"
        )


def _words(constraints: Constraints) -> str:
    """The constraints in the words of the command line; ``none`` without any."""
    run, gc = constraints.max_homopolymer, constraints.gc
    parts = [f"no {motif.name}" for motif in constraints.motifs]
    parts += [f"G+C {gc}"] * (gc is not None) + [f"runs of at most {run}"] * (run is not None)
    return ", ".join(parts) or "none"


def _say(
    templates: Sequence[Template], n: int, model: Model, drawn: str, walk: Walk, constraints: Constraints, quiet: bool
) -> None:
    if quiet:
        return
    lengths = [len(each) for each in templates]
    span = f"{min(lengths):,}" + (f" to {max(lengths):,}" if min(lengths) < max(lengths) else "")
    many = f"{len(templates):,} template{'s' * (len(templates) != 1)}"
    print(f"design       {many} of {span} bases, {n:,} of each, {drawn}", file=sys.stderr)
    print(f"constraints  {_words(constraints)}", file=sys.stderr)
    kinds = sorted({conditional(each, walk, constraints, model) for each in templates})
    for kind in kinds:
        name, _, why = kind.partition(":")
        how = "exactly" if name == "exact" else f"approximately ({why.replace(',', ', ')})"
        print(f"drawn from   p(open bases | fixed bases), {how}", file=sys.stderr)
    hidden = sum(unseen(each, walk, model) for each in templates)
    if hidden:
        note = "a model of blocks sees what lies to the left and in its block, not these"
        print(f"note         {hidden:,} have fixed bases further right: {note}", file=sys.stderr)
    longer = sum(length > model.window for length in lengths)
    if longer:
        note = f"{longer:,} are longer than the {model.window:,} bases the model was trained on"
        print(f"note         {note}", file=sys.stderr)


def _status(drawn: Design) -> str:
    return "rejected" if drawn.sequence is None else "repaired" if drawn.rounds else "clean"


def _report(outcomes: Sequence[tuple[Template, Design]], constraints: Constraints, quiet: bool) -> None:
    """Prints how many designs were repaired and rejected, and for which templates."""
    if quiet:
        return
    by_name: dict[str, list[Design]] = {}
    for template, drawn in outcomes:
        by_name.setdefault(template.name, []).append(drawn)
    print(f"written      {_counts([drawn for _, drawn in outcomes])}", file=sys.stderr)
    touched = [(name, designs) for name, designs in by_name.items() if any(drawn.rounds for drawn in designs)]
    for name, designs in touched[:_SHOWN] if len(by_name) > 1 else []:
        print(f"  {name}: {_counts(designs)}", file=sys.stderr)
    if len(touched) > _SHOWN:
        print(f"  and {len(touched) - _SHOWN:,} templates more", file=sys.stderr)
    if constraints:
        print("verified     every design keeps to its template and to the constraints", file=sys.stderr)


def _counts(designs: Sequence[Design]) -> str:
    status = Counter(_status(drawn) for drawn in designs)
    bases = sum(drawn.resampled for drawn in designs)
    written = len(designs) - status["rejected"]
    return (
        f"{written:,} of {len(designs):,} designs; {status['repaired']:,} repaired, {status['rejected']:,} rejected, "
        f"{bases:,} bases drawn again"
    )


def _tsv(outcomes: Sequence[tuple[Template, Design]]) -> str:
    return "".join(f"{line}\n" for line in _lines(outcomes))


def _lines(outcomes: Sequence[tuple[Template, Design]]) -> Iterator[str]:
    """One design a line: what became of it, and what it broke at first, or to the end if it was rejected."""
    yield "template\tdesign\tstatus\trounds\tbases_drawn_again\tbroken"
    for template, drawn in outcomes:
        broken = "; ".join(map(str, drawn.broken))
        yield f"{template.name}\t{drawn.number}\t{_status(drawn)}\t{drawn.rounds}\t{drawn.resampled}\t{broken}"
