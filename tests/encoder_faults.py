"""Deliberate faults of reading encoders and judges; ``tests.mutations`` makes them and sees the tests notice."""

from tests.fault import Fault

PARITY = ("tests/parity/test_encoders.py",)
VERBS = ("tests/end_to_end/test_encoder.py",)
JUDGE = (f"{VERBS[0]}::test_gpt2_judges_from_its_folder_as_the_conventions_have_it",)

ENCODER_FAULTS = (
    Fault(
        "the first segment left out",
        "dnadiff/checkpoints/encoder.py",
        'named["place.weight"][unused:] + first',
        'named["place.weight"][unused:]',
        PARITY,
    ),
    Fault(
        "RoBERTa's positions from the first row on",
        "dnadiff/checkpoints/encoder.py",
        'named["place.weight"][unused:]',
        'named["place.weight"][: len(named["place.weight"]) - unused]',
        PARITY,
    ),
    Fault(
        "another GELU",
        "dnadiff/models/encoder.py",
        "nn.Linear(width, inner), nn.GELU(), nn",
        'nn.Linear(width, inner), nn.GELU("tanh"), nn',
        PARITY,
    ),
    Fault(
        "a norm before the sum",
        "dnadiff/models/encoder.py",
        "return self.norm2(x + self.mlp(x))",
        "return x + self.mlp(self.norm2(x))",
        PARITY,
    ),
    Fault(
        "tokens without a bias in the head",
        "dnadiff/models/decoder.py",
        "else self.head.weight, self.bias)",
        "else self.head.weight)",
        PARITY,
    ),
    Fault(
        "old names of the norms' weights taken over",
        "dnadiff/checkpoints/encoder.py",
        "own + _LEAVES.get(leaf, leaf)",
        "own + leaf",
        PARITY,
    ),
    Fault(
        "words of bases read as words",
        "dnadiff/checkpoints/encoder.py",
        "if ordinary and all(",
        "if not ordinary and all(",
        PARITY,
    ),
    Fault(
        "characters of the token that GPT-2 does not judge",
        "dnadiff/evaluation/text.py",
        "max(seen, start + first_given)",
        "seen",
        JUDGE,
    ),
    Fault(
        "GPT-2 judging behind a token of its own",
        "dnadiff/recipes/compare_texts.py",
        'bool(spec.get("bos", False)) and not self.bare',
        'bool(spec.get("bos", False))',
        JUDGE,
    ),
    Fault(
        "a preset of the network that does not win",
        "dnadiff/recipes/taken_over.py",
        'key in ("model", "experiment")',
        'key in ("experiment",)',
        (f"{VERBS[0]}::test_what_is_said_wins_over_what_is_taken_over",),
    ),
    Fault(
        "rows longer than the positions",
        "dnadiff/recipes/finetune_plan.py",
        "if most is not None and rows > most:",
        "if most is not None and rows < 0:",
        (f"{VERBS[0]}::test_what_encoders_cannot_do_is_told_in_a_line",),
    ),
    Fault(
        "the F1 of the first class",
        "dnadiff/evaluation/metrics.py",
        "2 * table[1, 1] / (true + said)[1]",
        "2 * table[0, 0] / (true + said)[0]",
        ("tests/truth/test_metrics.py",),
    ),
)
