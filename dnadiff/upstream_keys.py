"""Command lines of MDLM and BD3-LM in dnadiff's words: their configuration keys, and what became of each.

Training commands translate, with the defaults of those repositories spelled out where dnadiff's differ (it starts from
presets for minutes on a CPU), so that the result trains what the original would have trained, on the same text or on a
genome. A key either
has a counterpart, or says nothing that is needed here (``LEFT_OUT``), or is refused by its name with the reason.
Scoring and sampling are verbs of their own; they are refused with the command to use instead.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from dnadiff.config import compose, groups, leaves
from dnadiff.errors import InputError, did_you_mean

TEXTS = {
    "openwebtext-split": {"data": "openwebtext", "tokenizer": "gpt2"},
    "lm1b": {"data": "lm1b", "tokenizer": "bert", "text.wrap": "false"},
    "lm1b-wrap": {"data": "lm1b", "tokenizer": "bert"},
    "wikitext103": {"data": "wikitext103", "tokenizer": "gpt2"},
    "text8": {"data": "text8", "tokenizer": "text8"},
}
"""The texts of those repositories, as dnadiff reads them."""

TEXT = f"no data that is read here; data={', '.join(TEXTS)} or data.path=genome.fa would work"

SAME = {
    "seed": "seed",
    "model.hidden_size": "model.hidden_size",
    "model.n_blocks": "model.n_blocks",
    "model.n_heads": "model.n_heads",
    "model.cond_dim": "model.cond_dim",
    "model.dropout": "model.dropout",
    "model.length": "model.length",
    "T": "algo.T",
    "subs_masking": "algo.subs_masking",
    "block_size": "block_size",
    "time_conditioning": "time_conditioning",
    "algo.time_conditioning": "time_conditioning",
    "data.wrap": "text.wrap",
    "data.insert_train_special": "text.window_ends",
    "training.importance_sampling": "algo.importance_sampling",
    "training.from_pretrained": "init_from",
    "training.ema": "optim.ema",
    "noise.sigma_min": "noise.sigma_min",
    "noise.sigma_max": "noise.sigma_max",
    "optim.lr": "optim.lr",
    "optim.eps": "optim.eps",
    "optim.weight_decay": "optim.weight_decay",
    "lr_scheduler.num_warmup_steps": "optim.warmup_steps",
    "lr_scheduler.warmup_t": "optim.warmup_steps",
    "lr_scheduler.lr_min": "optim.lr_min",
    "loader.global_batch_size": "optim.batch_size",
    "loader.num_workers": "data.workers",
    "trainer.accumulate_grad_batches": "optim.accumulate",
    "trainer.gradient_clip_val": "optim.clip",
    "trainer.max_steps": "train.steps",
    "trainer.val_check_interval": "train.val_every",
    "trainer.log_every_n_steps": "train.log_every",
    "callbacks.checkpoint_every_n_steps.every_n_train_steps": "train.checkpoint_every",
    "wandb.project": "wandb.project",
    "wandb.name": "wandb.name",
    "wandb.offline": "wandb.offline",
}
"""Keys whose values mean the same under another name."""

RENAMED = {
    "parameterization": ("algo", {"subs": "mdlm", "d3pm": "d3pm", "sedd": "sedd", "ar": "ar"}),
    "algo.parameterization": ("algo", {"subs": "mdlm", "d3pm": "d3pm", "sedd": "sedd", "ar": "ar"}),
    "algo": ("algo", {"mdlm": "mdlm", "sedd": "sedd", "ar": "ar", "bd3lm": "bd3lm"}),
    "model": ("model", {"small": "small", "medium": "medium", "small-ar": "small", "tiny": "tiny", "tiny-ar": "tiny"}),
    "noise": ("noise", {"loglinear": "loglinear", "linear": "linear", "geometric": "geometric", "cosine": "cosine",
                        "cosinesqr": "cosine_squared", "square": "square", "square_root": "square_root", "log": "log"}),
    "lr_scheduler": ("optim.schedule", {"constant_warmup": "constant", "cosine_decay_warmup": "cosine"}),
    "trainer.precision": ("precision", {"bf16": "bf16", "bf16-mixed": "bf16", "32": "fp32", "32-true": "fp32"}),
    "algo.clip_search_widths": ("algo.clip_search", {"[0.5,0.6,0.7,0.8,0.9]": "true", "[]": "false"}),
    "model.attn_backend": ("attention", {"sdpa": "sdpa", "flex": "flex", "flash_attn": "flash"}),
}  # fmt: skip
"""Keys with values of their own: dnadiff's key, and its value for each."""

LEFT_OUT: dict[str, tuple[tuple[str, ...], str]] = {
    "mode": (("train",), ""),
    "diffusion": (("absorbing_state",), ""),
    "backbone": (("dit", "ar"), ""),
    "algo.backbone": (("dit",), ""),
    "strategy": (("ddp",), "torchrun --nproc-per-node N -m dnadiff train ... uses several devices"),
    "trainer.devices": ((), "torchrun --nproc-per-node N -m dnadiff train ... uses several devices"),
    "trainer.num_nodes": ((), "torchrun --nnodes N -m dnadiff train ... uses several machines"),
    "trainer.accelerator": ((), "a GPU is used where there is one"),
    "loader.pin_memory": ((), ""),
    "loader.eval_batch_size": ((), ""),
    "loader.eval_global_batch_size": ((), ""),
    "training.antithetic_sampling": (("true",), ""),
    "training.sampling_eps": (("1e-3", "0.001"), ""),
    "training.change_of_variables": (("false",), ""),
    "training.resample": ((), "the number of masked bases is drawn itself, so it always lies in its range"),
    "training.eval_nll": ((), ""),
    "data.cache_dir": ((), "texts are kept in $DNADIFF_CACHE"),
    "data.insert_train_eos": (("true",), ""),
    "data.insert_valid_special": ((), "windows that are scored are cut like those that are trained on"),
    "algo.T": ((), "the count estimator has no steps"),
    "algo.sampler": ((), ""),
    "algo.ignore_bos": (("true",), ""),
    "algo.cross_attn": (("true",), ""),
    "model.scale_by_sigma": ((), ""),
    "model.tie_word_embeddings": (("false",), ""),
    "model.name": ((), ""),
    "model.type": (("ddit",), ""),
    "noise.type": ((), ""),
    "eval.generate_samples": ((), "dna-diff sample draws sequences when training is done"),
    "eval.compute_generative_perplexity": (
        (),
        "GPT-2 scores text; dna-diff compare --task text --judge RUN does with a model of its own",
    ),
    "sampling.steps": ((), "dna-diff sample takes --steps"),
    "sampling.predictor": ((), "dna-diff sample takes --sampler"),
    "sampling.num_sample_batches": ((), ""),
    "sampling.num_sample_log": ((), ""),
    "sampling.noise_removal": ((), ""),
    "checkpointing.save_dir": ((), "dna-diff train takes -o RUN"),
    "checkpointing.resume_from_ckpt": ((), "dna-diff train --resume RUN goes on with a run"),
    "hydra.run.dir": ((), "dna-diff train takes -o RUN"),
    "wandb.group": ((), ""),
    "wandb.job_type": ((), ""),
    "wandb.notes": ((), ""),
    "wandb.id": ((), ""),
    "wandb.tags": ((), ""),
}
"""Keys that need no counterpart: the values for which that is so (none: all of them), and what a person may want."""

REFUSED = {
    "mode=ppl_eval": "scoring is a verb of its own: dna-diff evaluate RUN",
    "mode=sample_eval": "sampling is a verb of its own: dna-diff convert CKPT -o MODEL, then dna-diff sample MODEL",
    "backbone=dimamba": "there is no such backbone here; backbone=dit would work",
    "backbone=hf_dit": "a published model is not trained further here; backbone=dit would work",
    "model=tiny-dimamba": "there is no such backbone here; model=tiny would work",
    "training.change_of_variables": "is noise=log_uniform here; training.change_of_variables=False would work",
    "data": TEXT,
    "strategy=fsdp": "shards the model; strategy=ddp would work",
}
"""Keys, or keys with a value, that dnadiff has nothing for, and why."""

DEFAULTS = {
    "model": "small",
    "model.dropout": "0.1",
    "optim": "adamw",
    "optim.batch_size": "512",
    "train.steps": "1000000",
    "train.minutes": "null",
    "train.val_every": "10000",
}
"""What those repositories do when nothing is said, where dnadiff does something else."""

TINY = {
    "mdlm": (512, 128),
    "bd3lm": (256, 64),
}  # width and conditioning of model=tiny, which the repositories disagree on


@dataclass
class _Translation:
    ours: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    betas: dict[str, str] = field(default_factory=dict)
    micro_batch: str = ""


def translate(words: list[str]) -> tuple[list[str], list[str]]:
    """The settings of ``dna-diff train`` that a training command of MDLM or BD3-LM amounts to, and notes on the rest.

    Args:
        words: The command, as one text or in words: ``python main.py model=small ...``; what stands before its first
            ``key=value`` and behind ``>`` is not looked at. Settings of dnadiff among them, such as
            ``data.path=genome.fa``, stay as they are.

    Raises:
        InputError: A key or value that has no counterpart, in one line that names it; or settings that do not fit
            together, as ``config.compose`` finds.
    """
    given = _given(words)
    block = any(key in given for key in ("algo", "block_size"))
    found = _Translation()
    for key in sorted(given, key=lambda key: (key != "mode", key != "data")):  # what most commands fail at comes first
        _one(key, given[key], found)
    _together(found, "bd3lm" if block else "mdlm")
    ours = [f"{key}={value}" for key, value in {**DEFAULTS, **found.ours}.items()]
    # a preset resets the keys of its section that stand before it
    ours.sort(key=lambda word: "." in word.partition("=")[0])
    compose(ours)
    return ours, list(dict.fromkeys(note for note in found.notes if note))


def _given(words: list[str]) -> dict[str, str]:
    """Key and value of every word that is one."""
    text = " ".join(words).replace("\\\n", " ")
    if "$" in text:
        raise InputError(f"{text[text.index('$') :].split()[0]}: is a variable of the shell; write its value")
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{text[:40]}...: cannot be split into words ({error}); close the quotation marks") from error
    settings = {}
    for part in parts[: parts.index(">")] if ">" in parts else parts:
        key, equals, value = part.lstrip("+").partition("=")
        if part.startswith("~"):
            raise InputError(f"{part}: removes a key; leave it out")
        if equals and not part.startswith("-"):
            settings[key] = value
    return settings


def _one(key: str, value: str, found: _Translation) -> None:
    """Adds what one setting amounts to."""
    word, low = f"{key}={value}", value.lower()
    if word in REFUSED:
        raise InputError(f"{word}: {REFUSED[word]}")
    if key == "data" and value in TEXTS:
        found.ours.update({"task": "text", "text.window_ends": "true", **TEXTS[value], **found.ours})
        if (wanted := TEXTS[value]["tokenizer"]) != "text8":
            found.notes.append(f"tokenizer={wanted}: reads a local folder, tokenizer.path=FOLDER")
    elif key == "data" and value in groups()["data"]:
        found.ours[key] = value
    elif key in LEFT_OUT and (low in LEFT_OUT[key][0] or not LEFT_OUT[key][0]):
        found.notes.append(f"{word}: {LEFT_OUT[key][1]}" if LEFT_OUT[key][1] else "")
    elif key in REFUSED:
        raise InputError(f"{word}: {REFUSED[key]}")
    elif key in LEFT_OUT:
        raise InputError(f"{word}: has no counterpart; {key}={' or '.join(LEFT_OUT[key][0])} would work")
    elif key in RENAMED:
        found.ours.update(_renamed(key, value))
    elif key == "wandb" and low == "null":
        found.ours["logger"] = "tensorboard"
    elif key in ("optim.beta1", "optim.beta2"):
        found.betas[key] = value
    elif key == "loader.batch_size":
        found.micro_batch = value
    elif key in SAME:
        found.ours[_known(SAME[key], word)] = low if low in ("true", "false", "null") else value
    elif key in leaves() or key in groups():
        found.ours[key] = value
    elif key.startswith("data."):
        raise InputError(f"{word}: {TEXT}")
    else:
        raise InputError(f"{word}: {did_you_mean(key, [*SAME, *RENAMED, *LEFT_OUT])}")


def _known(ours: str, word: str) -> str:
    """A key of dnadiff's, if this version has it."""
    if ours not in leaves():
        raise InputError(f"{word}: would be {ours}, which this version of dnadiff has not; leave it out")
    return ours


def _renamed(key: str, value: str) -> Mapping[str, str]:
    ours, values = RENAMED[key]
    if value not in values:
        raise InputError(f"{key}={value}: {did_you_mean(value, values)}")
    if ours in groups() and values[value] not in groups()[ours] and values[value] != "tiny":
        there = ", ".join(groups()[ours])
        raise InputError(f"{key}={value}: this version of dnadiff has no {ours}={values[value]}; there are {there}")
    return {ours: values[value]}


def _together(found: _Translation, repository: str) -> None:
    """What several settings amount to together."""
    ours = found.ours
    if ours.get("model") == "tiny":
        width, cond = TINY[repository]
        sizes = {"model.hidden_size": width, "model.n_blocks": 8, "model.n_heads": 8, "model.cond_dim": cond}
        found.ours = ours = {**{key: str(size) for key, size in sizes.items()}, **ours, "model": "small"}
    if found.betas:
        beta1, beta2 = found.betas.get("optim.beta1", "0.9"), found.betas.get("optim.beta2", "0.999")
        ours["optim.betas"] = f"[{beta1},{beta2}]"
    if found.micro_batch:
        total = ours.get("optim.batch_size", DEFAULTS["optim.batch_size"])
        if not (found.micro_batch.isdigit() and total.isdigit() and int(found.micro_batch)):
            raise InputError(f"loader.batch_size={found.micro_batch}: is no whole number of windows")
        ours.setdefault("optim.accumulate", str(max(1, int(total) // int(found.micro_batch))))
    if ours.get("algo") in ("ar", "mlm") and ours.pop("time_conditioning", None) == "true":
        found.notes.append(f"time_conditioning=true: algo={ours['algo']} has no noise level")
    timed = any(key.partition(".")[0] == "noise" for key in ours) or ours.get("algo.importance_sampling") == "true"
    if timed and ours.get("algo", "mdlm") == "mdlm" and ours.get("algo.T", "0") == "0":
        ours.setdefault("estimator", "time")
    if ours.get("init_from", "null") != "null":
        found.notes.append(f"init_from={ours['init_from']}: is a folder that dna-diff convert or train wrote")
    if ours.get("algo.clip_search") == "true":
        found.notes.append("algo.clip_search=true: ranges of masked bases; add estimator=time for ranges of times")
    if any(key.startswith("wandb.") for key in ours):
        ours.setdefault("logger", "wandb")
