"""What an autoregressive start is worth: on E. coli, on stories of a language model, and in seconds of sampling.

    python -m benchmarks.adapt dna --work DIR [--steps 1600]
    python -m benchmarks.adapt stories --work DIR --model stories260K.bin --tokenizer tok512.bin [--steps 100 300 1000]
    python -m benchmarks.adapt speed [--tokens 500 4000]

- dna: one network, ``--steps`` steps of 2,048 bases in all. Half of them from left to right and the other half as a
  model of blocks or of masked diffusion, against both from nothing and against autoregression alone; test bits per
  base with the standard error over windows. A step of blocks reads each window twice.
- stories: the texts are written by the language model itself (cached, its own distribution), 2,000 of them, the last
  tenth held out, so that there is a known floor: what the model pays for its own words. It becomes a model of blocks of
  8 in N steps, against the same network from nothing in N steps. The judge is the language model again: its perplexity
  of what each writes beside that of its own stories.
- speed: the same untrained Llama writes as many tokens in 10 steps of masked diffusion over the whole sequence, in
  blocks of 16 of 10 steps each, and one by one with a cache. Processor seconds of one
  thread.

Runs are kept in DIR and not repeated; figures go to ``results/adapt_*.json``.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dnadiff.config import compose
from dnadiff.diffusion import (
    AbsorbingProcess,
    Ancestral,
    Autoregressive,
    BlockSampler,
    Denoiser,
    LogLinear,
    NextToken,
    Subs,
)
from dnadiff.models.decoder import Llama
from dnadiff.random import Draws
from dnadiff.recipes.adapt import adapt, adapted
from dnadiff.recipes.convert import convert
from dnadiff.recipes.evaluate import evaluate
from dnadiff.recipes.sample import sample
from dnadiff.recipes.train import train
from dnadiff.recipes.walk import Walk

HERE = Path(__file__).parent
ECOLI = HERE.parent / "data" / "ecoli_k12_mg1655.fa.gz"
OPTIM = ["optim=short", "optim.schedule=cosine", "optim.lr_min=5e-5", "optim.batch_size=8"]
PACE = ["train.val_every=400", "train.log_every=50", "train.checkpoint_every=10000"]
NETWORK = ["data=ecoli", "model=nano", "model.stem=0", "data.bos=true", "data.windows=random", "train.minutes=null"]
SCRATCH = {"AR": ["algo=ar"], "blocks of 16": ["algo=bd3lm", "block_size=16"], "MDLM": ["algo=mdlm"]}
FROM_AR = {  # name: target, settings
    "AR, then blocks of 16": ("bd3lm", []),
    "AR, then blocks of 16, no shift": ("bd3lm", ["algo.shift=false"]),
    "AR, then blocks of 16, a tenth of the AR loss": ("bd3lm", ["algo.ar_weight=0.1"]),
    "AR, then MDLM": ("mdlm", []),
    "AR, then MDLM, no shift": ("mdlm", ["algo.shift=false"]),
}
STORIES, LENGTH, BLOCK = 2000, 256, 8


def dna(work: Path, steps: int) -> dict[str, dict]:
    """Test bits per base of every side."""
    rows = {}
    for name, settings in SCRATCH.items():
        run = work / name.replace(" ", "_")
        _trained(run, [*settings, *NETWORK, *OPTIM, *PACE, f"train.steps={steps}"])
        rows[name] = _scored(run)
        print(name, rows[name], flush=True)
    half = work / "half"
    _trained(half, ["algo=ar", *NETWORK, *OPTIM, *PACE, f"train.steps={steps // 2}"])
    for name, (to, settings) in FROM_AR.items():
        run, size = work / name.replace(", ", "-").replace(" ", "_"), 16 if to == "bd3lm" else None
        if not (run / "adapt.json").exists():
            override = [*OPTIM, "optim.lr=2.5e-3", *PACE, *settings]
            adapt(
                str(half),
                to,
                steps - steps // 2,
                None,
                str(run),
                block_size=size,
                overrides=override,
                seed=1,
                quiet=True,
            )
        held_out = json.loads((run / "adapt.json").read_text())["held_out"]
        rows[name] = _scored(run) | {"held_out": held_out}
        print(name, rows[name], flush=True)
    return rows


def stories(work: Path, model: str, tokenizer: str, numbers: list[int]) -> dict[str, dict]:
    """Held-out bits per token and the judge's perplexity after N steps, from the language model and from nothing."""
    source, texts = work / "source", work / "stories.jsonl"
    if not source.exists():
        convert(model, str(source), tokenizer=tokenizer, quiet=True)
    if not texts.exists():
        sample(source, texts, n=STORIES, length=LENGTH - 1, walk=Walk(rows_per_call=64), seed=1, quiet=True)
    rows = {}
    for steps in numbers:
        run, settings = work / f"adapted-{steps}", ["data.valid_fraction=0.1", "data.test_fraction=0", *PACE]
        settings += ["optim.batch_size=16", f"model.length={LENGTH}"]
        if not (run / "adapt.json").exists():
            adapt(
                str(source),
                "bd3lm",
                steps,
                str(texts),
                str(run),
                block_size=BLOCK,
                overrides=settings,
                seed=1,
                quiet=True,
            )
        fresh = work / f"fresh-{steps}"
        if not (fresh / "model").exists():
            config = adapted(str(source), "bd3lm", steps, BLOCK, [*settings, "algo.shift=false", "algo.grow=0"], 1)
            train(replace(config, init_from=None), str(texts), str(fresh), quiet=True)
        for name, folder in (("adapted", run), ("from nothing", fresh)):
            rows[f"{name}, {steps} steps"] = _text_figures(folder, source)
        rows[f"adapted, {steps} steps"]["held_out"] = json.loads((run / "adapt.json").read_text())["held_out"]
        print(json.dumps({key: row for key, row in rows.items() if f" {steps} " in key}), flush=True)
    rows["the language model's own stories"] = {"judge": _judged(source, texts)}
    return rows


def speed(tokens: list[int], hidden: int, blocks: int) -> dict[str, dict]:
    """Processor seconds of writing so many tokens, three ways."""
    vocabulary, mask = 513, 512
    torch.manual_seed(0)
    network = Llama(vocabulary, hidden, blocks, hidden // 32).eval()
    process, allowed = AbsorbingProcess(LogLinear(1e-3), mask), tuple(range(mask))
    diffusion = Denoiser(network, Subs(mask, allowed), process, shift=True).eval()
    left_to_right = Denoiser(network, NextToken(mask, allowed), process).eval()
    ways = {
        "10 steps over the whole sequence": Ancestral(diffusion, 10),
        "blocks of 16, 10 steps each": BlockSampler(Ancestral(diffusion, 10), 16),
        "one by one, cached": Autoregressive(left_to_right),
    }
    rows: dict[str, dict] = {}
    for name, sampler in ways.items():
        rows[name] = {}
        for n in tokens:
            x = torch.full((1, n + 1), mask)
            x[:, 0] = 1
            began = time.process_time()
            sampler(x, Draws(1, np.arange(1)))
            rows[name][str(n)] = time.process_time() - began
            print(f"{name:34}{n:6} tokens  {rows[name][str(n)]:8.2f} s", flush=True)
    return rows


def _trained(run: Path, overrides: list[str]) -> None:
    """Trains a run that is not there yet."""
    if not (run / "model").exists():
        train(compose([*overrides, "seed=1"]), str(ECOLI), str(run), quiet=True)


def _scored(run: Path) -> dict:
    exact = json.loads((run / "config.json").read_text())["algo"]["name"] == "ar"
    if not (run / "test.json").exists():
        evaluate(str(run), out=str(run / "test.json"), samples=1 if exact else 4, seed=1, quiet=True)
    row = json.loads((run / "test.json").read_text())["rows"][0]
    return {key: row[key] for key in ("bits_per_base", "standard_error", "monte_carlo_error")}


def _text_figures(run: Path, judge: Path) -> dict:
    written = run / "samples.jsonl"
    if not written.exists():
        sample(run, written, n=64, length=LENGTH - 1, walk=Walk(rows_per_call=64), seed=1, quiet=True)
    if not (run / "valid.json").exists():
        evaluate(str(run), out=str(run / "valid.json"), split="valid", samples=4, seed=1, quiet=True)
    return {"valid": json.loads((run / "valid.json").read_text())["rows"][0], "judge": _judged(judge, written)}


def _judged(judge: Path, texts: Path) -> dict:
    found = texts.with_suffix(".judged.json")
    if not found.exists():
        evaluate(str(judge), str(texts), out=str(found), quiet=True)
    row = json.loads(found.read_text())["rows"][0]
    return {key: row[key] for key in ("perplexity", "nats_per_token", "windows")}


def main() -> None:
    """Runs one of the three and writes its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("dna", "stories", "speed"))
    parser.add_argument("--work", type=Path, help="folder of runs, of dna and stories")
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("--model", help="a model.bin of llama2.c")
    parser.add_argument("--tokenizer", help="its tokenizer.bin")
    parser.add_argument("--tokens", type=int, nargs="+", default=[500, 4000])
    parser.add_argument("--hidden", type=int, default=256, help="width of the network of speed")
    parser.add_argument("--blocks", type=int, default=6, help="layers of the network of speed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.what == "speed":
        found = speed(args.tokens, args.hidden, args.blocks)
    else:
        args.work.mkdir(exist_ok=True, parents=True)
        if args.what == "dna":
            found = dna(args.work, (args.steps or [1600])[0])
        else:
            found = stories(args.work, args.model, args.tokenizer, args.steps or [100, 300, 1000])
    (HERE / "results" / f"adapt_{args.what}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
