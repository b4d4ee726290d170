"""From the section ``model`` of a configuration to the section ``backbone`` of a spec."""

from typing import Any

import numpy as np

from dnadiff.data.tokenizer import Tokenizer
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.schema import ModelConfig

SIZES = {
    "dit": ("hidden_size", "n_blocks", "n_heads", "cond_dim", "dropout", "adaln", "stem"),
    "caduceus": ("hidden_size", "n_blocks", "cond_dim", "adaln"),
    "llama": ("hidden_size", "n_blocks", "n_heads", "n_kv_heads", "mlp_size", "rope_base", "norm_eps", "tied"),
    "gpt2": ("hidden_size", "n_blocks", "n_heads", "mlp_size", "norm_eps"),
    "bert": ("hidden_size", "n_blocks", "n_heads", "mlp_size", "norm_eps", "segments"),
}
PLACED = ("gpt2", "bert")
"""The networks that learn their positions one by one."""


def backbone_section(model: ModelConfig, n_classes: int = 0, tokenizer: Tokenizer = NUCLEOTIDES) -> dict[str, Any]:
    """What a backbone is built from, plain JSON.

    Args:
        model: Kind and sizes.
        n_classes: Number of classes it is told; 0: none.
        tokenizer: Numbers the tokens; only those of nucleotides have two strands (``model.rc``).
    """
    return {
        "name": model.backbone,
        "vocab_size": tokenizer.vocab_size,
        **{key: getattr(model, key) for key in SIZES[model.backbone]},
        **({"positions": model.positions or model.length} if model.backbone in PLACED else {}),
        **({"n_classes": n_classes} if n_classes else {}),
        **({"rc": NUCLEOTIDES.complement(np.arange(NUCLEOTIDES.vocab_size)).tolist()} if model.rc else {}),
    }
