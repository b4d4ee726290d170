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

STRANDS = ("tests/truth/test_reverse_complement.py",)
SCAN = ("tests/truth/test_scan.py",)
CADUCEUS = ("tests/truth/test_caduceus.py",)

BACKBONE_FAULTS = (
    Fault(
        "a gradient by products not scaled",
        "dnadiff/models/products.py",
        "dq.mul_(q.shape[-1] ** -0.5)",
        "dq",
        ("tests/truth/test_products.py",),
    ),
    Fault(
        "heads passed over",
        "dnadiff/models/products.py",
        "slice(i, i + size)",
        "slice(i, i + size - (size > 1))",
        ("tests/truth/test_products.py",),
    ),
    Fault(
        "the other strand's answer not turned round",
        "dnadiff/models/rc.py",
        "other.flip(1))[..., self.complement]",
        "other)[..., self.complement]",
        STRANDS,
    ),
    Fault(
        "the other strand's letters not paired",
        "dnadiff/models/rc.py",
        "other.flip(1))[..., self.complement]",
        "other.flip(1))",
        STRANDS,
    ),
    Fault(
        "the other strand read backwards without pairing",
        "dnadiff/models/rc.py",
        "if tokens.is_floating_point() else self.complement[other]",
        "if tokens.is_floating_point() else other",
        STRANDS,
    ),
    Fault(
        "noise levels by token not turned round",
        "dnadiff/models/rc.py",
        "return sigma.flip(1) if sigma.ndim == 2 else sigma",
        "return sigma",
        STRANDS,
    ),
    Fault(
        "pads of the other strand where they were",
        "dnadiff/models/rc.py",
        "torch.cat([valid, valid.flip(1)])",
        "torch.cat([valid, valid])",
        STRANDS,
    ),
    Fault(
        "the same positions asked of both strands",
        "dnadiff/models/rc.py",
        "tokens.shape[1] - 1 - at",
        "at",
        STRANDS,
    ),
    Fault(
        "features of the strands side by side",
        "dnadiff/models/rc.py",
        "return (own + other.flip(1)) / 2",
        "return (own + other) / 2",
        STRANDS,
    ),
    Fault(
        "a state forgotten between chunks",
        "dnadiff/models/scan.py",
        "h = states[-1].clone()",
        "h = torch.zeros_like(h)",
        SCAN,
    ),
    Fault(
        "a gradient not passed on between chunks",
        "dnadiff/models/scan.py",
        "carry = decay[0] * g[0]",
        "carry = torch.zeros_like(carry)",
        SCAN,
    ),
    Fault(
        "a gradient passed on by the wrong factor",
        "dnadiff/models/scan.py",
        "g[t].addcmul_(decay[t + 1], g[t + 1])",
        "g[t].addcmul_(decay[t], g[t + 1])",
        SCAN,
    ),
    Fault(
        "the first state of a chunk left out of the rates' gradient",
        "dnadiff/models/scan.py",
        "exponent[0] *= h",
        "exponent[0] *= 0",
        SCAN,
    ),
    Fault(
        "half of the step sizes' gradient",
        "dnadiff/models/scan.py",
        "d_step + d_inflow * entered",
        "d_step",
        SCAN,
    ),
    Fault(
        "products of the scan in bfloat16",
        "dnadiff/models/scan.py",
        "torch.autocast(x.device.type, enabled=False)",
        "torch.autocast(x.device.type, dtype=torch.bfloat16)",
        SCAN,
    ),
    Fault(
        "the backward direction not turned round",
        "dnadiff/models/caduceus.py",
        "y[:, :, 1].flip(1)",
        "y[:, :, 1]",
        CADUCEUS,
    ),
    Fault(
        "a convolution that sees ahead",
        "dnadiff/models/caduceus.py",
        "[..., : u.shape[1]]",
        "[..., 1 : 1 + u.shape[1]]",
        CADUCEUS,
    ),
    Fault(
        "the directly passed input left out",
        "dnadiff/models/caduceus.py",
        " + torch.stack([self.mamba_fwd.D, self.mamba_rev.D]) * inputs",
        "",
        CADUCEUS,
    ),
    Fault(
        "pads that enter the state",
        "dnadiff/models/caduceus.py",
        "step if valid is None else step * valid",
        "step",
        CADUCEUS,
    ),
    Fault(
        "pads that enter the convolution",
        "dnadiff/models/caduceus.py",
        "u if valid is None else u * valid",
        "u",
        CADUCEUS,
    ),
    Fault(
        "pads of the other direction where they were",
        "dnadiff/models/caduceus.py",
        "None if valid is None else valid.flip(1)",
        "valid",
        CADUCEUS,
    ),
    Fault(
        "rates of decay that decay",
        "dnadiff/training/optim.py",
        '_TABLES = "A_log"',
        '_TABLES = "none"',
        ("tests/end_to_end/test_train_caduceus.py::test_rates_of_decay_are_no_matrices",),
    ),
    Fault(
        "padding rows of the vocabulary kept",
        "dnadiff/checkpoints/upstream_caduceus.py",
        "value[:size].contiguous() if name in cut else value",
        "value",
        ("tests/unit/test_convert_caduceus.py",),
    ),
    Fault(
        "shared weights that differ",
        "dnadiff/checkpoints/upstream_caduceus.py",
        "not bool((first == value).all())",
        "False",
        ("tests/unit/test_convert_caduceus.py",),
    ),
)
