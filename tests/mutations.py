"""Deliberate faults, one at a time, and the tests that must notice: ``python -m tests.mutations``.

Each fault is made in a temporary copy of the tree, where the test files that guard the place are run. A fault that no
test notices is an error, and so is a test that fails without one. Writes benchmarks/results/mutations.json.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.encoder_faults import ENCODER_FAULTS
from tests.fault import BACKBONE_FAULTS, DESIGN_FAULTS, STREAM_FAULTS, Fault
from tests.finetune_faults import FINETUNE_FAULTS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutations.json"
COPIED = ("dnadiff", "tests", "configs", "benchmarks", "pyproject.toml")


FAULTS = (
    Fault(
        "the schedule's weight scaled",
        "dnadiff/diffusion/schedule.py",
        "return -self.dalpha(t) / self.move_chance(t)",
        "return -1.05 * self.dalpha(t) / self.move_chance(t)",
        ("tests/truth/test_nelbo_exact.py", "tests/truth/test_schedule_contract.py"),
    ),
    Fault(
        "the count's weight scaled",
        "dnadiff/diffusion/objective.py",
        "n / k.clamp(min=1).double()",
        "1.05 * n / k.clamp(min=1).double()",
        ("tests/truth/test_count_estimator.py",),
    ),
    Fault(
        "the block mask off by one",
        "dnadiff/models/attention.py",
        "key_clean & (key_block < query_block)",
        "key_clean & (key_block <= query_block)",
        ("tests/attention",),
    ),
    Fault(
        "positions not repeated",
        "dnadiff/models/attention.py",
        "return torch.arange(first, n, device=device) % self.length(n)",
        "return torch.arange(first, n, device=device)",
        ("tests/attention",),
    ),
    Fault(
        "a block's weight scaled",
        "dnadiff/diffusion/block_objective.py",
        "n / k.clamp(min=1).double()",
        "1.05 * n / k.clamp(min=1).double()",
        ("tests/truth/test_block_bound.py",),
    ),
    Fault(
        "a window one block too wide",
        "dnadiff/models/attention.py",
        "ahead < self.window // self.block_size",
        "ahead <= self.window // self.block_size",
        ("tests/attention", "tests/truth/test_block_laws.py"),
    ),
    Fault(
        "a cache that forgets a block too early",
        "dnadiff/diffusion/block_sampler.py",
        "sampler.window - own)",
        "sampler.window - own - sampler.block_size)",
        ("tests/truth/test_block_laws.py", "tests/contract/test_block_sampler.py"),
    ),
    Fault(
        "SUBS without carry-over",
        "dnadiff/diffusion/parameterization.py",
        "return torch.where((xt == self.mask_id)[..., None], log_p, copied)",
        "return log_p",
        ("tests/unit/test_parameterization.py", "tests/contract/test_denoiser.py"),
    ),
    Fault(
        "nucleus dropping the crossing token",
        "dnadiff/diffusion/truncation.py",
        "before >= p)",
        "before + ordered.exp() >= p)",
        ("tests/unit/test_truncation.py",),
    ),
    Fault(
        "a wrong slope of one schedule",
        "dnadiff/diffusion/schedule.py",
        "return -(1 - self.eps) * (math.pi / 2) * torch.sin(t * (math.pi / 2))",
        "return -0.97 * (1 - self.eps) * (math.pi / 2) * torch.sin(t * (math.pi / 2))",
        ("tests/truth/test_schedule_contract.py", "tests/truth/test_nelbo_exact.py"),
    ),
    Fault(
        "a wrong pace of the posterior",
        "dnadiff/diffusion/process.py",
        "reveal = p_x0 * (1 - mask) * ((masked - earlier) / at_t)",
        "reveal = p_x0 * (1 - mask) * ((masked - earlier) / at_t) ** 2",
        ("tests/truth/test_posterior.py",),
    ),
    Fault(
        "counts from 0 to n - 1",
        "dnadiff/diffusion/timesteps.py",
        "k = 1 + (draws",
        "k = 0 + (draws",
        ("tests/truth/test_count_estimator.py",),
    ),
    Fault(
        "pads and given tokens masked",
        "dnadiff/diffusion/objective.py",
        "return self.valid if self.given is None else self.valid & ~self.given",
        "return torch.ones_like(self.valid)",
        ("tests/contract/test_objective.py",),
    ),
    Fault(
        "first hitting from left to right",
        "dnadiff/diffusion/sampler.py",
        "step = order.argsort(dim=-1) // self.tokens_per_step",
        "step = torch.arange(u.shape[1]).expand(u.shape) // self.tokens_per_step",
        ("tests/truth/test_samplers.py",),
    ),
    Fault(
        "ancestral at a wrong pace",
        "dnadiff/diffusion/sampler.py",
        "edges = self.process.schedule.move_chance(grid)",
        "edges = self.process.schedule.move_chance(grid) ** 2",
        ("tests/truth/test_samplers.py",),
    ),
    Fault(
        "the same uniforms for order and token",
        "dnadiff/diffusion/sampler.py",
        'for stream in ("reveal", "token")',
        'for stream in ("reveal", "reveal")',
        ("tests/truth/test_samplers.py",),
    ),
    Fault(
        "damaged weights loaded",
        "dnadiff/checkpoints/manifest.py",
        "if sha256(path) != sums[name]:",
        "if False:",
        ("tests/unit/test_model_folder.py",),
    ),
    Fault(
        "the average kept without warm-up",
        "dnadiff/training/ema.py",
        "decay = min(self.decay, (1 + self.updates) / (10 + self.updates))",
        "decay = self.decay",
        ("tests/unit/test_training_ema.py",),
    ),
    Fault(
        "raw weights not given back",
        "dnadiff/training/ema.py",
        "            _copy(raw, self._live)",
        "            pass",
        ("tests/unit/test_training_ema.py",),
    ),
    Fault(
        "Muon without its scale",
        "dnadiff/training/muon.py",
        'alpha=-group["lr"] * _scale(shape)',
        'alpha=-group["lr"]',
        ("tests/unit/test_training_optim.py",),
    ),
    Fault(
        "ranks reading the same samples",
        "dnadiff/training/datamodule.py",
        "begin = self.first_step * self.batch_size + self.rank * self.micro",
        "begin = self.first_step * self.batch_size",
        ("tests/unit/test_training_data.py",),
    ),
    Fault(
        "the loss normalised by valid tokens",
        "dnadiff/training/module.py",
        'sent(batch["weight"], self.device), 0.0).sum() / loss.nll.numel()',
        'sent(batch["weight"], self.device), 0.0).sum() / loss.valid.sum()',
        ("tests/unit/test_training_module.py",),
    ),
    Fault(
        "dropout not keyed by the step",
        "dnadiff/training/network.py",
        'key64("dropout", self.seed, self.step, ranks.rank(), self.micro)',
        'key64("dropout", self.seed, ranks.rank(), self.micro)',
        ("tests/unit/test_training_module.py",),
    ),
    Fault(
        "a step taken although it is not finite",
        "dnadiff/training/steps.py",
        "        if bad:\n",
        "        if False:\n",
        ("tests/unit/test_training_steps.py",),
    ),
    Fault(
        "raw weights validated",
        "dnadiff/training/validation.py",
        "with module.ema.applied():",
        'with __import__("contextlib").nullcontext():',
        ("tests/unit/test_training_steps.py",),
    ),
    Fault(
        "no validation at the end",
        "dnadiff/training/steps.py",
        "if self.held_out and (last or module.step % self.pace.validate == 0):",
        "if self.held_out and module.step % self.pace.validate == 0:",
        ("tests/unit/test_training_steps.py",),
    ),
    Fault(
        "a full disk not told apart",
        "dnadiff/training/writer.py",
        "if isinstance(error.__context__, OSError):",
        "if False:",
        ("tests/unit/test_training_writer.py",),
    ),
    Fault(
        "the optimiser not restored",
        "dnadiff/training/steps.py",
        "optimizer.load_state_dict(spread_optimizer(self._optimizer, optimizer))",
        "pass",
        ("tests/reliability/test_resume.py",),
    ),
    Fault(
        "the average not restored",
        "dnadiff/training/network.py",
        '        self.ema.load_state_dict(state["ema"])\n',
        "",
        ("tests/reliability/test_resume.py",),
    ),
    Fault(
        "sums of the log not restored",
        "dnadiff/training/steps.py",
        'self._running = Running(float(sums["nats"]), int(sums["count"]), int(sums["empty"]))',
        "self._running = Running()",
        ("tests/reliability/test_resume.py",),
    ),
    Fault(
        "the log not cut back",
        "dnadiff/training/log.py",
        "            file.truncate(size)\n",
        "            pass\n",
        ("tests/reliability/test_resume.py",),
    ),
    Fault(
        "a checkpoint written in place",
        "dnadiff/training/writer.py",
        "with atomic.new_folder(folder / f\"step-{state['step']}\", replace=True) as new:",
        "(new := folder / f\"step-{state['step']}\").mkdir(parents=True, exist_ok=True)\n    if True:",
        ("tests/reliability/test_resume.py",),
    ),
    Fault(
        "a signal heard by one rank only",
        "dnadiff/training/ranks.py",
        "    dist.all_reduce(sums)\n",
        "",
        ("tests/reliability/test_ranks.py",),
    ),
    Fault(
        "importance sampling without its weight",
        "dnadiff/diffusion/objective.py",
        "torch.log(ends[1] / ends[0])",
        "torch.log(1 / ends[0] / 1.01)",
        ("tests/truth/test_nelbo_exact.py",),
    ),
    Fault(
        "probability on the mask forgotten",
        "dnadiff/diffusion/objective.py",
        "return torch.log1p(alpha * p_mask / m) - p_mask / (m + alpha * p_mask)",
        "return torch.log1p(alpha * p_mask / m)",
        ("tests/truth/test_discrete_objective.py",),
    ),
    Fault(
        "a step's weight of the neighbouring step",
        "dnadiff/diffusion/discrete_objective.py",
        "self._masked_share((noised.t - 1 / self.T).clamp(min=0))",
        "self._masked_share((noised.t - 2 / self.T).clamp(min=0))",
        ("tests/truth/test_discrete_objective.py",),
    ),
    Fault(
        "D3PM's mask ruled out",
        "dnadiff/diffusion/parameterization.py",
        "with_mask=not self.subs_masking",
        "with_mask=self.subs_masking",
        ("tests/parity/test_modes.py",),
    ),
    Fault(
        "ratios taken for probabilities",
        "dnadiff/diffusion/score_objective.py",
        "(log_q.exp().sum(-1) - 1 - log_q_x0)",
        "(-log_q_x0)",
        ("tests/truth/test_score_objective.py",),
    ),
    Fault(
        "UDLM's two ratios exchanged",
        "dnadiff/diffusion/uniform_objective.py",
        "ratio * torch.log(ratio / ratio_p) - ratio + ratio_p",
        "ratio_p * torch.log(ratio_p / ratio) - ratio_p + ratio",
        ("tests/truth/test_uniform_objective.py",),
    ),
    Fault(
        "UDLM's reconstruction from the prediction alone",
        "dnadiff/diffusion/uniform_objective.py",
        "-(log_p_x0 + seen)",
        "-log_p_x0",
        ("tests/truth/test_uniform_objective.py",),
    ),
    Fault(
        "masks at 15 % of 90 %",
        "dnadiff/diffusion/masked_lm.py",
        "MASKED, REPLACED = 0.8, 0.1",
        "MASKED, REPLACED = 0.9, 0.1",
        ("tests/truth/test_masked_lm.py",),
    ),
    Fault(
        "the uniform posterior without the way back",
        "dnadiff/diffusion/process.py",
        "(alpha_ts * here + (1 - alpha_ts) / k)",
        "(alpha_t * here + (1 - alpha_t) / k)",
        ("tests/truth/test_uniform_process.py",),
    ),
    Fault(
        "SEDD reveals at the schedule's pace",
        "dnadiff/diffusion/stepwise.py",
        "law = reveal / total.clamp(min=1) + mask * (1 - total).clamp(min=0)",
        "law = reveal / q.sum(-1, keepdim=True) + mask * (1 - ((m_t - m_s) / m_t)[:, None, None])",
        ("tests/truth/test_stepwise.py",),
    ),
    Fault(
        "UDLM changes given bases",
        "dnadiff/diffusion/stepwise.py",
        "after = torch.where(wanted[rows], inverse_cdf(law.log(), u), before)",
        "after = inverse_cdf(law.log(), u)",
        ("tests/truth/test_stepwise.py",),
    ),
    *DESIGN_FAULTS,
    *STREAM_FAULTS,
    *FINETUNE_FAULTS,
    *BACKBONE_FAULTS,
    *ENCODER_FAULTS,
)


def red_tests(tree: Path, tests: tuple[str, ...]) -> list[str]:
    """Names of the tests that fail in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *tests]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    red = re.findall(r"^(?:FAILED|ERROR) (\S+::\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or (done.returncode == 1 and not red):
        raise SystemExit(f"pytest could not run {' '.join(tests)}:\n{done.stdout}{done.stderr}")
    return red


def copy_tree(folder: Path) -> Path:
    """A copy of what the tests need."""
    tree = folder / "tree"
    for name in COPIED:
        source, target = ROOT / name, tree / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return tree


def red_with(fault: Fault) -> list[str]:
    """Names of the tests that notice a fault."""
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        path = tree / fault.file
        code = path.read_text()
        if code.count(fault.right) != 1:
            raise SystemExit(f"{fault.file}: {fault.right!r} occurs {code.count(fault.right)} times, not once")
        path.write_text(code.replace(fault.right, fault.wrong))
        return red_tests(tree, fault.tests)


def main() -> int:
    """Runs every fault; 1 if one goes unnoticed."""
    with tempfile.TemporaryDirectory() as folder:
        guards = tuple(sorted({test for fault in FAULTS for test in fault.tests}))
        if red := red_tests(copy_tree(Path(folder)), guards):
            raise SystemExit(f"red without any fault: {', '.join(red)}")
    rows = []
    for fault in FAULTS:
        start = time.perf_counter()
        red = red_with(fault)
        rows.append({"fault": fault.name, "file": fault.file, "wrong": fault.wrong, "red": len(red), "tests": red})
        first = red[0] if red else "NOTHING NOTICED"
        print(f"{fault.name:40} {len(red):3} red  {time.perf_counter() - start:5.1f} s  {first}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(not row["tests"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
