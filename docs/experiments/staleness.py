"""KeyDoor at several values of train.max_staleness: the table in docs/benchmarks.md.

    .venv/bin/python docs/experiments/staleness.py [--seeds 1,2,3] [--staleness 0,1,4] [key=value ...]
    .venv/bin/python docs/experiments/staleness.py --root runs/slow env.id=docs/experiments/slow_keydoor.py

One run after the other, settings in turn, so that a machine that is slow for a while is so for all.
Runs that are finished are not repeated.
"""

import argparse
import math
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np

from agentgym.metrics import read_metrics
from agentgym.store.run import Run

CONFIG = "examples/keydoor.toml"
WORDS = (
    "env.lava=0",
    "env.max_turns=12",
    "rollout.groups=8",
    "warm_start.policy=scripted",
    "warm_start.episodes=200",
    "warm_start.steps=25",
    "loss.correction.name=tis",
    "train.steps=24",
    "eval.every=24",
)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    parser.add_argument("--staleness", type=numbers, default=[0, 1, 4])
    parser.add_argument("--root", type=Path, default=Path("runs/staleness"))
    parser.add_argument("overrides", nargs="*", help="keys of the configuration")
    options = parser.parse_args()
    for seed, staleness in product(options.seeds, options.staleness):
        run(options.root / f"{staleness}-{seed}", staleness, seed, options.overrides)
    print_table(
        {
            staleness: [read(options.root / f"{staleness}-{seed}") for seed in options.seeds]
            for staleness in options.staleness
        }
    )


def numbers(text: str) -> list[int]:
    """Return the numbers between commas."""
    return [int(each) for each in text.split(",")]


def run(folder: Path, staleness: int, seed: int, overrides: list[str]) -> None:
    """Train, unless that is done."""
    if (folder / "run.json").is_file() and Run.open(folder).status == "finished":
        return
    words = [*WORDS, f"train.max_staleness={staleness}", f"seed={seed}", f"out={folder}"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "agentgym",
            "train",
            CONFIG,
            *words,
            *overrides,
            "--clean",
            "--json",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{folder}: {done.stderr[-2000:]}")


def read(folder: Path) -> dict[str, float]:
    """Return what a run amounts to."""
    run = Run.open(folder)
    steps = [scalars for scalars in read_metrics(run.metrics_path).values() if "reward" in scalars]
    evals = [event for event in run.events() if event["kind"] == "eval"]

    def mean(name: str) -> float:
        return float(np.mean([scalars[name] for scalars in steps]))

    return {
        "auc": mean("success"),
        "last": float(np.mean([scalars["success"] for scalars in steps[-10:]])),
        "held_out": evals[-1]["success"]["mean"],
        "wall_s": sum(scalars["seconds"] for scalars in steps),
        "overlap": mean("overlap"),
        "staleness": mean("staleness/mean"),
        "most": max(scalars["staleness/max"] for scalars in steps),
    }


def print_table(found: dict[int, list[dict[str, float]]]) -> None:
    """Print a table for docs/benchmarks.md; ± is the 95 % interval of the mean over seeds."""
    write = sys.stdout.write
    write(
        "| max_staleness | mean success over the steps | last 10 steps | held out | its difference "
        "to the first row, by seed | wall s | overlap | staleness: mean, most |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    first = next(iter(found.values()))
    for staleness, runs in found.items():
        cells = [str(staleness)]
        cells += [interval([run[name] for run in runs]) for name in ("auc", "last", "held_out")]
        pairs = zip(runs, first, strict=True)
        cells += [interval([run["held_out"] - other["held_out"] for run, other in pairs])]
        cells += [f"{np.median([run['wall_s'] for run in runs]):.0f}"]
        cells += [f"{np.mean([run['overlap'] for run in runs]):.2f}"]
        mean, most = np.mean([r["staleness"] for r in runs]), max(r["most"] for r in runs)
        write(f"| {' | '.join(cells)} | {mean:.2f}, {most:.0f} |\n")


def interval(values: list[float]) -> str:
    """Return mean and half-width, by Student's t for two to five values."""
    quantile = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(len(values), math.nan)
    half = quantile * np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} ± {half:.3f}"


if __name__ == "__main__":
    main()
