"""`agentgym show`: a run, or one of its episodes, in the terminal."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentgym.cli.messages import show_message
from agentgym.cli.opened import as_run
from agentgym.cli.options import Json, RunOrFile
from agentgym.cli.output import (
    counted,
    echo,
    echo_json,
    echo_table,
    one_line,
    paint,
    safe,
    short_path,
    sparkline,
)

if TYPE_CHECKING:
    from agentgym.store.episodes import EpisodeHead
    from agentgym.store.run import Run
    from agentgym.types import Step, Trajectory

_SHOWN_METRICS = ("success", "reward", "loss", "entropy")


def show(
    run: RunOrFile,
    episode: Annotated[
        str | None, typer.Argument(metavar="[EPISODE]", help="Its id, or a unique beginning of it.")
    ] = None,
    last: Annotated[int, typer.Option("-n", "--last", min=0, help="Episodes to list.")] = 20,
    end: Annotated[
        Literal["terminated", "truncated", "error"] | None,
        typer.Option(help="List only episodes that ended so."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a run did, or one of its episodes, message by message.

    JSON of a run: {run, status, info, metrics, ends, episodes}; of an episode: its record, and as
    noted {update, rewards, advantages, gates} by the trainer and {credits: {LABEL: advantages}} by
    recredit, or null.
    """
    from agentgym.store.run import Run

    with as_run(run) as path:
        found = Run.open(path)
        if episode is None:
            _show_run(found, str(Path(run)), last=last, end=end, json=json)
        else:
            _show_one(found, episode, json=json)


def _show_one(found: "Run", episode: str, *, json: bool) -> None:
    from agentgym.store.episodes import find_episode, read_episode

    trajectory = read_episode(find_episode(found.root, episode))
    noted = _noted(found, trajectory.id)
    if json:
        echo_json(_episode_json(trajectory) | {"noted": noted})
    else:
        _show_episode(trajectory, noted)


def _show_run(run: "Run", name: str, *, last: int, end: str | None, json: bool) -> None:
    from agentgym.store.episodes import read_heads

    heads = list(read_heads(run.root))
    ends = Counter(head.end for head in heads)
    chosen = [head for head in heads if end in (None, head.end)]
    chosen = chosen[max(0, len(chosen) - last) :]
    metrics = _metrics(run)
    if json:
        echo_json(
            {
                "run": name,
                "status": run.status,
                "info": run.info,
                "metrics": metrics,
                "ends": ends,
                "episodes": [_head_json(head) for head in chosen],
            }
        )
        return
    info = run.info
    echo(paint(f"{name}  {run.status}", "bold"))
    env = one_line(info.get("env") or "-")
    echo(f"{env}  seed {info['seed']}  step {run.step}  since {info['created']}")
    echo(one_line(" ".join(info["command"])))
    if info.get("sandbox"):
        echo(_sandbox(info["sandbox"]))
    for name, values in metrics.items():
        echo(f"{name:<16} {sparkline(_scaled(values))}  {values[0]:.3g} to {values[-1]:.3g}")
    listed = "  ".join(f"{name} {count}" for name, count in ends.most_common())
    echo(f"{counted(len(heads), 'episode')}  {listed}".rstrip())
    if chosen:
        echo()
        echo_table(
            ("episode", "task", "end", "reason", "outcome", "turns", "tokens", "version"),
            [_row(head) for head in chosen],
        )
        echo(paint(f"\none of them: agentgym show {name} {chosen[-1].id}", "dim"))


def _sandbox(info: Mapping[str, Any]) -> str:
    limits = ", ".join(f"{name} {how}" for name, how in sorted(info["enforced"].items()))
    return safe(f"sandbox {info['backend']}  {info['image'] or 'of that machine'}  {limits}")


def _metrics(run: "Run") -> dict[str, list[float]]:
    """Return the curves worth a glance."""
    import math

    from agentgym.metrics import read_metrics

    if not run.metrics_path.is_file():
        return {}
    steps = read_metrics(run.metrics_path)
    names = [name for scalars in steps.values() for name in scalars]
    wanted = [name for name in dict.fromkeys(names) if _is_shown(name)]
    curves = {
        name: [steps[step][name] for step in sorted(steps) if name in steps[step]]
        for name in wanted
    }
    finite = {name: [v for v in values if math.isfinite(v)] for name, values in curves.items()}
    return {name: values for name, values in finite.items() if values}


def _is_shown(name: str) -> bool:
    return name.rpartition("/")[2] in _SHOWN_METRICS


def _scaled(values: list[float]) -> list[float]:
    low, high = min(0.0, *values), max(1.0, *values)
    return [(value - low) / (high - low) for value in values]


def _row(head: "EpisodeHead") -> tuple[object, ...]:
    versions = sorted({head.version_min, head.version_max} - {None}, key=str)
    return (
        head.id,
        one_line(head.task_id, 24),
        head.end,
        one_line(head.reason, 40),
        f"{head.outcome:.3g}",
        head.turns,
        head.tokens,
        "-".join(map(str, versions)) or "-",
    )


def _head_json(head: "EpisodeHead") -> dict[str, Any]:
    from dataclasses import fields

    return {each.name: getattr(head, each.name) for each in fields(head) if each.name != "frame"}


def _noted(run: "Run", episode: str) -> dict[str, Any] | None:
    """Return what the last optimiser step that used an episode noted about its steps."""
    from agentgym.store.notes import leave_out, read_notes

    notes = [
        note
        for note in read_notes(run.root, "update", on_broken=leave_out)
        if episode in note.payload.get("trajectories", ())
    ]
    if not notes:
        return None
    note = notes[-1]
    row = note.payload["trajectories"].index(episode)
    steps = slice(*map(int, note.columns["step_start"][row : row + 2]))
    return {
        "update": int(note.payload["step"]) + 1,
        "rewards": note.columns["rewards"][steps].tolist(),
        "advantages": _per_step(note.columns, steps),
        "gates": {
            name.partition("/")[2]: float(values[row])
            for name, values in note.columns.items()
            if name.startswith("gate/")
        },
        "credits": dict(_other_credit(run, episode, note.payload.get("step"))),
    }


def _other_credit(run: "Run", episode: str, step: Any) -> Iterator[tuple[str, list[float]]]:
    """Yield what other estimators gave the steps of an episode, by their labels."""
    from agentgym.store.notes import leave_out, read_notes

    for note in read_notes(run.root, "credit", on_broken=leave_out):
        names = note.payload.get("trajectories", ())
        if note.payload.get("step") == step and episode in names:
            row = names.index(episode)
            steps = slice(*map(int, note.columns["step_start"][row : row + 2]))
            yield str(note.payload.get("label")), _per_step(note.columns, steps)


def _per_step(columns: Mapping[str, Any], steps: slice) -> list[float]:
    """Return the advantage of each step; where tokens have their own, their mean."""
    advantages, starts = columns["advantages"], columns["token_start"]
    if len(advantages) == len(starts) - 1:
        return [float(value) for value in advantages[steps]]
    ranges = zip(starts[steps], starts[steps.start + 1 : steps.stop + 1], strict=True)
    return [float(advantages[a:b].mean()) if b > a else 0.0 for a, b in ranges]


def _episode_json(trajectory: "Trajectory") -> dict[str, Any]:
    """Return the record without its tokens."""
    from dataclasses import asdict

    return {
        "id": trajectory.id,
        "task": asdict(trajectory.task),
        "policy": trajectory.policy,
        "seed": trajectory.seed,
        "end": trajectory.end,
        "reason": trajectory.reason,
        "outcome": trajectory.outcome,
        "seconds": trajectory.seconds,
        "drift": trajectory.drift,
        "prompt": [message.to_openai() for message in trajectory.prompt],
        "tools": [tool.to_openai() for tool in trajectory.tools],
        "steps": [_step_json(step) for step in trajectory.steps],
    }


def _step_json(step: "Step") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "message": step.message.to_openai(),
        "replies": [reply.to_openai() for reply in step.replies],
        "reward_terms": step.reward_terms,
        "state_key": step.state_key,
        "next_state_key": step.next_state_key,
        "action_key": step.action_key,
        "tokens": len(step.completion.token_ids) if step.completion else 0,
        "versions": step.completion.versions if step.completion else (),
        "usage": step.usage,
        "timed_out": step.timed_out,
        "timings": asdict(step.timings),
    }


def _show_episode(trajectory: "Trajectory", noted: dict[str, Any] | None) -> None:
    task = trajectory.task
    echo(paint(f"{trajectory.id}  {trajectory.end}  {one_line(trajectory.reason)}", "bold"))
    echo(
        f"{short_path(task.env)}  {task.split}  task {one_line(task.id)}  {one_line(trajectory.policy)}"
    )
    echo(
        f"outcome {trajectory.outcome:.3g}  {len(trajectory.steps)} turns  "
        f"{trajectory.num_sampled} tokens sampled  {trajectory.seconds:.2f} s"
    )
    if noted is not None:
        gates = "".join(f"  gate {name} {value:g}" for name, value in noted["gates"].items())
        echo(f"trained on in step {noted['update']}{gates}")
    for message in trajectory.prompt:
        show_message(message)
    for index, step in enumerate(trajectory.steps):
        show_message(step.message, f"turn {index + 1}{_about(step, index, noted)}")
        for reply in step.replies:
            show_message(reply)


def _about(step: "Step", index: int, noted: dict[str, Any] | None) -> str:
    about = "".join(f"  {name} {value:+.3g}" for name, value in step.reward_terms.items() if value)
    if noted is not None:
        about += f"  reward {noted['rewards'][index]:+.3g}"
        about += f"  advantage {noted['advantages'][index]:+.3g}"
        for label, values in noted["credits"].items():
            about += f"  {one_line(label, 40)} {values[index]:+.3g}"
    if step.completion is not None:
        about += f"  {len(step.completion.token_ids)} tokens"
    return about + _took(step.usage) + ("  timed out" if step.timed_out else "")


def _took(usage: Mapping[str, float]) -> str:
    """Say what an answer of a model behind a URL took, as far as its server tells."""
    words = {
        "prompt_tokens": "{:,.0f} prompt tokens",
        "completion_tokens": "{:,.0f} completion tokens",
        "cost": "cost {:.4g}",
    }
    return "".join(f"  {text.format(usage[key])}" for key, text in words.items() if key in usage)
