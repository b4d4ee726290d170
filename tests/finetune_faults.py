"""Deliberate faults of fine-tuning; ``tests.mutations`` makes them and sees the tests notice."""

from tests.fault import Fault

EXAMPLES = ("tests/unit/test_labelled_examples.py",)
HEADS = ("tests/truth/test_heads.py",)
METRICS = ("tests/truth/test_metrics.py",)
TRAINING = ("tests/unit/test_predictor_training.py",)
FINETUNE = ("tests/end_to_end/test_finetune.py",)

FINETUNE_FAULTS = (
    Fault(
        "reverse complements parted",
        "dnadiff/data/parts.py",
        "return min(codes.tobytes(), alphabet.reverse_complement(codes).tobytes())",
        "return codes.tobytes()",
        EXAMPLES,
    ),
    Fault(
        "a drawn part with as many of each class left to chance",
        "dnadiff/data/parts.py",
        "leaves |= rows & np.isin(numbers, different[: round(share * len(different))])",
        "leaves |= numbers < share",
        EXAMPLES,
    ),
    Fault(
        "classes numbered as they come",
        "dnadiff/data/targets.py",
        "names = tuple(sorted({example.labels[0] for example in examples}))",
        "names = tuple(dict.fromkeys(example.labels[0] for example in examples))",
        EXAMPLES,
    ),
    Fault(
        "the beginning of a long sequence read",
        "dnadiff/data/example_batches.py",
        "first = max(0, len(codes) - self.bases) // 2",
        "first = 0",
        HEADS,
    ),
    Fault(
        "padding pooled",
        "dnadiff/models/heads.py",
        "weight = valid / valid.sum(1, keepdim=True)",
        "weight = torch.ones_like(valid) / valid.shape[1]",
        HEADS,
    ),
    Fault(
        "padding seen",
        "dnadiff/models/heads.py",
        "seen = None if bool(shown.all()) else shown",
        "seen = None",
        HEADS,
    ),
    Fault(
        "probabilities of the strands averaged, not outputs",
        "dnadiff/checkpoints/predictor.py",
        "out = (out + (_turned(other, frame, part) if per_base else other)) / 2",
        "out = out + (_turned(other, frame, part) if per_base else other)",
        HEADS,
    ),
    Fault(
        "numbers off by their spread",
        "dnadiff/models/heads.py",
        "return outputs * self.deviation + self.mean",
        "return outputs + self.mean",
        HEADS,
    ),
    Fault(
        "ties won",
        "dnadiff/evaluation/metrics.py",
        "roc = misses @ (hit - hits / 2)",
        "roc = misses @ hit",
        METRICS,
    ),
    Fault(
        "the last of equal validations kept",
        "dnadiff/evaluation/metrics.py",
        "_rank(metric, one) > _rank(metric, other)",
        "_rank(metric, one) >= _rank(metric, other)",
        METRICS,
    ),
    Fault(
        "resamples without replacement",
        "dnadiff/evaluation/metrics.py",
        "rng.integers(0, n, n)",
        "rng.permutation(n)",
        METRICS,
    ),
    Fault(
        "words across an unknown base counted",
        "dnadiff/evaluation/baselines.py",
        "number, known = 4 * number + base, known & (base != alphabet.N)",
        "number, known = 4 * number + base % 4, known",
        METRICS,
    ),
    Fault(
        "raw weights chosen among",
        "dnadiff/training/predictor.py",
        "with module.ema.applied():",
        'with __import__("contextlib").nullcontext():',
        TRAINING,
    ),
    Fault(
        "the last weights published",
        "dnadiff/training/predictor.py",
        "if better(self.metric, figures, self.best and self.best.figures):",
        "if True:",
        TRAINING,
    ),
    Fault(
        "the best weights not restored",
        "dnadiff/training/predictor.py",
        'best = state["best"]\n',
        "best = None\n",
        TRAINING,
    ),
    Fault(
        "a backbone that is not begun with",
        "dnadiff/recipes/finetune_plan.py",
        "if config.start != SCRATCH and begun is None:",
        "if False:",
        FINETUNE,
    ),
)
