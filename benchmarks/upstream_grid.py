"""The reference recipe at every point of the grid, side by side on one device, its time counted as that of a processor.

    python -m benchmarks.upstream_grid --work DIR --batch 8 --seconds-a-step 0.277 [--device cuda] [--minutes 90]
                                       [--lr ...] [--seeds 1 2 3] [-o benchmarks/results/upstream_grid.json]

``benchmarks/time_to_quality.py`` would train the reference for 36 hours of a processor: four rates, two batches and
three seeds of 90 minutes each. Its networks are small, so here all rates and seeds of a batch train together, each
parameter with a first dimension of runs (``torch.func.vmap``). A step computes what ``benchmarks/upstream.py`` does, in
float32; only the random numbers differ. A run ends after as many steps as --minutes hold of --seconds-a-step, which is
the least that a step of this batch took where the other side was timed; seconds are counted at that rate, none is
measured here. Scores are lines of DIR/upstream-lr-batch-seed.jsonl. The table shows all that DIR holds, so both batches
share one.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.time_to_quality import RATES, Run, equal_weights, lines_of, scores_of
from benchmarks.upstream import BASES, MASK, Upstream, loss_of, noised
from dnadiff.diffusion import AbsorbingProcess, Denoiser, LogLinear, Subs
from dnadiff.recipes.training_plan import spec_of


class Ensemble:
    """Networks of equal shape in training, one a run: flat weights, moments and averages (R, P).

    Args:
        members: The networks, as ``upstream.Upstream`` makes them.
        device: Where they train.
    """

    def __init__(self, members: list[Upstream], device: str) -> None:
        self.model = copy.deepcopy(members[0].model).to(device)
        self.shapes = {name: p.shape for name, p in self.model.named_parameters()}
        flat = [torch.cat([p.detach().flatten() for p in member.model.parameters()]) for member in members]
        self.weights = torch.stack(flat).to(device)
        self.average, self.first, self.second = self.weights.clone(), *torch.zeros(2, *self.weights.shape).to(device)
        self.lr = torch.tensor([[member.lr] for member in members], device=device)
        self.warmup, self.decay, self.steps = members[0].warmup, members[0].decay, 0

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Parameters by name, views of (R, P) or (P,)."""
        parts = flat.split([shape.numel() for shape in self.shapes.values()], dim=-1)
        return {
            name: part.view(*flat.shape[:-1], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def step(self, x0: Tensor, u: Tensor, v: Tensor) -> None:
        """One step on windows (R, B, L) with uniforms (R, B) and (R, B, L)."""
        xt, weight = vmap(noised)(x0, u, v)
        with sdpa_kernel(SDPBackend.MATH):  # the only one that vmap computes for all runs at once
            gradients = vmap(grad(self._loss), randomness="different")(self.named(self.weights), xt, x0, weight)
        g = torch.cat([gradients[name].flatten(1) for name in self.shapes], dim=1)
        g *= (1.0 / (g.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)
        n = self.steps + 1
        self.first.lerp_(g, 1 - 0.9)
        self.second.mul_(0.999).addcmul_(g, g, value=1 - 0.999)
        root = self.second.sqrt() / (1 - 0.999**n) ** 0.5 + 1e-8
        self.weights -= self.lr * min(1.0, n / self.warmup) / (1 - 0.9**n) * self.first / root
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.average += (1 - decay) * (self.weights - self.average)
        self.steps = n

    def _loss(self, weights: dict[str, Tensor], xt: Tensor, x0: Tensor, weight: Tensor) -> Tensor:
        logits = functional_call(self.model, weights, (xt, torch.zeros(len(x0), device=x0.device)))
        return loss_of(logits, xt, x0, weight)

    def averaged(self, run: int) -> Denoiser:
        """A run's denoiser with the averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict({name: value[run] for name, value in self.named(self.average).items()})
        return Denoiser(model, Subs(MASK, BASES), AbsorbingProcess(LogLinear(), MASK)).eval().to(self.weights.device)


def row(run: Run, work: Path, target: float) -> dict[str, Any]:
    """How a run did: counted seconds to the target, None if it was not met, and its end."""
    lines = lines_of(run, work)
    met = next((line for line in lines if line["bits_per_base"] <= target), None)
    return {**vars(run), "reached": met, "last": lines[-1], "best": min(line["bits_per_base"] for line in lines)}


def main() -> None:
    """Trains all runs, and scores them on the way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of scores")
    parser.add_argument("--lr", type=float, nargs="+", default=RATES)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds-a-step", type=float, required=True, help="processor seconds where time is counted")
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--every", type=int, default=1600, help="score after so many steps")
    parser.add_argument("--share", type=int, default=2, help="score one test window of so many")
    parser.add_argument("--target", type=float, default=1.955, help="bits per base")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "upstream_grid.json")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    runs = [Run("upstream", lr, args.batch, seed) for lr in args.lr for seed in args.seeds]
    corpora = {seed: Run("upstream", args.lr[0], args.batch, seed).corpus()[1] for seed in args.seeds}
    backbone = spec_of(corpora[args.seeds[0]].config)["backbone"]
    sizes = backbone["hidden_size"], backbone["n_blocks"], backbone["n_heads"]
    members = []
    for run in runs:
        torch.manual_seed(run.seed)
        members.append(Upstream(*sizes, cond_dim=equal_weights(backbone), lr=run.lr))
    ensemble = Ensemble(members, args.device)
    training = {seed: corpus.training() for seed, corpus in corpora.items()}
    last = int(args.minutes * 60 / args.seconds_a_step)
    while ensemble.steps < last:
        numbers = range(ensemble.steps * args.batch, (ensemble.steps + 1) * args.batch)
        rows = {seed: torch.from_numpy(data.__getitems__(numbers)["tokens"]) for seed, data in training.items()}
        x0 = torch.stack([rows[run.seed] for run in runs]).to(args.device, non_blocking=True)
        u, v = (torch.rand(shape, device=args.device) for shape in (x0.shape[:2], x0.shape))
        ensemble.step(x0, u, v)
        if ensemble.steps % args.every and ensemble.steps < last:
            continue
        for number, run in enumerate(runs):
            scores = scores_of(ensemble.averaged(number), corpora[run.seed], args.share)
            line = {
                "step": ensemble.steps, "processor_seconds": ensemble.steps * args.seconds_a_step,
                "bits_per_base": scores.bits_per_base, "standard_error": scores.standard_error,
            }  # fmt: skip
            with run.at(args.work).open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{run.at(args.work).stem}: step {ensemble.steps}, {scores.bits_per_base:.4f}", flush=True)
    found = sorted(map(Run.of, args.work.glob("*.jsonl")), key=lambda run: (run.batch, run.lr, run.seed))
    asked = {key: getattr(args, key) for key in ("target", "share")}
    rows = [row(run, args.work, args.target) for run in found]
    gpu = {"gpu": torch.cuda.get_device_name()} if args.device == "cuda" else {}
    report = {"asked": asked, "machine": {**gpu, "torch": torch.__version__}, "rows": rows}
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
