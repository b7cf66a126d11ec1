"""Training in a run directory: what `train` and `resume` have in common."""

import asyncio
import math
from typing import TYPE_CHECKING, Any

from agentgym.cli.output import echo, echo_json, note, run_aside, sparkline
from agentgym.cli.progress import TrainingProgress
from agentgym.cli.scoring import open_play, open_sandboxes
from agentgym.errors import BudgetError

if TYPE_CHECKING:
    from agentgym.config.run import RunConfig
    from agentgym.store.run import Run


def run_training(config: "RunConfig", run: "Run", *, json: bool) -> None:
    """Train to the end and print what came of it.

    Raises:
        KeyboardInterrupt: the user stopped it; it is saved.
        BudgetError: no more may be spent; it is saved.
        AgentGymError: it cannot start or go on.
    """
    note(f"run directory {run.root}; watch it: agentgym show {run.root}")
    try:
        (run_aside if json else asyncio.run)(_train(config, run, json=json))
    except (KeyboardInterrupt, BudgetError):
        note(f"continue with: agentgym resume {run.root}")
        raise
    report_training(config, run, json=json)


def report_training(config: "RunConfig", run: "Run", *, json: bool) -> None:
    """Print what came of a training."""
    report = _report(config, run)
    if json:
        echo_json(report)
    else:
        _print(report, run)


async def _train(config: "RunConfig", run: "Run", *, json: bool) -> None:
    from agentgym.trainers.trainer import train

    async with open_sandboxes(config) as sandboxes, open_play(config) as play:
        with TrainingProgress(aside=json, successes=successes(run)) as progress:
            await train(
                config,
                run,
                env=config.env.config,
                sandboxes=sandboxes,
                on_step=progress.on_step,
                on_phase=progress.on_phase,
                play=play,
            )


def successes(run: "Run") -> list[float]:
    """Return the success of each step that was done."""
    from agentgym.metrics import read_metrics

    if not run.metrics_path.is_file():
        return []
    steps = read_metrics(run.metrics_path)
    found = (steps[step].get("success", math.nan) for step in sorted(steps))
    return [value for value in found if math.isfinite(value)]


def _report(config: "RunConfig", run: "Run") -> dict[str, Any]:
    evals = [event for event in run.events() if event.get("kind") == "eval"]
    return {
        "run": str(run.root),
        "status": run.status,
        "step": run.step,
        "steps": config.train.steps,
        "success": successes(run),
        "eval": evals[-1] if evals else None,
    }


def _print(report: dict[str, Any], run: "Run") -> None:
    curve = report["success"]
    echo(f"{report['status']} at step {report['step']} of {report['steps']}")
    if curve:
        echo(f"success  {sparkline(curve)}  {curve[0]:.3f} to {curve[-1]:.3f}")
    if report["eval"]:
        rate = report["eval"]["success"]
        interval = f"[{rate['low']:.3f}, {rate['high']:.3f}]"
        echo(f"held out  {rate['mean']:.3f}  {interval}  n {rate['n']}")
    echo(f"look at it: agentgym show {run.root}    score it: agentgym eval {run.root}")
