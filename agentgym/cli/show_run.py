"""A run in the terminal: how it went, and its episodes."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentgym.cli.output import (
    counted,
    echo,
    echo_json,
    echo_table,
    one_line,
    paint,
    safe,
    sparkline,
)

if TYPE_CHECKING:
    from agentgym.store.episodes import EpisodeHead
    from agentgym.store.run import Run

_SHOWN_METRICS = ("success", "reward", "loss", "entropy")


def show_run(run: "Run", name: str, *, last: int, end: str | None, json: bool) -> None:
    """Print how a run went, and its last episodes; `name` is what it is called here."""
    from agentgym.store.address import Address
    from agentgym.store.episodes import read_heads

    heads = list(read_heads(run.root))
    ends = Counter(head.end for head in heads)
    chosen = [head for head in heads if end in (None, head.end)]
    chosen = chosen[max(0, len(chosen) - last) :]
    metrics = _metrics(run)
    if json:
        listed = [_head_json(head) for head in chosen]
        about = {"run": name, "status": run.status, "info": run.info, "metrics": metrics}
        echo_json({**about, "ends": ends, "episodes": listed})
        return
    _print_about(run, name)
    for metric, values in metrics.items():
        echo(f"{metric:<16} {sparkline(_scaled(values))}  {values[0]:.3g} to {values[-1]:.3g}")
    counts = "  ".join(f"{how} {count}" for how, count in ends.most_common())
    echo(f"{counted(len(heads), 'episode')}  {counts}".rstrip())
    if chosen:
        echo()
        names = ("episode", "task", "end", "reason", "outcome", "turns", "tokens", "version")
        echo_table(names, [_row(head) for head in chosen])
        echo(paint(f"\none of them: agentgym show {Address(name, chosen[-1].id)}", "dim"))


def _print_about(run: "Run", name: str) -> None:
    """Print what became of it, and how it was begun."""
    info = run.info
    echo(paint(f"{one_line(name)}  {one_line(run.status)}", "bold"))
    env = info.get("env") or "-"
    about = f"{env}  seed {info['seed']}  step {run.step}  since {info['created']}"
    echo(safe(about))
    echo(one_line(" ".join(info["command"])))
    if info.get("sandbox"):
        echo(_sandbox(info["sandbox"]))


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
