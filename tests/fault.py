"""Deliberate faults of designing and streaming; ``tests.mutations`` makes them and sees the tests notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A line of code, the wrong line, and the tests that guard it."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


LOOKAHEAD = ("tests/truth/test_lookahead.py",)
DESIGN = ("tests/unit/test_design.py",)

RECORDS = ("tests/unit/test_records.py",)
ENDS = ("tests/unit/test_early_ends.py",)
BLOCK_SAMPLER = ("tests/contract/test_block_sampler.py",)

STREAM_FAULTS = (
    Fault(
        "a length that is made at once",
        "dnadiff/diffusion/block_sampler.py",
        "        size, fill, mask_id = self",
        "        x = F.pad(x, (0, length - x.shape[1]), value=3)\n        size, fill, mask_id = self",
        BLOCK_SAMPLER,
    ),
    Fault(
        "what is allowed last forgotten",
        "dnadiff/diffusion/block_sampler.py",
        "(start + at).clamp(max=self.row.shape[1] - 1)",
        "(start + at) % self.row.shape[1]",
        BLOCK_SAMPLER,
    ),
    Fault(
        "a rule asked about places in the block",
        "dnadiff/diffusion/block_sampler.py",
        "self.sampler.rule(self._with(tokens, start), start + at)",
        "self.sampler.rule(self._with(tokens, start), at)",
        BLOCK_SAMPLER,
    ),
    Fault(
        "a rule that is not told of finished blocks",
        "dnadiff/diffusion/block_sampler.py",
        "self.row = self.row if self.sampler.rule is None else self._with(tokens, start)",
        "pass",
        BLOCK_SAMPLER,
    ),
    Fault(
        "rows read with whoever is wanted",
        "dnadiff/recipes/records.py",
        "-(-items.stop // self._together) * self._together)",
        "items.stop)",
        RECORDS,
    ),
    Fault(
        "half a line handed on",
        "dnadiff/data/fasta_writer.py",
        "whole = len(letters) // _WIDTH * _WIDTH",
        "whole = len(letters)",
        ("tests/unit/test_fasta_writer.py",),
    ),
    Fault(
        "half a record counted as one",
        "dnadiff/data/partial_fasta.py",
        '(_mark(total, crc) if text.records else b"")',
        "_mark(total + 1, crc)",
        ("tests/reliability/test_long_records.py",),
    ),
    Fault(
        "an end before the first base",
        "dnadiff/recipes/records.py",
        "allowed[1 + self.model.bos :, self.model.tokenizer.sep_id]",
        "allowed[self.model.bos :, self.model.tokenizer.sep_id]",
        ENDS,
    ),
    Fault(
        "an early end kept quiet",
        "dnadiff/recipes/records.py",
        "record.header = self._header(item, self._cause(record))",
        "record.header = self._header(item)",
        ENDS,
    ),
    Fault(
        "a complexity in nats",
        "dnadiff/diffusion/stopping.py",
        "/ min(math.log(n**self.word), math.log(words.shape[1]))",
        "/ 1",
        ENDS,
    ),
    Fault(
        "fixed bases to the right called seen",
        "dnadiff/recipes/design.py",
        "blocks[~template.open].max() > blocks[template.open].min()",
        "blocks[~template.open].max() > blocks[template.open].max()",
        DESIGN,
    ),
)

DESIGN_FAULTS = (
    Fault(
        "a dead end not seen coming",
        "dnadiff/data/lookahead.py",
        "self._image(before[i], b) & after[i + 1]",
        "self._image(before[i], b)",
        LOOKAHEAD,
    ),
    Fault(
        "the least share of GC forgotten",
        "dnadiff/data/lookahead.py",
        "np.minimum(new[:, :-window], new[:, window:] - low)",
        "new[:, :-window]",
        LOOKAHEAD,
    ),
    Fault(
        "one strand searched",
        "dnadiff/data/constraints.py",
        "starts |= {",
        "starts | {",
        ("tests/unit/test_constraints.py",),
    ),
    Fault(
        "constraints not asked while drawing",
        "dnadiff/diffusion/restricted.py",
        "return logits.masked_fill(~self.rule(tokens, at).to(logits.device), FLOOR)",
        "return logits",
        LOOKAHEAD,
    ),
    Fault(
        "a rejected design written",
        "dnadiff/recipes/designer.py",
        "None if last else self._letters(row)",
        "self._letters(row)",
        DESIGN,
    ),
    Fault(
        "a repair beside the stretch",
        "dnadiff/recipes/designer.py",
        "violation.end + margin + bos]",
        "violation.end + margin]",
        DESIGN,
    ),
    Fault(
        "rounds of repair that draw the same",
        "dnadiff/recipes/designer.py",
        'key64("design", self.seed, template.name, round_)',
        'key64("design", self.seed, template.name, 0)',
        DESIGN,
    ),
    Fault(
        "designs that depend on their batch",
        "dnadiff/recipes/designer.py",
        "[numbers[row] for row in rows], round_",
        "list(range(len(rows))), round_",
        DESIGN,
    ),
    Fault(
        "an ambiguity code called exact",
        "dnadiff/recipes/design.py",
        '"codes": bool(template.restricted.any())',
        '"codes": False',
        DESIGN,
    ),
)
