"""A fine-tuned model as a classifier of half-finished sequences, for classifier guidance.

A sampler's rows are tokens of the denoiser: perhaps [BOS], then bases and masks. The predictor reads rows of its own: a
[BOS] if it has one, as many bases as it was trained on, padding behind. Between the two lies a linear map of one-hot
rows, so one path serves tokens and the gradient. What is neither base nor mask (N, [SEP]) is shown to it as the mask:
a classifier of sequences knows nothing of them.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnadiff.checkpoints.predictor import FineTuned
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Classifier
from dnadiff.errors import InputError, did_you_mean

_CLASSES = ("class", "multilabel")


def class_guide(model: FineTuned, label: str, *, lead: int = 0) -> Classifier:
    """What ``classifier_guided`` asks: log p(label | x_t) in nats, of tokens or one-hot rows.

    Outputs of both strands are averaged if the model's predictions are. Weights stay in float32, where they are.

    Args:
        model: Fine-tuned on masked sequences, to tell classes or labels.
        label: The class, or the one label of several, that is wanted.
        lead: Tokens before the bases of a sampler's row, such as [BOS].

    Raises:
        InputError: It predicts neither classes nor labels of sequences, was trained on whole sequences only, or has no
            such label; when asked, the rows have more bases than it reads.
    """
    if model.kind not in _CLASSES:
        raise InputError(f"found a predictor of kind {model.kind}; one of {' or '.join(_CLASSES)} would work")
    if label not in model.names:
        raise InputError(f"label {label}: {did_you_mean(label, model.names)}")
    if not model.masked:
        raise InputError(
            "was trained on whole sequences only and cannot judge half-finished ones; finetune with data.masked=true "
            "would work"
        )
    return _ClassGuide(model, model.names.index(label), lead)


class _ClassGuide:
    """Calls the predictor; arguments as of ``class_guide``, the label by its number."""

    def __init__(self, model: FineTuned, label: int, lead: int) -> None:
        tokenizer = NucleotideTokenizer()
        readable = (*tokenizer.base_ids, tokenizer.mask_id)
        shown = torch.tensor([i if i in readable else tokenizer.mask_id for i in range(tokenizer.vocab_size)])
        width = model.predictor.backbone.vocab_size
        device = next(model.predictor.parameters()).device
        self.model, self.label, self.lead = model, label, lead
        self.shown = F.one_hot(shown, width).float().to(device)  # (12, V of the predictor)
        others = tokenizer.complement(np.arange(tokenizer.vocab_size))
        self.complement = torch.tensor([*others.tolist(), *range(tokenizer.vocab_size, width)], device=device)
        self.specials = F.one_hot(torch.tensor([tokenizer.bos_id, tokenizer.pad_id]), width).float().to(device)

    def __call__(self, x: Tensor) -> Tensor:
        """log p(label | x), (B,), of tokens (B, L) or one-hot rows (B, L, V)."""
        vocab_size, mask_id = len(self.shown), NucleotideTokenizer.mask_id
        rows = x if x.is_floating_point() else F.one_hot(torch.where(x < vocab_size, x, mask_id), vocab_size)
        bases = rows[:, self.lead :, :vocab_size].to(self.shown) @ self.shown
        outputs = self._outputs(bases)
        if self.model.both_strands:
            outputs = (outputs + self._outputs(bases.flip(1)[..., self.complement])) / 2
        log_p = outputs.log_softmax(-1) if self.model.kind == "class" else F.logsigmoid(outputs)
        return log_p[:, self.label]

    def _outputs(self, bases: Tensor) -> Tensor:
        """The predictor's outputs (B, T) of bases (B, L, V), in a row of its own."""
        frame, n = self.model.frame, bases.shape[1]
        if n > frame.bases:
            raise InputError(f"found rows of {n:,} bases; {frame.bases:,}, the most this classifier reads, would work")
        bos, pad = self.specials[:, None, None].expand(-1, len(bases), 1, -1)
        rows = torch.cat([bos[:, : frame.bos], bases, pad.expand(-1, frame.bases - n, -1)], dim=1)
        valid = torch.zeros(rows.shape[:2], dtype=torch.bool, device=rows.device)
        valid[:, frame.bos : frame.bos + n] = True
        given = torch.zeros_like(valid)
        given[:, : frame.bos] = True
        return self.model.predictor(rows, valid, given)
