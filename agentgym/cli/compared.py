"""How `agentgym compare` tells what it found."""

import math
from typing import Any

from agentgym.cli.curves import worth_showing
from agentgym.cli.output import counted, echo, echo_table, one_line, paint, sparkline

_MAX_ROWS = 9  # of a curve; --json has all


def print_comparison(report: dict[str, Any]) -> None:
    """Print who is compared, their differences, and the curves of trainings."""
    for name in "ab":
        side = report[name]
        count = f"{counted(side['episodes'], 'episode')}: " if side["episodes"] else ""
        head = paint(f"{name.upper()}  {side['run']}", "bold")
        echo(f"{head}  {_policy(side)}  {count}{side['which']}")
    if report["differences"]:
        echo()
        _print_differences(report)
    for name, curve in worth_showing(report["curves"]).items():
        echo()
        _print_curve(name, curve)


def _policy(side: dict[str, Any]) -> str:
    named = f"{side['policy']}, " if side["policy"] else ""
    return one_line(f"{named}{side['env']}, seed {side['seed']}")


def _print_differences(report: dict[str, Any]) -> None:
    found = dict(report["differences"])
    if all(found["outcome"][side] == found["success"][side] for side in "ab"):
        del found["outcome"]  # it is 0 or 1, and says the same once more
    rows = [_row(name, each) for name, each in found.items()]
    rates = [f"{_number(rate['mean'])}  {_interval(rate)}" for rate in report["rates"].values()]
    rows[0] = ("success", *rates, *rows[0][3:])
    rows += [_row(f"{name} (reward)", each) for name, each in report["terms"].items()]
    echo_table(("", "A", "B", "B - A", "95 % interval"), rows)
    echo()
    if not report["paired"]:
        echo(f"{report['tasks'][0]} and {counted(report['tasks'][1], 'task')}, unpaired")
        return
    echo(
        f"{counted(report['pairs'], 'pair')} of {counted(report['tasks'][0], 'task')}; "
        f"by {report['by']} B is above A in "
        f"{report['wins']}, equal in {report['ties']}, below in {report['losses']}"
    )
    test = "McNemar, exact" if report["pairs"] == report["tasks"][0] else "exact, by task"
    echo(
        "were both as good, success would differ as much by chance with "
        f"p {report['p']:.3g} ({test})"
    )


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    a, b = _number(found["a"]), _number(found["b"])
    return name, a, b, _number(found["difference"], sign=True), _interval(found, sign=True)


def _print_curve(name: str, curve: dict[str, Any]) -> None:
    """Print a sparkline for each run, their areas, and some of the steps."""
    both = curve["a"] + curve["b"]
    low, high = min(0.0, *both), max(1.0, *both)
    area = curve["area"]
    steps = curve["steps"]
    echo(paint(f"{name} by step", "bold"))
    for side in "ab":
        scaled = [(value - low) / (high - low) for value in curve[side]]
        echo(f"{side.upper()}  {sparkline(scaled)}  mean height {_number(area[side])}")
    echo(f"B - A {_number(area['difference'], sign=True)} over steps {steps[0]} to {steps[-1]}")
    chosen = sorted(
        {round(place * (len(steps) - 1) / (_MAX_ROWS - 1)) for place in range(_MAX_ROWS)}
    )
    rows = [
        (
            steps[at],
            _number(curve["a"][at]),
            _number(curve["b"][at]),
            _number(curve["b"][at] - curve["a"][at], sign=True),
        )
        for at in chosen
    ]
    echo_table(("step", "A", "B", "B - A"), rows)


def _interval(found: dict[str, Any], *, sign: bool = False) -> str:
    if math.isnan(found["low"]):
        return "one task says nothing of others"
    return f"[{_number(found['low'], sign=sign)}, {_number(found['high'], sign=sign)}]"


def _number(value: float, *, sign: bool = False) -> str:
    """Write a number with what matters of it: three places below ten, one above."""
    places = 3 if abs(value) < 10 else 1
    return f"{value:{'+' if sign else ''}.{places}f}" if value else "0"
