"""A sequence far longer than the training window, while it is written: seconds, memory, composition along the way.

    python benchmarks/long_sequence.py RUN [--length 131072] [--genome g.fa] [--words="--temperature 0.9"] [-o x.json]

Runs ``dna-diff sample RUN -n 1 --length N -o - -j 1`` as a user would, with ``--words`` added, and reads its output as
it comes. At every 4,096 bases it notes the seconds (of the clock, and of the processor alone) and the process's
anonymous memory (RssAnon of /proc/PID/status). Then the pieces of 10,000 bases along the sequence, the first and the
last above all, are compared with the genome that the model was trained on: GC, and the Jensen-Shannon divergence in
bits of 3- and 4-mers, both strands pooled. No piece of 10,000 bases has the genome's spectrum, so disjoint real pieces
spread over the genome are compared with it in the same way: read a figure by their mean and range. Writes JSON, and a
picture beside it under the same name with .png.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dnadiff.data import alphabet
from dnadiff.data.fasta import read_codes
from dnadiff.evaluation.generation import LEAST_KNOWN, gc_contents, js_divergence, kmer_counts
from dnadiff.recipes.run_folder import run_config

ROOT = Path(__file__).parents[1]
STEP, PIECE, KS, REAL = 4096, 10_000, (3, 4), 200
FIRST = 1024  # the first reading, when all that is needed once is there


def anonymous_mb(pid: int) -> float:
    """Memory of a process that no file backs, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("this system does not tell RssAnon")


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def written(args: argparse.Namespace) -> tuple[str, list[dict]]:
    """The sequence, and what was noted while it came."""
    words = ["sample", args.run, "-n", "1", "--length", str(args.length), "--seed", str(args.seed), "-q", "-j", "1"]
    command = [sys.executable, "-m", "dnadiff", *words, *args.words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    lines, bases, notes = [], 0, []
    due = [FIRST, *range(STEP, args.length + 1, STEP)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        start = time.perf_counter()
        for line in child.stdout:
            if line.startswith(">"):
                continue
            lines.append(line.rstrip())
            bases += len(lines[-1])
            if due and bases >= due[0] and bases < args.length:  # behind the last line the process is ending
                due = [mark for mark in due if mark > bases]
                clock = {"seconds": time.perf_counter() - start, "processor_seconds": processor_seconds(child.pid)}
                notes.append({"bases": bases, **clock, "anonymous_mb": anonymous_mb(child.pid)})
    if child.returncode:
        raise SystemExit(f"sample ended with {child.returncode}")
    return "".join(lines), notes


def composition(piece: np.ndarray, genome: dict[int, np.ndarray]) -> dict:
    """GC and divergences from the genome of one piece."""
    found = {"gc": float(gc_contents([piece])[0])}
    return found | {f"js_{k}": float(js_divergence(kmer_counts([piece], k)[0], genome[k])) for k in KS}


def pieces(sequence: np.ndarray) -> list[np.ndarray]:
    """Disjoint stretches of 10,000 known bases."""
    cut = [sequence[i : i + PIECE] for i in range(0, len(sequence) - PIECE + 1, PIECE)]
    return [piece for piece in cut if np.count_nonzero(piece < 4) >= LEAST_KNOWN * PIECE]


def compared(sequence: np.ndarray, genome: list[np.ndarray]) -> dict:
    """The pieces along the sequence, its last one, and real pieces as the yardstick."""
    spectra = {k: kmer_counts(genome, k)[0] for k in KS}
    real = [piece for record in genome for piece in pieces(record)]
    chosen = np.unique(np.linspace(0, len(real) - 1, min(REAL, len(real))).astype(int))
    real_rows = [composition(real[i], spectra) for i in chosen]
    names = ["gc", *(f"js_{k}" for k in KS)]
    values = {name: np.array([row[name] for row in real_rows]) for name in names}
    yardstick = {
        name: {"mean": v.mean(), "sd": v.std(ddof=1), "low_5": np.quantile(v, 0.05), "high_95": np.quantile(v, 0.95)}
        for name, v in values.items()
    }
    return {
        "genome_gc": float(gc_contents([np.concatenate(genome)])[0]),
        "first": composition(sequence[:PIECE], spectra),
        "last": composition(sequence[-PIECE:], spectra),
        "along": [composition(piece, spectra) for piece in pieces(sequence)],
        "real": {"pieces": len(real_rows)} | {n: {k: float(x) for k, x in v.items()} for n, v in yardstick.items()},
    }


def picture(found: dict, path: Path) -> None:
    """Processor seconds, memory and 4-mer divergence along the sequence."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    kb = [note["bases"] / 1000 for note in found["notes"]]
    left.plot(kb, [note["processor_seconds"] for note in found["notes"]], ".-")
    left.set(title="time", xlabel="bases written (thousands)", ylabel="processor seconds", ylim=(0, None))
    middle.plot(kb, [note["anonymous_mb"] for note in found["notes"]], ".-")
    middle.set(title="memory", xlabel="bases written (thousands)", ylabel="anonymous memory (MB)")
    middle.set_ylim(0, 1.2 * max(note["anonymous_mb"] for note in found["notes"]))
    along, real = [row["js_4"] for row in found["composition"]["along"]], found["composition"]["real"]["js_4"]
    right.axhspan(real["low_5"], real["high_95"], alpha=0.2, label="real pieces, 5 to 95 %")
    right.plot([PIECE / 1000 * (i + 0.5) for i in range(len(along))], along, "o-", label="generated")
    right.set(title="4-mers of 10 kb", xlabel="place (thousands)", ylabel="divergence from the genome, bits")
    right.set_ylim(0, None)
    right.legend()
    FigureCanvasAgg(figure).print_png(str(path))


def figures(notes: list[dict], args: argparse.Namespace) -> dict:
    """What the notes amount to: seconds of each step, and how far memory and speed go from flat."""
    clock = [note["processor_seconds"] for note in notes]
    bases = [note["bases"] for note in notes]
    a_step = [STEP * (t - s) / (b - a) for s, t, a, b in zip(clock, clock[1:], bases, bases[1:], strict=False)]
    memory = [note["anonymous_mb"] for note in notes]
    return {
        "settings": {"run": args.run, "length": args.length, "seed": args.seed, "words": args.words},
        "processor_seconds_each_4096": a_step,
        "slowest_over_fastest": max(a_step) / min(a_step) if a_step else None,
        "anonymous_mb_growth": max(memory) - memory[0],
        "notes": notes,
    }


def main() -> None:
    """Samples, measures, prints what matters and writes JSON and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--length", type=int, default=131_072)
    parser.add_argument("--genome", help="FASTA (default: the one the run was trained on)")
    parser.add_argument("--words", type=shlex.split, default=[], help="more words for sample, as one argument")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "benchmarks" / "results" / "long_sequence.json")
    args = parser.parse_args()
    if args.length < 2 * PIECE:
        parser.error(f"--length {args.length}: the first and last {PIECE:,} bases are compared; twice that would work")
    genome = list(read_codes(args.genome or run_config(args.run).data.path))
    letters, notes = written(args)
    found = figures(notes, args) | {"composition": compared(alphabet.encode(letters), genome)}
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    picture(found, args.out.with_suffix(".png"))
    print(f"processor seconds a 4,096 bases: {found['processor_seconds_each_4096']}")
    print(f"anonymous memory from {notes[0]['anonymous_mb']:.0f} MB: grew by {found['anonymous_mb_growth']:.1f} MB")
    for name in ("first", "last"):
        print(f"{name} {PIECE:,}: {found['composition'][name]}")
    print(f"real {PIECE:,}: {found['composition']['real']}")


if __name__ == "__main__":
    main()
