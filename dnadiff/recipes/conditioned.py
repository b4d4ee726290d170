"""A model as the settings of generating want it: of one class, guided towards it by itself or by a classifier."""

from dataclasses import replace
from pathlib import Path

from dnadiff.checkpoints.class_guide import class_guide
from dnadiff.checkpoints.folder import model_hash
from dnadiff.checkpoints.predictor import load_predictor
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.diffusion import Subs, classifier_guided, of_class
from dnadiff.errors import InputError, did_you_mean
from dnadiff.recipes.model import Model
from dnadiff.recipes.walk import MASKED, Walk


def conditioned(model: Model, walk: Walk) -> Model:
    """The model as the settings want it: of one class, guided towards it, or as it is.

    Raises:
        InputError: The model or the classifier does not know the class, guidance has no class to lead to, or the
            classifier cannot guide this model.
    """
    if walk.classifier is not None:
        return _led(model, walk, walk.classifier)
    if walk.classifier_steps is not None:
        raise InputError(f"--classifier-steps {walk.classifier_steps}: needs --classifier; leave it out")
    if walk.label is None:
        if walk.guidance is not None:
            raise InputError(f"--guidance {walk.guidance:g}: leads towards a class; give --label NAME too")
        return model
    if not model.classes:
        raise InputError(
            f"--label {walk.label}: the model was trained without classes; leave it out, or give a --classifier"
        )
    if walk.label not in model.classes:
        raise InputError(f"--label {walk.label}: {did_you_mean(walk.label, model.classes)}")
    label = model.classes.index(walk.label)
    denoiser = of_class(model.denoiser, label, len(model.classes), walk.guidance)
    guided = "" if walk.guidance is None else f" guidance={walk.guidance:g}"
    return replace(model, denoiser=denoiser.eval(), name=f"{model.name} label={walk.label}{guided}")


def check_length(model: Model, bases: int, stride: int | None = None) -> None:
    """Nothing if sequences of so many bases can be generated, by a window that slides if there is a stride.

    Raises:
        InputError: They are longer than what the classifier that guides the model reads, or than the positions that
            the network has learned.
    """
    if stride is None and model.positions is not None and bases > model.positions - model.bos:
        most = f"{model.positions - model.bos:,}, the most that it has learned the positions of"
        raise InputError(f"{model.name}: found sequences of {bases:,}; {most}, would work")
    if model.judged is not None and bases > model.judged:
        raise InputError(
            f"--classifier: found sequences of {bases:,} bases; {model.judged:,}, the most that it reads, would work"
        )


def hashes(run: str | Path, walk: Walk) -> dict[str, str]:
    """SHA-256 of the weights that take part, by folder: the model's and, if there is one, the classifier's."""
    return {str(folder): model_hash(folder) for folder in (run, walk.classifier) if folder is not None}


def _led(model: Model, walk: Walk, folder: str) -> Model:
    """The model led by a classifier to one of its classes."""
    if walk.label is None:
        raise InputError(f"--classifier {folder}: leads towards a class; give --label NAME too")
    found = "one of blocks" if model.block_size is not None else type(model.denoiser.parameterization).__name__
    if model.block_size is not None or not isinstance(model.denoiser.parameterization, Subs):
        raise InputError(f"--classifier {folder}: guides whole sequences; found {found}, {MASKED} would work")
    if not isinstance(model.tokenizer, NucleotideTokenizer):
        raise InputError(f"--classifier {folder}: judges nucleotides, and this is a model of text; leave it out")
    if walk.stride is not None:
        raise InputError(f"--stride {walk.stride}: a classifier reads whole sequences; leave it out")
    classifier = load_predictor(folder)
    classifier.predictor.to(next(model.denoiser.parameters()).device)
    gamma, steps = 1.0 if walk.guidance is None else walk.guidance, walk.classifier_steps or "exact"
    try:
        guide = class_guide(classifier, walk.label, lead=int(model.bos))
    except InputError as error:
        raise InputError(f"--classifier {folder}: {error}") from error
    denoiser = classifier_guided(model.denoiser, guide, gamma, steps=steps).eval()
    told = f"label={walk.label} guidance={gamma:g} classifier={model_hash(folder)[:8]} classifier-steps={steps}"
    return replace(model, denoiser=denoiser, name=f"{model.name} {told}", judged=classifier.frame.bases)
