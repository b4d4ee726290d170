"""A tiny random BERT or RoBERTa as the transformers library wrote it, and words for its forty tokens."""

import functools
import json

import numpy as np
import torch
from safetensors.torch import save_file

from tests.foreign import PARITY

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abdefghiklmnoprstuvwy"
WORDS = (*SPECIALS, *LETTERS, *(f"##{letter}" for letter in "aeinorst"), "the", "film", "was", "good", "fine", "bad")
MASK, SEP = 4, 3


@functools.cache
def recorded():
    """Weights, configurations, tokens and answers of both."""
    with np.load(PARITY / "encoders.npz") as file:
        return {key: file[key] for key in file.files}


def weights(name="bert"):
    """The weights by the library's names."""
    prefix = f"{name}.w."
    return {key.removeprefix(prefix): torch.from_numpy(x) for key, x in recorded().items() if key.startswith(prefix)}


def encoder_folder(path, name="bert", *, words=WORDS, stored=None, **changes):
    """The folder as the library wrote it, its configuration changed; ``words`` None leaves its tokens out."""
    path.mkdir(parents=True)
    save_file(weights(name) if stored is None else stored, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(json.loads(str(recorded()[f"{name}.config"])) | changes))
    if words is not None:
        (path / "vocab.txt").write_text("\n".join(words) + "\n")
    return path
