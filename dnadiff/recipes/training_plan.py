"""What a training run is made of, and what it will cost, before it starts."""

import math
import os
import resource
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dnadiff.checkpoints.folder import build_objective
from dnadiff.data.dataset import Dataset
from dnadiff.data.tokenizer import TextTokenizer, Tokenizer, in_spec
from dnadiff.data.tokenizers import NUCLEOTIDES
from dnadiff.data.twice import Twice
from dnadiff.diffusion import AbsorbingProcess, CountSearch, Denoiser, NoiseSearch, Objective, PublishedSearch
from dnadiff.errors import InputError, ResourceError
from dnadiff.models.caduceus import Caduceus
from dnadiff.models.decoder import Stack
from dnadiff.models.dit import DiT
from dnadiff.random import Draws
from dnadiff.recipes.corpus import Corpus
from dnadiff.recipes.init_from import fresh, start_from
from dnadiff.recipes.methods import allowed_tokens, method_of, training_in_words
from dnadiff.recipes.network import backbone_section
from dnadiff.schema import Config
from dnadiff.training import ranks
from dnadiff.training.datamodule import micro_batch
from dnadiff.training.hardware import compiler, has_fast_bf16
from dnadiff.training.module import as_batch
from dnadiff.training.sharding import is_sharded, shard
from dnadiff.training.tracking import check_tracking
from dnadiff.training.validation import HeldOut

PAYS = 2000  # steps; on an H100 compiling took 35 to 50 s, and a step of the small presets 0.02 s without


@dataclass
class Plan:
    """The parts of a run and its measured cost.

    Attributes:
        spec: What the denoiser is built from.
        denoiser: With its initial weights.
        objective: What it is trained with.
        scoring: What it is validated with, as ``evaluate`` will score it.
        search: Chooses the noise levels it is trained on; None leaves them.
        train: Training windows.
        valid: Validation windows; None if the split has none.
        tokenizer: Numbers the tokens.
        unit: What a token is called.
        precision: ``fp32`` or ``bf16``.
        compiled: Whether the step is compiled.
        seconds: Measured seconds of one optimiser step, before compilation.
        memory: Measured peak memory of a step plus optimiser and average, bytes.
    """

    config: Config
    spec: dict[str, Any]
    denoiser: Denoiser
    objective: Objective
    scoring: Objective
    search: NoiseSearch | None
    train: Dataset
    valid: Dataset | None
    tokenizer: Tokenizer
    unit: str
    precision: str
    compiled: bool
    seconds: float = 0.0
    memory: int = 0

    def held_out(self) -> HeldOut | None:
        """What to validate on; None if the split holds nothing out."""
        optim, n = self.config.optim, self.config.train.val_windows
        size = micro_batch(optim.batch_size, optim.accumulate, ranks.world())
        return self.valid and HeldOut(self.valid, n, size, self.config.seed, self.scoring, self.search, token=self.unit)

    def report(self) -> str:
        """Some lines for people."""
        c, n = self.config, sum(p.numel() for p in self.denoiser.parameters())
        tokens = c.optim.batch_size * c.model.length
        valid = f"{len(self.valid):,}" if self.valid else "no"
        wide = f"{c.model.length:,} {'bp' if self.unit == 'base' else 'tokens'}"
        return "\n".join([
            f"windows      {wide}; {self.train.windows:,} for training, {valid} held out for validation",
            f"model        {n:,} parameters ({c.model.n_blocks} blocks of width {c.model.hidden_size})",
            *([f"begins with  {c.init_from}"] if c.init_from else []),
            f"objective    {training_in_words(c)}",
            *([f"classes      {', '.join(c.data.classes)} ({c.data.label}=)"] if c.data.classes else []),
            f"step         {tokens:,} {self.unit}s, {self.seconds:.2f} s in {self.precision}"
            f"{', to be compiled' if self.compiled else ''} ({tokens / self.seconds:,.0f} {self.unit}s/s measured)",
            f"length       {self._duration()}",
            f"memory       {self.memory / 2**30:.1f} GiB{self._processes()}",
            f"seed         {c.seed}",
        ])  # fmt: skip

    def _processes(self) -> str:
        weights = "share the weights" if self.config.train.parallel == "fsdp" else "have all weights each"
        return "" if ranks.world() == 1 else f" a process; {ranks.world()} {weights}"

    def _duration(self) -> str:
        steps, minutes, size = self.config.train.steps, self.config.train.minutes, self.config.optim.batch_size
        bounds = [60 * minutes] if minutes else []
        bounds += [steps * self.seconds] if steps else []
        seconds = min(bounds)
        epochs = seconds / self.seconds * size / len(self.train)
        named = ([f"{steps:,} steps"] if steps else []) + ([f"{minutes:g} minutes"] if minutes else [])
        return f"{' or '.join(named)}: about {seconds / 60:.1f} min, {epochs:.1f} times the training {self.unit}s"


def plan(config: Config, corpus: Corpus, *, begun: bool = False) -> Plan:
    """The parts of a run, built and tried on one micro-batch.

    Args:
        config: What to do.
        corpus: The data.
        begun: The weights will be those of a checkpoint, so ``config.init_from`` is not needed any more.

    Raises:
        InputError: A setting cannot be honoured here.
    """
    _check_memory(config)
    if config.logger == "wandb":
        check_tracking()
    spec = spec_of(config, corpus.tokenizer)
    denoiser = fresh(spec, config.seed)
    if config.init_from and not begun:
        start_from(config.init_from, denoiser, spec)
    _implement(denoiser, config)
    sharded = _shards(config.train.parallel)
    if sharded:
        shard(denoiser)
    valid, compiled = corpus.held_out("valid"), _compiled(config, sharded)
    job = Plan(
        config=config,
        spec=spec,
        denoiser=denoiser,
        objective=build_objective(_here(method_of(config, corpus.tokenizer).training, compiled), denoiser.process),
        scoring=build_objective(spec["objective"], denoiser.process),
        search=_search(config, denoiser.process, valid),
        train=Twice(corpus.training()) if config.algo.complementary else corpus.training(),
        valid=valid,
        tokenizer=corpus.tokenizer,
        unit=corpus.unit,
        precision=precision_of(config.precision),
        compiled=compiled,
    )
    _measure(job)
    return job


def spec_of(config: Config, tokenizer: Tokenizer = NUCLEOTIDES) -> dict[str, Any]:
    """The spec of the model a configuration describes.

    Args:
        config: What to do.
        tokenizer: Numbers the tokens.
    """
    model, method, text = config.model, method_of(config, tokenizer), config.text
    cut = {"text": {"wrap": text.wrap, "window_ends": text.window_ends}} if isinstance(tokenizer, TextTokenizer) else {}
    return {
        "format": 1,
        "algo": config.algo.name,
        "length": model.length,
        "bos": config.data.bos,
        "time_conditioning": config.time_conditioning,
        **({"shift": True} if config.algo.shift else {}),
        "tokenizer": in_spec(tokenizer),
        **cut,
        **_given(config),
        "backbone": backbone_section(model, len(config.data.classes), tokenizer),
        **({"classes": config.data.classes, "label": config.data.label} if config.data.classes else {}),
        "parameterization": {
            **method.parameterization, "mask_id": tokenizer.mask_id, "allowed": allowed_tokens(config, tokenizer)
        },
        "process": {**method.process, "schedule": {"name": config.noise.name, **config.noise.arguments}},
        "objective": method.scoring or method.training,
        **({"block_size": config.block_size} if config.block_size else {}),
    }  # fmt: skip


def _here(training: dict[str, Any], compiled: bool) -> dict[str, Any]:
    """The training objective as it is fastest here: on a CPU, uncompiled, only masked tokens pass the last layer."""
    alone = training["name"] in ("masked_nelbo", "masked_lm") and ranks.device() == "cpu" and not compiled
    return {**training, "only_masked": True} if alone else training


def _given(config: Config) -> dict[str, Any]:
    """What a spec says of what is given besides [BOS]: the sources of pairs, or beginnings of windows."""
    if config.data.pairs:
        return {"pairs": {"source_length": config.data.source_length}}
    return {"prefix": True} if config.algo.prefix else {}


def _measure(job: Plan) -> None:
    """Times one micro-batch forward and backward where it will run, and notes its memory; the weights stay the same."""
    optim, device = job.config.optim, ranks.device()
    size = micro_batch(optim.batch_size, optim.accumulate, ranks.world())
    rows = {name: torch.from_numpy(array).to(device) for name, array in job.train.__getitems__(range(size)).items()}
    batch = as_batch(rows)
    bf16 = job.precision == "bf16"
    denoiser = job.denoiser.to(device)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bf16):
            loss = job.objective.for_step(0, 0)(denoiser, batch, Draws(0, np.arange(size)))
        loss.mean.backward()
        value = float(loss.mean.detach())  # waits for the device
        seconds.append(time.perf_counter() - start)
    denoiser.zero_grad(set_to_none=True)
    sharded = is_sharded(denoiser)
    n = sum(p.numel() for p in denoiser.parameters()) // (ranks.world() if sharded else 1)
    if not sharded:  # slices stay where they are
        denoiser.to("cpu")
    used = torch.cuda.max_memory_allocated(device) if device != "cpu" else _resident()
    job.seconds, job.memory = min(seconds) * optim.accumulate, used + 4 * 4 * n  # moments, average, its backup
    if not math.isfinite(value):
        raise InputError("the untrained model has no finite loss; a smaller model.hidden_size would work")


def _check_memory(config: Config) -> None:
    """Refuses at once what this machine could not hold at the very least; what passes is measured.

    A step keeps weights, gradients, a moment and the average, and one activation of every block for every token.

    Raises:
        ResourceError: It needs more than there is.
    """
    model, optim, world = config.model, config.optim, ranks.world()
    tokens = micro_batch(optim.batch_size, optim.accumulate, world) * model.length * (2 if model.rc else 1)
    weights = (6 if model.backbone == "caduceus" else 12) * model.hidden_size**2 * model.n_blocks
    needed = 4 * 4 * weights // world + 2 * tokens * model.hidden_size * model.n_blocks
    device = ranks.device()
    there = torch.cuda.get_device_properties(device).total_memory if device != "cpu" else _installed()
    if needed > there:
        raise ResourceError(
            f"a step of {tokens:,} tokens: needs {needed / 2**30:,.0f} GiB of memory or more and there are "
            f"{there / 2**30:,.0f}; a smaller model, model.length or optim.batch_size, or more optim.accumulate, works"
        )


def _installed() -> int:
    """Memory of the machine, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _resident() -> int:
    """The most memory this process has used so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _search(config: Config, process: AbsorbingProcess, valid: Dataset | None) -> NoiseSearch | None:
    if not config.algo.clip_search:
        return None
    if valid is None:
        raise InputError("algo.clip_search=true: measures validation windows and the split has none; leave it out")
    return (CountSearch if config.estimator == "count" else PublishedSearch)(process, config.block_size)


def _implement(denoiser: Denoiser, config: Config) -> None:
    """Chooses the implementation of attention or of the scan, wherever the network is."""
    wanted, bf16 = config.attention, precision_of(config.precision) == "bf16" and has_fast_bf16()
    auto = "products" if bf16 and ranks.device() == "cpu" else "sdpa"
    if wanted in ("flash", "flex") and not torch.cuda.is_available():
        raise InputError(f"attention={wanted}: trains on GPUs only and there is none; attention=sdpa works")
    if config.scan == "mamba_ssm" and not torch.cuda.is_available():
        raise InputError("scan=mamba_ssm: runs on GPUs only and there is none; scan=torch works")
    for module in denoiser.modules():
        if isinstance(module, DiT | Stack):
            module.attention = auto if wanted == "auto" else wanted
        elif isinstance(module, Caduceus):
            module.scan = "torch" if config.scan == "auto" else config.scan


def precision_of(wanted: str) -> str:
    """``fp32`` or ``bf16``: what ``auto`` is here, or what is wanted."""
    return ("bf16" if has_fast_bf16() else "fp32") if wanted == "auto" else wanted


def _shards(parallel: str) -> bool:
    if parallel == "fsdp" and ranks.world() == 1:
        raise InputError(
            "train.parallel=fsdp: shares the weights out over processes and there is one; torchrun or ddp would work"
        )
    return parallel == "fsdp"


def _compiled(config: Config, sharded: bool) -> bool:
    wanted, steps, gpu = config.compile, config.train.steps, torch.cuda.is_available()
    if wanted == "true" and not gpu and compiler() is None:
        raise InputError("compile=true: no C++ compiler was found; install g++ or leave it out")
    return wanted == "true" or (wanted == "auto" and gpu and not sharded and (steps is None or steps >= PAYS))
