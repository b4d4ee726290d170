r"""What Lightning drives in fine-tuning: a backbone and its head on labelled examples, and the choice of the best.

The loss of a micro-batch is the mean over its examples. At every validation the averaged weights are scored, and those
that did best so far, by one named metric, are kept with the checkpoint: they are what is published and tested, however
long training goes on. A run that was killed and resumed goes through the same steps and keeps the same weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dnadiff.checkpoints.predictor import predictions
from dnadiff.data.example_batches import RowFrame
from dnadiff.data.parts import Part
from dnadiff.evaluation.metrics import Figures, better, measured
from dnadiff.models.heads import Predictor
from dnadiff.training.network import Publish, Running, Training, publish_average
from dnadiff.training.validation import Validation


@dataclass(frozen=True)
class Best:
    """The best weights so far.

    Attributes:
        step: Optimiser steps they had.
        figures: Every metric on the validation part.
        weights: The averaged weights, by name.
    """

    step: int
    figures: Figures
    weights: dict[str, Tensor]


class PredictorModule(Training):
    """Trains a predictor.

    Args:
        predictor: What to train.
        metric: Chooses the best weights.
        seed: The run's seed.
        optimizer: Keyword arguments of ``optim.optimizer_of``.
        schedule: Keyword arguments of ``optim.rate_at``.
        ema_decay: Decay of the averaged weights.

    Attributes:
        best: Of all validations so far; None before the first.
    """

    part = "predictor"
    unit = "loss"

    def __init__(
        self, predictor: Predictor, metric: str, *, seed: int, optimizer: dict, schedule: dict, ema_decay: float
    ) -> None:
        super().__init__(predictor, seed=seed, optimizer=optimizer, schedule=schedule, ema_decay=ema_decay)
        self.metric = metric
        self.best: Best | None = None

    @property
    def columns(self) -> Mapping[str, str]:
        """Steps, examples, rate, gradient, and the loss of training and validation with the metric."""
        shown = {} if self.metric == "loss" else {f"valid_{self.metric}": ".5f"}
        return {
            "step": "d", "samples": "d", "tokens": "d", "seconds": ".1f", "lr": ".3e", "grad_norm": ".4f",
            "train_loss": ".5f", **shown, "valid_loss": ".5f",
        }  # fmt: skip

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of a micro-batch."""
        outputs = self.network(batch["tokens"], batch["valid"], batch["given"], batch.get("second"))
        rows = self.network.readout.loss(outputs.float(), batch["targets"])
        self.tally.add(batch["item_ids"], rows, torch.ones_like(rows))
        return rows.mean()

    def figures(self, running: Running) -> dict[str, float]:
        """The mean loss."""
        return {"train_loss": math.nan if running.mean is None else running.mean}

    def consider(self, figures: Figures) -> None:
        """Keeps the averaged weights, which the predictor carries now, if they did better than all before."""
        if better(self.metric, figures, self.best and self.best.figures):
            weights = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
            self.best = Best(self.step, dict(figures), weights)

    def publish(self, publish: Publish) -> None:
        """Publishes the best weights; the averaged ones if nothing was validated."""
        if self.best is None:
            publish_average(self, publish)
        else:
            publish(self.best.step, self.best.weights)

    def more(self) -> dict[str, Any]:
        """The best weights."""
        best = self.best
        return {"best": best and {"step": best.step, "figures": best.figures, "weights": best.weights}}

    def take(self, state: dict[str, Any]) -> None:
        """Takes the best weights over."""
        best = state["best"]
        self.best = None if best is None else Best(int(best["step"]), dict(best["figures"]), dict(best["weights"]))


class HeldOutExamples(Validation[PredictorModule, Figures]):
    """The validation part, scored whole.

    Args:
        part: Its examples.
        kind: Of their targets.
        frame: How they become rows.
        batch_size: Examples at once.
        both_strands: Whether the outputs of both strands are averaged.
        patience: Steps without a better validation after which training ends; None goes on.
    """

    def __init__(
        self, part: Part, kind: str, frame: RowFrame, *, batch_size: int, both_strands: bool, patience: int | None
    ) -> None:
        self.part, self.kind, self.frame, self.batch_size = part, kind, frame, batch_size
        self.both_strands, self.patience = both_strands, patience

    def score(self, module: PredictorModule) -> Figures:
        """Every metric of the averaged weights, in fp32; the best weights are kept."""
        predictor = module.network
        with module.ema.applied():
            predictor.eval()
            figures = measured(self.kind, self._predictions(predictor), self.part.targets)
            module.consider(figures)
            predictor.train()
        return figures

    def _predictions(self, predictor: Predictor) -> Any:  # noqa: ANN401 (an array)
        with torch.autocast(next(predictor.parameters()).device.type, enabled=False):
            return predictions(
                predictor, self.frame, self.part.codes, batch_size=self.batch_size, both_strands=self.both_strands
            )

    def figures(self, module: PredictorModule, scores: Figures) -> dict[str, float]:
        """The metric that the best weights are chosen by, where it is defined, and the loss."""
        shown = {f"valid_{name}": scores[name] for name in dict.fromkeys((module.metric, "loss"))}
        return {name: value for name, value in shown.items() if value is not None}

    def adapt(self, module: PredictorModule) -> None:
        """Changes nothing."""

    def enough(self, module: PredictorModule) -> bool:
        """Whether the best validation is ``patience`` steps ago."""
        return self.patience is not None and module.best is not None and module.step - module.best.step >= self.patience
