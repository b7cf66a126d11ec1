"""Estimators side by side on KeyDoor: the numbers and the picture in docs/log.md.

    .venv/bin/python docs/experiments/keydoor_credit.py [--seeds 1 2 3] [--jobs 2] [key=value ...]

Runs that are finished are not repeated; runs that were interrupted go on.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np

from agentgym.metrics import read_metrics
from agentgym.store.run import Run

mpl.use("Agg")
from matplotlib import pyplot as plt

METHODS = ("grpo", "discounted_grpo", "salt", "gigpo")
CONFIG = "examples/keydoor.toml"
ROOT = Path("runs/keydoor-credit")
PICTURE = Path("docs/img/keydoor-credit.png")
WINDOW = 5  # steps averaged before a threshold is looked for


def main() -> None:
    """Run what is missing, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("overrides", nargs="*", help="keys of the configuration")
    options = parser.parse_args()
    pairs = list(product(options.seeds, METHODS))
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda pair: run(*pair[::-1], options.overrides), pairs))
    curves = {m: [read(m, seed) for seed in options.seeds] for m in METHODS}
    print_table(curves)
    draw({method: [run["success"] for run in runs] for method, runs in curves.items()})


def run(method: str, seed: int, overrides: list[str]) -> None:
    """Train, or go on training."""
    folder = ROOT / f"{method}-{seed}"
    command = ["train", CONFIG, f"credit.name={method}", f"seed={seed}", f"out={folder}"]
    if (folder / "run.json").is_file():
        if Run.open(folder).status == "finished":
            return
        command, overrides = ["resume", str(folder)], []
    done = subprocess.run(
        [sys.executable, "-m", "agentgym", *command, *overrides, "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{folder}: {done.stderr[-2000:]}")


def read(method: str, seed: int) -> dict:
    """Return the curve of a run and what it amounts to."""
    run = Run.open(ROOT / f"{method}-{seed}")
    metrics = read_metrics(run.metrics_path)
    steps = [metrics[step] for step in sorted(metrics) if "success" in metrics[step]]
    success = np.array([scalars["success"] for scalars in steps])
    smooth = np.convolve(success, np.ones(WINDOW) / WINDOW, mode="valid")
    reached = np.flatnonzero(smooth >= 0.8)
    evals = [event for event in run.events() if event["kind"] == "eval"]
    return {
        "success": success,
        "auc": float(success.mean()),
        "to_80": int(reached[0]) + WINDOW if len(reached) else None,
        "last": float(success[-10:].mean()),
        "turns": float(np.mean([scalars["turns"] for scalars in steps[-10:]])),
        "held_out": evals[-1]["success"]["mean"],
        "seconds": sum(scalars["seconds"] for scalars in steps),
    }


def print_table(curves: dict[str, list[dict]]) -> None:
    """Print a table for docs/log.md."""
    write = sys.stdout.write
    write(
        "| credit | AUC mean ± sd | AUC per seed | steps to 80 % | last 10 | held out | turns | s |\n"
    )
    write("|---|---|---|---|---|---|---|---|\n")
    for method, runs in curves.items():
        auc = np.array([run["auc"] for run in runs])
        cells = [
            method,
            f"{auc.mean():.3f} ± {auc.std(ddof=1) if len(auc) > 1 else 0:.3f}",
            " ".join(f"{value:.3f}" for value in auc),
            " ".join(str(run["to_80"]) for run in runs),
            f"{np.mean([run['last'] for run in runs]):.3f}",
            f"{np.mean([run['held_out'] for run in runs]):.3f}",
            f"{np.mean([run['turns'] for run in runs]):.1f}",
            f"{np.mean([run['seconds'] for run in runs]):.0f}",
        ]
        write(f"| {' | '.join(cells)} |\n")
    summary = {
        m: [{k: v for k, v in r.items() if k != "success"} for r in runs]
        for m, runs in curves.items()
    }
    (ROOT / "summary.json").write_text(json.dumps(summary, indent=2))


def draw(curves: dict[str, list[np.ndarray]]) -> None:
    """Draw the mean over seeds, and each seed faintly."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for number, (method, runs) in enumerate(curves.items()):
        for values in runs:
            axes.plot(values, color=f"C{number}", alpha=0.2, linewidth=0.8)
        shortest = min(map(len, runs))
        mean = np.mean([values[:shortest] for values in runs], axis=0)
        axes.plot(mean, color=f"C{number}", label=method, linewidth=2)
    axes.set(xlabel="optimiser step", ylabel="success (128 episodes)", ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
