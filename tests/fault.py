"""A deliberate fault, and those of designing; ``tests.mutations`` makes them and sees the tests notice."""

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

BACKBONE_FAULTS = (
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
        "self.complement[tokens.flip(1)]",
        "tokens.flip(1)",
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
)
