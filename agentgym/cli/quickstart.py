"""What `make quickstart` runs: train on Code-v0, then show what was learned.

Everything here is done by the public commands; this file calls them and sums up.
"""

import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from agentgym.cli.main import main
from agentgym.cli.output import echo, note, one_line, paint, sparkline
from agentgym.cli.training import successes
from agentgym.metrics import read_metrics
from agentgym.store.address import address_of
from agentgym.store.episodes import find_episode, read_episode, read_heads
from agentgym.store.files import replace_file
from agentgym.store.run import Run
from agentgym.types import Trajectory

CONFIG = Path("examples/quickstart.toml")
ROOT = Path("runs/quickstart")
NUM_TASKS = 256
NUM_SHOWN = 3


def quickstart(arguments: list[str]) -> int:
    """Train, or go on with a quickstart that was interrupted; return the exit code."""
    if code := _train(arguments):
        return code
    run = Run.open(ROOT)
    env = str(run.info["env"])
    scripts = {level: _score_script(env, level) for level in ("expert", "teacher")}
    summary = summarise(run) | scripts
    replace_file(ROOT / "summary.json", json.dumps(summary, indent=2) + "\n")
    _print(run, summary)
    return 0


def summarise(run: Run) -> dict[str, Any]:
    """Return what happened from the first evaluation to the last."""
    events = list(run.events())
    sampled, greedy = (
        [event for event in events if event["kind"] == "eval" and event["mode"] == mode]
        for mode in ("sampled", "greedy")
    )
    return {
        "success_before": sampled[0]["success"],
        "success_after": sampled[-1]["success"],
        "greedy_before": greedy[0]["success"],
        "greedy_after": greedy[-1]["success"],
        "kinds_before": sampled[0]["kinds"],
        "kinds_after": sampled[-1]["kinds"],
        "episodes": sum(1 for _ in read_heads(run.root)),
        "steps": run.step,
        "seconds": round(_seconds(run, events), 1),
        "seed": run.info["seed"],
        "run": str(run.root),
    }


def _train(arguments: list[str]) -> int:
    if (ROOT / "run.json").is_file():
        if Run.open(ROOT).status != "finished":
            note(f"going on with {ROOT}; to begin anew, delete it")
            return main(["resume", str(ROOT)])
        numbers = range(2, sys.maxsize)
        kept = next(to for n in numbers if not (to := ROOT.with_name(f"{ROOT.name}-{n}")).exists())
        ROOT.rename(kept)
        note(f"the earlier run is now {kept}")
    return main(["train", str(CONFIG), f"out={ROOT}", *arguments])


def _score_script(env: str, level: str) -> dict[str, Any]:
    """Return the success of a script on the held-out tasks, as `agentgym run` finds it."""
    out = f"{ROOT}-{level}"
    words = ["run", env, "-m", f"scripted:{level}", "-n", str(NUM_TASKS), "-o", out, "--clean"]
    with redirect_stdout(io.StringIO()):  # the numbers come from the record
        if code := main([*words, "--json"]):
            raise SystemExit(code)
    success: dict[str, Any] = Run.open(out).info["score"]["success"]
    return success


def _seconds(run: Run, events: list[dict[str, Any]]) -> float:
    """Return the time of the warm start and of the steps, without evaluations."""
    warm = sum(sum(event["seconds"].values()) for event in events if event["kind"] == "warm_start")
    steps = read_metrics(run.metrics_path).values()
    return float(warm + sum(scalars.get("seconds", 0.0) for scalars in steps))


def _print(run: Run, summary: dict[str, Any]) -> None:
    for moment, step in (("before", 0), ("after", run.step)):
        echo()
        echo(paint(f"Three held-out tasks, {moment} reinforcement", "bold"))
        for index in range(NUM_SHOWN):
            found = find_episode(run.root, f"eval-sampled-{step:06d}-{index:03d}.0.0")
            _print_episode(read_episode(found))
    echo()
    echo(paint("Success on held-out tasks (new compositions of operations), 95 % interval", "bold"))
    for name, key in (
        ("the teacher it imitated", "teacher"),
        ("after imitation", "success_before"),
        ("after reinforcement", "success_after"),
        ("  greedy", "greedy_after"),
        ("a scripted expert", "expert"),
    ):
        echo(f"  {name:<24} {_rate(summary[key])}")
    for kind, rate in summary["kinds_after"].items():
        echo(f"  {kind:<24} {_rate(rate)}   was {summary['kinds_before'][kind]['mean']:.2f}")
    curve = successes(run)
    echo(f"\ncurve    {sparkline(curve)}  {run.step} steps, {summary['episodes']} episodes")
    echo(f"time     {summary['seconds']:.0f} s of warm start and training")
    echo(f"summary  {ROOT}/summary.json")
    echo(f"next     agentgym show {ROOT}            what is in the run; then one of its episodes")
    echo(f"         agentgym replay {ROOT} --verify run every action again and compare")
    echo(f"         agentgym recredit {ROOT} --credit salt,grpo,td_state")
    echo(f"         agentgym train {CONFIG} credit.name=grpo shaping.name=outcome")
    echo("         (in .venv/bin; docs/architecture.md says how it fits together)")


def _print_episode(trajectory: Trajectory) -> None:
    verdict = "right" if trajectory.outcome >= 1 else "wrong"
    echo(f"\n  {one_line(trajectory.task.prompt)}")
    for step in trajectory.steps:
        said = [f"{c.name} {_code(c.arguments)}" for c in step.message.tool_calls]
        answers = " / ".join(reply.content for reply in step.replies)
        action = one_line(" ".join(said) or step.message.content, 96)
        echo(f"    {action}  ->  {one_line(answers, 60)}")
    place = address_of(ROOT, trajectory.id)
    echo(f"    {paint(verdict, 'green' if verdict == 'right' else 'red')}  ({place})")


def _code(arguments: str) -> str:
    try:
        return str(json.loads(arguments).get("code", ""))
    except (ValueError, RecursionError, AttributeError):
        return arguments


def _rate(rate: dict[str, Any]) -> str:
    return f"{rate['mean']:.3f}  [{rate['low']:.3f}, {rate['high']:.3f}]  n {rate['n']}"


if __name__ == "__main__":
    sys.exit(quickstart(sys.argv[1:]))
