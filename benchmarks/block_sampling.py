"""Tokens per second of sampling block by block: with a cache, without one, and of walking whole sequences instead.

    python benchmarks/block_sampling.py [RUN] [--batch 16 --length 4096] [--window W] [--blocks 2 | --whole] [-o x.json]

RUN is the folder of a model of blocks; without one the model is untrained (hidden 64, 2 blocks, 1 head, blocks of 16)
with output weights of some size, so that its tokens depend on what it reads.

- cached: the block sampler as ``sample`` has it, all rows in one call, from the first block to the last
- uncached: the same sampler, but every call feeds the whole prefix again, with the mask of the same window. Its tokens
  must be those of the cached one, drawn from the same numbers. (The two round differently, so among millions of draws
  one may fall on the other side of its boundary, and its row goes another way from there.)
- resent: every call feeds what lies in the window again and nothing older, as BD3-LM's sampler does without its cache.
  Only with a window shorter than the sequence; its tokens agree until the window slides, for keys of deeper layers
  carry older tokens along and a window that is read anew does not.
- whole: ``FirstHitting`` on the whole sequence, every position seeing every other

A call without a cache costs more the longer the prefix, so those sides are measured at some places: ``--blocks`` blocks
that end at each share of the length in ``--places``, one block before them untimed, the prefix being what the cached
side wrote. Ratios are to the cached side in the very same blocks. ``--whole`` measures all blocks instead. A call of
``whole`` costs the same at every place; ``--calls`` of them are timed. Seconds are the processor's, on one thread, so
other programs do not count. Nothing is extrapolated: the figures say how many tokens were timed.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from dnadiff.diffusion import AbsorbingProcess, BlockSampler, Denoiser, FirstHitting, LogLinear, Subs
from dnadiff.models.attention import BlockCausal
from dnadiff.models.cache import KVCache
from dnadiff.models.dit import DiT
from dnadiff.random import Draws
from dnadiff.recipes.model import open_model

MASK, BOS, BASES, VOCABULARY = 3, 2, (7, 8, 9, 10), 12


class Resent(Denoiser):
    """A denoiser that is given a cache and leaves it empty: it feeds the prefix again at every call.

    Args:
        inner: The denoiser.
        keep: Positions fed at most; None feeds all.
    """

    def __init__(self, inner: Denoiser, keep: int | None) -> None:
        super().__init__(inner.backbone, inner.parameterization, inner.process)
        self.keep = keep
        self.prefix = torch.zeros(0, 0, dtype=torch.int64)

    def forward(
        self,
        xt: Tensor,
        t: Tensor | None,
        *,
        pattern: BlockCausal,
        labels: Tensor | None,
        cache: KVCache,
        at: Tensor | slice,
    ) -> Tensor:
        """log p(x_0 | x_t) at (B, M) of the new tokens; tokens that only are to be stored cost nothing."""
        n = cache.length
        row = torch.cat([self.prefix[:, :n] if n else xt[:, :0], xt], dim=1)
        self.prefix = row
        if isinstance(at, slice):
            return xt.new_zeros(0)
        first = 0 if self.keep is None else max(0, row.shape[1] - self.keep)
        first = -(-first // pattern.block_size) * pattern.block_size
        return super().forward(row[:, first:], None, pattern=pattern, at=n - first + at)


def untrained(block_size: int, seed: int) -> Denoiser:
    """A small model with random weights."""
    torch.manual_seed(seed)
    backbone = DiT(VOCABULARY, 64, 2, 1, adaln=False)
    torch.nn.init.normal_(backbone.output_layer.linear.weight, std=0.3)
    return Denoiser(backbone, Subs(MASK, BASES), AbsorbingProcess(LogLinear(), MASK)).eval()


def blocks(sampler: BlockSampler, x: Tensor, length: int, seed: int) -> Iterator[tuple[int, Tensor, float]]:
    """Start and tokens of each block, and the seconds it took."""
    bases = torch.zeros(sampler.denoiser.backbone.vocab_size, dtype=torch.bool)
    bases[list(BASES)] = True
    start = time.process_time()
    for piece in sampler.pieces(x, Draws(seed, range(len(x))), length=length, allowed=bases):
        now = time.process_time()
        yield piece.start, piece.tokens, now - start
        start = now


def prefix(made: Tensor, first: int) -> Tensor:
    """The first tokens of the rows, [BOS] and a mask at least."""
    return made[:, :first] if first else torch.cat([made[:, :1], torch.full_like(made[:, :1], MASK)], dim=1)


def measure(args: argparse.Namespace) -> dict:
    """All sides, in one run."""
    torch.set_num_threads(1)
    model = open_model(args.run) if args.run else None
    denoiser = model.denoiser if model else untrained(args.block, args.seed)
    size = (model.block_size if model else None) or args.block
    window = args.window or (model.window + model.bos if model else 1024)
    window = window // size * size
    x = torch.full((args.batch, 2), MASK)
    x[:, 0] = BOS

    def sampler(denoiser: Denoiser) -> BlockSampler:
        return BlockSampler(FirstHitting(denoiser, rows_per_call=args.batch), size, window=window)

    found = list(blocks(sampler(denoiser), x, args.length, args.seed))
    made, seconds = torch.cat([tokens for _, tokens, _ in found], dim=1), [each for _, _, each in found]
    rows = [timed("cached", 0, len(found), seconds, made, made, size)]
    sides = {"uncached": None} | ({"resent": window} if window < args.length else {})
    for last in [len(found)] if args.whole else [max(2, round(share * len(found))) for share in args.places]:
        first = 0 if args.whole else max(0, last - args.blocks - 1)
        skipped = 0 if args.whole else 1
        part = slice(first + skipped, last)
        rows.append(timed("cached", part.start, last, seconds, made, made, size))
        for side, keep in sides.items():
            again = list(blocks(sampler(Resent(denoiser, keep)), prefix(made, first * size), last * size, args.seed))
            took = [each for _, _, each in again]
            tokens = torch.cat([tokens for _, tokens, _ in again], dim=1)
            rows.append(timed(side, part.start, last, took, tokens, made, size))
            rows[-1]["cached_is_faster"] = rows[-1]["seconds"] / sum(seconds[part])
    rows.append(whole(denoiser, made, args) | {"side": "whole"})
    rows[-1]["cached_is_faster"] = rows[0]["tokens_per_second"] / rows[-1]["tokens_per_second"]
    settings = {"run": str(args.run or "untrained"), "block_size": size, "window": window, "threads": 1}
    settings |= {name: vars(args)[name] for name in ("batch", "length", "blocks", "calls", "seed")}
    about = {"torch": torch.__version__, "machine": platform.machine(), "python": platform.python_version()}
    return {"about": about, "settings": settings, "rows": rows}


def timed(side: str, first: int, last: int, seconds: list[float], found: Tensor, made: Tensor, size: int) -> dict:
    """The figures of the blocks first to last - 1, whose tokens are among those found."""
    end = min(last * size, made.shape[1])
    here, there = found[:, first * size : end], made[:, first * size : end]
    took, tokens = sum(seconds[first:last]), here.numel()
    agree = float((here == there).double().mean())
    return {
        "side": side, "from": first * size, "to": end, "tokens": tokens, "seconds": took,
        "tokens_per_second": tokens / took, "tokens_agree": agree,
    }  # fmt: skip


def whole(denoiser: Denoiser, made: Tensor, args: argparse.Namespace) -> dict:
    """Some calls of the sampler of whole sequences, one more before them untimed."""
    x, marks = made.clone(), []
    x[:, -args.calls - 1 :] = MASK
    sampler = FirstHitting(denoiser, rows_per_call=args.batch)
    sampler(x, Draws(args.seed, range(len(x))), progress=lambda _: marks.append(time.process_time()))
    tokens, took = args.batch * args.calls, marks[-1] - marks[0]
    return {"calls": args.calls, "tokens": tokens, "seconds": took, "tokens_per_second": tokens / took}


def main() -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    for name, default in (("batch", 16), ("length", 4096), ("block", 16), ("blocks", 2), ("calls", 2), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--window", type=int, help="positions a block sees (default: the run's; untrained: 1024)")
    parser.add_argument("--places", type=float, nargs="+", default=[0.25, 0.5, 0.75, 1.0])
    parser.add_argument("--whole", action="store_true", help="all blocks of the sides without a cache")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "block_sampling.json")
    args = parser.parse_args()
    found = measure(args)
    print(f"{'side':9} {'positions':>15} {'tokens/s':>9}  cached is faster  tokens agree")
    for row in found["rows"]:
        place = f"{row['from']:,}-{row['to']:,}" if "from" in row else f"{row['calls']} calls"
        faster = f"{row['cached_is_faster']:.1f} times" if "cached_is_faster" in row else ""
        agree = f"{100 * row['tokens_agree']:.2f} %" if "tokens_agree" in row else ""
        print(f"{row['side']:9} {place:>15} {row['tokens_per_second']:9.0f}  {faster:>16}  {agree:>12}")
    args.out.write_text(json.dumps(found, indent=2) + "\n")
    wrong = [row for row in found["rows"] if row["side"] == "uncached" and row["tokens_agree"] < 1]
    if wrong:
        raise SystemExit("the tokens without a cache are not those with one")


if __name__ == "__main__":
    main()
