"""`agentgym bench`, and `bench env`: steps a second, beside the environment's own framework."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli import (
    bench_credit,
    bench_engine,
    bench_rollout,
    bench_sandbox,
    bench_sync,
    bench_view,
)
from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, note, one_line

if TYPE_CHECKING:
    from agentgym.bench import Case, Row

app = typer.Typer(help="Measure how fast things are.", rich_markup_mode=None)
app.command("sandbox")(bench_sandbox.sandbox)
app.command("credit")(bench_credit.credit)
app.command("view")(bench_view.view)
app.command("engine")(bench_engine.engine)
app.command("sync")(bench_sync.sync)
app.command("rollout")(bench_rollout.rollout)


@app.callback()
def _bench() -> None:
    """Measure how fast things are."""


@app.command("env")
def env(
    envs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENV]...", help="Ids, pkg.mod:Config or path/file.py[:Config]; all that can."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="For each environment, about.")] = 5.0,
    concurrency: Annotated[
        list[int] | None,
        typer.Option("-c", "--concurrency", min=1, help="Of rollouts; 1 and 64 by default."),
    ] = None,
    json: Json = False,
) -> None:
    """Count the steps per second of environments.

    Random actions are recorded once. Then agentgym's bare contract, the environment's own
    framework where it has one, and whole rollouts take turns at playing them; medians are shown.

    JSON: [{env, framework, concurrency, steps_per_second}]
    """
    from agentgym.bench import CASES

    chosen = _chosen(envs, CASES) if envs else CASES
    rows, failed = _measured(
        chosen, seconds=seconds, concurrency=concurrency or (1, 64), named=bool(envs)
    )
    if json:
        echo_json([row.to_json() for row in rows])
    else:
        echo_table(
            ("env", "framework", "concurrency", "steps/s", "of its own"),
            [
                (row.env, row.framework, row.concurrency, f"{row.steps_per_second:,.0f}", ratio)
                for row, ratio in zip(rows, _ratios(rows), strict=True)
            ],
        )
    if failed:
        raise typer.Exit(1)


def _measured(
    cases: "Sequence[Case]", *, seconds: float, concurrency: Sequence[int], named: bool
) -> "tuple[list[Row], bool]":
    """Return the figures, and whether an environment failed; of those named, nothing is left out.

    What environments print goes to stderr, where it disturbs no `--json`.
    """
    from agentgym.bench import bench_env
    from agentgym.errors import EnvError, MissingError, SandboxUnavailable

    rows: list[Row] = []
    failed = False
    for case in cases:
        try:
            with redirect_stdout(sys.stderr):
                rows += bench_env(case, seconds=seconds, concurrency=concurrency)
        except (EnvError, MissingError, SandboxUnavailable) as error:
            if named:
                raise
            failed = failed or isinstance(error, EnvError)
            note(f"left out: {case.name}: {one_line(str(error))}")
    return rows, failed


def _chosen(envs: list[str], cases: "tuple[Case, ...]") -> "list[Case]":
    """Return the cases of these names or ids; any other environment is measured alone."""
    from agentgym.bench import Case

    return [
        case
        for name in envs
        for case in [each for each in cases if name in (each.env, each.name)] or [Case(name)]
    ]


def _ratios(rows: "list[Row]") -> list[str]:
    """Return the speed of the contract as a share of what the framework itself does."""
    own = {
        row.env: row.steps_per_second
        for row in rows
        if row.framework not in ("agentgym", "agentgym.rollout")
    }
    return [
        f"{row.steps_per_second / own[row.env]:.0%}"
        if row.framework == "agentgym" and row.env in own
        else ""
        for row in rows
    ]
