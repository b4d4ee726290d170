r"""Model folders: a trained denoiser as plain files.

    model.safetensors   weights of the backbone, under the backbone's parameter names
    config.json         the *spec*: plain JSON from which the denoiser is built
    tokenizer.json      how letters are numbered
    provenance.json     how the weights came about
    README.md           the same for people
    MANIFEST.sha256     SHA-256 of all of these

A run folder holds one as ``model/``. Nothing in a folder is ever executed: names in the spec are keys of closed tables,
weights are safetensors, and sizes are compared before anything is allocated. A spec with a ``head`` belongs to a
fine-tuned model, which predicts something about a sequence and is no denoiser.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.card import card
from dnadiff.checkpoints.checks import Shapes, check_arguments, check_head, check_sizes
from dnadiff.data import atomic
from dnadiff.data.plain_json import read_json
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer
from dnadiff.data.tokenizers import NucleotideTokenizer, tokenizer_from_json
from dnadiff.diffusion.adaptation import AlsoNextToken, GrowingBlocks, OpeningAttention
from dnadiff.diffusion.block_objective import BlockNELBO, MixedBlockNELBO
from dnadiff.diffusion.denoiser import Denoiser
from dnadiff.diffusion.discrete_objective import DiscreteNELBO
from dnadiff.diffusion.masked_lm import MaskedLM
from dnadiff.diffusion.next_token_objective import NextTokenNLL
from dnadiff.diffusion.objective import MaskedNELBO, Objective
from dnadiff.diffusion.parameterization import D3PM, NextToken, Revise, Sedd, Subs
from dnadiff.diffusion.process import AbsorbingProcess, Process, UniformProcess
from dnadiff.diffusion.schedule import SCHEDULES
from dnadiff.diffusion.score_objective import ScoreEntropy
from dnadiff.diffusion.sundae import Sundae
from dnadiff.diffusion.uniform_objective import UniformNELBO
from dnadiff.errors import InputError, ResourceError, did_you_mean
from dnadiff.models.caduceus import Caduceus
from dnadiff.models.decoder import GPT2, Llama
from dnadiff.models.dit import DiT
from dnadiff.models.encoder import Bert
from dnadiff.models.rc import ReverseComplement

FORMAT = 1
_AGAIN = "copy or download it again"
BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "dit": DiT, "caduceus": Caduceus, "llama": Llama, "gpt2": GPT2, "bert": Bert
}  # fmt: skip
PARAMETERIZATIONS = {"subs": Subs, "d3pm": D3PM, "sedd": Sedd, "next_token": NextToken, "revise": Revise}
PROCESSES = {"absorbing": AbsorbingProcess, "uniform": UniformProcess}
OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "masked_nelbo": MaskedNELBO,
    "block_nelbo": BlockNELBO,
    "mixed_block_nelbo": MixedBlockNELBO,
    "discrete_nelbo": DiscreteNELBO,
    "score_entropy": ScoreEntropy,
    "uniform_nelbo": UniformNELBO,
    "next_token_nll": lambda process: NextTokenNLL(),
    "masked_lm": MaskedLM,
    "growing_blocks": GrowingBlocks,
    "opening_attention": OpeningAttention,
    "sundae": Sundae,
}
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"

Spec = Mapping[str, Any]


def build_denoiser(spec: Spec) -> Denoiser:
    """The denoiser a spec describes, with fresh weights.

    Args:
        spec: ``backbone``, ``parameterization`` and ``process`` with the constructor arguments of what they name, and
            ``time_conditioning``. ``objective`` says what the model is scored with, see ``build_objective``; ``shift``
            that the network speaks of the token after each position, which needs windows that begin with [BOS].

    Raises:
        InputError: Something is missing, unknown, or does not fit.
    """
    parameterization = made(PARAMETERIZATIONS, section_of(spec, "parameterization"), "parameterization")
    process = section_of(spec, "process")
    schedule = made(SCHEDULES, section_of(process, "schedule"), "process.schedule")
    process = made(PROCESSES, {**process, "schedule": schedule, "mask_id": parameterization.mask_id}, "process")
    backbone = build_backbone(spec)
    if max(*parameterization.allowed, parameterization.mask_id) >= backbone.vocab_size:
        raise InputError(f"parameterization.allowed: ids must lie below backbone.vocab_size={backbone.vocab_size}")
    classes = spec.get("classes", [])
    if classes and len(classes) != backbone.n_classes:
        raise InputError(f"classes: found {len(classes)} names; backbone.n_classes={backbone.n_classes} would work")
    conditioned, shift = (bool(spec.get(key, False)) for key in ("time_conditioning", "shift"))
    if shift and not spec.get("bos", False):
        raise InputError(
            "shift=true: says nothing of the first token of a window; bos=true, which gives it, would work"
        )
    return Denoiser(backbone, parameterization, process, time_conditioning=conditioned, shift=shift)


def build_backbone(spec: Spec) -> nn.Module:
    """The network of a spec, with fresh weights.

    Args:
        spec: ``backbone`` names it and holds its constructor arguments. With ``rc``, the id of the token that pairs
            with each token, it answers for both strands, so its windows cannot begin with [BOS] (``bos``).

    Raises:
        InputError: Something is missing, unknown, or does not fit.
    """
    section = section_of(spec, "backbone")
    backbone = made(BACKBONES, {key: value for key, value in section.items() if key != "rc"}, "backbone")
    if "rc" not in section:
        return backbone
    if spec.get("bos", False):
        raise InputError("bos=true: begins one strand and not the other; a model of both (backbone.rc) has none")
    arguments = {"name": "rc", "backbone": backbone, "complement": section["rc"]}
    return made({"rc": ReverseComplement}, arguments, "backbone.rc")


def build_objective(section: Spec, process: Process) -> Objective:
    """The objective that a section of plain JSON names, such as a spec's ``objective``: what the model is scored with.

    Args:
        section: ``name`` and the constructor arguments of what it names; ``ar_weight`` adds the autoregressive loss.
        process: The denoiser's.

    Raises:
        InputError: Something is missing, unknown, or does not fit.
    """
    named = {key: value for key, value in section.items() if key != "ar_weight"}
    objective = made(OBJECTIVES, {**named, "process": process}, "objective")
    return AlsoNextToken(objective, section["ar_weight"]) if "ar_weight" in section else objective


def scoring_section(spec: Spec) -> Spec:
    """What a spec says its model is scored with; the count estimator for specs of masked diffusion that do not."""
    return spec.get("objective", {"name": "masked_nelbo", "estimator": "count"})


def save_model(
    folder: Path, denoiser: Denoiser, tokenizer: Tokenizer, spec: Spec, provenance: Mapping[str, Any]
) -> None:
    """Writes a model folder, whole or not at all; one that is already there is replaced.

    Args:
        folder: Where to.
        denoiser: Its backbone's weights are stored as float32.
        tokenizer: How letters are numbered.
        spec: What ``build_denoiser`` makes this denoiser from.
        provenance: How the weights came about, plain JSON values; the model card lists them.

    Raises:
        InputError: The weights are not what the spec describes, or the folder cannot be written to.
        ResourceError: The disk is full.
    """
    count = sum(value.numel() for value in denoiser.backbone.state_dict().values())
    kinds = ((NucleotideTokenizer, "dna"), (TextTokenizer, "text"))
    tokens = next((name for kind, name in kinds if isinstance(tokenizer, kind)), "ids")
    text = card(spec, provenance, count, tokens=tokens)
    write_model(Path(folder), denoiser.backbone, tokenizer, spec, provenance, text, backbone_of)


def write_model(
    folder: Path, module: nn.Module, tokenizer: Tokenizer, spec: Spec, provenance: Mapping[str, Any], text: str,
    build: Callable[[Spec], nn.Module],
) -> None:  # fmt: skip
    """Writes the folder of any module, whole or not at all; one that is already there is replaced.

    Args:
        folder: Where to.
        module: Its weights are stored as float32.
        tokenizer: How letters are numbered.
        spec: What ``build`` makes this module from.
        provenance: How the weights came about.
        text: The model card.
        build: The module of a spec, with fresh weights.

    Raises:
        InputError: The weights are not what the spec describes, or the folder cannot be written to.
        ResourceError: The disk is full.
    """
    weights = {
        name: value.detach().to("cpu", torch.float32).contiguous() for name, value in module.state_dict().items()
    }
    shapes = {name: (tuple(value.shape), "F32") for name, value in weights.items()}
    check_weights(shapes, spec, folder / WEIGHTS, build)
    with atomic.lock(folder), atomic.new_folder(folder, replace=True) as new:
        try:
            save_file(weights, new / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:  # the names were checked above, so it is the disk
            raise ResourceError(f"{folder}: cannot be written ({error}); free some space or write elsewhere") from error
        texts = {
            CONFIG: _json({**spec, "format": FORMAT}),
            TOKENIZER: _json(tokenizer.to_json()),
            "provenance.json": _json(provenance),
            "README.md": text,
        }
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8")
        (new / manifest.NAME).write_text(manifest.manifest_of(new), encoding="utf-8")
        for path in new.iterdir():
            atomic.sync(path)


def load(path: str | Path) -> Denoiser:
    """The denoiser of a model folder or a run folder, on the CPU, in evaluation mode.

    Raises:
        InputError: There is no model, it is damaged, or it is something else than a denoiser.
    """
    folder = model_folder(path)
    manifest.verify(folder, (CONFIG, WEIGHTS, TOKENIZER))
    spec = _read_spec(folder)
    check_weights(weight_shapes(folder / WEIGHTS), spec, folder / WEIGHTS)
    denoiser = build_denoiser(spec)
    denoiser.backbone.load_state_dict(load_file(folder / WEIGHTS))
    return denoiser.eval()


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a model folder or a run folder.

    Raises:
        InputError: There is none, it is damaged, or this version does not know it.
    """
    folder = model_folder(path)
    manifest.verify(folder, (TOKENIZER,))
    values = read_json(folder / TOKENIZER, _AGAIN)
    try:
        return tokenizer_from_json(values)
    except InputError as error:
        raise InputError(f"{folder / TOKENIZER}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / TOKENIZER}: describes no tokenizer ({error}); {_AGAIN}") from error


def read_spec(path: str | Path) -> dict[str, Any]:
    """The spec of a model folder or a run folder.

    Raises:
        InputError: There is none, or it is damaged or of another version.
    """
    folder = model_folder(path)
    manifest.verify(folder, (CONFIG,))
    return _read_spec(folder)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """How the weights of a model folder or a run folder came about.

    Raises:
        InputError: It is missing or damaged.
    """
    folder = model_folder(path)
    manifest.verify(folder, ("provenance.json",))
    return read_json(folder / "provenance.json", _AGAIN)


def model_hash(path: str | Path) -> str:
    """The SHA-256 of the weights of a model folder or a run folder, as its manifest has it."""
    return manifest.read_manifest(model_folder(path))[WEIGHTS]


def model_folder(path: str | Path) -> Path:
    """The model folder that is at ``path`` or, if that is a run folder, in it.

    Raises:
        InputError: Neither is the case.
    """
    path = Path(path)
    if (path / "model").is_dir():
        return path / "model"
    if (path / WEIGHTS).exists() or (path / manifest.NAME).exists():
        return path
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; a run folder or a model folder would work")
    if (path / "checkpoints").is_dir():
        raise InputError(f"{path}: this run has not published a model yet; let it reach its first checkpoint")
    raise InputError(f"{path}: holds neither {WEIGHTS} nor model/; a run folder or a model folder would work")


def any_spec(folder: Path) -> dict[str, Any]:
    """The spec of a model folder, that of a denoiser or of a fine-tuned model.

    Raises:
        InputError: It is damaged or of another version.
    """
    spec = read_json(folder / CONFIG, _AGAIN)
    if spec.get("format") != FORMAT:
        raise InputError(
            f"{folder / CONFIG}: found format {spec.get('format')!r}; this version of dnadiff reads {FORMAT}"
        )
    check_head(spec, str(folder / CONFIG))
    return spec


def _read_spec(folder: Path) -> dict[str, Any]:
    spec = any_spec(folder)
    if "head" in spec:
        raise InputError(
            f"{folder}: is a fine-tuned model, not a denoiser; dna-diff predict, or dnadiff.load_predictor, would work"
        )
    return spec


def backbone_of(spec: Spec) -> nn.Module:
    """The backbone of the denoiser a spec describes, with fresh weights.

    Raises:
        InputError: Something is missing, unknown, or does not fit.
    """
    return build_denoiser(spec).backbone


def check_weights(found: Shapes, spec: Spec, path: Path, build: Callable[[Spec], nn.Module] = backbone_of) -> None:
    """Compares weights with what a spec asks for, without allocating any.

    Args:
        found: Shape and type (as safetensors writes it) of each by name.
        spec: What they should be the weights of.
        path: Where they came from, for messages.
        build: The module of a spec.

    Raises:
        InputError: The spec describes no model, or a weight is missing, unexpected, or of another shape or type; named.
    """
    check_sizes(found, section_of(spec, "backbone"), str(path.with_name(CONFIG)))
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in build(spec).state_dict().items()}
    except InputError as error:
        raise InputError(f"{path.with_name(CONFIG)}: {error}") from error
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path.with_name(CONFIG)}: describes no model ({reason}); {_AGAIN}") from error
    if missing := sorted(wanted.keys() - found.keys()):
        raise InputError(f"{path}: lacks {missing[0]} ({len(missing)} missing); those of this {CONFIG} would work")
    if unexpected := sorted(found.keys() - wanted.keys()):
        raise InputError(f"{path}: has {unexpected[0]} ({len(unexpected)} too many); those of this {CONFIG} would work")
    for name, (shape, dtype) in found.items():
        if shape != wanted[name] or dtype != "F32":
            raise InputError(f"{path}: {name} is {dtype} {list(shape)}; F32 {list(wanted[name])} would work")


def weight_shapes(path: Path) -> Shapes:
    """Shape and type of each tensor of a safetensors file.

    Raises:
        InputError: It is none.
    """
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except SafetensorError as error:
        raise InputError(f"{path}: is no safetensors file ({error}); copy or download it again") from error


def section_of(spec: Spec, name: str) -> Spec:
    """A section of a spec.

    Raises:
        InputError: There is none.
    """
    section = spec.get(name)
    if not isinstance(section, Mapping):
        raise InputError(f"{name}: found {section!r} in the spec; an object with a name would work")
    return section


def made(table: Mapping[str, Callable[..., Any]], section: Spec, where: str) -> Any:  # noqa: ANN401
    """What a section of a spec names, from its other keys.

    Args:
        table: What there is, by name.
        section: ``name`` and constructor arguments.
        where: What the section is called, for messages.

    Raises:
        InputError: There is no such name, or the arguments do not fit.
    """
    name = section.get("name")
    if name not in table:
        raise InputError(f"{where}.name={name}: {did_you_mean(str(name), table)}")
    arguments = {key: value for key, value in section.items() if key != "name"}
    check_arguments(table[name], arguments, where)
    try:
        return table[name](**arguments)
    except TypeError as error:
        raise InputError(f"{where}={name}: {error}; the spec of another version does not work here") from error


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"
