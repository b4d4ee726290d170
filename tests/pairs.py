"""Pairs that are quick to learn: the target is the last base of the source, twice."""

import numpy as np

SMALL = {
    "data.pairs": "true", "data.bos": "true", "model.length": 10, "model.stem": 0, "data.split": "auto",
    "optim.batch_size": 32, "optim.ema": 0.8, "train.val_every": 100, "train.checkpoint_every": 100,
}  # fmt: skip


def write_pairs(path, n=240, seed=0):
    """A CSV file of sources of 3 to 5 bases."""
    rng = np.random.default_rng(seed)
    sources = ["".join(rng.choice(list("ACGT"), rng.integers(3, 6))) for _ in range(n)]
    path.write_text("source,target\n" + "".join(f"{source},{source[-1] * 2}\n" for source in sources))
    return str(path)
